/* SPDX-License-Identifier: Apache-2.0 */
/* statsd: receives StatsD packets over UDP or a Unix datagram socket, and reports what they add up to, as metrics and as
 * numbers. Called by the worker, all on its main thread (skymon/loop.h): the sockets are read whenever packets are there, and
 * a check reports. Owns the sockets, and the series through struct statsd_table. */
#include <errno.h>
#include <netdb.h>
#include <skymon/loop.h>
#include <skymon/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "statsd.h"

#define PACKET_MAX 9000 /* bytes; a longer packet is malformed */
#define BATCH 16        /* packets of one system call */
#define BATCHES 16      /* of one callback: the worker's loop serves other components too */
#define RECEIVE_BUFFER (4 << 20)

struct statsd {
	const char *listen, *socket, *socket_mode, *prefix;
	struct skymon_list numbers;
	struct skymon_duration quiet;
	int64_t series;
	int udp, local; /* -1 if not open */
	struct statsd_table *table;
	struct series *mapped;
	uint64_t packets, malformed, overflow;
	uint32_t dropped; /* by the kernel, of the UDP socket */
	struct {
		uint64_t packets, malformed;
		uint32_t dropped;
	} reported;      /* as of the last check */
	int64_t last_us; /* when the last packet came, or start */
	char place[400];
};

struct shared { /* of all components: their callbacks run one at a time */
	struct mmsghdr headers[BATCH];
	struct iovec parts[BATCH];
	char control[BATCH][CMSG_SPACE(sizeof(uint32_t))];
	char packets[BATCH][PACKET_MAX];
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct statsd, listen, "",
		   "address:port to receive UDP at, as 127.0.0.1:8125, or :8125 for all addresses"),
	SKYMON_OPT(struct statsd, socket, "", "path of a Unix datagram socket to receive at",
		   .flags = SKYMON_PATH_WRITE),
	SKYMON_OPT(struct statsd, socket_mode, "0600",
		   "octal mode of that socket, which decides whose programs may send"),
	SKYMON_OPT(struct statsd, prefix, "", "what the names of all metrics begin with"),
	SKYMON_OPT(struct statsd, series, "1000",
		   "series that are kept; packets of further ones are counted and dropped", .min = 1,
		   .max = 10000),
	SERIES_OPTION(struct statsd, numbers, "what to make of which series, by the names of the metrics"),
	SKYMON_OPT(struct statsd, quiet, "0s", "unhealthy if no packet came for so long; 0: never", .min = 0,
		   .max = 366.0 * 24 * 3600 * 1000),
	{0}};

static const struct skymon_number numbers[] = {
	SERIES_NUMBERS,
	{"packets", "", "packets since the last check"},
	{"malformed", "", "malformed lines since the last check"},
	{"dropped", "", "UDP packets that the kernel dropped since the last check"},
	{"series_used", "ratio", "series as a ratio of `series`"},
	{0}};

/* ---- Validation ---- */

/* Returns NULL, or what is wrong, as in "listen %s". */
static const char *listen_fault(const char *text, struct skymon_net_address *address)
{
	const char *why;
	*address = (struct skymon_net_address){0};
	if (text[0] == ':') { /* all addresses */
		char *end;
		unsigned long port = strtoul(text + 1, &end, 10);
		if (text[1] < '0' || text[1] > '9' || *end != '\0' || port == 0 || port > 65535)
			return "must end with a port, as in :8125";
		address->port = (uint16_t)port;
		return NULL;
	}
	return skymon_net_address_parse(text, 8125, address, &why) ? NULL : why;
}

static bool mode_of(const char *text, mode_t *mode)
{
	size_t size = strspn(text, "01234567");
	*mode = (mode_t)strtoul(text, NULL, 8);
	return size > 0 && size <= 4 && text[size] == '\0' && *mode <= 0777;
}

static void validate(struct skymon *sm, const void *state)
{
	const struct statsd *statsd = state;
	struct skymon_net_address address;
	mode_t mode;
	if (statsd->listen[0] == '\0' && statsd->socket[0] == '\0')
		skymon_invalid(sm, "listen", "or `socket` must be set: where packets are received");
	const char *why = statsd->listen[0] != '\0' ? listen_fault(statsd->listen, &address) : NULL;
	if (why != NULL)
		skymon_invalid(sm, "listen", "%s", why);
	if (strlen(statsd->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		skymon_invalid(sm, "socket", "must be shorter: %zu bytes at most",
			       sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	if (!mode_of(statsd->socket_mode, &mode))
		skymon_invalid(sm, "socket_mode", "must be an octal mode such as 0660");
	size_t size = series_metric_size(statsd->prefix);
	if (statsd->prefix[0] != '\0' && (statsd->prefix[size] != '\0' || size > STATSD_NAME_MAX))
		skymon_invalid(sm, "prefix", "must be the beginning of a metric's name, such as shop_");
	series_validate(sm, &statsd->numbers);
}

/* ---- Packets ---- */

static int64_t clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void take_packet(struct statsd *statsd, const char *text, size_t size)
{
	const char *end = text + size;
	statsd->packets++;
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((stop != NULL ? stop : end) - text);
		struct statsd_line line;
		if (length > 0 && text[length - 1] == '\r')
			length--;
		if (length > 0) {
			if (!statsd_parse(text, length, &line))
				statsd->malformed++;
			else if (!statsd_table_add(statsd->table, &line))
				statsd->overflow++;
		}
		text = stop != NULL ? stop + 1 : end;
	}
}

/* The kernel counts what found the receive buffer full (SO_RXQ_OVFL, socket(7)). */
static void take_drops(struct statsd *statsd, struct msghdr *header)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part))
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_RXQ_OVFL)
			memcpy(&statsd->dropped, CMSG_DATA(part), sizeof(statsd->dropped));
}

/* Returns how many packets it took. */
static int receive_batch(struct statsd *statsd, struct shared *shared, int fd)
{
	for (int i = 0; i < BATCH; i++) {
		shared->parts[i] = (struct iovec){shared->packets[i], PACKET_MAX};
		shared->headers[i].msg_hdr = (struct msghdr){.msg_iov = &shared->parts[i],
							     .msg_iovlen = 1,
							     .msg_control = shared->control[i],
							     .msg_controllen = sizeof(shared->control[i])};
	}
	int count = recvmmsg(fd, shared->headers, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		if (fd == statsd->udp)
			take_drops(statsd, &shared->headers[i].msg_hdr);
		if ((shared->headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
			statsd->packets++;
			statsd->malformed++;
		} else {
			take_packet(statsd, shared->packets[i], shared->headers[i].msg_len);
		}
	}
	return count;
}

static void ready(struct skymon *sm, void *argument, int fd, unsigned events)
{
	struct statsd *statsd = argument;
	(void)events;
	for (int i = 0; i < BATCHES && receive_batch(statsd, skymon_shared(sm), fd) == BATCH; i++)
		;
	statsd->last_us = clock_us();
}

/* ---- Sockets ---- */

static bool watch(struct skymon *sm, struct statsd *statsd, int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BUFFER},
		   sizeof(int)); /* as far as net.core.rmem_max lets it */
	setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &(int){1}, sizeof(int));
	return skymon_watch(sm, fd, SKYMON_READ, ready, statsd);
}

static bool open_udp(struct skymon *sm, struct statsd *statsd)
{
	struct skymon_net_address address;
	struct addrinfo *found,
		hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM};
	char port[8];
	listen_fault(statsd->listen, &address); /* valid: validate ran */
	snprintf(port, sizeof(port), "%u", address.port);
	if (address.host[0] == '\0')
		hints.ai_family = AF_INET6;
	int error = getaddrinfo(address.host[0] != '\0' ? address.host : NULL, port, &hints, &found);
	if (error != 0) {
		skymon_unknown(sm, "listen must begin with a numeric address, such as 127.0.0.1:8125: %s",
			       gai_strerror(error));
		return false;
	}
	int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && found->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){address.host[0] != '\0'}, sizeof(int));
	bool good = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0;
	error = errno;
	freeaddrinfo(found);
	if (!good && address.host[0] == '\0' && error == EAFNOSUPPORT) { /* no IPv6 here */
		struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(address.port)};
		if (fd >= 0)
			close(fd);
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		good = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;
		error = errno;
	}
	statsd->udp = fd;
	if (good && watch(sm, statsd, fd))
		return true;
	skymon_unknown(sm, "cannot receive at %s: %s", statsd->listen, strerror(error));
	return false;
}

/* A socket that an earlier process left is replaced; another file is not. */
static bool open_local(struct skymon *sm, struct statsd *statsd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat old;
	mode_t mode = 0;
	mode_of(statsd->socket_mode, &mode);
	memcpy(address.sun_path, statsd->socket, strlen(statsd->socket));
	if (lstat(statsd->socket, &old) == 0 && S_ISSOCK(old.st_mode))
		unlink(statsd->socket);
	statsd->local = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (statsd->local >= 0 && bind(statsd->local, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    chmod(statsd->socket, mode) == 0 && watch(sm, statsd, statsd->local))
		return true;
	skymon_unknown(sm, "cannot receive at %s: %s", statsd->socket, strerror(errno));
	return false;
}

static void stop(struct skymon *sm, void *state)
{
	struct statsd *statsd = state;
	int *const sockets[] = {&statsd->udp, &statsd->local};
	for (size_t i = 0; i < 2; i++)
		if (*sockets[i] >= 0) {
			skymon_watch(sm, *sockets[i], 0, NULL, NULL);
			close(*sockets[i]);
			*sockets[i] = -1;
		}
	statsd_table_free(statsd->table);
	series_free(statsd->mapped);
}

static bool start(struct skymon *sm, void *state)
{
	struct statsd *statsd = state;
	statsd->udp = statsd->local = -1;
	statsd->last_us = clock_us();
	bool both = statsd->listen[0] != '\0' && statsd->socket[0] != '\0';
	snprintf(statsd->place, sizeof(statsd->place), "%s%s%s", statsd->listen, both ? " and " : "",
		 statsd->socket);
	statsd->table = statsd_table_new((size_t)statsd->series, statsd->prefix);
	statsd->mapped = series_new(&statsd->numbers, false);
	bool good = statsd->table != NULL && statsd->mapped != NULL;
	if (!good)
		skymon_unknown(sm, "out of memory");
	good = good && (statsd->listen[0] == '\0' || open_udp(sm, statsd)) &&
	       (statsd->socket[0] == '\0' || open_local(sm, statsd));
	if (!good)
		stop(sm, statsd);
	return good;
}

/* ---- The check ---- */

static enum skymon_status report(struct skymon *sm, struct statsd *statsd, uint64_t overflow)
{
	size_t count = statsd_table_count(statsd->table);
	double quiet_s = (double)(clock_us() - statsd->last_us) / 1e6;
	if (overflow > 0) {
		skymon_reason(sm, SKYMON_FULL);
		return skymon_degraded(
			sm, "%s: %llu lines of further series were dropped: all %lld of `series` are in use",
			statsd->place, (unsigned long long)overflow, (long long)statsd->series);
	}
	if (statsd->quiet.ms > 0 && quiet_s * 1000 > (double)statsd->quiet.ms) {
		skymon_reason(sm, SKYMON_TOO_OLD);
		return skymon_unhealthy(sm, "%s: no packet for %.0f s", statsd->place, quiet_s);
	}
	return skymon_healthy(sm, "%s: %llu packets, %zu series", statsd->place,
			      (unsigned long long)statsd->packets, count);
}

static void begin(struct skymon *sm, void *state)
{
	struct statsd *statsd = state;
	static const char *const names[] = {"skymon_statsd_packets_total",
					    "skymon_statsd_malformed_lines_total",
					    "skymon_statsd_dropped_packets_total"};
	skymon_counter(sm, names[0], "Packets that were received", (double)statsd->packets);
	skymon_counter(sm, names[1], "Lines and packets that were malformed", (double)statsd->malformed);
	if (statsd->udp >= 0)
		skymon_counter(sm, names[2],
			       "UDP packets that the kernel dropped, as the receive buffer was full",
			       statsd->dropped);
	skymon_number(sm, "packets", (double)(statsd->packets - statsd->reported.packets));
	skymon_number(sm, "malformed", (double)(statsd->malformed - statsd->reported.malformed));
	if (statsd->udp >= 0)
		skymon_number(sm, "dropped", statsd->dropped - statsd->reported.dropped);
	statsd->reported.packets = statsd->packets;
	statsd->reported.malformed = statsd->malformed;
	statsd->reported.dropped = statsd->dropped;
	skymon_number(sm, "series_used", (double)statsd_table_count(statsd->table) / (double)statsd->series);
	series_begin(statsd->mapped);
	statsd_table_report(sm, statsd->table, statsd->mapped);
	series_report(sm, statsd->mapped);
	uint64_t overflow = statsd->overflow;
	statsd->overflow = 0;
	skymon_done(sm, report(sm, statsd, overflow));
}

static enum skymon_status cancel(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_unknown(sm, "not reported in time"); /* begin ends each run itself */
}

SKYMON_PLUGIN(statsd, "1.0", "Receives StatsD packets: counters, gauges, timers, tags",
	      .state_size = sizeof(struct statsd), .shared_size = sizeof(struct shared), .options = options,
	      .numbers = numbers, .start = start, .stop = stop, .validate = validate, .begin = begin,
	      .cancel = cancel);
