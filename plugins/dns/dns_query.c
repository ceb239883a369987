/* SPDX-License-Identifier: Apache-2.0 */
/* dns_query: asks servers over UDP, and over TCP if the answer does not fit or the option says so. Called by dns.c, on the worker's loop; owns
 * the sockets and the buffer of one run.
 *
 * Sockets are connected, so that the kernel drops what another address sends, and each packet has a port of its own. An answer must
 * repeat id and question; the rest is counted and waited past, as a forged packet must not fail the check. Without an answer the
 * question is repeated, to the next address if there are several; answers to earlier packets still count. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <skymon/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dns.h"

#define REPEAT_MIN_MS 200
#define DNS_PORT 53
#define RESOLV_CONF "/etc/resolv.conf"

static void ask_udp(struct skymon *sm, struct dns *dns);
static void ask_tcp(struct skymon *sm, struct dns *dns, unsigned char server);
static void ask(struct skymon *sm, struct dns *dns);

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t dns_elapsed_us(const struct dns_query *query)
{
	return now_us() - query->began_us;
}

void dns_forget(struct dns *dns)
{
	dns->query = (struct dns_query){.stream = -1};
	for (size_t i = 0; i < DNS_PACKETS_MAX; i++)
		dns->query.sockets[i] = -1;
}

static void close_one(struct skymon *sm, int *fd)
{
	if (*fd < 0)
		return;
	skymon_watch(sm, *fd, 0, NULL, NULL);
	close(*fd);
	*fd = -1;
}

void dns_drop(struct skymon *sm, struct dns *dns)
{
	for (size_t i = 0; i < DNS_PACKETS_MAX; i++)
		close_one(sm, &dns->query.sockets[i]);
	close_one(sm, &dns->query.stream);
	free(dns->query.reply);
	dns->query.reply = NULL;
	skymon_timer(sm, -1, NULL, NULL);
}

/* ---- Sockets ---- */

/* Returns a connected socket, which for TCP may still be connecting; -1 with errno set. */
static int connect_to(const struct dns_query *query, unsigned char server, int type)
{
	struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV},
			*found = NULL;
	char port[8];
	snprintf(port, sizeof(port), "%u", query->port);
	if (getaddrinfo(query->servers[server], port, &hints, &found) != 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	int fd = socket(found->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
		int error = errno;
		close(fd);
		fd = -1;
		errno = error;
	}
	freeaddrinfo(found);
	return fd;
}

static void set_place(struct dns_query *query, unsigned char server)
{
	const char *address = query->servers[server];
	snprintf(query->place, sizeof(query->place), strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u",
		 address, query->port);
}

/* Ends the run by an errno of the server that was asked last. */
static void fail(struct skymon *sm, struct dns *dns, int error)
{
	const char *place = dns->query.place;
	if (error == ECONNREFUSED)
		dns_failed(sm, dns, SKYMON_UNHEALTHY, SKYMON_REFUSED,
			   "%s: connection refused: no server listens", place);
	else if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
		dns_failed(sm, dns, SKYMON_UNKNOWN, SKYMON_RESOURCE,
			   "this machine or process has no descriptor or memory left");
	else if (error == ECONNRESET || error == EPIPE)
		dns_failed(sm, dns, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
			   "%s: the server closed the connection before it answered", place);
	else
		dns_failed(sm, dns, SKYMON_UNHEALTHY, SKYMON_UNREACHABLE, "%s: cannot be reached: %s", place,
			   strerror(error));
}

/* ---- What came ---- */

/* Returns whether another address is left to be asked. */
static bool has_next(const struct dns_query *query)
{
	return query->packets < query->server_count && query->packets < DNS_PACKETS_MAX;
}

/* Returns whether the packet was the answer. */
static bool take(struct skymon *sm, struct dns *dns, unsigned char server, const unsigned char *bytes,
		 size_t size, bool stream)
{
	struct dns_query *query = &dns->query;
	struct dns_answer answer;
	enum dns_fit fit = dns_parse(&query->question, query->id, bytes, size, &answer);
	if (fit != DNS_FITS) {
		query->odd++;
		return false;
	}
	set_place(query, server);
	if (answer.truncated && !stream) {
		ask_tcp(sm, dns, server);
	} else if (answer.rcode == 1 && query->question.edns) {
		/* an old server that does not know EDNS (RFC 6891 7) */
		query->question.edns = false;
		ask(sm, dns);
	} else if ((answer.rcode == 2 || answer.rcode == 5) && !stream && !query->server->given &&
		   has_next(query)) {
		/* as the system's resolver does */
		ask_udp(sm, dns);
	} else {
		dns_answered(sm, dns, &answer);
	}
	return true;
}

/* ---- UDP ---- */

static void on_packet(struct skymon *sm, void *argument, int fd, unsigned events)
{
	struct dns *dns = argument;
	struct dns_query *query = &dns->query;
	unsigned char bytes[65536];
	size_t i = 0;
	(void)events;
	while (i < DNS_PACKETS_MAX && query->sockets[i] != fd)
		i++;
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
	if (got >= 0) {
		(void)take(sm, dns, query->asked[i], bytes, (size_t)got, false);
		return;
	}
	int error = errno;
	if (error == EAGAIN || error == EINTR)
		return;
	close_one(sm, &query->sockets[i]);
	set_place(query, query->asked[i]);
	if (has_next(query)) {
		ask_udp(sm, dns);
		return;
	}
	for (i = 0; i < DNS_PACKETS_MAX; i++)
		if (query->sockets[i] >= 0)
			return; /* another may still answer */
	fail(sm, dns, error);
}

static void on_late(struct skymon *sm, void *argument)
{
	struct dns *dns = argument;
	if (dns->query.packets < DNS_PACKETS_MAX)
		ask_udp(sm, dns);
}

/* Sends the question, to each address in turn. */
static void ask_udp(struct skymon *sm, struct dns *dns)
{
	struct dns_query *query = &dns->query;
	size_t i = query->packets++;
	query->asked[i] = (unsigned char)(i % query->server_count);
	set_place(query, query->asked[i]);
	skymon_step(sm, "waiting for the answer");
	int fd = connect_to(query, query->asked[i], SOCK_DGRAM);
	query->sockets[i] = fd;
	if (fd < 0 || send(fd, query->bytes + 2, query->size, MSG_NOSIGNAL) < 0 ||
	    !skymon_watch(sm, fd, SKYMON_READ, on_packet, dns)) {
		int error = errno;
		close_one(sm, &query->sockets[i]);
		if (has_next(query))
			ask_udp(sm, dns);
		else
			fail(sm, dns, error);
		return;
	}
	int64_t wait = skymon_ms_left(sm) / (int64_t)(DNS_PACKETS_MAX + 1 - i);
	skymon_timer(sm, wait > REPEAT_MIN_MS ? wait : REPEAT_MIN_MS, on_late, dns);
}

/* ---- TCP ---- */

/* Another address may take the connection. */
static void stream_failed(struct skymon *sm, struct dns *dns, int error)
{
	unsigned char next = (unsigned char)(dns->query.stream_server + 1);
	if (next < dns->query.server_count)
		ask_tcp(sm, dns, next);
	else
		fail(sm, dns, error);
}

static void on_stream(struct skymon *sm, void *argument, int fd, unsigned events)
{
	struct dns *dns = argument;
	struct dns_query *query = &dns->query;
	(void)events;
	if (query->reply == NULL) {
		int error = 0;
		socklen_t size = sizeof(error);
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		/* a new connection takes as much at once */
		if (error == 0 &&
		    send(fd, query->bytes, query->size + 2, MSG_NOSIGNAL) != (ssize_t)query->size + 2)
			error = errno;
		if (error != 0) {
			stream_failed(sm, dns, error);
			return;
		}
		query->reply = malloc(2 + 65535);
		query->reply_size = 0;
		if (query->reply == NULL)
			fail(sm, dns, ENOMEM);
		else
			skymon_watch(sm, fd, SKYMON_READ, on_stream, dns);
		return;
	}
	size_t whole = query->reply_size < 2 ? 2 : 2u + (query->reply[0] << 8 | query->reply[1]);
	ssize_t got = recv(fd, query->reply + query->reply_size, whole - query->reply_size, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		fail(sm, dns, got < 0 ? errno : ECONNRESET);
		return;
	}
	query->reply_size += (size_t)got;
	whole = query->reply_size < 2 ? 2 : 2u + (query->reply[0] << 8 | query->reply[1]);
	if (query->reply_size < 2 || query->reply_size < whole)
		return;
	/* nothing else may come over a connection of our own */
	if (!take(sm, dns, query->stream_server, query->reply + 2, whole - 2, true))
		dns_failed(sm, dns, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
			   "%s: the answer over TCP does not fit the question", query->place);
}

static void ask_tcp(struct skymon *sm, struct dns *dns, unsigned char server)
{
	struct dns_query *query = &dns->query;
	dns_drop(sm, dns);
	query->tcp = true;
	query->stream_server = server;
	set_place(query, server);
	skymon_step(sm, "waiting for the answer over TCP");
	query->stream = connect_to(query, server, SOCK_STREAM);
	if (query->stream < 0 || !skymon_watch(sm, query->stream, SKYMON_WRITE, on_stream, dns))
		stream_failed(sm, dns, errno);
}

/* ---- The servers ---- */

static void ask(struct skymon *sm, struct dns *dns)
{
	struct dns_query *query = &dns->query;
	dns_drop(sm, dns);
	query->packets = 0;
	if (getrandom(&query->id, sizeof(query->id), 0) != sizeof(query->id)) {
		dns_failed(sm, dns, SKYMON_UNKNOWN, SKYMON_RESOURCE, "the system gives no random numbers");
		return;
	}
	query->size = dns_build(&query->question, query->id, query->bytes + 2);
	query->bytes[0] = (unsigned char)(query->size >> 8);
	query->bytes[1] = (unsigned char)query->size;
	if (query->began_us == 0)
		query->began_us = now_us();
	if (dns->transport.index == 1)
		ask_tcp(sm, dns, 0);
	else
		ask_udp(sm, dns);
}

/* The addresses are joined by commas. */
static void add_servers(struct dns_query *query, const char *addresses)
{
	while (*addresses != '\0' && query->server_count < DNS_SERVERS_MAX) {
		size_t size = strcspn(addresses, ",");
		if (size > 0 && size < sizeof(query->servers[0]))
			snprintf(query->servers[query->server_count++], sizeof(query->servers[0]), "%.*s",
				 (int)size, addresses);
		addresses += size + (addresses[size] == ',');
	}
}

static void on_resolved(struct skymon *sm, void *argument, const char *addresses)
{
	struct dns *dns = argument;
	if (addresses == NULL) {
		dns_drop(sm, dns);
		skymon_done(sm, SKYMON_UNHEALTHY); /* message and reason are set */
		return;
	}
	add_servers(&dns->query, addresses);
	ask(sm, dns);
}

/* Reads the system's servers. Without any the local one is meant, as resolv.conf(5) has it. */
static void read_system(struct dns_query *query)
{
	FILE *file = fopen(RESOLV_CONF, "re");
	char line[512], address[64];
	query->port = DNS_PORT;
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "nameserver %63s", address) == 1)
			add_servers(query, address);
	if (file != NULL)
		fclose(file);
	if (query->server_count == 0)
		add_servers(query, "127.0.0.1");
}

void dns_begin_query(struct skymon *sm, struct dns *dns, const struct dns_server *server)
{
	struct dns_query *query = &dns->query;
	dns_forget(dns);
	query->server = server;
	query->question = (struct dns_question){.name = dns->name,
						.type = (enum dns_type)dns->type.index,
						.recurse = !dns->authoritative,
						.dnssec = dns->dnssec,
						.edns = true};
	if (!server->given) {
		read_system(query);
		ask(sm, dns);
		return;
	}
	query->port = server->address.port;
	skymon_step(sm, "looking the server's name up");
	skymon_resolve_later(sm, server->address.host, on_resolved, dns);
}
