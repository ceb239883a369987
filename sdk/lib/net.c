/* SPDX-License-Identifier: Apache-2.0 */
/* net: opens, reads, writes and closes a connection within the check's deadline. Called by the checks that
 * speak a protocol of their own, on the check's thread; a struct skymon_net owns its socket and TLS session.
 * See net.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_private.h"

/* ---- Faults ---- */

void skymon_net_broken(const char *place, int error, struct skymon_fault *fault)
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
static bool reach(struct skymon *sm, const struct skymon_net_target *to, struct skymon_net *net,
		  struct skymon_fault *fault)
{
	if (to->host[0] == '/') {
		net->fd = skymon_net_connect_unix(sm, to->host, fault);
		return net->fd >= 0;
	}
	if (skymon_net_no_proxy(to->proxy)) {
		net->fd = skymon_net_connect_name(sm, "", to->host, to->port, &net->resolve_seconds, fault);
		return net->fd >= 0;
	}
	if (!skymon_net_accepts_proxy(to->proxy, fault))
		return false;
	struct skymon_net_url proxy;
	const char *why;
	if (!skymon_net_url_parse(to->proxy, &proxy, &why)) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "proxy %s", why);
		return false;
	}
	if (proxy.port == 0)
		proxy.port = 80;
	net->fd = skymon_net_connect_name(sm, "proxy ", proxy.host, proxy.port, &net->resolve_seconds, fault);
	bool through = net->fd >= 0 && skymon_net_through(sm, net->fd, to, &proxy, fault);
	skymon_net_url_free(&proxy);
	return through;
}

struct skymon_net *skymon_net_open(struct skymon *sm, const struct skymon_net_target *to,
				   struct skymon_fault *fault)
{
	struct skymon_net *net = calloc(1, sizeof(*net));
	double began = skymon_net_clock();
	if (net == NULL) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the connection");
		return NULL;
	}
	net->fd = -1;
	skymon_net_place(to->host, to->port, net->place, sizeof(net->place));
	*fault = (struct skymon_fault){.status = SKYMON_UNHEALTHY};
	if (reach(sm, to, net, fault)) {
		net->connect_seconds = skymon_net_clock() - began - net->resolve_seconds;
		if (!to->secure || skymon_net_secure(sm, net, to, fault))
			return net;
	}
	skymon_net_close(net);
	return NULL;
}

int skymon_net_release(struct skymon_net *net)
{
	int fd = net->fd;
	net->fd = -1;
	skymon_net_close(net);
	return fd;
}

void skymon_net_close(struct skymon_net *net)
{
	if (net == NULL)
		return;
	skymon_net_tls_free(net);
	if (net->fd >= 0)
		close(net->fd);
	free(net);
}

/* ---- Reading and writing ---- */

bool skymon_net_alive(struct skymon_net *net)
{
	struct pollfd on = {.fd = net->fd, .events = POLLIN | POLLRDHUP};
	if (net->tls == NULL)
		return poll(&on, 1, 0) == 0;
	/* TLS sends messages of its own (session tickets) at any time. */
	return (poll(&on, 1, 0) == 0 || (on.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0) &&
	       skymon_net_tls_silent(net);
}

ssize_t skymon_net_read(struct skymon *sm, struct skymon_net *net, void *bytes, size_t size,
			struct skymon_fault *fault)
{
	if (net->tls != NULL)
		return skymon_net_tls_read(sm, net, bytes, size, fault);
	for (;;) {
		ssize_t got = recv(net->fd, bytes, size, 0);
		if (got > 0) {
			skymon_trace(sm, "received %zd bytes", got);
			return got;
		}
		if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			skymon_net_broken(net->place, got == 0 ? 0 : errno, fault);
			return got;
		}
		if (!skymon_net_wait(sm, net->fd, POLLIN, net->margin_ms)) {
			explain_late(net->place, fault);
			return -1;
		}
	}
}

bool skymon_net_write(struct skymon *sm, struct skymon_net *net, const void *bytes, size_t size,
		      struct skymon_fault *fault)
{
	const char *at = bytes;
	while (size > 0) {
		ssize_t sent = net->tls != NULL ? skymon_net_tls_write(sm, net, at, size, fault)
						: send(net->fd, at, size, MSG_NOSIGNAL);
		if (sent > 0) {
			skymon_trace(sm, "sent %zd bytes", sent);
			at += sent;
			size -= (size_t)sent;
		} else if (net->tls != NULL) {
			return false;
		} else if (errno != EAGAIN && errno != EINTR) {
			skymon_net_broken(net->place, errno, fault);
			return false;
		} else if (!skymon_net_wait(sm, net->fd, POLLOUT, net->margin_ms)) {
			explain_late(net->place, fault);
			return false;
		}
	}
	return true;
}
