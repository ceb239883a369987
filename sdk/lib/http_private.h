/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_url: shared by fetch's files; for no other includer. */
#ifndef FETCH_URL_H
#define FETCH_URL_H

#include <curl/curl.h>

#include "fetch.h"

CURLU *fetch_parse(const char *text);             /* for curl_url_cleanup(); NULL if it is not a URL */
char *fetch_part(CURLU *url, CURLUPart part);     /* for curl_free(); NULL if there is none */
const char *fetch_given_proxy(const char *proxy); /* NULL if there is none */
/* The answer as it arrives. */
struct fetch_sink {
	const struct fetch_request *request;
	struct fetch_answer *answer;
	size_t room, max, header_size;
	bool too_large, answered, headed; /* headed: all headers have arrived */
	bool grown;                       /* request->grow has returned true */
};
/* For libcurl, as CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION. */
size_t fetch_sink_body(char *bytes, size_t one, size_t count, void *sink);
size_t fetch_sink_header(char *line, size_t one, size_t count, void *sink);

void fetch_wipe(void *bytes, size_t size); /* and frees it */
bool fetch_files_are_readable(const struct skymon_tls *tls, struct skymon_fault *fault);
/* Options of a request over TLS, to the server or the proxy; tls may be NULL. */
double fetch_tls_days(CURL *easy); /* of the connection in use; while a transfer runs */
void fetch_tls_set(CURL *easy, const struct skymon_tls *tls, const char *proxy);

#endif
