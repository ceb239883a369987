/* SPDX-License-Identifier: Apache-2.0 */
/* fetch: HTTP for plugins: one request within the check's deadline, over a connection that is kept for the
 * next one. On libcurl.
 *
 * Guarantees: the request ends a little before skymon_ms_left() does, and within about a second if that
 * becomes 0 early; names are resolved by skymon_resolve(), or by the proxy; only http and https; no redirect
 * is followed; the answer is bounded; ~/.netrc is not read, and of the environment only SSL_CERT_FILE and
 * SSL_CERT_DIR are; no signal is used. A kept connection that the server has closed is replaced silently;
 * several addresses of a name are raced.
 *
 * A struct fetch is for one thread at a time: a component whose check and secret callbacks both send requests
 * has two, or a lock. */
#ifndef FETCH_H
#define FETCH_H

#include <skymon/plugin.h>

#include "fault.h"
#include "tls_report.h"

struct fetch;

/* Call them once per process, in the plugin's load and unload. fetch_load returns false if libcurl fails. */
bool fetch_load(void);
void fetch_unload(void);

struct fetch *fetch_new(void); /* NULL if out of memory */
void fetch_free(struct fetch *fetch);

/* Call them before and after the requests of one check. If the connections are older than reconnect_ms, the
 * next request opens new ones; the old ones are closed once it is answered, and otherwise stay until the
 * request after the next fetch_begin. With 0 all connections are closed in fetch_end. */
void fetch_begin(struct fetch *fetch, int64_t reconnect_ms);
void fetch_end(struct fetch *fetch);

#define FETCH_WANTED_MAX 8
#define FETCH_BODY_MAX (1u << 20)

struct fetch_request {
	const char *method; /* NULL for GET */
	const char *url;    /* its user info is sent as Basic authentication and never shown */
	const struct skymon_label *headers; /* one with a NULL value is not sent */
	size_t header_count;
	const void *body; /* NULL if there is none */
	size_t body_size;
	size_t body_max; /* bytes of the answer, more is a fault; 0 for FETCH_BODY_MAX */
	/* Called once, when the answer's body grows beyond `small` bytes: returns whether there is memory for
	 * 1.5 times body_max bytes; otherwise the request ends with a fault. It may wait, and that time does
	 * not count for timeout_ms. NULL if there is none. */
	bool (*grow)(void *arg);
	void *grow_arg;
	size_t small;
	int64_t timeout_ms; /* for the whole request; 0 for the deadline alone */
	int64_t connect_ms; /* for the connection, TLS included; 0 for timeout_ms */
	bool once; /* must not reach the server twice: not over a kept connection, where libcurl may repeat it
		    */
	const char *const *wanted;    /* names of the answer's headers to keep, ended by NULL; may be NULL */
	const struct skymon_tls *tls; /* may be NULL */
	const char *proxy;            /* http://, https:// or socks5h://; NULL, "" or "none" for none */
};

struct fetch_answer {
	int code;
	char *body; /* ends with '\0'; never NULL */
	size_t size;
	char *wanted[FETCH_WANTED_MAX]; /* in the request's order; NULL if the answer has none */
	bool reused;                    /* the connection was kept from an earlier request */
	enum tls_trust trust;           /* of the connection */
	bool local;                     /* the peer is on this machine */
	double certificate_days;        /* authorities_certificate_days(); NaN without TLS */
	double seconds;                 /* the whole request */
	double connect_seconds;         /* to the end of TCP, and of TLS; 0 if reused */
	double tls_seconds;
	double wait_seconds; /* from the request to the first byte of the answer */
};

/* Performs the request. Returns true with the answer, of any code, for fetch_answer_free(); or false
 * with *fault set and an empty *answer. */
bool fetch_do(struct skymon *sm, struct fetch *fetch, const struct fetch_request *request,
	      struct fetch_answer *answer, struct skymon_fault *fault);
void fetch_answer_free(struct fetch_answer *answer); /* wipes the body */

/* Return what is wrong with a URL, or with `proxy`, as in "address %s", without quoting it; NULL if it is
 * valid. For `validate`. */
const char *fetch_url_fault(const char *url);
const char *fetch_proxy_fault(const char *proxy);
/* Returns whether URL and proxy can be used; else false with *fault set, which does not quote user info. name
 * is the option's, as in "address must begin with http:// or https://". */
bool fetch_accepts(const char *name, const char *url, const char *proxy, struct skymon_fault *fault);
/* Returns why a secret must not be sent to this URL, as in "address %s"; NULL if it may. Without TLS a secret
 * is sent to this machine only, or where tls->insecure allows it. secret: one is sent in addition to the
 * URL's user info. */
const char *fetch_secret_fault(const char *url, const struct skymon_tls *tls, bool secret);
/* Writes "host:port" of a URL, for messages and labels. Returns false if it is not a URL. */
bool fetch_place(const char *url, char *place, size_t size);

/* Returns whether the body's JSON is nested at most `depth` deep. Call it before a parser that recurses: the
 * stack of a check is small, and jansson's own limit of 2048 would use most of it. */
bool fetch_is_shallow(const struct fetch_answer *answer, int depth);

/* ---- Shared by fetch's files only: fetch_fault.c (pure) ---- */

struct fetch_failure {     /* what libcurl reports */
	int code;          /* CURLcode */
	const char *words; /* its error buffer */
	int os_errno;
	long verify;       /* X509_V_… of the server's certificate */
	long connect_code; /* the proxy's HTTP status */
	bool by_proxy, tls, reused;
	bool connected, secured, asked, answered; /* how far the request got */
	size_t received, body_max;
	bool too_large;
	const char *place, *name; /* the peer's host:port; the name that its certificate must have */
};
void fetch_explain(const struct fetch_failure *failure, struct skymon_fault *fault);

#endif
