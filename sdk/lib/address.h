/* SPDX-License-Identifier: Apache-2.0 */
/* address: the option `address` of a server: host, host:port, [v6]:port or an IPv6 address alone. Pure. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

struct skymon_address {
	char host[256]; /* without brackets */
	uint16_t port;
};

/* port: what it is without one. Returns false with *why set, as in "address %s". */
bool skymon_address_parse(const char *text, uint16_t port, struct skymon_address *address, const char **why);

#endif
