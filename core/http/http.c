/* SPDX-License-Identifier: Apache-2.0 */
/* http: the HTTP server as the daemon sees it: makes and ends it, configures it, and gives it a table of
 * routes. The daemon calls it, and the loop calls it once in each turn; all on the loop's thread. Owns the
 * listeners and the parts of struct http. */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http_private.h"

/* ---- Listeners ---- */

static int turn(void *arg, int64_t now_ms)
{
	(void)now_ms;
	struct http *http = arg;
	int wait = -1;
	for (struct listener *listener = http->listeners; listener != NULL; listener = listener->next) {
		int left = listener_turn(listener);
		if (left >= 0 && (wait < 0 || left < wait))
			wait = left;
	}
	return wait;
}

static void choose_listener_routes(struct listener *listener)
{
	const struct skymon_texts *routes = &listener->settings->entry.routes;
	const struct route_table *table = listener->http->table;
	free(listener->allowed);
	listener->allowed = routes->count > 0 && table != NULL ? request_choose_routes(table, routes) : NULL;
}

static bool add_listener(struct http *http, struct settings_listen *settings, int fd, struct err *err)
{
	struct listener *listener = listener_new(http, settings, fd, err);
	if (listener == NULL)
		return false;
	choose_listener_routes(listener);
	struct listener **end = &http->listeners;
	while (*end != NULL)
		end = &(*end)->next;
	*end = listener;
	if (settings->tls.cert_file == NULL)
		return true;
	http->certificates =
		x_realloc(http->certificates, (http->certificate_count + 1) * sizeof(*http->certificates));
	http->certificates[http->certificate_count++] = &listener->certificate;
	return true;
}

/* Several sockets may have one name: each ListenStream= of a socket unit is one. */
bool http_listen(struct http *http, struct settings_listen *settings, struct err *err)
{
	int fd = passed_take(http->passed, settings);
	if (fd < 0 && settings->passed != NULL)
		return passed_lacks(http->passed, settings, err);
	bool done = add_listener(http, settings, fd, err);
	while (done && (fd = passed_take(http->passed, settings)) >= 0)
		done = add_listener(http, settings, fd, err);
	return done;
}

bool http_keeps_sockets(const struct http *http)
{
	const struct listener *listener = http->listeners;
	while (listener != NULL && listener->passed)
		listener = listener->next;
	return listener == NULL;
}

void http_warn_of_sockets(const struct http *http)
{
	passed_warn(http->passed);
}

/* ---- Configuration ---- */

void http_configure(struct http *http, struct settings *settings)
{
	struct settings *before = http->settings;
	http->settings = settings_ref(settings);
	settings_free(before);
	access_configure(http->access);
	users_configure(http->users);
	access_choose_routes(http->access);
	for (struct listener *listener = http->listeners; listener != NULL; listener = listener->next)
		listener_renew(listener);
}

void http_set_routes(struct http *http, struct route_table *table)
{
	struct route_table *before = http->table;
	size_t count = route_count(table);
	route_table_ref(table);
	http->table = table;
	free(http->by_index);
	http->by_index = x_alloc(count * sizeof(*http->by_index));
	for (size_t i = 0; i < count; i++)
		http->by_index[i] = counts_route(http->counts, route_at(table, i)->route->path);
	access_choose_routes(http->access);
	for (struct listener *listener = http->listeners; listener != NULL; listener = listener->next)
		choose_listener_routes(listener);
	route_table_unref(before);
}

struct http *http_new(struct loop *loop, struct settings *settings, uint32_t connections_max)
{
	struct http *http = x_alloc(sizeof(*http));
	http->loop = loop;
	http->counts = counts_new();
	http->no_route = counts_route(http->counts, "");
	http->replies = replies_new(loop);
	http->passed = passed_new();
	http->connections = connections_new(http);
	http->access = access_new(http);
	http->users = users_new(http);
	link_init(&http->forwarded);
	link_init(&http->lingering);
	http->connections_max = connections_max;
	http->connections_per_address = (uint32_t)settings->limits.connections_per_address;
	http->idle_timeout_ms = settings->limits.idle_timeout.ms;
	if (gethostname(http->machine, sizeof(http->machine) - 1) != 0)
		http->machine[0] = '\0';
	http_configure(http, settings);
	loop_set_turn(loop, turn, http);
	return http;
}

/* ---- The end ---- */

void http_quiesce(struct http *http)
{
	http->quiesced = true;
	for (struct listener *listener = http->listeners; listener != NULL; listener = listener->next)
		listener_quiesce(listener);
}

bool http_is_idle(const struct http *http)
{
	return http->in_flight == 0 && !connections_expect(http);
}

/* libmicrohttpd cannot be stopped while a connection is suspended: first the requests that wait are ended. */
void http_free(struct http *http)
{
	users_finish(http->users);
	forward_cancel_all(http);
	replies_finish(http->replies);
	if (!http->quiesced)
		http_quiesce(http);
	loop_set_turn(http->loop, NULL, NULL);
	for (struct listener *listener = http->listeners, *next; listener != NULL; listener = next) {
		next = listener->next;
		listener_free(listener);
	}
	passed_free(http->passed);
	linger_end_all(http);
	connections_free(http->connections);
	replies_free(http->replies);
	request_free_spare(http);
	route_table_unref(http->table);
	access_free(http->access);
	users_free(http->users);
	free(http->by_index);
	free(http->certificates);
	counts_free(http->counts);
	settings_free(http->settings);
	free(http);
}

/* ---- Numbers ---- */

const struct skymon_listener *const *http_listeners(const struct http *http, size_t *count)
{
	*count = http->certificate_count;
	return http->certificates;
}

uint64_t http_requests_total(const struct http *http)
{
	return counts_total(http->counts);
}

struct http_window http_window(struct http *http, int64_t now_ms)
{
	return counts_window(http->counts, now_ms);
}

const struct skymon_http_count *const *http_counts(struct http *http, size_t *count)
{
	return counts_rows(http->counts, count);
}

const struct skymon_http_time *const *http_times(struct http *http, size_t *count)
{
	return counts_times(http->counts, count);
}
