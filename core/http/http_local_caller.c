/* SPDX-License-Identifier: Apache-2.0 */
/* http_local_caller: finds the client of a request, and decides whether it counts as local. http_dispatch.c,
 * http_audit.c and handlers (through http_plugin_api.c) call it on the loop's thread; owns nothing.
 *
 * A GUARDED route uses a privileged key on its caller's behalf. An address proves nothing there: a reverse
 * proxy on this machine connects from 127.0.0.1, and so does any user. So a caller is local only if the
 * kernel names its user (http_peer_user.c), that user is root, the daemon's own or one of local_users, and it
 * is not one of the daemon's own workers (http_peer_process.c). */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_private.h"

/* ---- Addresses ---- */

/* Turns ::ffff:a.b.c.d into a.b.c.d. */
static void unmap(struct sockaddr_storage *address)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)address;
	if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		return;
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six->sin6_port};
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

/* ---- Proxies ---- */

/* No list of names is complete. Proxies add headers that name themselves or a property of the client's
 * request (address, scheme, host), so these words are matched. A client whose header has one by accident
 * loses the local rights, and the refusal names the header. */
static bool is_proxy_name(const char *given)
{
	static const char *const words[] = {
		"forward", "proxy",     "proxied",    "client",    "original", "originat",     "remote",
		"real-",   "connect-",  "connecting", "external",  "cluster",  "-addr",        "-peer",
		"-source", "-scheme",   "-proto",     "-ssl",      "-tls",     "https",        "-host",
		"-port",   "-hop",      "-edge",      "surrogate", "varnish",  "envoy",        "haproxy",
		"nginx",   "traefik",   "squid",      "akamai",    "fastly",   "cloudf",       "-azure",
		"-amz",    "appengine", "request-id", "rewrite",   "-user",    "auth-request", "-served",
		"-cache-", "^cf-",      "^cdn-",      "^fly-",     "^l5d-",    "^incap",       "^x-arr-",
		"^x-fd-",  "^x-kong",   "^x-nf-",     "^x-b3-",    "^x-cloud", "^x-gfe"};
	char name[128];
	size_t size = 0;
	for (; given[size] != '\0' && size < sizeof(name) - 1; size++)
		name[size] = given[size] == '_' ? '-' : (char)tolower((unsigned char)given[size]);
	name[size] = '\0';
	if (strcmp(name, "via") == 0 || strncmp(name, "via-", 4) == 0 || strstr(name, "-via") != NULL)
		return true;
	if (size >= 2 && (strcmp(name + size - 2, "ip") == 0 || strstr(name, "ip-") != NULL))
		return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i][0] == '^' ? strncmp(name, words[i] + 1, strlen(words[i]) - 1) == 0
				       : strstr(name, words[i]) != NULL)
			return true;
	return false;
}

/* Headers that clients themselves send, in which an address does not stand for another client. */
static bool is_own_name(const char *name)
{
	static const char *const names[] = {"Host",       "Origin",        "Referer",
					    "User-Agent", "Authorization", "Cookie"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return strncasecmp(name, "Sec-", 4) == 0; /* of browsers, with versions such as 120.0.6099.71 */
}

/* Is one of the words of a value an address? Under any name, such a header was added for another client. */
static bool has_address(const char *value)
{
	static const char between[] = " \t,;=\"'[]()<>%/";
	char word[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	while (*(value += strspn(value, between)) != '\0') {
		size_t size = strcspn(value, between);
		const char *colon = memchr(value, ':', size);
		size_t four = colon != NULL ? (size_t)(colon - value) : size; /* without its port */
		if (four < sizeof(word)) {
			snprintf(word, sizeof(word), "%.*s", (int)four, value);
			if (inet_pton(AF_INET, word, bytes) == 1)
				return true;
		}
		if (size < sizeof(word)) {
			snprintf(word, sizeof(word), "%.*s", (int)size, value);
			if (inet_pton(AF_INET6, word, bytes) == 1)
				return true;
		}
		value += size;
	}
	return false;
}

static enum MHD_Result look_for_proxy(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	const char **found = arg;
	if (!is_own_name(name) && (is_proxy_name(name) || (value != NULL && has_address(value))))
		*found = name;
	return *found == NULL ? MHD_YES : MHD_NO;
}

/* ---- The caller ---- */

static bool is_local_user(const struct http *http, uid_t uid)
{
	if (uid == 0 || uid == geteuid())
		return true;
	for (size_t i = 0; i < http->settings->places.local_users.count; i++)
		if (http->settings->local_uids[i] == uid)
			return true;
	return false;
}

/* Returns why the process at the other end is, or may be, one of the daemon's own, or NULL if it is not. Only
 * a worker of a daemon that runs as root can have another user than the daemon's. */
static const char *suspect_process(struct skymon_request *rq, bool unix_socket)
{
	struct owner *owner = &rq->peer->owner;
	if (geteuid() != 0 && owner->uid != geteuid())
		return NULL;
	if (owner->holder == HOLDER_UNASKED || owner->holder == HOLDER_BUSY)
		owner->holder = unix_socket ? holder_of_process(owner->pid, rq->peer->opened_ms)
					    : holder_of_socket(owner->inode, owner->uid);
	switch (owner->holder) {
	case HOLDER_OTHER:
		return NULL;
	case HOLDER_OURS:
		return "it comes from a process that skymond has started, as workers are";
	case HOLDER_BUSY:
		return "too many connections have been looked up in this second";
	default:
		return "skymond sees no process at the other end, which runs as a user that its workers can "
		       "have";
	}
}

/* Returns why the user at the other end does not make this connection local, or NULL if it does. */
static const char *foreign_user(struct skymon_request *rq, int fd, const struct sockaddr_storage *peer,
				const struct sockaddr_storage *own)
{
	struct owner *owner = &rq->peer->owner;
	bool here = own->ss_family == AF_UNIX || is_loopback(peer) || same_address(peer, own);
	if (!here)
		return "it comes from another machine";
	if (!owner->asked)
		owner_find(owner, fd, peer, own);
	rq->caller.user = owner->name;
	if (!owner->known)
		return "the kernel does not name the user at the other end of the connection";
	if (is_local_user(rq->http, owner->uid))
		return suspect_process(rq, own->ss_family == AF_UNIX);
	char *why = request_text(rq, 160);
	snprintf(why, 160, "user %u%s%s%s is neither root nor the daemon's own, and not in `local_users`",
		 (unsigned)owner->uid, owner->name[0] != '\0' ? " (" : "", owner->name,
		 owner->name[0] != '\0' ? ")" : "");
	return why;
}

/* Finds the address that the connection began with, as it may be closed by now. Returns false for a Unix
 * socket. */
static bool find_peer(const struct skymon_request *rq, struct sockaddr_storage *peer)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
	if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
		return false;
	memcpy(peer, address,
	       address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	unmap(peer);
	return true;
}

const char *request_address(struct skymon_request *rq)
{
	struct sockaddr_storage peer = {0};
	size_t size;
	if (rq->address[0] != '\0')
		return rq->address;
	if (rq->connection != NULL && find_peer(rq, &peer))
		inet_ntop(peer.ss_family, bytes_of(&peer, &size), rq->address, sizeof(rq->address));
	else
		strcpy(rq->address, "unix");
	return rq->address;
}

static const char *why_not_local(struct skymon_request *rq)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct sockaddr_storage peer = {0}, own = {0};
	socklen_t own_size = sizeof(own);
	if (info == NULL || rq->peer == NULL ||
	    getsockname(info->connect_fd, (struct sockaddr *)&own, &own_size) != 0 ||
	    (!find_peer(rq, &peer) && own.ss_family != AF_UNIX))
		return "its connection is closed";
	if (own.ss_family != AF_UNIX)
		unmap(&own);
	const char *why = foreign_user(rq, info->connect_fd, &peer, &own);
	if (why != NULL)
		return why;
	const char *header = NULL;
	MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, look_for_proxy, &header);
	if (header == NULL)
		return NULL;
	char *text = request_text(rq, 160);
	snprintf(text, 160, "its header \"%.60s\" is of the kind that proxies add", header);
	return text;
}

static void find_caller(struct skymon_request *rq)
{
	rq->caller = (struct skymon_caller){
		.size = sizeof(rq->caller), .address = rq->address, .user = "", .why_not_local = ""};
	if (rq->connection == NULL)
		return; /* rendered for another request */
	request_address(rq);
	const char *why = why_not_local(rq);
	rq->caller.local = why == NULL;
	rq->caller.why_not_local = why != NULL ? why : "";
}

const struct skymon_caller *request_caller(struct skymon_request *rq)
{
	if (rq->caller.size == 0)
		find_caller(rq);
	rq->caller.login = rq->login != NULL ? rq->login : ""; /* a password may be verified meanwhile */
	return &rq->caller;
}
