/* SPDX-License-Identifier: Apache-2.0 */
/* http_private: shared by http's files; for no other includer. */
#ifndef HTTP_PRIVATE_H
#define HTTP_PRIVATE_H

#include <curl/curl.h>
#include <skymon/http.h>

/* ---- http_url.c ---- */

CURLU *skymon_http_parse(const char *text);             /* for curl_url_cleanup(); NULL if it is not a URL */
char *skymon_http_part(CURLU *url, CURLUPart part);     /* for curl_free(); NULL if there is none */
const char *skymon_http_given_proxy(const char *proxy); /* NULL if there is none */

/* ---- http_sink.c: the answer as it arrives ---- */

struct skymon_http_sink {
	const struct skymon_http_request *request;
	struct skymon_http_answer *answer;
	size_t room, max, header_size;
	bool too_large, answered, headed; /* headed: all headers have arrived */
	bool grown;                       /* request->grow has returned true */
};
/* For libcurl, as CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION. */
size_t skymon_http_sink_body(char *bytes, size_t one, size_t count, void *sink);
size_t skymon_http_sink_header(char *line, size_t one, size_t count, void *sink);
void skymon_http_wipe(void *bytes, size_t size); /* and frees it */

/* ---- http_easy.c: libcurl's handle ---- */

double skymon_http_seconds(CURL *easy, CURLINFO what); /* of a time in us; 0 if it has none */
long skymon_http_number(CURL *easy, CURLINFO what);
/* Adds "NAME: PREFIXVALUE" to the list of headers. Returns false if out of memory. */
bool skymon_http_add_line(struct curl_slist **lines, const char *name, const char *prefix, const char *value);
void skymon_http_free_lines(struct curl_slist *lines); /* wipes them first */

/* ---- http_tls.c: options of a request over TLS, to the server or the proxy; tls may be NULL ---- */

bool skymon_http_files_are_readable(const struct skymon_tls *tls, struct skymon_fault *fault);
struct skymon_tls_days skymon_http_tls_days(CURL *easy); /* of the connection in use; while a transfer runs */
void skymon_http_tls_set(CURL *easy, const struct skymon_tls *tls, const char *proxy);

/* ---- http_fault.c (pure) ---- */

struct skymon_http_failure { /* what libcurl reports */
	int code;            /* CURLcode */
	const char *words;   /* its error buffer */
	int os_errno;
	long verify;       /* X509_V_… of the server's certificate */
	long connect_code; /* the proxy's HTTP status */
	bool by_proxy, tls, reused;
	bool connected, secured, asked, answered; /* how far the request got */
	size_t received, body_max;
	bool too_large;
	const char *place, *name; /* the peer's host:port; the name that its certificate must have */
};
void skymon_http_explain(const struct skymon_http_failure *failure, struct skymon_fault *fault);

#endif
