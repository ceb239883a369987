/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/http.h - HTTP for checks: one request within the check's deadline, over a connection that is kept for the next one.
 *
 * Guarantees: the request ends a little before skymon_ms_left() does, and within about a second if that becomes 0 early; names are
 * resolved by skymon_resolve(), or by the proxy; several addresses of a name are raced; only http and https; no redirect is
 * followed; the answer is bounded; ~/.netrc is not read, and of the environment only SSL_CERT_FILE and SSL_CERT_DIR are; no signal
 * is used. A kept connection that the server has closed is replaced silently.
 * Threads: a struct skymon_http is for one thread at a time: a component whose check and secret callbacks both send requests has
 * two, or a lock. Functions without one may be called on any thread.
 *
 * Of the helper library (`pkg-config skymon-http`: libcurl and OpenSSL), which a plugin links statically. It is outside
 * of the ABI's promise: a plugin keeps the library that it was built with, and a newer skymon may change it. */
#ifndef SKYMON_HTTP_H
#define SKYMON_HTTP_H

#include <skymon/fault.h>
#include <skymon/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skymon_http;

/* One for each component, made in `start` or by skymon_http_check, and freed in `stop`. skymon_http_new returns NULL if out of memory. The process's last
 * skymon_http_free ends libcurl and frees the certificates that all share. */
struct skymon_http *skymon_http_new(void);
void skymon_http_free(struct skymon_http *http);

/* ---- A request ---- */

/* Call them before and after the requests of one check; skymon_http_check does. If the connections are older than reconnect_ms, the next request opens new
 * ones; the old ones are closed once it is answered, and otherwise stay until the request after the next skymon_http_begin. With 0
 * all connections are closed in skymon_http_end. */
void skymon_http_begin(struct skymon_http *http, int64_t reconnect_ms);
void skymon_http_end(struct skymon_http *http);

#define SKYMON_HTTP_WANTED_MAX 8
#define SKYMON_HTTP_BODY_MAX (1u << 20)

struct skymon_http_request {
	const char *method;         /* NULL for GET */
	const char *url;            /* its user info is sent as Basic authentication and never shown */
	const struct skymon_label *headers; size_t header_count; /* one with a NULL value is not sent */
	const struct skymon_secret *bearer; /* sent as `Authorization: Bearer …` if it is given; may be NULL */
	const void *body;           /* NULL if there is none */
	size_t body_size;
	size_t body_max;            /* bytes of the answer, more is a fault; 0 for SKYMON_HTTP_BODY_MAX */
	/* Called once, when the answer's body grows beyond `small` bytes: returns whether there is memory for 1.5 times body_max
	 * bytes; otherwise the request ends with a fault. It may wait, and that time does not count for timeout_ms. NULL if there is
	 * none. */
	bool (*grow)(void *arg);
	void *grow_arg;
	size_t small;
	int64_t reconnect_ms;       /* for skymon_http_check: see skymon_http_begin; 0 for a new connection in each check */
	int64_t timeout_ms;         /* for the whole request; 0 for the deadline alone */
	int64_t connect_ms;         /* for the connection, TLS included; 0 for timeout_ms */
	bool once;                  /* must not reach the server twice: not over a kept connection, where libcurl may repeat it */
	const char *const *wanted;  /* names of the answer's headers to keep, ended by NULL; may be NULL */
	const struct skymon_tls *tls; /* may be NULL */
	const char *proxy;          /* http://, https:// or socks5h://; NULL, "" or "none" for none */
};

struct skymon_http_answer {
	int code;
	char *body;                 /* ends with '\0'; never NULL */
	size_t size;
	char *wanted[SKYMON_HTTP_WANTED_MAX]; /* in the request's order; NULL if the answer has none */
	bool reused;                /* the connection was kept from an earlier request */
	enum skymon_tls_trust trust; /* of the connection */
	bool local;                 /* the peer is on this machine */
	struct skymon_tls_days days; /* of its certificates */
	double seconds;             /* the whole request */
	double connect_seconds;     /* to the end of TCP, and of TLS; 0 if reused */
	double tls_seconds;
	double wait_seconds;        /* from the request to the first byte of the answer */
};

/* Performs the request. Returns true with the answer, of any code, for skymon_http_answer_free(); or false with *fault set and an
 * empty *answer. */
bool skymon_http_do(struct skymon *sm, struct skymon_http *http, const struct skymon_http_request *request,
		    struct skymon_http_answer *answer, struct skymon_fault *fault);
void skymon_http_answer_free(struct skymon_http_answer *answer); /* wipes the body */

/* ---- A check that is one request ---- */

/* Performs the request and reports: the fault, the code that is not 2xx, how the connection is protected (skymon/tls.h; the plugin has
 * SKYMON_TLS_NUMBERS among its numbers), and a refused bearer token, so that the secret is read again. Returns SKYMON_HEALTHY with an
 * answer of 2xx, which is the caller's to look at, report and free; otherwise the status that the check returns, with an empty answer.
 * *http is NULL in the first check, which makes it; free it in `stop`. */
enum skymon_status skymon_http_check(struct skymon *sm, struct skymon_http **http, const struct skymon_http_request *request,
				     struct skymon_http_answer *answer);

/* For `validate`: calls skymon_invalid if the URL of the option `name` is not http or https, the option `proxy` is not one, or a secret
 * would be sent without TLS to another machine, unless tls->insecure allows that. tls may be NULL; secret: one is given, in addition to
 * the URL's user info. */
void skymon_http_validate(struct skymon *sm, const char *name, const char *url, const char *proxy, const struct skymon_tls *tls,
			  bool secret);

/* ---- URLs ---- */

/* Return what is wrong, as in "address %s", without quoting it; NULL if it is valid. */
const char *skymon_http_url_fault(const char *url);
const char *skymon_http_proxy_fault(const char *proxy);
/* Returns why a secret must not be sent to this URL, as in "address %s"; NULL if it may. Without TLS a secret is sent to this
 * machine only, or where tls->insecure allows it. secret: one is sent in addition to the URL's user info. */
const char *skymon_http_secret_fault(const char *url, const struct skymon_tls *tls, bool secret);

/* Returns whether URL and proxy can be used; else false with *fault set, which does not quote user info. name is the option's, as in
 * "address must begin with http:// or https://". */
bool skymon_http_accepts(const char *name, const char *url, const char *proxy, struct skymon_fault *fault);
/* Writes "host:port" of a URL, for messages and labels. Returns false if it is not a URL. */
bool skymon_http_place(const char *url, char *place, size_t size);

#ifdef __cplusplus
}
#endif

#endif
