/* SPDX-License-Identifier: Apache-2.0 */
/* fetch: HTTP for plugins: one request within the check's deadline, over a connection that is kept for the
 * next one. On libcurl; compiled into each plugin that uses it.
 *
 * What holds for every request: the whole of it ends a little before skymon_ms_left, and within about a
 * second when that becomes 0 before its time; names are looked up by the host's helper (a proxy's client
 * leaves that to the proxy); only http and https; no redirect is followed; the answer is bounded; nothing is
 * read from ~/.netrc, and from the environment only SSL_CERT_FILE and SSL_CERT_DIR; no signal is used. A kept
 * connection that the server has ended is replaced without a word; several addresses of a name are raced.
 *
 * A `struct fetch` is for one thread at a time: a component whose check and secret callback both ask has two,
 * or a lock. */
#ifndef FETCH_H
#define FETCH_H

#include <skymon/plugin.h>

#include "fault.h"
#include "tls_report.h"

struct fetch;

/* Once per process, in the plugin's load and unload. */
bool fetch_load(void);
void fetch_unload(void);

struct fetch *fetch_new(void); /* NULL: no memory */
void fetch_free(struct fetch *fetch);

/* Around the requests of one check. When the connections are older than reconnect_ms, the next request opens
 * new ones, and the old ones are closed when it has been answered; if it is not, they stay, and the request
 * after the next fetch_begin tries again. With 0 they are closed in fetch_end. */
void fetch_begin(struct fetch *fetch, int64_t reconnect_ms);
void fetch_end(struct fetch *fetch);

#define FETCH_WANTED_MAX 8
#define FETCH_BODY_MAX (1u << 20)

struct fetch_request {
	const char *method; /* NULL: GET */
	const char *url;    /* user info in it is sent as Basic authentication, and never shown */
	const struct skymon_label *headers; /* name, value; one with a NULL value is left out */
	size_t header_count;
	const void *body; /* NULL: none */
	size_t body_size;
	size_t body_max; /* of the answer; 0: FETCH_BODY_MAX. More than that is a fault */
	/* Asked once, when the answer's body becomes larger than `small` bytes: is there memory for body_max
	 * of them, and half of that beside it? It may wait, and that does not count for timeout_ms. false:
	 * the request ends with a fault. NULL: not asked. */
	bool (*grow)(void *arg);
	void *grow_arg;
	size_t small;
	int64_t timeout_ms; /* for all of it; 0: the deadline alone counts */
	int64_t connect_ms; /* for the connection, TLS included; 0: as timeout_ms */
	bool once; /* must not reach the server twice: no kept connection, which libcurl would replace unasked
		    */
	const char *const *wanted; /* names of the answer's headers to be kept; ends with NULL; may be NULL */
	const struct skymon_tls *tls; /* may be NULL */
	const char *proxy;            /* NULL, "" and "none": none; http://, https:// or socks5h:// */
};

struct fetch_answer {
	int code;
	char *body; /* ends with '\0'; never NULL */
	size_t size;
	char *wanted[FETCH_WANTED_MAX]; /* as in the request; NULL: the answer has none */
	bool reused;                    /* the connection was kept from an earlier request */
	enum tls_trust trust;           /* of the connection */
	bool local;                     /* it leads to this machine */
	double certificate_days;        /* NaN: without TLS; see authorities_certificate_days */
	double seconds;                 /* all of it */
	double connect_seconds;         /* to the end of TCP, and of TLS; 0 when reused */
	double tls_seconds;
	double wait_seconds; /* from the request to the first byte of the answer */
};

/* false: *fault says why, and *answer is empty. Else the answer, of whatever code, to be freed. */
bool fetch_do(struct skymon *sm, struct fetch *fetch, const struct fetch_request *request,
	      struct fetch_answer *answer, struct skymon_fault *fault);
void fetch_answer_free(struct fetch_answer *answer); /* wipes the body */

/* For `validate`: what is wrong with a URL that is to be asked, or with `proxy`, as in "address %s"; NULL:
 * nothing. They show nothing of it. */
const char *fetch_url_fault(const char *url);
const char *fetch_proxy_fault(const char *proxy);
/* Can this be asked at all? false: the sentence, which shows nothing of user info. `name`: the
 * option's, as in "address must begin with http:// or https://". */
bool fetch_accepts(const char *name, const char *url, const char *proxy, struct skymon_fault *fault);
/* Why a secret must not go to this URL, as in "address %s"; NULL: it may. Without TLS a secret goes to this
 * machine only, or where tls->insecure allows it. secret: there is one beside user info in the URL. */
const char *fetch_secret_fault(const char *url, const struct skymon_tls *tls, bool secret);
/* "host:port" of a URL, for messages and labels. false: it is no URL. */
bool fetch_place(const char *url, char *place, size_t size);

/* Is the body's JSON nested at most `depth` deep? To be asked before a parser that recurses: the stack of a
 * check is small, and jansson's own limit of 2048 would use most of it. */
bool fetch_is_shallow(const struct fetch_answer *answer, int depth);

/* ---- The module's own: fetch_fault.c (pure) ---- */

struct fetch_failure {     /* what libcurl left */
	int code;          /* CURLcode */
	const char *words; /* its error buffer */
	int os_errno;
	long verify;       /* X509_V_… of the server's certificate */
	long connect_code; /* of the proxy */
	bool by_proxy, tls, reused;
	bool connected, secured, asked, answered; /* how far it came */
	size_t received, body_max;
	bool too_large;
	const char *place, *name; /* the peer's host:port; the name that its certificate must have */
};
void fetch_explain(const struct fetch_failure *failure, struct skymon_fault *fault);

#endif
