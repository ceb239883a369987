/* SPDX-License-Identifier: Apache-2.0 */
/* dial: names, addresses, sockets; reading and writing. See dial.h. */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "dial.h"

/* ---- Time ---- */

int64_t dial_margin(struct skymon *sm)
{
	int64_t margin = skymon_ms_left(sm) / 20;

	return margin < 2 ? 2 : margin > 100 ? 100 : margin;
}

int64_t dial_left(struct skymon *sm, int64_t margin_ms)
{
	int64_t left = skymon_ms_left(sm) - margin_ms;

	return left > 0 ? left : 0;
}

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
		int64_t left = dial_left(sm, margin_ms);
		int ready;

		if (left == 0)
			return false;
		ready = poll(&on, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (ready > 0 || (ready < 0 && errno != EINTR))
			return true; /* the call that follows says what is wrong */
	}
}

/* ---- Faults ---- */

void dial_fault_set(struct dial_fault *fault, enum skymon_status status, enum skymon_reason reason,
		    const char *format, ...)
{
	va_list list;

	*fault = (struct dial_fault){.status = status, .reason = reason};
	va_start(list, format);
	vsnprintf(fault->text, sizeof(fault->text), format, list);
	va_end(list);
}

enum skymon_status dial_report(struct skymon *sm, const struct dial_fault *fault)
{
	if (fault->told)
		return fault->status;
	skymon_reason(sm, fault->reason);
	if (fault->status == SKYMON_UNKNOWN)
		return skymon_unknown(sm, "%s", fault->text);
	return skymon_unhealthy(sm, "%s", fault->text);
}

static const struct {
	int error;
	enum skymon_reason reason;
	const char *say;
} connect_errors[] = {
	/* The most telling first: of several addresses its fault is shown. */
	{ECONNREFUSED, SKYMON_REFUSED, "connection refused"},
	{ENOENT, SKYMON_REFUSED, "there is no such socket: no server listens"},
	{ECONNRESET, SKYMON_PROTOCOL, "the server closed the connection before it answered"},
	{ETIMEDOUT, SKYMON_TIMEOUT, "no answer to the connection attempt in time"},
	{EACCES, SKYMON_UNREACHABLE, "this machine's firewall or rights forbid the connection"},
	{EPERM, SKYMON_UNREACHABLE, "this machine's firewall or rights forbid the connection"},
	{EHOSTUNREACH, SKYMON_UNREACHABLE, "no route to host"},
	{EHOSTDOWN, SKYMON_UNREACHABLE, "host is down"},
	{ENETUNREACH, SKYMON_UNREACHABLE, "network is unreachable"},
	{EADDRNOTAVAIL, SKYMON_UNREACHABLE, "this machine has no address that reaches it"},
	{EAFNOSUPPORT, SKYMON_UNREACHABLE, "this machine does not speak that kind of address"},
};
#define CONNECT_ERRORS (sizeof(connect_errors) / sizeof(connect_errors[0]))

static size_t rank_of(int error)
{
	size_t i = 0;

	while (i < CONNECT_ERRORS && connect_errors[i].error != error)
		i++;
	return i;
}

static void explain_connect(const char *role, const char *place, int error, struct dial_fault *fault)
{
	size_t rank = rank_of(error);

	if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
		dial_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
			       "%s%s: this machine or process has no descriptor or memory left", role, place);
	else if (rank < CONNECT_ERRORS)
		dial_fault_set(fault, SKYMON_UNHEALTHY, connect_errors[rank].reason, "%s%s: %s", role, place,
			       connect_errors[rank].say);
	else
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_UNREACHABLE, "%s%s: cannot be connected to",
			       role, place);
}

void dial_broken(const char *place, int error, struct dial_fault *fault)
{
	if (error == ETIMEDOUT) /* the kernel gave up sending */
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "%s: the connection went dead",
			       place);
	else
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
			       "%s: the server closed the connection before it answered", place);
	fault->lost = true;
}

static void explain_late(const char *place, struct dial_fault *fault)
{
	dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "%s: no answer in time", place);
}

/* ---- Connecting ---- */

/* Until only floor_ms are left to the deadline. The descriptor, or -1 with errno. */
static int connect_to(struct skymon *sm, const struct sockaddr *address, socklen_t size, int64_t floor_ms)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1,
	    error = 0;
	socklen_t error_size = sizeof(error);

	if (fd < 0)
		return -1;
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address, size) != 0) {
		error = errno;
		/* A full queue of a Unix socket says EAGAIN at once: nobody accepts. */
		if (error == EAGAIN)
			error = ETIMEDOUT;
		if (error == EINPROGRESS || error == EINTR) {
			if (!dial_wait(sm, fd, POLLOUT, floor_ms))
				error = ETIMEDOUT;
			else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0)
				error = errno;
		}
	}
	if (error == 0)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

static int connect_unix(struct skymon *sm, const char *path, int64_t margin_ms, struct dial_fault *fault)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		dial_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER,
			       "%s: the path is too long for a Unix socket", path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	skymon_step(sm, "connecting");
	fd = connect_to(sm, (struct sockaddr *)&address, sizeof(address), margin_ms);
	if (fd < 0)
		explain_connect("", path, errno, fault);
	return fd;
}

/* One numeric address; -1 with errno */
static int connect_one(struct skymon *sm, const char *address, uint16_t port, int64_t floor_ms)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV},
			*found;
	char service[8];
	int fd;

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &found) != 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = connect_to(sm, found->ai_addr, found->ai_addrlen, floor_ms);
	freeaddrinfo(found);
	return fd;
}

/* All addresses of a name, each with its share of the time that is left. role: "" or "proxy " */
static int connect_name(struct skymon *sm, const char *host, uint16_t port, const struct dial_to *to,
			struct dial *dial, struct dial_fault *fault)
{
	const char *role = dial_no_proxy(to->proxy) ? "" : "proxy ";
	char addresses[512], place[300], *rest = addresses, *address;
	int64_t count = 1;
	int worst = 0;
	double began = dial_clock();

	skymon_step(sm, "looking its name up");
	if (!skymon_resolve(sm, host, addresses, sizeof(addresses))) {
		*fault = (struct dial_fault){.status = SKYMON_UNHEALTHY, .told = true};
		return -1;
	}
	dial->resolve_seconds = dial_clock() - began;
	for (const char *at = addresses; *at != '\0'; at++)
		count += *at == ',';
	skymon_step(sm, "connecting");
	for (; (address = strsep(&rest, ",")) != NULL; count--) {
		int64_t left = skymon_ms_left(sm), share = dial_left(sm, to->margin_ms) / count;
		int fd = connect_one(sm, address, port, left - share);

		if (fd >= 0)
			return fd;
		if (worst == 0 || rank_of(errno) < rank_of(worst))
			worst = errno;
	}
	dial_place(host, port, place, sizeof(place));
	explain_connect(role, place, worst, fault);
	return -1;
}

/* The socket as far as to the server, through the proxy if there is one. */
static bool reach(struct skymon *sm, const struct dial_to *to, struct dial *dial, struct dial_fault *fault)
{
	struct dial_url proxy;
	const char *why;
	bool through;

	if (to->host[0] == '/') {
		dial->fd = connect_unix(sm, to->host, to->margin_ms, fault);
		return dial->fd >= 0;
	}
	if (dial_no_proxy(to->proxy)) {
		dial->fd = connect_name(sm, to->host, to->port, to, dial, fault);
		return dial->fd >= 0;
	}
	if (!dial_accepts_proxy(to->proxy, fault))
		return false;
	if (!dial_url_parse(to->proxy, &proxy, &why)) {
		dial_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "proxy %s", why);
		return false;
	}
	if (proxy.port == 0)
		proxy.port = 80;
	dial->fd = connect_name(sm, proxy.host, proxy.port, to, dial, fault);
	through = dial->fd >= 0 && dial_through(sm, dial->fd, to, &proxy, fault);
	dial_url_free(&proxy);
	return through;
}

struct dial *dial_open(struct skymon *sm, const struct dial_to *to, struct dial_fault *fault)
{
	struct dial *dial = calloc(1, sizeof(*dial));
	double began = dial_clock();

	if (dial == NULL) {
		dial_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
			       "no memory is left for the connection");
		return NULL;
	}
	dial->fd = -1;
	dial->margin_ms = to->margin_ms;
	dial_place(to->host, to->port, dial->place, sizeof(dial->place));
	*fault = (struct dial_fault){.status = SKYMON_UNHEALTHY};
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

/* ---- Using it ---- */

bool dial_alive(struct dial *dial)
{
	struct pollfd on = {.fd = dial->fd, .events = POLLIN | POLLRDHUP};

	if (dial->tls == NULL)
		return poll(&on, 1, 0) == 0;
	/* TLS has messages of its own, which may come at any time. */
	return (poll(&on, 1, 0) == 0 || (on.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0) &&
	       dial_tls_silent(dial);
}

ssize_t dial_read(struct skymon *sm, struct dial *dial, void *bytes, size_t size, struct dial_fault *fault)
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
		struct dial_fault *fault)
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
