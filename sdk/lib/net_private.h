/* SPDX-License-Identifier: Apache-2.0 */
/* net_private: shared by net's files; for no other includer. */
#ifndef NET_PRIVATE_H
#define NET_PRIVATE_H

#include <skymon/net.h>
#include <sys/socket.h>

#include "net_loop.h"

/* net_connect.c: return a descriptor, or -1 with *fault set. role is "" or "proxy ", for the message. */
int skymon_net_connect_unix(struct skymon *sm, const char *path, struct skymon_fault *fault);
int skymon_net_connect_name(struct skymon *sm, const char *role, const char *host, uint16_t port,
			    double *resolve_seconds, struct skymon_fault *fault);
/* net_race.c: as skymon_net_race(), for one address of any kind. */
int skymon_net_race_one(struct skymon *sm, const struct sockaddr *address, socklen_t size, int64_t max_ms,
			int *error);
/* net_proxy.c: has the proxy at fd connect to the server. */
bool skymon_net_through(struct skymon *sm, int fd, const struct skymon_net_target *to,
			const struct skymon_net_url *proxy, struct skymon_fault *fault);
/* net_tls.c */
bool skymon_net_secure(struct skymon *sm, struct skymon_net *net, const struct skymon_net_target *to,
		       struct skymon_fault *fault);
ssize_t skymon_net_tls_read(struct skymon *sm, struct skymon_net *net, void *bytes, size_t size,
			    struct skymon_fault *fault);
ssize_t skymon_net_tls_write(struct skymon *sm, struct skymon_net *net, const void *bytes, size_t size,
			     struct skymon_fault *fault);
bool skymon_net_tls_silent(struct skymon_net *net);

#endif
