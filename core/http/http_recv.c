/* SPDX-License-Identifier: Apache-2.0 */
/* http_recv: puts the framing check between libmicrohttpd and its sockets. The library has no hook between its sockets
 * and its parser, so this file replaces the two functions by which it reads: the dynamic linker finds a
 * program's own symbols first. It is linked with the programs that serve HTTP, not with the worker. Sockets
 * without a peer, and the bytes below TLS, are read unchanged. If a libmicrohttpd ever reads by another name,
 * http_validate.c refuses every request (request_validate_framing). Runs on the thread that reads; owns
 * nothing. */
#undef _FORTIFY_SOURCE /* its recv() is inline */

#include <errno.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>

#include "http_private.h"

#define OURS __attribute__((visibility("default")))

static ssize_t from_socket(void *fd, char *out, size_t room)
{
	return recvfrom(*(int *)fd, out, room, 0, NULL, NULL);
}

static ssize_t from_session(void *session, char *out, size_t room)
{
	unsigned char number[8];
	return gnutls_record_recv_seq(session, out, room, number);
}

OURS ssize_t recv(int fd, void *out, size_t room, int flags)
{
	struct peer *peer = flags & MSG_PEEK ? NULL : peer_of_socket(fd);
	if (peer == NULL || peer->tls)
		return recvfrom(fd, out, room, flags, NULL, NULL);
	const struct framing_source source = {.read = from_socket, .arg = &fd, .again = -1};
	return peer_read(peer, &source, out, room);
}

OURS ssize_t gnutls_record_recv(gnutls_session_t session, void *out, size_t room)
{
	struct peer *peer = peer_of_socket(gnutls_transport_get_int(session));
	const struct framing_source source = {
		.read = from_session, .arg = session, .again = GNUTLS_E_AGAIN, .records = true};
	if (peer == NULL)
		return from_session(session, out, room);
	return peer_read(peer, &source, out, room);
}
