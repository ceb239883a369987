/* SPDX-License-Identifier: Apache-2.0 */
/* test_server_serve: accepts connections and serves each in the way of its turn. Called by test_server.c; one
 * thread accepts, and each connection has a thread of its own, which ends with the process at the latest. */
#include "test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 65536

struct connection {
	const struct test_server *server;
	enum kind kind;
	int fd;
	SSL *tls; /* NULL without TLS */
};

struct request {
	char head[HEAD_MAX]; /* ends with '\0' */
	size_t size;         /* of what has arrived, the body's first bytes included */
};

/* ---- Bytes ---- */

static ssize_t receive(struct connection *on, void *bytes, size_t size)
{
	return on->tls != NULL ? SSL_read(on->tls, bytes, (int)size) : recv(on->fd, bytes, size, 0);
}

static bool transmit(struct connection *on, const void *bytes, size_t size)
{
	for (const char *at = bytes; size > 0;) {
		ssize_t sent = on->tls != NULL ? SSL_write(on->tls, at, (int)size)
					       : send(on->fd, at, size, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		at += sent;
		size -= (size_t)sent;
	}
	return true;
}

static void read_to_the_end(struct connection *on)
{
	char bytes[4096];
	while (receive(on, bytes, sizeof(bytes)) > 0)
		;
}

/* ---- HTTP ---- */

/* Returns the value of a header, up to its line's end; NULL if the request has none. */
static const char *header_of(const struct request *request, const char *name)
{
	size_t length = strlen(name);
	for (const char *line = strstr(request->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, length) == 0 && line[length] == ':')
			return line + length + 1 + strspn(line + length + 1, " \t");
	}
	return NULL;
}

static bool is(const char *value, const char *prefix, const char *text)
{
	size_t first = strlen(prefix), second = strlen(text);
	return value != NULL && strncasecmp(value, prefix, first) == 0 &&
	       strncmp(value + first, text, second) == 0 && strspn(value + first + second, " \t\r") > 0;
}

/* Reads a request and drops its body, which must have a Content-Length. */
static bool read_request(struct connection *on, struct request *request)
{
	*request = (struct request){.size = 0};
	const char *end = NULL;
	while (end == NULL) {
		ssize_t got = receive(on, request->head + request->size, HEAD_MAX - 1 - request->size);
		if (got <= 0)
			return false;
		request->size += (size_t)got;
		end = strstr(request->head, "\r\n\r\n");
	}
	size_t head_size = (size_t)(end + 4 - request->head), had = request->size - head_size;
	request->head[head_size - 2] = '\0'; /* the first bytes of the body are not headers */
	const char *length = header_of(request, "Content-Length");
	size_t left = length != NULL ? strtoul(length, NULL, 10) : 0;
	char bytes[4096];
	for (left = left > had ? left - had : 0; left > 0;) {
		ssize_t got = receive(on, bytes, left < sizeof(bytes) ? left : sizeof(bytes));
		if (got <= 0)
			return false;
		left -= (size_t)got;
	}
	return true;
}

/* Sends the answer, or half of it. Returns whether the connection stays. */
static bool answer(struct connection *on, const struct request *request)
{
	const struct test_server *server = on->server;
	bool refused =
		server->token != NULL && !is(header_of(request, "Authorization"), "Bearer ", server->token);
	int status = refused ? 401 : server->status;
	bool bare = status == 204 || status == 304;
	const char *body = refused || bare ? "" : server->body;
	size_t size = strlen(body), used;
	char head[HEAD_MAX];
	used = (size_t)snprintf(head, sizeof(head), "HTTP/1.1 %d Test\r\n", status);
	for (size_t i = 0; i < server->header_count; i++)
		used += (size_t)snprintf(head + used, sizeof(head) - used, "%.2000s\r\n", server->headers[i]);
	if (refused)
		used += (size_t)snprintf(head + used, sizeof(head) - used, "WWW-Authenticate: Bearer\r\n");
	used += bare ? (size_t)snprintf(head + used, sizeof(head) - used, "\r\n")
		     : (size_t)snprintf(head + used, sizeof(head) - used, "Content-Length: %zu\r\n\r\n",
					size);
	if (strncmp(request->head, "HEAD ", 5) == 0)
		size = 0;
	bool half = on->kind == KIND_HALF;
	return transmit(on, head, half && size == 0 ? used / 2 : used) &&
	       transmit(on, body, half ? size / 2 : size) && !half &&
	       !is(header_of(request, "Connection"), "", "close");
}

/* ---- Connections ---- */

/* Closes the connection with RST. */
static void reset(struct connection *on)
{
	const struct linger now = {.l_onoff = 1};
	setsockopt(on->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void send_garbage(struct connection *on)
{
	unsigned char bytes[512];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 151 + 197);
	transmit(on, bytes, sizeof(bytes));
}

/* Reads requests and answers them, while the connection stays. */
static void serve_http(struct connection *on)
{
	struct request *request = malloc(sizeof(*request));
	while (request != NULL && read_request(on, request)) {
		if (on->kind == KIND_SLOW)
			poll(NULL, 0, on->server->delay_ms);
		if (!answer(on, request))
			break;
	}
	free(request);
}

static void serve(struct connection *on)
{
	char byte;
	if (on->kind == KIND_HTTP || on->kind == KIND_SLOW || on->kind == KIND_HALF) {
		serve_http(on);
	} else if (on->kind == KIND_TCP || on->kind == KIND_SILENT) {
		if (on->kind == KIND_TCP)
			transmit(on, on->server->body, strlen(on->server->body));
		read_to_the_end(on);
	} else if (receive(on, &byte, 1) > 0) {
		if (on->kind == KIND_GARBAGE)
			send_garbage(on);
		else
			reset(on);
	}
}

static void *run_connection(void *arg)
{
	struct connection *on = arg;
	bool ready = true;
	int one = 1;
	setsockopt(on->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (on->kind != KIND_CLOSE && on->server->tls != NULL) {
		on->tls = SSL_new(on->server->tls);
		ready = on->tls != NULL && SSL_set_fd(on->tls, on->fd) == 1 && SSL_accept(on->tls) == 1;
	}
	if (ready && on->kind != KIND_CLOSE) {
		serve(on);
		if (on->tls != NULL && on->kind != KIND_RESET)
			SSL_shutdown(on->tls);
	}
	SSL_free(on->tls);
	close(on->fd);
	free(on);
	return NULL;
}

struct accepting {
	const struct test_server *server;
	int fd;
};

static void *run_accepting(void *arg)
{
	struct accepting *from = arg;
	const struct test_server *server = from->server;
	for (size_t turn = 0;;) {
		int fd = accept4(from->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		struct connection *on = malloc(sizeof(*on));
		pthread_t thread;
		if (on == NULL)
			abort();
		*on = (struct connection){.server = server, .kind = server->turns[turn], .fd = fd};
		if (pthread_create(&thread, NULL, run_connection, on) != 0)
			abort();
		pthread_detach(thread);
		if (turn + 1 < server->turn_count)
			turn++;
	}
	return NULL;
}

bool test_server_listen(struct test_server *server)
{
	static struct accepting from;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server->port)};
	socklen_t size = sizeof(at);
	int one = 1;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from = (struct accepting){.server = server, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (from.fd < 0 || setsockopt(from.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(from.fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    getsockname(from.fd, (struct sockaddr *)&at, &size) != 0)
		return false;
	server->port = ntohs(at.sin_port);
	if (server->turns[0] == KIND_REFUSE) /* the port is taken, and refuses */
		return true;
	pthread_t thread;
	return listen(from.fd, 128) == 0 && pthread_create(&thread, NULL, run_accepting, &from) == 0 &&
	       pthread_detach(thread) == 0;
}
