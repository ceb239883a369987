/* SPDX-License-Identifier: Apache-2.0 */
/* http_pool: the open connections: counts them in all and by client address, ends those that are too slow,
 * and makes room for new ones when all places are in use. http_listener.c asks it before each connection,
 * http_request.c reports what a connection does; all on the loop's thread. It owns the peers and the
 * addresses' counters; libmicrohttpd owns the sockets, which are ended here by shutdown().
 *
 * No client keeps others out by holding connections: a new one takes the place of the one that has waited
 * longest for its client (idle, or with half a request, however often a byte of it comes). Where all are at
 * work, a reserve is left, in which only probes are answered. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "http_private.h"

#define SWEEP_MIN_MS 250
#define RESERVE 32
#define BUCKETS 1024
#define IDLE_MIN_MS 1000
#define LIMIT_LOG_MS 10000

struct origin { /* an IPv4 address, or the /64 of an IPv6 one, which a client may have whole */
	struct origin *next;
	uint64_t key;
	bool six;
	uint32_t count;      /* of peers that are not ending */
	uint32_t references; /* of all peers */
	struct link waiting; /* of these, those that wait for their client; the longest first */
};

/* ---- Lists ---- */

static void link_init(struct link *head)
{
	head->previous = head->next = head;
}

static void link_append(struct link *head, struct link *item)
{
	item->previous = head->previous;
	item->next = head;
	head->previous->next = item;
	head->previous = item;
}

static void link_remove(struct link *item)
{
	item->previous->next = item->next;
	item->next->previous = item->previous;
	link_init(item);
}

/* ---- Addresses ---- */

static bool key_of(const struct sockaddr_storage *address, uint64_t *key, bool *six)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
	const unsigned char *bytes = in6->sin6_addr.s6_addr;
	*key = 0;
	*six = false;
	if (address->ss_family == AF_INET) {
		memcpy(key, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	} else if (address->ss_family != AF_INET6) {
		return false; /* a Unix socket: its clients have no address */
	} else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(key, bytes + 12, 4);
	} else {
		memcpy(key, bytes, 8);
		*six = true;
	}
	return true;
}

/* The multiplier is random: no client chooses addresses that share a bucket. */
static struct origin **bucket_of(struct pool *pool, uint64_t key)
{
	return &pool->buckets[(key * pool->multiplier) >> 54];
}

static struct origin *find_origin(struct pool *pool, const struct sockaddr_storage *address)
{
	uint64_t key;
	bool six;
	if (!key_of(address, &key, &six))
		return NULL;
	struct origin *origin = *bucket_of(pool, key);
	while (origin != NULL && (origin->key != key || origin->six != six))
		origin = origin->next;
	return origin;
}

static struct origin *take_origin(struct pool *pool, const struct sockaddr_storage *address)
{
	uint64_t key;
	bool six;
	struct origin *origin = find_origin(pool, address);
	if (origin == NULL && key_of(address, &key, &six)) {
		struct origin **bucket = bucket_of(pool, key);
		origin = x_alloc(sizeof(*origin));
		*origin = (struct origin){.next = *bucket, .key = key, .six = six};
		link_init(&origin->waiting);
		*bucket = origin;
	}
	if (origin != NULL)
		origin->references++;
	return origin;
}

static void drop_origin(struct pool *pool, struct origin *origin)
{
	if (origin == NULL || --origin->references > 0)
		return;
	struct origin **place = bucket_of(pool, origin->key);
	while (*place != origin)
		place = &(*place)->next;
	*place = origin->next;
	free(origin);
}

/* ---- States ---- */

static bool waits(enum peer_state state)
{
	return state != PEER_BUSY && state != PEER_AWAY;
}

/* Both lists stay in the order of since_ms, as each change appends. */
void pool_set_state(struct peer *peer, enum peer_state state)
{
	struct pool *pool = &peer->http->pool;
	peer->state = state;
	peer->since_ms = loop_now_ms(peer->http->loop);
	if (peer->ending)
		return;
	link_remove(&peer->all);
	link_remove(&peer->near);
	link_append(waits(state) ? &pool->waiting : &pool->busy, &peer->all);
	if (waits(state) && peer->origin != NULL)
		link_append(&peer->origin->waiting, &peer->near);
}

/* libmicrohttpd sees the end in its next run and closes the connection; until then it does not count. */
static void end_peer(struct peer *peer)
{
	struct pool *pool = &peer->http->pool;
	if (peer->ending)
		return;
	peer->ending = true;
	link_remove(&peer->all);
	link_remove(&peer->near);
	link_append(&pool->ending, &peer->all);
	pool->counted--;
	if (peer->origin != NULL)
		peer->origin->count--;
	shutdown(peer->fd, SHUT_RDWR);
}

/* ---- Room for a new connection ---- */

/* A client that has not taken its answer for as long as it might take for its head. */
static struct peer *slow_reader(struct http *http, const struct origin *origin)
{
	int64_t now_ms = loop_now_ms(http->loop);
	for (struct link *at = http->pool.busy.next; at != &http->pool.busy; at = at->next) {
		struct peer *peer = container_of(at, struct peer, all);
		if (now_ms - peer->since_ms < http->header_timeout_ms)
			return NULL;
		if (peer->state == PEER_BUSY && (origin == NULL || peer->origin == origin))
			return peer;
	}
	return NULL;
}

/* One line in LIMIT_LOG_MS says how many met a limit since the line before it. */
static void log_limit(struct http *http, bool by_address)
{
	struct pool *pool = &http->pool;
	int64_t now_ms = loop_now_ms(http->loop);
	pool->limited++;
	if (pool->limit_logged_ms != 0 && now_ms - pool->limit_logged_ms < LIMIT_LOG_MS)
		return;
	log_warn("%" PRIu64 " connections were ended or refused, because %u are open%s: limits.%s",
		 pool->limited, by_address ? http->connections_per_address : http->connections,
		 by_address ? " from one address" : "",
		 by_address ? "connections_per_address" : "connections");
	pool->limited = 0;
	pool->limit_logged_ms = now_ms;
}

static bool evict(struct http *http, struct origin *origin)
{
	struct pool *pool = &http->pool;
	struct peer *peer = NULL;
	if (origin != NULL && origin->waiting.next != &origin->waiting)
		peer = container_of(origin->waiting.next, struct peer, near);
	else if (origin == NULL && pool->waiting.next != &pool->waiting)
		peer = container_of(pool->waiting.next, struct peer, all);
	else
		peer = slow_reader(http, origin);
	if (peer == NULL)
		return false;
	pool->evicted_total++;
	log_limit(http, origin != NULL);
	end_peer(peer);
	return true;
}

bool pool_make_room(struct http *http)
{
	return evict(http, NULL);
}

bool pool_admits(struct http *http, const struct sockaddr_storage *address)
{
	struct pool *pool = &http->pool;
	struct origin *origin = find_origin(pool, address);
	bool own_room =
		origin == NULL || origin->count < http->connections_per_address || evict(http, origin);
	bool room = pool->counted < http->connections || evict(http, NULL);
	pool->for_reserve = !own_room || !room;
	if (!pool->for_reserve || pool->reserved < RESERVE)
		return true;
	pool->refused_total++;
	log_limit(http, !own_room);
	return false;
}

/* ---- Slow clients ---- */

/* Above three quarters of the places, less and less. */
static int64_t idle_timeout_ms(const struct http *http)
{
	int64_t quarter = http->connections / 4, left = (int64_t)http->connections - http->pool.counted;
	if (left >= quarter || quarter == 0)
		return http->idle_timeout_ms;
	int64_t timeout = http->idle_timeout_ms * (left > 0 ? left : 0) / quarter;
	int64_t least = http->idle_timeout_ms < IDLE_MIN_MS ? http->idle_timeout_ms : IDLE_MIN_MS;
	return timeout > least ? timeout : least;
}

/* How long a connection may stay in its state; 0: as long as it wants. libmicrohttpd ends those that are
 * silent for the whole idle time-out; the others are ended here. */
static int64_t patience_ms(const struct http *http, enum peer_state state)
{
	switch (state) {
	case PEER_NEW:
	case PEER_HEADER:
		return http->header_timeout_ms;
	case PEER_IDLE:
		return idle_timeout_ms(http);
	case PEER_BODY:
		return http->idle_timeout_ms;
	default:
		return 0;
	}
}

/* Has the client said that it sends no more? libmicrohttpd, which waits for edges, does not see an end that
 * came together with bytes. */
static bool is_over(const struct peer *peer)
{
	char byte;
	return recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void look_at(struct peer *peer, int64_t now_ms)
{
	int64_t patience = patience_ms(peer->http, peer->state);
	int64_t age = now_ms - peer->since_ms;
	bool over = age >= SWEEP_MIN_MS && is_over(peer);
	if (!over && age < patience)
		return;
	/* libmicrohttpd sees the end, reads what the gate has, and answers 408 */
	if (!over && peer->state == PEER_HEADER && gate_expire(&peer->gate))
		shutdown(peer->fd, SHUT_RD);
	else
		end_peer(peer);
}

static void sweep(struct timer *timer, int64_t now_ms)
{
	struct http *http = container_of(timer, struct http, pool.sweep);
	struct pool *pool = &http->pool;
	for (struct link *at = pool->waiting.next, *next; at != &pool->waiting; at = next) {
		next = at->next;
		look_at(container_of(at, struct peer, all), now_ms);
	}
	int64_t pause = idle_timeout_ms(http) < http->header_timeout_ms ? idle_timeout_ms(http) / 4
									: http->header_timeout_ms / 4;
	if (pool->open > 0)
		loop_set_timer(http->loop, timer, now_ms + (pause > SWEEP_MIN_MS ? pause : SWEEP_MIN_MS));
}

/* ---- Their beginning and end ---- */

static void enter(struct peer *peer, const struct sockaddr_storage *address)
{
	struct http *http = peer->http;
	struct pool *pool = &http->pool;
	link_init(&peer->all);
	link_init(&peer->near);
	peer->origin = take_origin(pool, address);
	peer->reserve = pool->for_reserve;
	pool->for_reserve = false;
	pool->reserved += peer->reserve;
	pool->open++;
	pool->counted++;
	if (peer->origin != NULL)
		peer->origin->count++;
	pool_set_state(peer, PEER_NEW);
	if (pool->sweep.slot == 0)
		loop_set_timer(http->loop, &pool->sweep, peer->since_ms + SWEEP_MIN_MS);
}

static void leave(struct peer *peer)
{
	struct pool *pool = &peer->http->pool;
	link_remove(&peer->all);
	link_remove(&peer->near);
	pool->open--;
	pool->reserved -= peer->reserve;
	if (!peer->ending) {
		pool->counted--;
		if (peer->origin != NULL)
			peer->origin->count--;
	}
	drop_origin(pool, peer->origin);
}

void http_note_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct listener *listener = arg;
	struct peer *peer = *context;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		struct sockaddr_storage address = {0};
		socklen_t size = sizeof(address);
		peer = x_alloc(sizeof(*peer));
		peer->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		peer->http = listener->http;
		peer->opened_ms = loop_clock_ms();
		peer->tls = listener->settings.cert_file != NULL;
		gate_enter(peer->fd, peer);
		if (getpeername(peer->fd, (struct sockaddr *)&address, &size) != 0)
			address.ss_family = AF_UNSPEC;
		enter(peer, &address);
		*context = peer;
	} else if (peer != NULL) {
		leave(peer);
		gate_enter(peer->fd, NULL);
		if (peer->gate.fault != 0 && !peer->ending)
			linger_start(peer->http, peer->fd);
		gate_free(&peer->gate);
		free(peer);
		*context = NULL;
	}
}

void pool_init(struct pool *pool)
{
	link_init(&pool->waiting);
	link_init(&pool->busy);
	link_init(&pool->ending);
	pool->buckets = x_alloc(BUCKETS * sizeof(struct origin *));
	if (getrandom(&pool->multiplier, sizeof(pool->multiplier), GRND_NONBLOCK) < 0)
		pool->multiplier = (uint64_t)loop_clock_ms() * 0x9E3779B97F4A7C15u;
	pool->multiplier |= 1;
	pool->sweep.fire = sweep;
}
