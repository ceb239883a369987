/* SPDX-License-Identifier: Apache-2.0 */
/* http_peer_user: asks the kernel for the user at the other end of a connection: SO_PEERCRED on a Unix
 * socket, and for TCP from this machine the owner of the peer's socket, by sock_diag(7). http_local_caller.c calls
 * it once for each connection that needs it, on the loop's thread; owns nothing. The kernel answers such a
 * lookup within the send, so that nothing here waits. Without an answer (no netlink, a peer in another
 * network namespace, a closed socket) the owner stays unknown. */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_private.h"

struct lookup {
	struct nlmsghdr head;
	struct inet_diag_req_v2 wanted;
};

static void put_address(const struct sockaddr_storage *from, __be32 address[4], __be16 *port)
{
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)from;
		memcpy(address, &four->sin_addr, 4);
		*port = four->sin_port;
	} else {
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)from;
		memcpy(address, &six->sin6_addr, 16);
		*port = six->sin6_port;
	}
}

/* An IPv6 socket that speaks IPv4 is found by its IPv4 addresses, and reported with mapped ones. */
static bool same_end(const __be32 found[4], __be16 found_port, const __be32 wanted[4], __be16 port,
		     uint8_t found_family, uint8_t family)
{
	if (found_port != port)
		return false;
	if (found_family == family)
		return memcmp(found, wanted, family == AF_INET ? 4 : 16) == 0;
	return found_family == AF_INET6 &&
	       IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)found) && found[3] == wanted[0];
}

/* The kernel falls back to a listening socket of that port, and it reports root for a socket without a
 * process (closed, or not yet accepted): neither is the peer. */
bool owner_is_peer(const struct inet_diag_msg *found, const struct inet_diag_req_v2 *wanted)
{
	const struct inet_diag_sockid *is = &found->id, *sought = &wanted->id;
	bool connected = found->idiag_state == TCP_ESTABLISHED || found->idiag_state == TCP_FIN_WAIT1 ||
			 found->idiag_state == TCP_FIN_WAIT2;
	return connected && found->idiag_inode != 0 &&
	       same_end(is->idiag_src, is->idiag_sport, sought->idiag_src, sought->idiag_sport,
			found->idiag_family, wanted->sdiag_family) &&
	       same_end(is->idiag_dst, is->idiag_dport, sought->idiag_dst, sought->idiag_dport,
			found->idiag_family, wanted->sdiag_family);
}

static bool take_answer(int fd, const struct lookup *asked, struct owner *owner)
{
	union {
		struct nlmsghdr head;
		char bytes[1024];
	} answer;
	struct sockaddr_nl from = {0};
	socklen_t size = sizeof(from);
	ssize_t got = recvfrom(fd, &answer, sizeof(answer), MSG_DONTWAIT, (struct sockaddr *)&from, &size);
	if (got < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)) || size < sizeof(from) ||
	    from.nl_pid != 0 || answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer.head.nlmsg_seq != asked->head.nlmsg_seq)
		return false;
	const struct inet_diag_msg *found = NLMSG_DATA(&answer.head);
	owner->uid = found->idiag_uid;
	owner->inode = found->idiag_inode;
	return owner_is_peer(found, &asked->wanted);
}

static bool find_tcp(const struct sockaddr_storage *peer, const struct sockaddr_storage *own,
		     struct owner *owner)
{
	struct lookup ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST,
			 .nlmsg_seq = 1},
		.wanted = {.sdiag_family = (uint8_t)peer->ss_family,
			   .sdiag_protocol = IPPROTO_TCP,
			   .idiag_states = ~0u,
			   .id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
	};
	struct inet_diag_sockid *id = &ask.wanted.id;
	put_address(peer, id->idiag_src, &id->idiag_sport);
	put_address(own, id->idiag_dst, &id->idiag_dport);
	if (peer->ss_family == AF_INET6) /* of a link-local address */
		id->idiag_if = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_scope_id;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return false;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	bool known = sendto(fd, &ask, sizeof(ask), MSG_DONTWAIT, (struct sockaddr *)&kernel,
			    sizeof(kernel)) == (ssize_t)sizeof(ask) &&
		     take_answer(fd, &ask, owner);
	close(fd);
	return known;
}

void owner_find(struct owner *owner, int fd, const struct sockaddr_storage *peer,
		const struct sockaddr_storage *own)
{
	struct ucred creds;
	socklen_t size = sizeof(creds);
	*owner = (struct owner){.asked = true};
	if (own->ss_family == AF_UNIX) {
		owner->known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creds, &size) == 0;
		owner->uid = owner->known ? creds.uid : 0;
		owner->pid = owner->known ? creds.pid : 0;
	} else {
		owner->known = find_tcp(peer, own, owner);
	}
	owner->known = owner->known && passwd_is_named(owner->uid);
	if (owner->known)
		passwd_name(owner->uid, owner->name);
}
