/* SPDX-License-Identifier: Apache-2.0 */
/* http: libmicrohttpd on the daemon's loop: listeners, requests, replies, limits, access, compression,
 * counters. The only place with MHD_. D6 of the architecture: MHD_USE_EPOLL without an internal thread; the
 * reply is queued on the second call of the handler. */
#ifndef HTTP_H
#define HTTP_H

#include "wire/http_message.h"
#include "base/loop.h"
#include "route.h"
#include "config/settings.h"

struct http;

/* What the daemon's other parts see of the traffic; kept by http, read live. Rows in the order first seen. */
struct http_window {
	double error_percent, average_ms;
}; /* over the last 60 s; 0 when there was no request */

struct http *http_new(struct loop *loop, const struct settings *settings);
/* Binds and listens. The real address (port 0) is logged as `listening address=… port=…`. */
bool http_listen(struct http *http, const struct settings_listen *listen, struct err *err) MUST_CHECK;
/* Later requests use this table; the old one lives until its requests are answered. */
void http_set_routes(struct http *http, struct route_table *table);
/* What a reload may change: access, limits of the body, certificates. */
void http_configure(struct http *http, const struct settings *settings);
/* Requests for routes that live in a worker (entry->away) are handed over while their connection is
 * suspended. hand: http_answer comes for each, once, perhaps before it returns (0 is returned then); else its
 * number, for withdraw: the client has left. */
struct http_forward {
	uint64_t (*hand)(void *arg, const struct route_entry *entry, const struct http_message_request *asked,
			 struct skymon_request *rq);
	void (*withdraw)(void *arg, uint64_t number);
};
void http_set_away(struct http *http, const struct http_forward *away, void *arg);
/* reply NULL: a problem of that code and sentence. */
void http_answer(struct skymon_request *rq, const struct http_message_reply *reply, int code,
		 const char *why);
void http_quiesce(struct http *http); /* stop accepting; running requests go on */
bool http_is_idle(const struct http *http);
void http_free(struct http *http);

int64_t http_open_connections(const struct http *http);
uint64_t http_requests_total(const struct http *http);
uint64_t http_evicted_connections_total(const struct http *http);
uint64_t http_refused_connections_total(const struct http *http);
uint64_t http_failed_tokens_total(const struct http *http);
struct http_window http_window(struct http *http, int64_t now_ms);
const struct skymon_http_count *const *http_counts(struct http *http, size_t *count);
const struct skymon_http_time *const *http_times(struct http *http, size_t *count);

/* The request half of struct skymon_host, for the table of plugins in the daemon. */
extern const struct skymon_host http_host;

#endif
