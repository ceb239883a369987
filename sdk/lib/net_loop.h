/* SPDX-License-Identifier: Apache-2.0 */
/* net_loop: parts of net for plugins on the worker's loop, which wait by themselves (skymon/loop.h). Not installed. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <skymon/net.h>

/* ---- net_connect.c, net_race.c ---- */

/* Explains why no connection came about. role is "" or "proxy ", for the message. */
void skymon_net_explain_connect(const char *role, const char *place, int error, struct skymon_fault *fault);
/* Returns the more telling of two errors, of which one may be 0. */
int skymon_net_more_telling(int error, int other);
#define SKYMON_NET_RACE_MAX 8   /* the most addresses that the host's resolver returns */
#define SKYMON_NET_DELAY_MS 250 /* between two attempts (RFC 8305, 5) */
/* Splits addresses at the commas, and interleaves the two families. */
size_t skymon_net_in_turn(char *addresses, const char *sorted[SKYMON_NET_RACE_MAX]);

/* ---- net_proxy.c ---- */

#define SKYMON_NET_PROXY_HEAD_MAX 8192 /* bytes of the head of its answer, which ends with an empty line */
/* Writes the request to connect to a host. Returns its size; 0 with *fault set if it does not fit. It may hold a password. */
size_t skymon_net_proxy_request(const struct skymon_net_target *to, const struct skymon_net_url *proxy,
				char *request, size_t size, struct skymon_fault *fault);
/* Returns whether the proxy has connected; else *fault explains. place: the proxy's. */
bool skymon_net_proxy_answer(const char *head, const char *place, struct skymon_fault *fault);

/* ---- net_tls.c ---- */

/* Makes a session over net->fd, as skymon_net_open does. Returns false with *fault set. */
bool skymon_net_tls_prepare(struct skymon_net *net, const struct skymon_net_target *to,
			    struct skymon_fault *fault);
enum skymon_net_wants { SKYMON_NET_FAILED, SKYMON_NET_READ, SKYMON_NET_WRITE };
/* After a call of OpenSSL with that result, before which its error queue and errno were cleared: what it waits for before it can be
 * repeated. If nothing, *fault explains; name: as it was expected of the certificate. */
enum skymon_net_wants skymon_net_tls_wants(struct skymon_net *net, int result, const char *name,
					   struct skymon_fault *fault);
void skymon_net_tls_free(struct skymon_net *net);
/* net.c: explains an errno of an established connection, or 0. */
void skymon_net_broken(const char *place, int error, struct skymon_fault *fault);

#endif
