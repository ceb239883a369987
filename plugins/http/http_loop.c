/* SPDX-License-Identifier: Apache-2.0 */
/* http_loop: drives libcurl's multi interface from the worker's loop, keeps a pool of easy handles, and knows which
 * socket belongs to which component. Called by http.c and http_run.c; all of it, libcurl's callbacks included, runs on
 * the worker's main thread. Owns the multi handles with their connections, and the pool.
 *
 * An easy handle takes 5 KiB and a receive buffer, a connection 2 KiB: so with thousands of components only those that
 * run have a handle. The connection waits in libcurl's cache, under a name that no other component has: two
 * components never share one, also where libcurl would find their TLS options equal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http_check.h"

#define POOLED_MAX 64
#define SHARD_SIZE 128

int64_t http_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- libcurl and the loop ---- */

/* The end of each transfer walks through all connections of its multi handle: so there is one for each SHARD_SIZE
 * components. */
struct http_shard {
	struct http_shared *shared;
	CURLM *multi; /* NULL without components */
	size_t components;
	int64_t due_us; /* when libcurl wants to be called; -1: not */
};

static void end_transfers(CURLM *multi)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		char *run = NULL;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &run);
		http_run_ended((struct http_run *)(void *)run, message->data.result);
	}
}

static void on_ready(struct skymon *sm, void *arg, int fd, unsigned events)
{
	struct http_shard *shard = arg;
	struct http_socket *socket = &shard->shared->sockets[fd];
	int running;
	if (!socket->wanted) { /* closed by the server, most likely: libcurl finds out before its next use */
		socket->watched = 0;
		skymon_watch(sm, fd, 0, NULL, NULL);
		return;
	}
	curl_multi_socket_action(shard->multi, fd,
				 ((events & SKYMON_READ) != 0 ? CURL_CSELECT_IN : 0) |
					 ((events & SKYMON_WRITE) != 0 ? CURL_CSELECT_OUT : 0),
				 &running);
	end_transfers(shard->multi);
}

static void set_timer(struct http_shared *shared);

static void on_due(struct skymon *sm, void *arg)
{
	struct http_shared *shared = arg;
	int64_t now = http_clock_us();
	(void)sm;
	shared->armed_us = -1;
	for (size_t i = 0; i < shared->shard_count; i++) {
		struct http_shard *shard = shared->shards[i];
		int running;
		if (shard->due_us < 0 || shard->due_us > now)
			continue;
		shard->due_us = -1;
		curl_multi_socket_action(shard->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		end_transfers(shard->multi);
	}
	set_timer(shared);
}

/* A handle has one timer: the first of all shards counts. */
static void set_timer(struct http_shared *shared)
{
	int64_t first = -1;
	for (size_t i = 0; i < shared->shard_count; i++) {
		int64_t due = shared->shards[i]->due_us;
		if (due >= 0 && (first < 0 || due < first))
			first = due;
	}
	if (first == shared->armed_us)
		return;
	shared->armed_us = first;
	int64_t wait = first - http_clock_us();
	skymon_timer(shared->sm, first < 0 ? -1 : wait <= 0 ? 0 : (wait + 999) / 1000, on_due, shared);
}

static bool has_socket_room(struct http_shared *shared, int fd)
{
	if ((size_t)fd < shared->socket_room)
		return true;
	size_t room = ((size_t)fd + 64) * 2;
	struct http_socket *larger = realloc(shared->sockets, room * sizeof(*larger));
	if (larger == NULL)
		return false;
	memset(larger + shared->socket_room, 0, (room - shared->socket_room) * sizeof(*larger));
	shared->sockets = larger;
	shared->socket_room = room;
	return true;
}

/* Between two transfers a kept connection stays watched, which saves both two system calls; only an event that comes
 * then ends that. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *data)
{
	struct http_shard *shard = arg;
	struct http_shared *shared = shard->shared;
	unsigned events = what == CURL_POLL_IN      ? SKYMON_READ
			  : what == CURL_POLL_OUT   ? SKYMON_WRITE
			  : what == CURL_POLL_INOUT ? SKYMON_READ | SKYMON_WRITE
						    : 0;
	(void)easy, (void)data;
	if (!has_socket_room(shared, fd))
		return -1;
	struct http_socket *socket = &shared->sockets[fd];
	socket->wanted = events != 0;
	if (events == 0 && socket->watched == SKYMON_READ)
		return 0;
	if (events != socket->watched)
		skymon_watch(shared->sm, fd, events, on_ready, shard);
	socket->watched = (uint8_t)events;
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct http_shard *shard = arg;
	(void)multi;
	shard->due_us = ms < 0 ? -1 : http_clock_us() + ms * 1000;
	set_timer(shard->shared);
	return 0;
}

static bool open_shard(struct http_shard *shard)
{
	shard->multi = curl_multi_init();
	if (shard->multi == NULL)
		return false;
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
	curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long)SHARD_SIZE * 2);
	curl_multi_setopt(shard->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return true;
}

/* libcurl notices the connections of components that have stopped in its next transfer; with the last component there is
 * none. */
static void close_shard(struct http_shard *shard)
{
	curl_multi_cleanup(shard->multi);
	shard->multi = NULL;
	shard->due_us = -1;
}

static bool add_shard(struct http_shared *shared)
{
	struct http_shard *shard = calloc(1, sizeof(*shard));
	struct http_shard **larger =
		realloc(shared->shards, (shared->shard_count + 1) * sizeof(struct http_shard *));
	if (larger != NULL)
		shared->shards = larger;
	if (larger == NULL || shard == NULL) {
		free(shard);
		return false;
	}
	*shard = (struct http_shard){.shared = shared, .due_us = -1};
	shared->shards[shared->shard_count++] = shard;
	return true;
}

bool http_loop_load(struct skymon *sm, struct http_shared *shared)
{
	shared->sm = sm;
	shared->armed_us = -1;
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

void http_loop_unload(struct http_shared *shared)
{
	while (shared->pool != NULL) {
		struct http_run *run = shared->pool;
		shared->pool = run->next;
		curl_easy_cleanup(run->easy);
		free(run);
	}
	for (size_t i = 0; i < shared->shard_count; i++) {
		close_shard(shared->shards[i]);
		free(shared->shards[i]);
	}
	free(shared->shards);
	free(shared->sockets);
	free(shared->slots);
	skymon_tls_unload();
	curl_global_cleanup();
}

/* ---- Runs ---- */

struct http_run *http_run_take(struct http_shared *shared)
{
	struct http_run *run = shared->pool;
	if (run != NULL) {
		shared->pool = run->next;
		shared->pooled--;
		*run = (struct http_run){.easy = run->easy, .plain = run->plain};
		return run;
	}
	run = calloc(1, sizeof(*run));
	if (run != NULL)
		run->easy = curl_easy_init();
	if (run != NULL && run->easy == NULL) {
		free(run);
		run = NULL;
	}
	return run;
}

void http_run_give(struct http_shared *shared, struct http_run *run)
{
	if (shared->pooled >= POOLED_MAX) {
		curl_easy_cleanup(run->easy);
		free(run);
		return;
	}
	run->next = shared->pool;
	shared->pool = run;
	shared->pooled++;
}

static CURLM *multi_of(const struct http *http)
{
	return http->shared->shards[http->slot / SHARD_SIZE]->multi;
}

bool http_loop_add(struct http_run *run)
{
	run->out = curl_multi_add_handle(multi_of(run->http), run->easy) == CURLM_OK;
	return run->out;
}

void http_loop_remove(struct http_run *run)
{
	if (run->out)
		curl_multi_remove_handle(multi_of(run->http), run->easy);
	run->out = false;
}

/* ---- Names ---- */

bool http_slot_take(struct http *http)
{
	struct http_shared *shared = http->shared;
	size_t slot = 0;
	while (slot < shared->slot_room && shared->slots[slot] != NULL)
		slot++;
	if (slot == shared->slot_room) {
		size_t room = slot + SHARD_SIZE;
		struct http **larger = realloc(shared->slots, room * sizeof(struct http *));
		if (larger == NULL)
			return false;
		memset(larger + slot, 0, SHARD_SIZE * sizeof(struct http *));
		shared->slots = larger;
		shared->slot_room = room;
	}
	while (shared->shard_count <= slot / SHARD_SIZE)
		if (!add_shard(shared))
			return false;
	struct http_shard *shard = shared->shards[slot / SHARD_SIZE];
	if (shard->multi == NULL && !open_shard(shard))
		return false;
	shard->components++;
	shared->slots[slot] = http;
	http->slot = slot;
	snprintf(http->alias, sizeof(http->alias), "skymon-%zu", slot);
	return true;
}

void http_slot_give(struct http *http)
{
	struct http_shared *shared = http->shared;
	if (http->slot >= shared->slot_room || shared->slots[http->slot] != http)
		return;
	shared->slots[http->slot] = NULL;
	struct http_shard *shard = shared->shards[http->slot / SHARD_SIZE];
	if (--shard->components == 0)
		close_shard(shard);
}

/* ---- Sockets ---- */

curl_socket_t http_on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_run *run = arg;
	struct http_shared *shared = run->http->shared;
	(void)purpose;
	run->denied = !run->may_open;
	if (run->denied)
		return CURL_SOCKET_BAD;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0 && !has_socket_room(shared, fd)) {
		close(fd);
		return CURL_SOCKET_BAD;
	}
	if (fd >= 0)
		shared->sockets[fd].owner = run->own ? run->http : NULL;
	run->opened = true;
	return fd;
}

int http_on_close(void *arg, curl_socket_t fd)
{
	struct http_shared *shared = arg;
	if ((size_t)fd < shared->socket_room) {
		struct http_socket *socket = &shared->sockets[fd];
		if (socket->owner != NULL && socket->owner->fd == fd)
			socket->owner->fd = -1;
		if (socket->watched != 0)
			skymon_watch(shared->sm, fd, 0, NULL, NULL);
		*socket = (struct http_socket){0};
	}
	return close(fd);
}

/* The addresses that lost the race are closed by now. */
void http_loop_adopt(struct http *http)
{
	struct http_shared *shared = http->shared;
	for (size_t fd = 0; fd < shared->socket_room; fd++)
		if (shared->sockets[fd].owner == http)
			http->fd = (int)fd;
	http->opened_ms = http_clock_us() / 1000;
}

/* libcurl has no call that closes one connection of its cache. */
void http_loop_drop(struct http *http)
{
	struct http_shared *shared = http->shared;
	for (size_t fd = 0; http->fd >= 0 && fd < shared->socket_room; fd++)
		if (shared->sockets[fd].owner == http) {
			shutdown((int)fd, SHUT_RDWR);
			shared->sockets[fd].owner = NULL;
		}
	http->fd = -1;
}
