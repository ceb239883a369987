/* SPDX-License-Identifier: Apache-2.0 */
/* tls_report: reports how well a connection is protected, in the same way for every plugin that opens one: as
 * the detail `tls` (none, unverified, verified) and as the metric skymon_component_tls, which a shipped rule
 * watches. Call it in each check that had a connection. */
#ifndef TLS_REPORT_H
#define TLS_REPORT_H

#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <skymon/plugin.h>
#include <string.h>
#include <sys/socket.h>

enum tls_trust {
	TLS_NONE,
	TLS_UNVERIFIED, /* encrypted; the certificate's chain or its name was not verified */
	TLS_VERIFIED    /* chain and name were verified */
};

/* local: the peer is on this machine (a loopback address or a Unix socket), where TLS is not required. */
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

/* As in "url %s". */
#define TLS_REPORT_CLEAR(scheme)                                                                             \
	"must begin with " scheme ": without TLS a secret is not sent to another machine, unless tls: "      \
	"{insecure: true} allows it"

#define TLS_REPORT_NUMBERS                                                                                   \
	{                                                                                                    \
		"certificate_days", "",                                                                      \
			"days until the first certificate of the server's chain ends; absent without TLS"    \
	}

/* Reports the number certificate_days. The plugin declares TLS_REPORT_NUMBERS among its numbers. days is NaN
 * without TLS. */
static inline void tls_report_days(struct skymon *sm, double days)
{
	if (isnan(days))
		return;
	skymon_number(sm, "certificate_days", days);
	skymon_detail_number(sm, "certificate_days", floor(days * 10) / 10);
	skymon_gauge(sm, "skymon_component_certificate_days",
		     "Days until the first certificate of the server's chain ends", days);
}

static inline bool tls_v4_is_local(struct in_addr address)
{
	return ntohl(address.s_addr) >> 24 == 127;
}

static inline bool tls_v6_is_local(const struct in6_addr *address)
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		return address->s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(address);
}

/* Returns whether the peer of a connected socket is on this machine; false if the kernel does not know. */
static inline bool tls_peer_is_local(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage room;
	} peer;
	socklen_t size = sizeof(peer);

	if (getpeername(fd, &peer.any, &size) != 0)
		return false;
	return peer.any.sa_family == AF_UNIX ||
	       (peer.any.sa_family == AF_INET && tls_v4_is_local(peer.v4.sin_addr)) ||
	       (peer.any.sa_family == AF_INET6 && tls_v6_is_local(&peer.v6.sin6_addr));
}

/* Writes the peer's address as text. Returns false if it has none. */
static inline bool tls_peer_address(int fd, char *text, size_t size)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
	       getnameinfo((struct sockaddr *)&peer, length, text, (socklen_t)size, NULL, 0,
			   NI_NUMERICHOST) == 0;
}

/* Returns whether a host of a URL is on this machine: a loopback address without brackets, `localhost`, or
 * the path of a Unix socket. Other names are not resolved, and count as remote. */
static inline bool tls_host_is_local(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (host[0] == '/' || strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return tls_v4_is_local(v4);
	return inet_pton(AF_INET6, host, &v6) == 1 && tls_v6_is_local(&v6);
}

#endif
