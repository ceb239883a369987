/* SPDX-License-Identifier: Apache-2.0 */
/* http_caller: who asks, by which name, and the audit line of who wrote what.
 *
 * A browser on this machine may be made to send requests here by any page (DNS rebinding, forms): behind
 * GUARDED routes stands somebody's privileged key, so that there the Host must be a name of this machine, and
 * an Origin must be the Host's. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "http_private.h"

/* ---- Addresses ---- */

/* ::ffff:a.b.c.d is a.b.c.d. */
static void unmap(struct sockaddr_storage *address)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)address;
	if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		return;
	struct sockaddr_in four = {.sin_family = AF_INET};
	memcpy(&four.sin_addr, six->sin6_addr.s6_addr + 12, 4);
	memset(address, 0, sizeof(*address));
	memcpy(address, &four, sizeof(four));
}

static const void *bytes_of(const struct sockaddr_storage *address, size_t *size)
{
	if (address->ss_family == AF_INET) {
		*size = 4;
		return &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	}
	*size = 16;
	return &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	size_t size;
	const unsigned char *bytes = bytes_of(address, &size);
	return size == 4 ? bytes[0] == 127
			 : IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)bytes);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	size_t size, other;
	const void *bytes = bytes_of(a, &size);
	return a->ss_family == b->ss_family && memcmp(bytes, bytes_of(b, &other), size) == 0;
}

static bool came_by_proxy(const struct skymon_request *rq)
{
	static const char *const names[] = {"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, names[i]) != NULL)
			return true;
	return false;
}

static void look_at_peer(struct skymon_request *rq)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct sockaddr_storage peer = {0}, own = {0};
	socklen_t peer_size = sizeof(peer), own_size = sizeof(own);
	if (info == NULL || getpeername(info->connect_fd, (struct sockaddr *)&peer, &peer_size) != 0 ||
	    getsockname(info->connect_fd, (struct sockaddr *)&own, &own_size) != 0) {
		snprintf(rq->address, sizeof(rq->address), "unknown");
		return;
	}
	if (own.ss_family == AF_UNIX) {
		snprintf(rq->address, sizeof(rq->address), "unix");
		rq->caller.local = true;
		return;
	}
	size_t size;
	unmap(&peer);
	unmap(&own);
	inet_ntop(peer.ss_family, bytes_of(&peer, &size), rq->address, sizeof(rq->address));
	rq->caller.local = is_loopback(&peer) || same_address(&peer, &own);
}

const struct skymon_caller *request_caller(struct skymon_request *rq)
{
	if (rq->caller.size != 0)
		return &rq->caller;
	rq->caller = (struct skymon_caller){.size = sizeof(rq->caller), .address = rq->address};
	if (rq->connection == NULL)
		return &rq->caller; /* rendered for another */
	look_at_peer(rq);
	rq->caller.local = rq->caller.local && !came_by_proxy(rq);
	return &rq->caller;
}

/* ---- Host and Origin ---- */

static bool is_address(const char *host, size_t size)
{
	char text[INET6_ADDRSTRLEN + 2];
	unsigned char bytes[16];
	bool bracketed = size > 2 && host[0] == '[' && host[size - 1] == ']';
	if (bracketed) {
		host++;
		size -= 2;
	}
	if (size >= sizeof(text))
		return false;
	memcpy(text, host, size);
	text[size] = '\0';
	return inet_pton(bracketed ? AF_INET6 : AF_INET, text, bytes) == 1;
}

static bool is_name(const char *host, size_t size, const char *name)
{
	return strlen(name) == size && strncasecmp(host, name, size) == 0;
}

/* A host without its port, and without the dot that ends an absolute name; 0: it is none. */
static size_t host_size(const char *host)
{
	size_t size = host[0] == '[' ? strcspn(host, "]") + (strchr(host, ']') != NULL) : strcspn(host, ":");
	const char *port = host + size;
	if (port[0] != '\0' && (port[0] != ':' || port[1 + strspn(port + 1, "0123456789")] != '\0'))
		return 0;
	return size > 1 && host[size - 1] == '.' ? size - 1 : size;
}

static bool is_ours(const struct http *http, const char *host)
{
	size_t size = host_size(host);
	bool ours = is_address(host, size) || is_name(host, size, "localhost") ||
		    (http->machine[0] != '\0' && is_name(host, size, http->machine));
	for (size_t i = 0; !ours && i < http->server_name_count; i++)
		ours = is_name(host, size, http->server_names[i]);
	return ours;
}

bool request_is_guarded(struct skymon_request *rq)
{
	const char *host = MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, "Host");
	const char *origin = MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, "Origin");
	if (host == NULL || host[0] == '\0' || !is_ours(rq->http, host)) {
		reply_problem(rq, 403,
			      "this route is not served to the Host \"%.100s\": use an address, localhost or "
			      "this machine's name, or list the name in server_names",
			      host != NULL ? host : "");
		return false;
	}
	const char *named = origin != NULL ? strstr(origin, "://") : NULL;
	if (origin == NULL || (named != NULL && strcasecmp(named + 3, host) == 0))
		return true;
	reply_problem(rq, 403, "this route is not served to pages of another origin (\"%.100s\")", origin);
	return false;
}

/* ---- The audit line ---- */

void request_audit(struct skymon_request *rq, const char *format, va_list list)
{
	char text[300];
	vsnprintf(text, sizeof(text), format, list);
	rq->audit = strcpy(request_text(rq, strlen(text) + 1), text);
}

void request_log_audit(struct skymon_request *rq, int code)
{
	const struct route_entry *entry = rq->entry;
	bool write = rq->method_index == HTTP_POST || rq->method_index == HTTP_PUT ||
		     rq->method_index == HTTP_DELETE;
	if (!write || entry == NULL || !(entry->route->flags & SKYMON_ROUTE_GUARDED))
		return;
	char word[16], path[256];
	snprintf(word, sizeof(word), "%d", code);
	snprintf(path, sizeof(path), "%s", rq->path);
	log_line(LOG_LEVEL_INFO,
		 (const char *[]){"area", "audit", "client", request_caller(rq)->address, "method",
				  rq->method, "path", path, "code", code != 0 ? word : "none", NULL},
		 "%s",
		 rq->audit != NULL ? rq->audit
		 : code == 0       ? "its client left before it was answered"
				   : "");
}
