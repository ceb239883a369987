/* SPDX-License-Identifier: Apache-2.0 */
/* net_peer: where a connection leads. Called by checks and by the other files of net and http, on any thread.
 * Pure, but for the questions to the kernel. */
#include <skymon/net.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool v4_is_local(struct in_addr address)
{
	return ntohl(address.s_addr) >> 24 == 127;
}

static bool v6_is_local(const struct in6_addr *address)
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		return address->s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(address);
}

bool skymon_net_peer_is_local(int fd)
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
	       (peer.any.sa_family == AF_INET && v4_is_local(peer.v4.sin_addr)) ||
	       (peer.any.sa_family == AF_INET6 && v6_is_local(&peer.v6.sin6_addr));
}

bool skymon_net_peer_address(int fd, char *text, size_t size)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	return getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
	       getnameinfo((struct sockaddr *)&peer, length, text, (socklen_t)size, NULL, 0,
			   NI_NUMERICHOST) == 0;
}

bool skymon_net_host_is_local(const char *host)
{
	if (host[0] == '/' || strcmp(host, "localhost") == 0)
		return true;
	struct in_addr v4;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return v4_is_local(v4);
	struct in6_addr v6;
	return inet_pton(AF_INET6, host, &v6) == 1 && v6_is_local(&v6);
}
