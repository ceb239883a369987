/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgauth: keeps libpq from sending a password in clear to a server that was not verified. libpq 16
 * has require_auth for that. Older versions send the password in the same call that reads the request, so the
 * request is peeked at first. Called by database_pgconn before each such call, on the check's thread; owns
 * nothing. */
#include <string.h>
#include <sys/socket.h>

#include "database_postgres.h"

#define REQUEST_SIZE 9 /* 'R', length, kind */
#define CLEARTEXT 3

static uint32_t read_u32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

enum pg_asks pg_auth_scan(const unsigned char *bytes, size_t size)
{
	/* All messages are scanned: a malicious server may send more after a harmless request. */
	for (size_t at = 0; at < size;) {
		if (bytes[at] == 'R' && size - at < REQUEST_SIZE)
			return PG_ASKS_MORE;
		if (bytes[at] == 'R' && read_u32(bytes + at + 5) == CLEARTEXT)
			return PG_ASKS_CLEARTEXT;
		if (size - at < 5)
			return PG_ASKS_NOTHING_CLEAR;
		uint32_t length = read_u32(bytes + at + 1);
		if (length < 4 || length >= size - at)
			return PG_ASKS_NOTHING_CLEAR;
		at += 1 + length;
	}
	return PG_ASKS_NOTHING_CLEAR;
}

#ifdef HAVE_LIBPQ
#include <errno.h>
#include <openssl/ssl.h>

/* Returns how many bytes were peeked at, 0 if none have arrived, -1 if libpq is to report the error. */
static ssize_t peek(PGconn *conn, unsigned char *bytes, size_t size)
{
	ssize_t got = -1;
	if (PQsslInUse(conn) != 1) {
		got = recv(PQsocket(conn), bytes, size, MSG_PEEK | MSG_DONTWAIT);
		return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
	}
	SSL *tls = PQsslStruct(conn, "OpenSSL");

	if (tls != NULL)
		got = SSL_peek(tls, bytes, (int)size);
	/* A message of TLS itself, such as a session ticket, made the socket readable. */
	if (tls != NULL && got <= 0 && SSL_get_error(tls, (int)got) == SSL_ERROR_WANT_READ)
		return 0;
	return got > 0 ? got : -1;
}

enum pg_asks pg_auth_peek(PGconn *conn)
{
	if (PQstatus(conn) != CONNECTION_AWAITING_RESPONSE)
		return PG_ASKS_NOTHING_CLEAR;
	unsigned char bytes[512];
	ssize_t size = peek(conn, bytes, sizeof(bytes));
	if (size == 0)
		return PG_ASKS_NOTHING_YET;
	return size > 0 ? pg_auth_scan(bytes, (size_t)size) : PG_ASKS_NOTHING_CLEAR;
}
#endif
