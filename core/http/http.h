/* SPDX-License-Identifier: Apache-2.0 */
/* http: libmicrohttpd on the daemon's loop: listeners, requests, replies, limits, access, compression,
 * counters. Only this room calls libmicrohttpd. MHD_USE_EPOLL without an internal thread, whose epoll stalls
 * when 128 connections are ready at once; a reply is queued on the second call of the handler, as the first
 * one would close the connection. */
#ifndef HTTP_H
#define HTTP_H

#include "base/loop.h"
#include "config/settings.h"
#include "route.h"
#include "wire/http_message.h"

struct http;

struct http_window { /* the last 60 s; 0 without a request */
	double error_percent, average_ms;
};

/* Holds the settings until it is configured with others. connections_max: limits.connections, or fewer if the
 * system allows fewer. */
struct http *http_new(struct loop *loop, struct settings *settings, uint32_t connections_max);
/* Binds and listens. The actual address (port 0) is logged as `listening address=… port=…`. */
bool http_listen(struct http *http, struct settings_listen *listen, struct err *err) MUST_CHECK;
/* Returns whether all listeners' sockets are systemd's, so that connections wait there for the next skymond. */
bool http_keeps_sockets(const struct http *http);
/* Call it after all of http_listen(): logs sockets that systemd passes and nothing listens on. */
void http_warn_of_sockets(const struct http *http);
/* Later requests use this table; the old one lives until its requests are answered. */
void http_set_routes(struct http *http, struct route_table *table);
/* Applies what a reload may change: access, limits of time and of the body, names, certificates. */
void http_configure(struct http *http, struct settings *settings);
/* Carries requests for routes of workers (entry->forwarded). send() must be followed by http_forward_reply,
 * once, perhaps before it returns; then it returns 0, else a number for cancel(), which is called when the
 * client has left. */
struct http_forward {
	uint64_t (*send)(void *arg, const struct route_entry *entry,
			 const struct http_message_request *message, struct skymon_request *rq);
	void (*cancel)(void *arg, uint64_t number);
};
void http_set_forward(struct http *http, const struct http_forward *forward, void *arg);
/* Without a reply (NULL), answers with a problem of that code and sentence. */
void http_forward_reply(struct skymon_request *rq, const struct http_message_reply *reply, int code,
			const char *why);
void http_quiesce(struct http *http); /* stops accepting; requests in flight go on */
bool http_is_idle(const struct http *http);
void http_free(struct http *http);

/* Numbers, read live. Rows are in the order first seen. */
int64_t http_open_connections(const struct http *http);
uint64_t http_requests_total(const struct http *http);
uint64_t http_evicted_connections_total(const struct http *http);
uint64_t http_refused_connections_total(const struct http *http);
uint64_t http_failed_tokens_total(const struct http *http);
struct http_window http_window(struct http *http, int64_t now_ms);
const struct skymon_http_count *const *http_counts(struct http *http, size_t *count);
const struct skymon_listener *const *http_listeners(const struct http *http, size_t *count);
const struct skymon_http_time *const *http_times(struct http *http, size_t *count);
#define HTTP_BUCKETS 12
extern const double http_bucket_seconds[HTTP_BUCKETS]; /* upper bounds of their buckets */

/* The functions of struct skymon_host that take a request, for plugins in the daemon. */
extern const struct skymon_host http_host;

#endif
