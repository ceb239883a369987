/* SPDX-License-Identifier: Apache-2.0 */
/* dial: a connection for plugins that speak a protocol of their own: resolves the name, connects over TCP, a
 * Unix socket or an HTTP proxy, does TLS, reads and writes, all within the check's deadline. On OpenSSL.
 *
 * Guarantees: no call waits longer than skymon_ms_left() less margin_ms; names are resolved by
 * skymon_resolve(), or by the proxy; several addresses are raced, a further one each quarter of a second;
 * certificates and keys are read again for each connection; only SSL_CERT_FILE and SSL_CERT_DIR are read from
 * the environment; no signal is raised. A struct dial is for one thread at a time. */
#ifndef DIAL_H
#define DIAL_H

#include <openssl/types.h>
#include <skymon/plugin.h>
#include <sys/types.h>

#include "fault.h"

struct dial_to {
	const char *host; /* name, address without brackets, or path of a Unix socket (begins with '/') */
	uint16_t port;
	const char *proxy; /* http://[user:password@]host:port; NULL, "" or "none" for a direct connection */
	bool secure;       /* with TLS */
	const struct skymon_tls *tls; /* NULL for the defaults: the system's authorities, the host's name */
};

struct dial {
	int fd;            /* non-blocking */
	SSL *tls;          /* NULL without TLS */
	char place[300];   /* "host:port", or the path of a Unix socket, for messages */
	int64_t margin_ms; /* waits end this long before the deadline, to leave time for what follows; ms */
	double resolve_seconds, connect_seconds /* TCP and proxy */, tls_seconds;
};

/* Frees what all connections share. Call it in the plugin's unload. */
void dial_unload(void);

/* Waits until fd is ready for `events` of poll(2). Returns false at the deadline. */
bool dial_wait(struct skymon *sm, int fd, short events, int64_t margin_ms);
/* Returns the monotonic clock, in s. */
double dial_clock(void);

/* Returns NULL with *fault set on failure. Close it with dial_close(). */
struct dial *dial_open(struct skymon *sm, const struct dial_to *to, struct skymon_fault *fault);
/* Returns authorities_certificate_days(), or NaN without TLS. */
double dial_certificate_days(const struct dial *dial);
/* Closes at once, without TLS's close_notify. NULL is allowed. */
void dial_close(struct dial *dial);
/* Frees the struct and returns its descriptor, for a library that takes over. Not with TLS. */
int dial_release(struct dial *dial);

/* Returns whether a kept connection can be used for a request: the peer has not closed it, and no unsolicited
 * bytes have arrived. */
bool dial_alive(struct dial *dial);
/* Waits for bytes and returns how many were read. Returns 0 (the peer closed the connection in order) or -1
 * with *fault set. */
ssize_t dial_read(struct skymon *sm, struct dial *dial, void *bytes, size_t size, struct skymon_fault *fault);
/* Writes all of them. Returns false with *fault set. */
bool dial_write(struct skymon *sm, struct dial *dial, const void *bytes, size_t size,
		struct skymon_fault *fault);

/* Returns what is wrong with the option `proxy`, as in "proxy %s"; NULL if it is valid. For `validate`. */
const char *dial_proxy_fault(const char *proxy);
/* Returns false with *fault set if `proxy` cannot be used; the text does not quote user info. */
bool dial_accepts_proxy(const char *proxy, struct skymon_fault *fault);

/* ---- dial_url.c (pure) ---- */

/* scheme://user:password@host:port/path?query, user info decoded. Texts are never NULL: parts that the URL
 * lacks are "". Free it with dial_url_free(). */
struct dial_url {
	char *memory;
	size_t size;
	const char *scheme, *user, *password, *host, *path,
		*query; /* host without brackets; path with its '/' */
	bool has_password, is_v6;
	uint16_t port; /* 0 if the URL has none */
};
/* Returns false with *why set, as in "url %s"; it does not quote the text. */
bool dial_url_parse(const char *text, struct dial_url *url, const char **why);
void dial_url_free(struct dial_url *url); /* wipes it first */
bool dial_url_is_v6(const char *host);
/* Writes "host:port", with brackets around an IPv6 address. */
void dial_place(const char *host, uint16_t port, char *place, size_t size);

/* ---- Shared by dial's files only ---- */

/* dial_connect.c: return a descriptor, or -1 with *fault set. role is "" or "proxy ", for the message. */
int dial_connect_unix(struct skymon *sm, const char *path, struct skymon_fault *fault);
int dial_connect_name(struct skymon *sm, const char *role, const char *host, uint16_t port,
		      double *resolve_seconds, struct skymon_fault *fault);
/* dial_proxy.c: has the proxy at fd connect to the server. */
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
/* Explains an errno of an established connection. */
void dial_broken(const char *place, int error, struct skymon_fault *fault);

#endif
