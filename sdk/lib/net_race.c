/* SPDX-License-Identifier: Apache-2.0 */
/* net_race: staggered attempts to connect, until one succeeds (RFC 8305, "happy eyeballs"). Called by net and
 * http, and by checks whose client library takes a socket, on the check's thread. Owns the sockets of the
 * attempts. */
#include "net_private.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How often skymon_ms_left() is read: it becomes 0 early if the client has closed its connection. */
#define LOOK_MS 500

static int64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Ranks errors: of several addresses the most telling error is reported, and a lower rank wins. */
static size_t rank_of(int error)
{
	static const int telling[] = {ECONNREFUSED, ENOENT,    ECONNRESET,  ETIMEDOUT,     EACCES,      EPERM,
				      EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT};
	size_t i = 0;
	while (i < sizeof(telling) / sizeof(telling[0]) && telling[i] != error)
		i++;
	return i;
}

struct race {
	struct pollfd pending[SKYMON_NET_RACE_MAX];
	nfds_t count;
	int error; /* the most telling so far */
};

int skymon_net_more_telling(int error, int other)
{
	return error == 0 || (other != 0 && rank_of(other) < rank_of(error)) ? other : error;
}

static void lose(struct race *race, int error)
{
	race->error = skymon_net_more_telling(race->error, error);
}

/* Starts one attempt. Returns the descriptor if it connects at once, else -1. */
static int begin(struct race *race, const struct sockaddr *address, socklen_t size)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0) {
		lose(race, errno);
		return -1;
	}
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address, size) == 0)
		return fd;
	if (errno == EINPROGRESS || errno == EINTR) {
		race->pending[race->count++] = (struct pollfd){.fd = fd, .events = POLLOUT};
		return -1;
	}
	/* connect() to a Unix socket whose queue is full returns EAGAIN at once: no process accepts. */
	lose(race, errno == EAGAIN ? ETIMEDOUT : errno);
	close(fd);
	return -1;
}

static int begin_numeric(struct race *race, const char *address, uint16_t port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	struct addrinfo *found;
	if (getaddrinfo(address, service, &hints, &found) != 0) {
		lose(race, EAFNOSUPPORT);
		return -1;
	}
	int fd = begin(race, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return fd;
}

/* Waits at most wait_ms for an attempt to end. Returns the descriptor of the first that connected, else -1.
 */
static int wait_race(struct race *race, int64_t wait_ms)
{
	int won = -1;
	if (poll(race->pending, race->count, (int)wait_ms) <= 0)
		return -1;
	for (nfds_t i = 0; i < race->count && won < 0;) {
		int error = 0;
		socklen_t size = sizeof(error);
		if (race->pending[i].revents == 0) {
			i++;
			continue;
		}
		if (getsockopt(race->pending[i].fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
			error = errno;
		if (error == 0) {
			won = race->pending[i].fd;
		} else {
			lose(race, error);
			close(race->pending[i].fd);
		}
		race->pending[i] = race->pending[--race->count];
	}
	return won;
}

/* Interleaves the two families, so that a family without a route costs one delay. */
size_t skymon_net_in_turn(char *addresses, const char *sorted[SKYMON_NET_RACE_MAX])
{
	const char *of_family[2][SKYMON_NET_RACE_MAX], *address;
	size_t count[2] = {0, 0}, used[2] = {0, 0}, all = 0;
	bool family, first_is_v6 = strcspn(addresses, ":") < strcspn(addresses, ",");
	while ((address = strsep(&addresses, ",")) != NULL) {
		family = (strchr(address, ':') != NULL) != first_is_v6;
		if (count[family] < SKYMON_NET_RACE_MAX)
			of_family[family][count[family]++] = address;
	}
	for (family = false; all < SKYMON_NET_RACE_MAX && (used[0] < count[0] || used[1] < count[1]);
	     family = !family)
		if (used[family] < count[family])
			sorted[all++] = of_family[family][used[family]++];
	return all;
}

/* Returns the descriptor; -1 with race->error if no address accepts the connection. */
static int run_race(struct skymon *sm, struct race *race, const char *const *addresses, size_t count,
		    uint16_t port, int64_t max_ms)
{
	int64_t end_ms = clock_ms() + max_ms, next_ms = 0;
	size_t begun = 0;
	int won = -1;
	while (won < 0 && (begun < count || race->count > 0)) {
		int64_t now = clock_ms(), until = end_ms;
		if (now >= end_ms || skymon_ms_left(sm) <= 0) {
			lose(race, ETIMEDOUT);
			break;
		}
		if (begun < count && (race->count == 0 || now >= next_ms)) {
			won = begin_numeric(race, addresses[begun++], port);
			next_ms = now + SKYMON_NET_DELAY_MS;
			continue;
		}
		if (begun < count && next_ms < until)
			until = next_ms;
		won = wait_race(race, until - now < LOOK_MS ? until - now : LOOK_MS);
	}
	for (nfds_t i = 0; i < race->count; i++)
		close(race->pending[i].fd);
	return won;
}

int skymon_net_race(struct skymon *sm, char *addresses, uint16_t port, int64_t max_ms, int *error)
{
	const char *sorted[SKYMON_NET_RACE_MAX];
	struct race race = {.count = 0};
	size_t count = skymon_net_in_turn(addresses, sorted);
	int fd = run_race(sm, &race, sorted, count, port, max_ms);
	*error = race.error;
	return fd;
}

int skymon_net_race_one(struct skymon *sm, const struct sockaddr *address, socklen_t size, int64_t max_ms,
			int *error)
{
	struct race race = {.count = 0};
	int fd = begin(&race, address, size);
	if (fd < 0 && race.count > 0)
		fd = run_race(sm, &race, NULL, 0, 0, max_ms);
	*error = race.error;
	return fd;
}
