/* SPDX-License-Identifier: Apache-2.0 */
/* dial: a connection for plugins that speak a protocol of their own: name, TCP or Unix socket, HTTP proxy,
 * TLS, and reading and writing, all within the check's deadline. On OpenSSL; compiled into each plugin that
 * uses it.
 *
 * What holds: no call waits longer than skymon_ms_left less the margin that the caller keeps; names are
 * looked up by the host's helper (behind a proxy by the proxy); several addresses are raced, one more each
 * quarter of a second; certificates and keys are read anew for each connection; nothing is read from the
 * environment but SSL_CERT_FILE and SSL_CERT_DIR; no signal is raised. A `struct dial` is for one thread at a
 * time. */
#ifndef DIAL_H
#define DIAL_H

#include <openssl/types.h>
#include <skymon/plugin.h>
#include <sys/types.h>

#include "fault.h"

struct dial_to {
	const char *host; /* name, address without brackets, or path of a Unix socket (begins with '/') */
	uint16_t port;
	const char *proxy;            /* NULL, "" and "none": none; http://[user:password@]host:port */
	bool secure;                  /* TLS over it */
	const struct skymon_tls *tls; /* may be NULL: the system's authorities, the host's name */
};

struct dial {
	int fd;            /* non-blocking */
	SSL *tls;          /* NULL: none */
	char place[300];   /* "host:port", for messages; the path of a Unix socket */
	int64_t margin_ms; /* waits end so much before the check's time, for what comes after; 0: nothing does
			    */
	double resolve_seconds, connect_seconds /* TCP and proxy */, tls_seconds;
};

/* In the plugin's unload: what all connections share. */
void dial_unload(void);

/* Waits until fd is ready for `events` of poll(2). false: the time is over. */
bool dial_wait(struct skymon *sm, int fd, short events, int64_t margin_ms);
/* Of a clock that only goes forward: s */
double dial_clock(void);

/* NULL: *fault says why. */
struct dial *dial_open(struct skymon *sm, const struct dial_to *to, struct skymon_fault *fault);
/* NaN: without TLS; see authorities_certificate_days. */
double dial_certificate_days(const struct dial *dial);
/* At once, without a farewell; NULL is fine. */
void dial_close(struct dial *dial);
/* Gives up all but the descriptor, for a library that goes on with it. Not with TLS. */
int dial_release(struct dial *dial);

/* Is a kept connection still good for a question: not ended by the peer, and nothing there that nobody asked
 * for? */
bool dial_alive(struct dial *dial);
/* Waits for some bytes. 0 or less: *fault says why (0: the peer ended the connection in order). */
ssize_t dial_read(struct skymon *sm, struct dial *dial, void *bytes, size_t size, struct skymon_fault *fault);
/* All of them. */
bool dial_write(struct skymon *sm, struct dial *dial, const void *bytes, size_t size,
		struct skymon_fault *fault);

/* For `validate`: what is wrong with `proxy`, as in "proxy %s"; NULL: nothing. */
const char *dial_proxy_fault(const char *proxy);
/* false when `proxy` cannot be used; the sentence shows nothing of user info. */
bool dial_accepts_proxy(const char *proxy, struct skymon_fault *fault);

/* ---- dial_url.c (pure) ---- */

/* scheme://user:password@host:port/path?query, user info decoded. Texts are never NULL; user and password are
 * "" when there is none (has_password tells). For dial_url_free. */
struct dial_url {
	char *memory;
	size_t size;
	const char *scheme, *user, *password, *host, *path,
		*query; /* host without brackets; path with its '/' */
	bool has_password, is_v6;
	uint16_t port; /* 0: none */
};
/* false: *why is half a sentence that shows nothing of the text, as in "url %s". */
bool dial_url_parse(const char *text, struct dial_url *url, const char **why);
void dial_url_free(struct dial_url *url); /* wipes it */
bool dial_url_is_v6(const char *host);
/* "host:port", brackets where they belong. */
void dial_place(const char *host, uint16_t port, char *place, size_t size);

/* ---- The module's own ---- */

/* dial_connect.c: -1: *fault says why. role: "" or "proxy ", for the message. */
int dial_connect_unix(struct skymon *sm, const char *path, struct skymon_fault *fault);
int dial_connect_name(struct skymon *sm, const char *role, const char *host, uint16_t port,
		      double *resolve_seconds, struct skymon_fault *fault);
/* dial_proxy.c: has the proxy at fd connect it further. `place` is the proxy's. */
bool dial_through(struct skymon *sm, int fd, const struct dial_to *to, const struct dial_url *proxy,
		  struct skymon_fault *fault);
bool dial_no_proxy(const char *proxy);
/* dial_tls.c */
bool dial_secure(struct skymon *sm, struct dial *dial, const struct dial_to *to, struct skymon_fault *fault);
ssize_t dial_tls_read(struct skymon *sm, struct dial *dial, void *bytes, size_t size,
		      struct skymon_fault *fault);
ssize_t dial_tls_write(struct skymon *sm, struct dial *dial, const void *bytes, size_t size,
		       struct skymon_fault *fault);
bool dial_tls_silent(struct dial *dial);
void dial_tls_free(struct dial *dial);
/* What errno of a connection that stood means. */
void dial_broken(const char *place, int error, struct skymon_fault *fault);

#endif
