/* SPDX-License-Identifier: Apache-2.0 */
/* http_origin: decides whether the Host and the Origin of a request may use a GUARDED route. http_dispatch.c
 * calls it on the loop's thread; owns nothing.
 *
 * A browser may be made to send requests by any page (DNS rebinding, forms): Host must be a name of this
 * machine, and an Origin must be the Host's. */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "http_private.h"

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

/* Returns the size of a host without its port and without the final dot of an absolute name; 0 if invalid. */
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
	const struct skymon_texts *names = &http->settings->places.server_names;
	bool ours = is_address(host, size) || is_name(host, size, "localhost") ||
		    (http->machine[0] != '\0' && is_name(host, size, http->machine));
	for (size_t i = 0; !ours && i < names->count; i++)
		ours = is_name(host, size, names->items[i]);
	return ours;
}

bool request_is_guarded(struct skymon_request *rq)
{
	const char *host = request_header(rq, "Host");
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
