/* SPDX-License-Identifier: Apache-2.0 */
/* dial: opens, reads, writes and closes a connection within the check's deadline. Called by the checks that
 * speak a protocol of their own, on the check's thread; a struct dial owns its socket and TLS session. See
 * dial.h. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dial.h"

/* ---- Time ---- */

double dial_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool dial_wait(struct skymon *sm, int fd, short events, int64_t margin_ms)
{
	struct pollfd on = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = skymon_ms_left(sm) - margin_ms;
		int ready;

		if (left <= 0)
			return false;
		ready = poll(&on, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (ready > 0 || (ready < 0 && errno != EINTR))
			return true; /* the next call on it returns the error */
	}
}

/* ---- Faults ---- */

void dial_broken(const char *place, int error, struct skymon_fault *fault)
{
	if (error == ETIMEDOUT) /* the kernel gave up sending */
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "%s: the connection went dead",
				 place);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
				 "%s: the server closed the connection before it answered", place);
	fault->lost = true;
}

static void explain_late(const char *place, struct skymon_fault *fault)
{
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "%s: no answer in time", place);
}

/* ---- Opening ---- */

/* Connects to the server, through the proxy if one is configured. */
static bool reach(struct skymon *sm, const struct dial_to *to, struct dial *dial, struct skymon_fault *fault)
{
	struct dial_url proxy;
	const char *why;
	bool through;

	if (to->host[0] == '/') {
		dial->fd = dial_connect_unix(sm, to->host, fault);
		return dial->fd >= 0;
	}
	if (dial_no_proxy(to->proxy)) {
		dial->fd = dial_connect_name(sm, "", to->host, to->port, &dial->resolve_seconds, fault);
		return dial->fd >= 0;
	}
	if (!dial_accepts_proxy(to->proxy, fault))
		return false;
	if (!dial_url_parse(to->proxy, &proxy, &why)) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "proxy %s", why);
		return false;
	}
	if (proxy.port == 0)
		proxy.port = 80;
	dial->fd = dial_connect_name(sm, "proxy ", proxy.host, proxy.port, &dial->resolve_seconds, fault);
	through = dial->fd >= 0 && dial_through(sm, dial->fd, to, &proxy, fault);
	dial_url_free(&proxy);
	return through;
}

struct dial *dial_open(struct skymon *sm, const struct dial_to *to, struct skymon_fault *fault)
{
	struct dial *dial = calloc(1, sizeof(*dial));
	double began = dial_clock();

	if (dial == NULL) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the connection");
		return NULL;
	}
	dial->fd = -1;
	dial_place(to->host, to->port, dial->place, sizeof(dial->place));
	*fault = (struct skymon_fault){.status = SKYMON_UNHEALTHY};
	if (reach(sm, to, dial, fault)) {
		dial->connect_seconds = dial_clock() - began - dial->resolve_seconds;
		if (!to->secure || dial_secure(sm, dial, to, fault))
			return dial;
	}
	dial_close(dial);
	return NULL;
}

int dial_release(struct dial *dial)
{
	int fd = dial->fd;

	dial->fd = -1;
	dial_close(dial);
	return fd;
}

void dial_close(struct dial *dial)
{
	if (dial == NULL)
		return;
	dial_tls_free(dial);
	if (dial->fd >= 0)
		close(dial->fd);
	free(dial);
}

/* ---- Reading and writing ---- */

bool dial_alive(struct dial *dial)
{
	struct pollfd on = {.fd = dial->fd, .events = POLLIN | POLLRDHUP};

	if (dial->tls == NULL)
		return poll(&on, 1, 0) == 0;
	/* TLS sends messages of its own (session tickets) at any time. */
	return (poll(&on, 1, 0) == 0 || (on.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0) &&
	       dial_tls_silent(dial);
}

ssize_t dial_read(struct skymon *sm, struct dial *dial, void *bytes, size_t size, struct skymon_fault *fault)
{
	if (dial->tls != NULL)
		return dial_tls_read(sm, dial, bytes, size, fault);
	for (;;) {
		ssize_t got = recv(dial->fd, bytes, size, 0);

		if (got > 0)
			return got;
		if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			dial_broken(dial->place, got == 0 ? 0 : errno, fault);
			return got;
		}
		if (!dial_wait(sm, dial->fd, POLLIN, dial->margin_ms)) {
			explain_late(dial->place, fault);
			return -1;
		}
	}
}

bool dial_write(struct skymon *sm, struct dial *dial, const void *bytes, size_t size,
		struct skymon_fault *fault)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t sent = dial->tls != NULL ? dial_tls_write(sm, dial, at, size, fault)
						 : send(dial->fd, at, size, MSG_NOSIGNAL);

		if (sent > 0) {
			at += sent;
			size -= (size_t)sent;
		} else if (dial->tls != NULL) {
			return false;
		} else if (errno != EAGAIN && errno != EINTR) {
			dial_broken(dial->place, errno, fault);
			return false;
		} else if (!dial_wait(sm, dial->fd, POLLOUT, dial->margin_ms)) {
			explain_late(dial->place, fault);
			return false;
		}
	}
	return true;
}
