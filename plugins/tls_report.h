/* SPDX-License-Identifier: Apache-2.0 */
/* tls_report: how well a connection is protected, reported in one way by every plugin that opens one: the
 * detail `tls` (none, unverified, verified) and the metric skymon_component_tls, which a shipped rule
 * watches. Call it in each check that had a connection. Header only, as a plugin is one shared object. */
#ifndef TLS_REPORT_H
#define TLS_REPORT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <skymon/plugin.h>
#include <string.h>
#include <sys/socket.h>

enum tls_trust {
	TLS_NONE,
	TLS_UNVERIFIED, /* encrypted; the certificate's chain or its name was not verified */
	TLS_VERIFIED    /* chain and name were verified */
};

/* local: the peer is on this machine (a loopback address or a Unix socket), where TLS is not needed. */
static inline void tls_report(struct skymon *sm, enum tls_trust trust, bool local)
{
	static const char *const words[] = {
		[TLS_NONE] = "none", [TLS_UNVERIFIED] = "unverified", [TLS_VERIFIED] = "verified"};
	const struct skymon_label labels[] = {{"peer", local ? "local" : "remote"}, {"tls", words[trust]}};

	skymon_detail(sm, "tls", "%s", words[trust]);
	skymon_metric(
		sm, SKYMON_GAUGE, "skymon_component_tls",
		"1 with how the component's connection is protected (tls: none, unverified, verified) and "
		"where it leads (peer: local is a loopback address or a Unix socket)",
		1, labels, 2);
}

static inline bool tls_address_is_local(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	if (address->sa_family == AF_UNIX)
		return true;
	if (address->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	if (address->sa_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return v6->sin6_addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* The same of a connected socket. False if the kernel does not tell. */
static inline bool tls_peer_is_local(int fd)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
	       tls_address_is_local((struct sockaddr *)&peer);
}

/* The same of a host as a URL has it: an address without brackets, `localhost`, or the path of a Unix socket.
 * A name is not looked up: any other one is not local. */
static inline bool tls_host_is_local(const char *host)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (host[0] == '/' || strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		return tls_address_is_local((struct sockaddr *)&v4);
	return inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 && tls_address_is_local((struct sockaddr *)&v6);
}

#endif
