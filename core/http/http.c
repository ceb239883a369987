/* SPDX-License-Identifier: Apache-2.0 */
/* http: listeners and connections. Each listener is a libmicrohttpd daemon without a thread, whose epoll
 * descriptor is watched by the loop: MHD_run when it is readable, and in each turn when libmicrohttpd has
 * something to do without waiting. */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_private.h"

/* ---- What is read ---- */

ssize_t http_read(struct peer *peer, const struct gate_source *source, char *out, size_t room)
{
	peer->gate.body_limit = (uint64_t)peer->http->body_limit;
	ssize_t got = gate_read(&peer->gate, source, out, room);
	bool part = peer->gate.phase == GATE_HEAD && peer->gate.held_size > peer->gate.ready;
	if (part && (peer->state == PEER_NEW || peer->state == PEER_IDLE))
		pool_set_state(peer, PEER_HEADER);
	return got;
}

/* ---- The loop ---- */

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

/* ---- Routes by name ---- */

char **texts_copy(char *const *texts, size_t count)
{
	char **copy = count > 0 ? x_alloc(count * sizeof(char *)) : NULL;
	for (size_t i = 0; i < count; i++)
		copy[i] = x_strdup(texts[i]);
	return copy;
}

void texts_free(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

static uint8_t *choose_routes(const struct route_table *table, char *const *names, size_t count)
{
	uint8_t *chosen = x_alloc(route_count(table));
	for (size_t i = 0; i < route_count(table); i++)
		chosen[i] = request_route_named(table, route_at(table, i), names, count);
	return chosen;
}

/* A name that is no route's would serve nothing in silence. */
static void warn_unknown(const struct http *http, const char *what, char *const *names, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		bool known = false;
		for (size_t i = 0; i < route_count(http->table) && !known; i++)
			known = request_route_named(http->table, route_at(http->table, i), &names[n], 1);
		if (!known)
			log_warn("%s: there is no route and no plugin with routes named %s", what, names[n]);
	}
}

static void choose_listener_routes(struct listener *listener)
{
	const struct settings_listen *settings = &listener->settings;
	free(listener->allowed);
	listener->allowed = NULL;
	if (settings->routes == NULL || listener->http->table == NULL)
		return;
	listener->allowed = choose_routes(listener->http->table, settings->routes, settings->route_count);
	warn_unknown(listener->http, settings->text, settings->routes, settings->route_count);
}

bool http_listen(struct http *http, const struct settings_listen *settings, struct err *err)
{
	struct listener *listener = listener_new(http, settings, err);
	if (listener == NULL)
		return false;
	choose_listener_routes(listener);
	struct listener **end = &http->listeners;
	while (*end != NULL)
		end = &(*end)->next;
	*end = listener;
	return true;
}

/* ---- Configuration ---- */

static void choose_open_routes(struct http *http)
{
	struct access *access = &http->access;
	free(access->open);
	access->open = NULL;
	if (http->table == NULL)
		return;
	access->open = choose_routes(http->table, access->names, access->name_count);
}

void http_configure(struct http *http, const struct settings *settings)
{
	struct access *access = &http->access;
	http->body_limit = settings->request_body;
	texts_free(http->server_names, http->server_name_count);
	http->server_names = texts_copy(settings->server_names, settings->server_name_count);
	http->server_name_count = settings->server_name_count;
	free(http->local_uids);
	http->local_uids = x_alloc((settings->local_user_count + 1) * sizeof(uid_t));
	memcpy(http->local_uids, settings->local_uids, settings->local_user_count * sizeof(uid_t));
	http->local_uid_count = settings->local_user_count;
	http->header_timeout_ms = settings->header_timeout_ms;
	token_configure(http, settings);
	texts_free(access->names, access->name_count);
	access->names = texts_copy(settings->public_routes, settings->public_count);
	access->name_count = settings->public_count;
	choose_open_routes(http);
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
	choose_open_routes(http);
	if (http->access.asked)
		warn_unknown(http, "access.public", http->access.names, http->access.name_count);
	for (struct listener *listener = http->listeners; listener != NULL; listener = listener->next)
		choose_listener_routes(listener);
	route_table_unref(before);
}

struct http *http_new(struct loop *loop, const struct settings *settings)
{
	struct http *http = x_alloc(sizeof(*http));
	http->loop = loop;
	http->counts = counts_new();
	http->no_route = counts_route(http->counts, "");
	http->gzip = gzip_new(loop);
	http->kept = reply_new_kept();
	pool_init(&http->pool);
	http->connections = settings->connections;
	http->connections_per_address = settings->connections_per_address;
	http->idle_timeout_ms = settings->idle_timeout_ms;
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
	return http->in_flight == 0;
}

void http_free(struct http *http)
{
	forward_end(http);
	gzip_free(http->gzip); /* answers who waits for it; afterwards nothing is suspended */
	if (!http->quiesced)
		http_quiesce(http);
	loop_set_turn(http->loop, NULL, NULL);
	for (struct listener *listener = http->listeners, *next; listener != NULL; listener = next) {
		next = listener->next;
		listener_free(listener);
	}
	linger_end_all(http);
	loop_clear_timer(http->loop, &http->pool.sweep);
	free(http->pool.buckets);
	reply_free_kept(http);
	free(http->kept);
	request_free_spare(http);
	route_table_unref(http->table);
	token_free(http);
	texts_free(http->access.names, http->access.name_count);
	texts_free(http->server_names, http->server_name_count);
	free(http->local_uids);
	free(http->access.open);
	free(http->by_index);
	counts_free(http->counts);
	free(http);
}

/* ---- What others read ---- */

int64_t http_open_connections(const struct http *http)
{
	return http->pool.open;
}

uint64_t http_requests_total(const struct http *http)
{
	return counts_total(http->counts);
}

uint64_t http_refused_connections_total(const struct http *http)
{
	return http->pool.refused_total;
}

uint64_t http_evicted_connections_total(const struct http *http)
{
	return http->pool.evicted_total;
}

uint64_t http_failed_tokens_total(const struct http *http)
{
	return http->access.failed_total;
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
