/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_connect: looks a name up and races its addresses, a further one each quarter of a second (RFC 8305), on the worker's loop. Called
 * by tcp.c; owns the sockets of the attempts until one is connected. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcp.h"

static void connect_next(struct skymon *sm, struct tcp *tcp);

static const char *host_of(const struct tcp *tcp)
{
	return tcp->proxy_url.memory != NULL ? tcp->proxy_url.host : tcp->to.host;
}

static uint16_t port_of(const struct tcp *tcp)
{
	return tcp->proxy_url.memory != NULL ? tcp->proxy_url.port : tcp->to.port;
}

static void close_attempt(struct skymon *sm, struct tcp_run *run, size_t index)
{
	skymon_watch(sm, run->pending[index].fd, 0, NULL, NULL);
	close(run->pending[index].fd);
	run->pending[index] = run->pending[--run->pending_count];
}

void tcp_give_up(struct skymon *sm, struct tcp *tcp)
{
	skymon_timer(sm, -1, NULL, NULL);
	while (tcp->run->pending_count > 0)
		close_attempt(sm, tcp->run, 0);
}

static void win(struct skymon *sm, struct tcp *tcp, int fd)
{
	struct tcp_run *run = tcp->run;
	for (size_t i = 0; i < run->pending_count; i++)
		if (run->pending[i].fd == fd) {
			run->peer = run->pending[i].address;
			run->pending[i] = run->pending[--run->pending_count];
		}
	skymon_watch(sm, fd, 0, NULL, NULL);
	tcp_give_up(sm, tcp);
	run->net.fd = fd;
	run->connect_time = skymon_net_clock() - run->phase_began;
	tcp_talk(sm, tcp);
}

/* All attempts that were begun have failed, or the next one is due. */
static void go_on(struct skymon *sm, struct tcp *tcp)
{
	struct tcp_run *run = tcp->run;
	if (run->begun < run->address_count) {
		connect_next(sm, tcp);
	} else if (run->pending_count == 0) {
		struct skymon_fault fault;
		char place[300];
		skymon_net_place(host_of(tcp), port_of(tcp), place, sizeof(place));
		skymon_net_explain_connect(tcp->proxy_url.memory != NULL ? "proxy " : "", place, run->error,
					   &fault);
		tcp_fail(sm, tcp, &fault);
	}
}

static void on_attempt(struct skymon *sm, void *argument, int fd, unsigned events)
{
	struct tcp *tcp = argument;
	struct tcp_run *run = tcp->run;
	int error = 0;
	socklen_t size = sizeof(error);
	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error == 0) {
		win(sm, tcp, fd);
		return;
	}
	run->error = skymon_net_more_telling(run->error, error);
	for (size_t i = 0; i < run->pending_count; i++)
		if (run->pending[i].fd == fd)
			close_attempt(sm, run, i);
	if (run->pending_count == 0)
		go_on(sm, tcp);
}

static void on_delay(struct skymon *sm, void *argument)
{
	go_on(sm, argument);
}

/* Fills the socket address of a numeric one. Returns its size, 0 if it is none. */
static socklen_t parse(const char *text, uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	*to = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	struct addrinfo *found;
	if (getaddrinfo(text, service, &hints, &found) != 0)
		return 0;
	socklen_t size = found->ai_addrlen;
	memcpy(to, found->ai_addr, size);
	freeaddrinfo(found);
	return size;
}

/* Begins one attempt. Returns whether it is out; if it has ended at once, *connected is its descriptor or -1. */
static bool begin_attempt(struct skymon *sm, struct tcp *tcp, const char *address, int *connected)
{
	struct tcp_run *run = tcp->run;
	struct sockaddr_storage to;
	socklen_t size = parse(address, port_of(tcp), &to);
	int one = 1;
	int fd = size > 0 ? socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
	*connected = -1;
	if (fd < 0) {
		run->error = skymon_net_more_telling(run->error, size > 0 ? errno : EAFNOSUPPORT);
		return false;
	}
	if (tcp->word_count > 0 || tcp->secure) /* nothing is sent otherwise */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to, size) == 0) {
		*connected = fd;
		run->peer = address;
		return false;
	}
	int error = errno;
	if ((error == EINPROGRESS || error == EINTR) && skymon_watch(sm, fd, SKYMON_WRITE, on_attempt, tcp)) {
		run->pending[run->pending_count++] = (struct tcp_attempt){fd, address};
		return true;
	}
	run->error = skymon_net_more_telling(run->error, error);
	close(fd);
	return false;
}

static void connect_next(struct skymon *sm, struct tcp *tcp)
{
	struct tcp_run *run = tcp->run;
	int connected = -1;
	bool out = false;
	while (!out && connected < 0 && run->begun < run->address_count)
		out = begin_attempt(sm, tcp, run->sorted[run->begun++], &connected);
	if (connected >= 0)
		win(sm, tcp, connected);
	else if (!out)
		go_on(sm, tcp);
	else if (run->begun < run->address_count)
		skymon_timer(sm, SKYMON_NET_DELAY_MS, on_delay, tcp);
}

static void on_resolved(struct skymon *sm, void *argument, const char *addresses)
{
	struct tcp *tcp = argument;
	struct tcp_run *run = tcp->run;
	if (addresses == NULL) {
		tcp_fail(sm, tcp, &(struct skymon_fault){.status = SKYMON_UNHEALTHY, .reported = true});
		return;
	}
	if (strcmp(addresses, host_of(tcp)) != 0) /* else no name was looked up */
		run->resolve_time = skymon_net_clock() - run->phase_began;
	snprintf(run->addresses, sizeof(run->addresses), "%s", addresses);
	run->address_count = skymon_net_in_turn(run->addresses, run->sorted);
	tcp_begin_phase(sm, tcp, TCP_CONNECTS);
	connect_next(sm, tcp);
}

void tcp_connect(struct skymon *sm, struct tcp *tcp)
{
	struct in_addr v4;
	tcp_begin_phase(sm, tcp, TCP_RESOLVES);
	if (inet_pton(AF_INET, host_of(tcp), &v4) == 1)
		on_resolved(sm, tcp, host_of(tcp));
	else
		skymon_resolve_later(sm, host_of(tcp), on_resolved, tcp);
}
