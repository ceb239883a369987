/* SPDX-License-Identifier: Apache-2.0 */
/* http_server: shared by the tests of http: the loop in a thread of its own with a few routes, and a client
 * that speaks over real sockets. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/http.h"

/* ---- The server ---- */

static struct {
	struct loop *loop;
	struct http *http;
	struct settings *settings;
	struct route_table *table;
	struct watch wake;
	void (*call)(void);
	sem_t called;
	pthread_t thread;
	uint16_t port;
	char unix_path[64];
} server;

static struct skymon sm = {.host = &http_host};
static char *big;    /* a body of 1 MiB */
static int released; /* calls of done */
#define BIG_SIZE 1048576

static inline void count_release(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&released, 1, __ATOMIC_SEQ_CST);
}

static inline void handle_echo(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	struct buf out = {0};
	size_t size;
	const char *query = skymon_query(self, rq, "q"), *header = skymon_header(self, rq, "X-Test");
	const char *param = skymon_param(self, rq, "name");
	buf_printf(&out, "%s name=%s q=%s x=%s trusted=%d body=", skymon_method(self, rq),
		   param != NULL ? param : "-", query != NULL ? query : "-", header != NULL ? header : "-",
		   skymon_is_trusted(self, rq));
	const char *body = skymon_body(self, rq, &size);
	buf_add(&out, body, size);
	skymon_reply_header(self, rq, "X-Echo", "yes");
	skymon_reply(self, rq, 200, "text/plain", out.data, out.size);
	buf_free(&out);
}

static inline void handle_status(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_reply(self, rq, 503, "application/json", "{}", 2);
}

static inline void handle_broken(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_problem(self, rq, 500, "it \"broke\" at %d %%", 7);
}

static inline void handle_silent(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)self;
	(void)state;
	(void)rq;
}

static inline void handle_twice(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_reply(self, rq, 200, "text/plain", "one", 3);
	skymon_reply(self, rq, 500, "text/plain", "two", 3);
}

/* ?size=N: N bytes in three parts. */
static inline void handle_parts(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *text = skymon_query(self, rq, "size"), *generation = skymon_query(self, rq, "generation");
	size_t size = text != NULL ? strtoul(text, NULL, 10) : 0, third = size / 3;
	const struct skymon_part parts[] = {
		{big, third}, {"", 0}, {big + third, third}, {big + 2 * third, size - 2 * third}};
	skymon_reply_parts(self, rq, 200, "text/plain", parts, 4,
			   generation != NULL ? strtoul(generation, NULL, 10) : 0, count_release, NULL);
}

static inline void handle_render(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	size_t size = 0;
	const char *name = skymon_query(self, rq, "of"),
		   *text = skymon_render(self, rq, name != NULL ? name : "", &size);
	skymon_reply(self, rq, 200, "text/plain", text != NULL ? text : "(null)", text != NULL ? size : 6);
}

#define ROUTE(method_, path_, name_, handle_, flags_)                                                        \
	{                                                                                                    \
		.size = sizeof(struct skymon_route), .method = method_, .path = path_, .name = name_,        \
		.summary = "", .handle = handle_, .flags = flags_                                            \
	}

/* Routes without a handler are forwarded: a test answers for them (http_set_forward). */
static const struct skymon_route routes[] = {
	ROUTE("GET", "/echo", "echo", handle_echo, 0),
	ROUTE("GET", "/echo/{name}", "named", handle_echo, 0),
	ROUTE("POST", "/echo/{name}", "post", handle_echo, 0),
	ROUTE("POST", "/form", "form", handle_echo, SKYMON_ROUTE_ANY_BODY),
	ROUTE("GET", "/private", "private", handle_echo, SKYMON_ROUTE_PRIVATE),
	ROUTE("GET", "/status", "status", handle_status, SKYMON_ROUTE_OPTIONS_AS_GET),
	ROUTE("GET", "/broken", "broken", handle_broken, 0),
	ROUTE("GET", "/silent", "silent", handle_silent, 0),
	ROUTE("GET", "/twice", "twice", handle_twice, 0),
	ROUTE("GET", "/parts", "parts", handle_parts, 0),
	ROUTE("GET", "/render", "render", handle_render, 0),
	ROUTE("GET", "/away", "away", NULL, 0),
	ROUTE("POST", "/guarded", "guarded", NULL, SKYMON_ROUTE_GUARDED | SKYMON_ROUTE_ANY_BODY),
};

static inline struct route_table *make_table(void)
{
	struct route_table *table = route_table_new();
	struct err err;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		struct route_entry entry = {.route = &routes[i],
					    .sm = &sm,
					    .plugin = "test",
					    .forwarded = routes[i].handle == NULL};
		if (!route_add(table, &entry, &err))
			abort();
	}
	return table;
}

static inline struct settings *make_settings(const char *yaml)
{
	struct err_list errs = {0};
	struct config config;
	if (!config_parse("test", yaml, strlen(yaml), config_environment, &config, &errs))
		abort();
	struct settings *settings = settings_new(&config, config_environment, &errs);
	for (size_t i = 0; i < errs.count; i++)
		fprintf(stderr, "%s\n", errs.texts[i]);
	if (settings == NULL)
		abort();
	err_list_free(&errs);
	return settings;
}

static inline void *run_loop(void *arg)
{
	(void)arg;
	loop_run(server.loop);
	return NULL;
}

static inline void woken(struct watch *watch, uint32_t events)
{
	(void)events;
	eventfd_t value;
	eventfd_read(watch->fd, &value);
	server.call();
	sem_post(&server.called);
}

/* Runs a function on the loop's thread and waits for it. */
static inline void call(void (*function)(void))
{
	server.call = function;
	eventfd_write(server.wake.fd, 1);
	sem_wait(&server.called);
}

static inline void stop_loop(void)
{
	loop_stop(server.loop);
}

static inline uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&address, size) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) != 0)
		abort();
	close(fd);
	return ntohs(address.sin_port);
}

static inline void start(const char *yaml)
{
	struct err err = {""};
	released = 0;
	server.loop = loop_new();
	server.settings = make_settings(yaml);
	server.http = http_new(server.loop, server.settings, (uint32_t)server.settings->limits.connections);
	server.table = make_table();
	http_set_routes(server.http, server.table);
	server.port = free_port();
	static const char *const only[] = {"echo"};
	char address[64], path[sizeof(server.unix_path) + 8];
	snprintf(address, sizeof(address), "127.0.0.1:%u", server.port);
	snprintf(server.unix_path, sizeof(server.unix_path), "/tmp/test_http.%d.sock", (int)getpid());
	snprintf(path, sizeof(path), "unix:%s", server.unix_path);
	struct settings_listen *tcp = settings_listen_new(address, &err);
	struct settings_listen *local = settings_listen_new(path, &err);
	local->entry.routes = (struct skymon_texts){.items = only, .count = 1};
	CU_ASSERT_FATAL(http_listen(server.http, tcp, &err));
	CU_ASSERT_FATAL(http_listen(server.http, local, &err));
	settings_listen_free(tcp);
	settings_listen_free(local);
	UNIT_TEXT(err.text, "");
	sem_init(&server.called, 0, 0);
	server.wake.ready = woken;
	loop_add(server.loop, &server.wake, eventfd(0, EFD_CLOEXEC), EPOLLIN);
	CU_ASSERT_FATAL(pthread_create(&server.thread, NULL, run_loop, NULL) == 0);
}

static inline void stop(void)
{
	call(stop_loop);
	pthread_join(server.thread, NULL);
	int fd = server.wake.fd;
	loop_remove(server.loop, &server.wake);
	close(fd);
	sem_destroy(&server.called);
	http_free(server.http);
	route_table_unref(server.table);
	loop_free(server.loop);
	settings_free(server.settings);
	CU_ASSERT_NOT_EQUAL(access(server.unix_path, F_OK), 0); /* the socket's file is removed */
}

/* ---- The client ---- */

struct reply {
	int code; /* 0 if the connection ended without a reply */
	char head[2048];
	char *body;
	size_t size;
};

static inline int dial(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = htons(server.port)};
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		abort();
	return fd;
}

static inline int dial_unix(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	strcpy(address.sun_path, server.unix_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		abort();
	return fd;
}

static inline void say(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		text += sent;
		left -= (size_t)sent;
	}
}

/* Reads one reply, byte by byte up to the body, so that later bytes stay in the socket. */
static inline struct reply hear_for(int fd, bool head_only)
{
	struct reply reply = {0};
	size_t got = 0;
	while (got < sizeof(reply.head) - 1 && recv(fd, reply.head + got, 1, 0) == 1) {
		got++;
		if (got >= 4 && memcmp(reply.head + got - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	reply.head[got] = '\0';
	if (sscanf(reply.head, "HTTP/1.1 %d", &reply.code) != 1)
		return reply;
	const char *length = strstr(reply.head, "\r\nContent-Length: ");
	reply.size = length != NULL && !head_only ? strtoul(length + 18, NULL, 10) : 0;
	reply.body = calloc(1, reply.size + 1);
	for (size_t have = 0; have < reply.size;) {
		ssize_t more = recv(fd, reply.body + have, reply.size - have, 0);
		if (more <= 0) {
			reply.code = 0;
			break;
		}
		have += (size_t)more;
	}
	return reply;
}

static inline struct reply hear(int fd)
{
	return hear_for(fd, false);
}

static inline void forget(struct reply *reply)
{
	free(reply->body);
	*reply = (struct reply){0};
}

static inline bool is_closed(int fd)
{
	char byte;
	return recv(fd, &byte, 1, 0) == 0;
}

static inline bool has_header(const struct reply *reply, const char *line)
{
	char wanted[256];
	snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
	return strstr(reply->head, wanted) != NULL;
}

static inline struct reply ask(const char *request)
{
	int fd = dial();
	say(fd, request);
	struct reply reply = hear_for(fd, strncmp(request, "HEAD", 4) == 0);
	close(fd);
	return reply;
}

#define HOST "Host: x\r\n\r\n"

static inline int run_tests(const char *name, const struct unit_test *list)
{
	big = malloc(BIG_SIZE);
	for (size_t i = 0; i < BIG_SIZE; i++) /* compresses, but not to nothing */
		big[i] = (char)('a' + (i * i / 7 + i / 1000) % 19);
	int failed = unit_run(name, list);
	free(big);
	return failed;
}

#endif
