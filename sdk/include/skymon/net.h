/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/net.h - a connection for plugins that speak a protocol of their own: resolves the name, connects over TCP, a Unix socket or
 * an HTTP proxy, does TLS, reads and writes, all within the check's deadline.
 *
 * Guarantees: no call waits longer than skymon_ms_left() less margin_ms; names are resolved by skymon_resolve(), or by the proxy;
 * several addresses are raced, a further one each quarter of a second (RFC 8305); certificates and keys are read again for each
 * connection; of the environment only SSL_CERT_FILE and SSL_CERT_DIR are read; no signal is raised.
 * Threads: a struct skymon_net is for one thread at a time. Functions without one may be called on any thread.
 *
 * Of the helper library (`pkg-config skymon-net`: OpenSSL), which a plugin links statically. It is outside of the ABI's
 * promise: a plugin keeps the library that it was built with, and a newer skymon may change it. */
#ifndef SKYMON_NET_H
#define SKYMON_NET_H

#include <openssl/types.h>
#include <skymon/fault.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skymon_net_target {
	const char *host;             /* name, address without brackets, or path of a Unix socket (begins with '/') */
	uint16_t port;
	const char *proxy;            /* http://[user:password@]host:port; NULL, "" or "none" for a direct connection */
	bool secure;                  /* with TLS */
	const struct skymon_tls *tls; /* NULL for the defaults: the system's authorities, the host's name */
};

struct skymon_net {
	int fd;                       /* non-blocking */
	SSL *tls;                     /* NULL without TLS */
	char place[300];              /* "host:port", or the path of a Unix socket, for messages */
	int64_t margin_ms;            /* waits end this long before the deadline, to leave time for what follows; ms */
	double resolve_seconds, connect_seconds /* TCP and proxy */, tls_seconds;
};

/* Frees what all connections share. Call it in the plugin's unload. */
void skymon_net_unload(void);

/* ---- A connection ---- */

/* Returns NULL with *fault set on failure. Close it with skymon_net_close(). */
struct skymon_net *skymon_net_open(struct skymon *sm, const struct skymon_net_target *to, struct skymon_fault *fault);
/* Closes at once, without TLS's close_notify. NULL is allowed. */
void skymon_net_close(struct skymon_net *net);
/* Frees the struct and returns its descriptor, for a library that takes over. Not with TLS. */
int skymon_net_release(struct skymon_net *net);

/* Waits for bytes and returns how many were read, at most size. Returns 0 (the peer closed the connection in order) or -1 with *fault
 * set. */
ssize_t skymon_net_read(struct skymon *sm, struct skymon_net *net, void *bytes, size_t size, struct skymon_fault *fault);
/* Writes all of them. Returns false with *fault set. */
bool skymon_net_write(struct skymon *sm, struct skymon_net *net, const void *bytes, size_t size, struct skymon_fault *fault);

/* Returns whether a kept connection can be used for a request: the peer has not closed it, and no unsolicited bytes have arrived. */
bool skymon_net_alive(struct skymon_net *net);

/* ---- For a client library with sockets of its own ---- */

/* Waits until fd is ready for `events` of poll(2). Returns false margin_ms before the deadline. */
bool skymon_net_wait(struct skymon *sm, int fd, short events, int64_t margin_ms);
/* Returns the monotonic clock, in s. */
double skymon_net_clock(void);

#define SKYMON_NET_ADDRESSES_SIZE 512 /* for skymon_resolve() */
/* Connects to the first of several addresses that accepts. The next address is tried when those before it have failed or have been
 * silent for a quarter of a second; the families alternate, so that one without a route costs one such delay. addresses is a list of
 * numeric addresses with commas, and is modified. Returns a non-blocking descriptor, or -1 with the most telling errno in *error;
 * ends after max_ms, or soon after skymon_ms_left() has become 0. */
int skymon_net_race(struct skymon *sm, char *addresses, uint16_t port, int64_t max_ms, int *error);

/* Returns whether the peer of a connected socket is on this machine (a loopback address or a Unix socket); false if the kernel does
 * not know. */
bool skymon_net_peer_is_local(int fd);
/* Writes the peer's address as text. Returns false if it has none. */
bool skymon_net_peer_address(int fd, char *text, size_t size);

/* ---- Options ---- */

/* Returns what is wrong with the option `proxy`, as in "proxy %s"; NULL if it is valid. For `validate`. */
const char *skymon_net_proxy_fault(const char *proxy);
/* Returns false with *fault set if `proxy` cannot be used; the text does not quote user info. */
bool skymon_net_accepts_proxy(const char *proxy, struct skymon_fault *fault);
/* Returns whether `proxy` asks for a direct connection: NULL, "" or "none". */
bool skymon_net_no_proxy(const char *proxy);

/* An option `address`: host, host:port, [v6]:port or an IPv6 address alone. */
struct skymon_net_address {
	char host[256];               /* without brackets */
	uint16_t port;
};
/* port: what it is without one. Returns false with *why set, as in "address %s". */
bool skymon_net_address_parse(const char *text, uint16_t port, struct skymon_net_address *address, const char **why);

/* scheme://user:password@host:port/path?query, user info decoded. Texts are never NULL: parts that the URL lacks are "". Free it with
 * skymon_net_url_free(). */
struct skymon_net_url {
	char *memory;
	size_t size;
	const char *scheme, *user, *password, *host, *path, *query; /* host without brackets; path with its '/' */
	bool has_password, is_v6;
	uint16_t port;                /* 0 if the URL has none */
};
/* Returns false with *why set, as in "url %s"; it does not quote the text. */
bool skymon_net_url_parse(const char *text, struct skymon_net_url *url, const char **why);
void skymon_net_url_free(struct skymon_net_url *url); /* wipes it first */
bool skymon_net_url_is_v6(const char *host);
/* Returns whether a host of a URL is on this machine: a loopback address without brackets, `localhost`, or the path of a Unix socket.
 * Other names are not resolved, and count as remote. */
bool skymon_net_host_is_local(const char *host);
/* Writes "host:port", with brackets around an IPv6 address. */
void skymon_net_place(const char *host, uint16_t port, char *place, size_t size);

#ifdef __cplusplus
}
#endif

#endif
