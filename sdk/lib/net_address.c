/* SPDX-License-Identifier: Apache-2.0 */
/* net_address: parses host:port. Called by plugins, in validate and start; owns nothing. Pure. */
#include <skymon/net.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_v6(const char *host)
{
	struct in6_addr address;
	char plain[64];
	/* fe80::1%eth0 */
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(host, "%"), host);
	return inet_pton(AF_INET6, plain, &address) == 1;
}

static bool parse_port(const char *text, uint16_t *port)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long value = digits > 0 && digits <= 5 && text[digits] == '\0' ? strtoul(text, NULL, 10) : 0;
	*port = (uint16_t)value;
	return value >= 1 && value <= 65535;
}

bool skymon_net_address_parse(const char *text, uint16_t port, struct skymon_net_address *address,
			      const char **why)
{
	const char *end = text + strlen(text), *rest = end;
	bool bracket = text[0] == '[', v6 = !bracket && is_v6(text);
	*address = (struct skymon_net_address){.port = port};
	*why = "must be host:port";
	if (strstr(text, "://") != NULL)
		*why = "must be host:port, without a scheme";
	if (strpbrk(text, "/@?# \t") != NULL)
		return false;
	if (bracket) {
		end = strchr(++text, ']');
		if (end == NULL)
			return false;
		rest = end + 1;
	} else if (!v6) {
		end = rest = text + strcspn(text, ":");
	}
	size_t size = (size_t)(end - text);
	if (size == 0 || size >= sizeof(address->host))
		return false;
	memcpy(address->host, text, size);
	if (bracket && !is_v6(address->host)) {
		*why = "must have an IPv6 address within [ ]";
		return false;
	}
	if (rest[0] == '\0')
		return true;
	*why = "must have a port from 1 to 65535 after the colon; an IPv6 address with a port is in [ ]";
	return rest[0] == ':' && parse_port(rest + 1, &address->port);
}
