/* SPDX-License-Identifier: Apache-2.0 */
/* race: a TCP connection to the first of several addresses that takes it (RFC 8305). The next address is
 * tried when those before it have failed, or have been silent for a quarter of a second; the families take
 * turns, so that one without a way costs one such delay. dial and fetch connect by it. */
#ifndef RACE_H
#define RACE_H

#include <skymon/plugin.h>
#include <sys/socket.h>

#define RACE_ADDRESSES_SIZE 512 /* for skymon_resolve */

/* Returns a non-blocking descriptor, or -1 with the errno that says most. addresses: numeric, with commas;
 * they are cut up. Ends after max_ms, or soon after skymon_ms_left has become 0. */
int race_connect(struct skymon *sm, char *addresses, uint16_t port, int64_t max_ms, int *error);
int race_connect_one(struct skymon *sm, const struct sockaddr *address, socklen_t size, int64_t max_ms,
		     int *error);

#endif
