/* SPDX-License-Identifier: Apache-2.0 */
/* http_linger: lingering close, for connections whose client was refused and may still be sending. Closing a
 * socket with unread bytes resets the connection, and the reset may destroy a reply that the client has not
 * read yet. Instead our side is shut, and bytes are discarded until the client is done or a limit is reached.
 * http_connection_limits.c starts it when libmicrohttpd closes its descriptor. Owns the duplicates of these;
 * runs on the loop's thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_private.h"

#define LINGER_MS 2000
#define LINGER_BYTES (64 << 20)
#define LINGER_COUNT 64 /* at once; further connections are closed without lingering */

struct lingering {
	struct link link; /* in http->lingering */
	struct http *http;
	struct watch watch;
	struct timer timer;
	size_t bytes;
};

static void end(struct lingering *linger)
{
	struct http *http = linger->http;
	int fd = linger->watch.fd;
	link_remove(&linger->link);
	loop_clear_timer(http->loop, &linger->timer);
	loop_remove(http->loop, &linger->watch);
	close(fd);
	free(linger);
	http->lingering_count--;
}

static void expire(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	end(container_of(timer, struct lingering, timer));
}

static void discard_bytes(struct watch *watch, uint32_t events)
{
	(void)events;
	struct lingering *linger = container_of(watch, struct lingering, watch);
	static char waste[16384];
	for (int i = 0; i < 16; i++) { /* then other connections get a turn */
		ssize_t got = recvfrom(watch->fd, waste, sizeof(waste), MSG_DONTWAIT, NULL, NULL);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		linger->bytes += got > 0 ? (size_t)got : LINGER_BYTES;
		if (linger->bytes >= LINGER_BYTES) {
			end(linger);
			return;
		}
	}
}

void linger_start(struct http *http, int fd)
{
	int copy = http->lingering_count < LINGER_COUNT ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (copy < 0)
		return;
	struct lingering *linger = x_alloc(sizeof(*linger));
	linger->http = http;
	link_append(&http->lingering, &linger->link);
	http->lingering_count++;
	shutdown(copy, SHUT_WR);
	linger->watch.ready = discard_bytes;
	loop_add(http->loop, &linger->watch, copy, EPOLLIN);
	linger->timer.fire = expire;
	loop_set_timer(http->loop, &linger->timer, loop_now_ms(http->loop) + LINGER_MS);
}

void linger_end_all(struct http *http)
{
	while (http->lingering.next != &http->lingering)
		end(container_of(http->lingering.next, struct lingering, link));
}
