/* SPDX-License-Identifier: Apache-2.0 */
/* http_connection_limits: the open connections. Counts them in total and by client address, ends those that
 * are too slow, and makes room for new ones when all places are taken. http_listener.c asks before it accepts
 * a connection, http_request.c reports what each one does, and http_recv.c reads through it. Owns the peers
 * and the counters of addresses; libmicrohttpd owns the sockets, which are ended here by shutdown(). Runs on
 * the loop's thread.
 *
 * No client keeps others out by holding connections: a new one takes the place of the one that has waited
 * longest for its client (idle, or with half a request, however often a byte of it arrives). Where all are at
 * work, a reserve remains, in which only probes are answered. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "http_private.h"

#define SWEEP_MIN_MS                                                                                         \
	250                /* between two searches for slow clients; also the least age of a half-closed one \
			    */
#define RESERVE 32         /* connections beyond the limits, for probes */
#define IDLE_MIN_MS 1000   /* idle time-out when all places are taken */
#define EXPECT_MS 1000     /* a stop waits so long for the request of a connection */
#define LIMIT_LOG_MS 10000 /* between two log lines about limits */
#define BUCKET_BITS 10     /* of the hash table of addresses */
#define SOCKETS_MAX (1 << 20)

struct connections {
	struct link waiting, busy, ending; /* peers; the first two ordered by since_ms */
	struct origin **buckets;
	uint64_t multiplier;
	uint32_t open, counted; /* all peers; those that are not ending */
	uint32_t reserved;
	bool for_reserve; /* the connection that was just admitted takes a place of the reserve */
	uint64_t evicted_total, refused_total;
	uint64_t limited; /* ended or refused since the last log line about limits */
	int64_t limit_logged_ms;
	struct http *http;
	struct timer sweep;
};

struct origin { /* an IPv4 address, or the /64 of an IPv6 one, all of which one client may own */
	struct origin *next;
	uint64_t key;
	bool six;
	uint32_t count;      /* peers that are not ending */
	uint32_t references; /* all peers */
	struct link waiting; /* peers that wait for their client; longest first */
};

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
		return false; /* clients of a Unix socket have no address */
	} else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(key, bytes + 12, 4);
	} else {
		memcpy(key, bytes, 8);
		*six = true;
	}
	return true;
}

/* The multiplier is random, so that clients cannot choose addresses that share a bucket. */
static struct origin **bucket_of(struct connections *all, uint64_t key)
{
	return &all->buckets[(key * all->multiplier) >> (64 - BUCKET_BITS)];
}

static struct origin *find_origin(struct connections *all, const struct sockaddr_storage *address)
{
	uint64_t key;
	bool six;
	if (!key_of(address, &key, &six))
		return NULL;
	struct origin *origin = *bucket_of(all, key);
	while (origin != NULL && (origin->key != key || origin->six != six))
		origin = origin->next;
	return origin;
}

static struct origin *take_origin(struct connections *all, const struct sockaddr_storage *address)
{
	uint64_t key;
	bool six;
	struct origin *origin = find_origin(all, address);
	if (origin == NULL && key_of(address, &key, &six)) {
		struct origin **bucket = bucket_of(all, key);
		origin = x_alloc(sizeof(*origin));
		*origin = (struct origin){.next = *bucket, .key = key, .six = six};
		link_init(&origin->waiting);
		*bucket = origin;
	}
	if (origin != NULL)
		origin->references++;
	return origin;
}

static void drop_origin(struct connections *all, struct origin *origin)
{
	if (origin == NULL || --origin->references > 0)
		return;
	struct origin **place = bucket_of(all, origin->key);
	while (*place != origin)
		place = &(*place)->next;
	*place = origin->next;
	free(origin);
}

/* ---- States ---- */

/* Is it the client's turn? */
static bool waits(enum peer_state state)
{
	return state != PEER_BUSY && state != PEER_SUSPENDED;
}

bool connections_expect(const struct http *http)
{
	const struct link *waiting = &http->connections->waiting;
	int64_t after_ms = loop_now_ms(http->loop) - EXPECT_MS;
	for (const struct link *item = waiting->previous; item != waiting; item = item->previous) {
		const struct peer *peer = container_of(item, struct peer, by_state);
		if (peer->since_ms < after_ms)
			return false; /* and so are all before it */
		if (peer->state != PEER_IDLE)
			return true;
	}
	return false;
}

/* Each change appends, which keeps both lists ordered by since_ms. */
void peer_set_state(struct peer *peer, enum peer_state state)
{
	struct connections *all = peer->http->connections;
	peer->state = state;
	peer->since_ms = loop_now_ms(peer->http->loop);
	if (peer->ending)
		return;
	link_remove(&peer->by_state);
	link_remove(&peer->by_address);
	link_append(waits(state) ? &all->waiting : &all->busy, &peer->by_state);
	if (waits(state) && peer->origin != NULL)
		link_append(&peer->origin->waiting, &peer->by_address);
}

static void stop_counting(struct peer *peer)
{
	peer->http->connections->counted--;
	if (peer->origin != NULL)
		peer->origin->count--;
}

/* libmicrohttpd sees the end in its next run and closes the connection. It does not count until then. */
static void end_peer(struct peer *peer)
{
	if (peer->ending)
		return;
	peer->ending = true;
	link_remove(&peer->by_state);
	link_remove(&peer->by_address);
	link_append(&peer->http->connections->ending, &peer->by_state);
	stop_counting(peer);
	shutdown(peer->fd, SHUT_RDWR);
}

/* ---- Room for a new connection ---- */

/* Finds a client that has not taken its reply for as long as it would have for sending a head. */
static struct peer *slow_reader(struct http *http, const struct origin *origin)
{
	struct connections *all = http->connections;
	int64_t now_ms = loop_now_ms(http->loop);
	for (struct link *at = all->busy.next; at != &all->busy; at = at->next) {
		struct peer *peer = container_of(at, struct peer, by_state);
		if (now_ms - peer->since_ms < http->settings->limits.header_timeout.ms)
			return NULL;
		if (peer->state == PEER_BUSY && (origin == NULL || peer->origin == origin))
			return peer;
	}
	return NULL;
}

/* Logs one line in LIMIT_LOG_MS, with the number of connections that met a limit since the last. */
static void log_limit(struct http *http, bool by_address)
{
	struct connections *all = http->connections;
	int64_t now_ms = loop_now_ms(http->loop);
	all->limited++;
	if (all->limit_logged_ms != 0 && now_ms - all->limit_logged_ms < LIMIT_LOG_MS)
		return;
	log_warn("%" PRIu64 " connections were ended or refused, because %u are open%s: limits.%s",
		 all->limited, by_address ? http->connections_per_address : http->connections_max,
		 by_address ? " from one address" : "",
		 by_address ? "connections_per_address" : "connections");
	all->limited = 0;
	all->limit_logged_ms = now_ms;
}

/* Ends a connection: of this origin, or of any if it is NULL. */
static bool evict(struct http *http, struct origin *origin)
{
	struct connections *all = http->connections;
	struct peer *peer = NULL;
	if (origin != NULL && origin->waiting.next != &origin->waiting)
		peer = container_of(origin->waiting.next, struct peer, by_address);
	else if (origin == NULL && all->waiting.next != &all->waiting)
		peer = container_of(all->waiting.next, struct peer, by_state);
	else
		peer = slow_reader(http, origin);
	if (peer == NULL)
		return false;
	all->evicted_total++;
	log_limit(http, origin != NULL);
	end_peer(peer);
	return true;
}

bool connections_make_room(struct http *http)
{
	return evict(http, NULL);
}

bool connections_admit(struct http *http, const struct sockaddr_storage *address)
{
	struct connections *all = http->connections;
	struct origin *origin = find_origin(all, address);
	bool own_room =
		origin == NULL || origin->count < http->connections_per_address || evict(http, origin);
	bool room = all->counted < http->connections_max || evict(http, NULL);
	all->for_reserve = !own_room || !room;
	if (!all->for_reserve || all->reserved < RESERVE)
		return true;
	all->refused_total++;
	log_limit(http, !own_room);
	return false;
}

/* ---- Slow clients ---- */

/* The more of the last quarter of the places is taken, the shorter the time-out. */
static int64_t idle_timeout_ms(const struct http *http)
{
	int64_t quarter = http->connections_max / 4;
	int64_t left = (int64_t)http->connections_max - http->connections->counted;
	if (left >= quarter || quarter == 0)
		return http->idle_timeout_ms;
	int64_t timeout = http->idle_timeout_ms * (left > 0 ? left : 0) / quarter;
	int64_t least = http->idle_timeout_ms < IDLE_MIN_MS ? http->idle_timeout_ms : IDLE_MIN_MS;
	return timeout > least ? timeout : least;
}

/* Returns how long a connection that waits for its client may stay in its state. libmicrohttpd ends those
 * that are silent for the whole idle time-out; this time-out counts bytes that trickle, too. */
static int64_t timeout_ms(const struct http *http, enum peer_state state)
{
	switch (state) {
	case PEER_IDLE:
		return idle_timeout_ms(http);
	case PEER_BODY:
		return http->idle_timeout_ms;
	default:
		return http->settings->limits.header_timeout.ms;
	}
}

/* Has the client ended its half of the connection? libmicrohttpd waits for edges, and so does not see an end
 * that came together with bytes. */
static bool is_half_closed(const struct peer *peer)
{
	char byte;
	return recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void end_if_slow(struct peer *peer, int64_t now_ms)
{
	int64_t age = now_ms - peer->since_ms;
	bool closed = age >= SWEEP_MIN_MS && is_half_closed(peer);
	if (!closed && age < timeout_ms(peer->http, peer->state))
		return;
	/* libmicrohttpd sees the end, reads what the framing check has kept, and answers 408 */
	if (!closed && peer->state == PEER_HEADER && framing_expire(&peer->framing))
		shutdown(peer->fd, SHUT_RD);
	else
		end_peer(peer);
}

static void sweep(struct timer *timer, int64_t now_ms)
{
	struct connections *all = container_of(timer, struct connections, sweep);
	struct http *http = all->http;
	for (struct link *at = all->waiting.next, *next; at != &all->waiting; at = next) {
		next = at->next;
		end_if_slow(container_of(at, struct peer, by_state), now_ms);
	}
	int64_t idle_ms = idle_timeout_ms(http);
	int64_t pause = (idle_ms < http->settings->limits.header_timeout.ms
				 ? idle_ms
				 : http->settings->limits.header_timeout.ms) /
			4;
	if (all->open > 0)
		loop_set_timer(http->loop, timer, now_ms + (pause > SWEEP_MIN_MS ? pause : SWEEP_MIN_MS));
}

/* ---- Sockets ---- */

/* recv(), which libmicrohttpd calls, knows nothing but the descriptor. Threads of tests read the table
 * concurrently, so that it never moves; its untouched pages cost nothing. */
static struct peer *sockets[SOCKETS_MAX];

static void note_socket(int fd, struct peer *peer)
{
	if (fd >= 0 && fd < SOCKETS_MAX)
		__atomic_store_n(&sockets[fd], peer, __ATOMIC_RELEASE);
}

struct peer *peer_of_socket(int fd)
{
	return fd >= 0 && fd < SOCKETS_MAX ? __atomic_load_n(&sockets[fd], __ATOMIC_ACQUIRE) : NULL;
}

ssize_t peer_read(struct peer *peer, const struct framing_source *source, char *out, size_t size)
{
	peer->framing.body_limit = (uint64_t)peer->http->settings->limits.request_body.count;
	ssize_t got = framing_read(&peer->framing, source, out, size);
	bool part = peer->framing.phase == FRAMING_HEAD && peer->framing.held_size > peer->framing.ready;
	if (part && (peer->state == PEER_NEW || peer->state == PEER_IDLE))
		peer_set_state(peer, PEER_HEADER);
	return got;
}

/* ---- The life of a connection ---- */

static struct peer *open_peer(const struct listener *listener, int fd)
{
	struct connections *all = listener->http->connections;
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	struct peer *peer = x_alloc(sizeof(*peer));
	peer->fd = fd;
	peer->http = listener->http;
	peer->opened_ms = loop_clock_ms();
	peer->tls = listener->settings->tls.cert_file != NULL;
	note_socket(fd, peer);
	if (getpeername(fd, (struct sockaddr *)&address, &size) != 0)
		address.ss_family = AF_UNSPEC;
	link_init(&peer->by_state);
	link_init(&peer->by_address);
	peer->origin = take_origin(all, &address);
	peer->reserve = all->for_reserve;
	all->for_reserve = false;
	all->reserved += peer->reserve;
	all->open++;
	all->counted++;
	if (peer->origin != NULL)
		peer->origin->count++;
	peer_set_state(peer, PEER_NEW);
	if (all->sweep.slot == 0)
		loop_set_timer(all->http->loop, &all->sweep, peer->since_ms + SWEEP_MIN_MS);
	return peer;
}

static void close_peer(struct peer *peer)
{
	struct connections *all = peer->http->connections;
	link_remove(&peer->by_state);
	link_remove(&peer->by_address);
	all->open--;
	all->reserved -= peer->reserve;
	if (!peer->ending)
		stop_counting(peer);
	drop_origin(all, peer->origin);
	note_socket(peer->fd, NULL);
	if (peer->framing.fault != 0 && !peer->ending)
		linger_start(peer->http, peer->fd);
	framing_free(&peer->framing);
	free(peer);
}

void peer_notify(void *listener, struct MHD_Connection *connection, void **context,
		 enum MHD_ConnectionNotificationCode event)
{
	if (event == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = open_peer(
			listener,
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
	} else if (*context != NULL) {
		close_peer(*context);
		*context = NULL;
	}
}

struct connections *connections_new(struct http *http)
{
	struct connections *all = x_alloc(sizeof(*all));
	all->http = http;
	link_init(&all->waiting);
	link_init(&all->busy);
	link_init(&all->ending);
	all->buckets = x_alloc(sizeof(struct origin *) << BUCKET_BITS);
	if (getrandom(&all->multiplier, sizeof(all->multiplier), GRND_NONBLOCK) < 0)
		all->multiplier = (uint64_t)loop_clock_ms() * 0x9E3779B97F4A7C15u;
	all->multiplier |= 1;
	all->sweep.fire = sweep;
	return all;
}

void connections_free(struct connections *all)
{
	loop_clear_timer(all->http->loop, &all->sweep);
	free(all->buckets);
	free(all);
}

int64_t http_open_connections(const struct http *http)
{
	return http->connections->open;
}

uint64_t http_refused_connections_total(const struct http *http)
{
	return http->connections->refused_total;
}

uint64_t http_evicted_connections_total(const struct http *http)
{
	return http->connections->evicted_total;
}
