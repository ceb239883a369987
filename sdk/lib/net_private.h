/* SPDX-License-Identifier: Apache-2.0 */
/* race: connects to the first of several addresses that accepts (RFC 8305, "happy eyeballs"). The next
 * address is tried when those before it have failed or have been silent for a quarter of a second. The
 * families alternate, so that one without a route costs one such delay. */
#ifndef RACE_H
#define RACE_H

#include <skymon/plugin.h>
#include <sys/socket.h>

#define RACE_ADDRESSES_SIZE 512 /* for skymon_resolve() */

/* Returns a non-blocking descriptor, or -1 with the most telling errno in *error. addresses is a list of
 * numeric addresses with commas, and is modified. Ends after max_ms, or soon after skymon_ms_left() has
 * become 0. */
int race_connect(struct skymon *sm, char *addresses, uint16_t port, int64_t max_ms, int *error);
int race_connect_one(struct skymon *sm, const struct sockaddr *address, socklen_t size, int64_t max_ms,
		     int *error);

#endif
