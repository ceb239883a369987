/* SPDX-License-Identifier: Apache-2.0 */
/* test_server: shared by the files of skymon-test-server. */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

/* How a connection is served, and its word on the command line. */
#define TEST_SERVER_KINDS(X)                                                                                 \
	X(KIND_HTTP, "http")                                                                                 \
	X(KIND_SLOW, "slow")                                                                                 \
	X(KIND_HALF, "half")                                                                                 \
	X(KIND_RESET, "reset")                                                                               \
	X(KIND_CLOSE, "close")                                                                               \
	X(KIND_SILENT, "silent")                                                                             \
	X(KIND_GARBAGE, "garbage")                                                                           \
	X(KIND_TCP, "tcp")                                                                                   \
	X(KIND_REFUSE, "refuse")
enum kind {
#define TEST_SERVER_KIND(kind, word) kind,
	TEST_SERVER_KINDS(TEST_SERVER_KIND)
#undef TEST_SERVER_KIND
};

/* Certificates, by what is wrong with them, and their words. */
#define TEST_SERVER_CERTIFICATES(X)                                                                          \
	X(CERTIFICATE_GOOD, "good")                                                                          \
	X(CERTIFICATE_EXPIRED, "expired")                                                                    \
	X(CERTIFICATE_FUTURE, "future")                                                                      \
	X(CERTIFICATE_SELF_SIGNED, "self-signed")                                                            \
	X(CERTIFICATE_UNTRUSTED, "untrusted")                                                                \
	X(CERTIFICATE_WRONG_NAME, "wrong-name")
enum certificate {
#define TEST_SERVER_CERTIFICATE(certificate, word) certificate,
	TEST_SERVER_CERTIFICATES(TEST_SERVER_CERTIFICATE)
#undef TEST_SERVER_CERTIFICATE
};

#define TURNS_MAX 16
#define HEADERS_MAX 16

/* Set before the first connection, and unchanged afterwards. */
struct test_server {
	enum kind turns
		[TURNS_MAX]; /* the kind of the first connection, the second …; the last for all others */
	size_t turn_count;
	int port, status, delay_ms;
	const char *body, *token, *headers[HEADERS_MAX];
	size_t header_count;
	SSL_CTX *tls; /* NULL without TLS */
};

/* test_server_tls.c: makes an authority, whose certificate is written to the file at path, and the server's
 * certificate. Returns NULL on failure. */
SSL_CTX *test_server_tls(enum certificate which, const char *path);

/* test_server_serve.c: binds the port (any if it is 0), and has threads accept and serve. Returns false with
 * errno. */
bool test_server_listen(struct test_server *server);

#endif
