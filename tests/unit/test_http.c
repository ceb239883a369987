/* http over real sockets: the loop runs in a thread of its own, the test is the client. */
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
#include <zlib.h>

#include "http.h"

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

static void count_release(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&released, 1, __ATOMIC_SEQ_CST);
}

static void handle_echo(struct skymon *self, void *state, struct skymon_request *rq)
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

static void handle_status(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_reply(self, rq, 503, "application/json", "{}", 2);
}

static void handle_broken(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_problem(self, rq, 500, "it \"broke\" at %d %%", 7);
}

static void handle_silent(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)self;
	(void)state;
	(void)rq;
}

static void handle_twice(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_reply(self, rq, 200, "text/plain", "one", 3);
	skymon_reply(self, rq, 500, "text/plain", "two", 3);
}

/* ?size=N: that many bytes in three parts. */
static void handle_parts(struct skymon *self, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *text = skymon_query(self, rq, "size"), *generation = skymon_query(self, rq, "generation");
	size_t size = text != NULL ? strtoul(text, NULL, 10) : 0, third = size / 3;
	const struct skymon_part parts[] = {
		{big, third}, {"", 0}, {big + third, third}, {big + 2 * third, size - 2 * third}};
	skymon_reply_parts(self, rq, 200, "text/plain", parts, 4,
			   generation != NULL ? strtoul(generation, NULL, 10) : 0, count_release, NULL);
}

static void handle_render(struct skymon *self, void *state, struct skymon_request *rq)
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
};

static struct route_table *make_table(void)
{
	struct route_table *table = route_table_new();
	struct err err;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		struct route_entry entry = {.route = &routes[i], .sm = &sm, .plugin = "test"};
		if (!route_add(table, &entry, &err))
			abort();
	}
	return table;
}

static struct settings *make_settings(const char *yaml)
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

static void *run_loop(void *arg)
{
	(void)arg;
	loop_run(server.loop);
	return NULL;
}

static void woken(struct watch *watch, uint32_t events)
{
	(void)events;
	eventfd_t value;
	eventfd_read(watch->fd, &value);
	server.call();
	sem_post(&server.called);
}

/* Runs a function on the loop's thread and waits for it. */
static void call(void (*function)(void))
{
	server.call = function;
	eventfd_write(server.wake.fd, 1);
	sem_wait(&server.called);
}

static void stop_loop(void)
{
	loop_stop(server.loop);
}

static uint16_t free_port(void)
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

static void start(const char *yaml)
{
	struct err err = {""};
	released = 0;
	server.loop = loop_new();
	server.settings = make_settings(yaml);
	server.http = http_new(server.loop, server.settings);
	server.table = make_table();
	http_set_routes(server.http, server.table);
	server.port = free_port();
	struct settings_listen listen = {
		.text = (char *)"test", .host = (char *)"127.0.0.1", .port = server.port};
	char *only[] = {(char *)"echo"};
	struct settings_listen local = {
		.text = (char *)"unix", .unix_path = server.unix_path, .routes = only, .route_count = 1};
	snprintf(server.unix_path, sizeof(server.unix_path), "/tmp/test_http.%d.sock", (int)getpid());
	CU_ASSERT_FATAL(http_listen(server.http, &listen, &err));
	CU_ASSERT_FATAL(http_listen(server.http, &local, &err));
	UNIT_TEXT(err.text, "");
	sem_init(&server.called, 0, 0);
	server.wake.ready = woken;
	loop_add(server.loop, &server.wake, eventfd(0, EFD_CLOEXEC), EPOLLIN);
	CU_ASSERT_FATAL(pthread_create(&server.thread, NULL, run_loop, NULL) == 0);
}

static void stop(void)
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
	CU_ASSERT_NOT_EQUAL(access(server.unix_path, F_OK), 0); /* the socket's file went with it */
}

/* ---- The client ---- */

struct reply {
	int code; /* 0: no reply, the connection ended */
	char head[2048];
	char *body;
	size_t size;
};

static int dial(void)
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

static int dial_unix(void)
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

static void say(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		text += sent;
		left -= (size_t)sent;
	}
}

/* Reads one reply, byte by byte up to the body, so that what follows stays in the socket. */
static struct reply hear_for(int fd, bool head_only)
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

static struct reply hear(int fd)
{
	return hear_for(fd, false);
}

static void forget(struct reply *reply)
{
	free(reply->body);
	*reply = (struct reply){0};
}

static bool is_closed(int fd)
{
	char byte;
	return recv(fd, &byte, 1, 0) == 0;
}

static bool has_header(const struct reply *reply, const char *line)
{
	char wanted[256];
	snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
	return strstr(reply->head, wanted) != NULL;
}

static struct reply ask(const char *request)
{
	int fd = dial();
	say(fd, request);
	struct reply reply = hear_for(fd, strncmp(request, "HEAD", 4) == 0);
	close(fd);
	return reply;
}

/* ---- Tests ---- */

#define HOST "Host: x\r\n\r\n"

static void answers(void)
{
	static const struct {
		const char *request;
		int code;
		const char *body; /* NULL: any */
	} cases[] = {
		{"GET /echo HTTP/1.1\r\n" HOST, 200, "GET name=- q=- x=- trusted=1 body="},
		{"GET /echo/ HTTP/1.1\r\n" HOST, 200, "GET name=- q=- x=- trusted=1 body="},
		{"GET /echo HTTP/1.0\r\n\r\n", 200, "GET name=- q=- x=- trusted=1 body="},
		{"GET http://other:1/echo?q=1 HTTP/1.1\r\n" HOST, 200, "GET name=- q=1 x=- trusted=1 body="},
		{"GET /%65cho/a%2Fb?x=1&q=c%20d+e HTTP/1.1\r\nX-Test: y\r\n" HOST, 200,
		 "GET name=a/b q=c d e x=y trusted=1 body="},
		{"GET /echo?q HTTP/1.1\r\n" HOST, 200, "GET name=- q= x=- trusted=1 body="},
		{"GET /echo?qq=1&q=&q=2 HTTP/1.1\r\n" HOST, 200, "GET name=- q= x=- trusted=1 body="},
		{"GET /echo HTTP/1.1\r\nContent-Length: 3\r\n" HOST "abc", 200,
		 "GET name=- q=- x=- trusted=1 body=abc"},
		{"POST /echo/n HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n" HOST "{}",
		 200, "POST name=n q=- x=- trusted=1 body={}"},
		{"POST /echo/n HTTP/1.1\r\nContent-Type: Application/JSON; "
		 "charset=utf-8\r\nTransfer-Encoding: "
		 "chunked\r\n" HOST "2\r\n{}\r\n1\r\n \r\n0\r\n\r\n",
		 200, "POST name=n q=- x=- trusted=1 body={} "},
		{"POST /form HTTP/1.1\r\nContent-Length: 3\r\n" HOST "a=b", 200,
		 "POST name=- q=- x=- trusted=1 body=a=b"},
		{"POST /echo/n HTTP/1.1\r\nContent-Length: 2\r\n" HOST "{}", 415, NULL},
		{"POST /echo/n HTTP/1.1\r\nContent-Type: application/jsonp\r\nContent-Length: 2\r\n" HOST
		 "{}",
		 415, NULL},
		{"POST /echo HTTP/1.1\r\n" HOST, 405, NULL},
		{"BREW /echo HTTP/1.1\r\n" HOST, 405, NULL},
		{"GET /nothing HTTP/1.1\r\n" HOST, 404, NULL},
		{"GET /echo/a/b HTTP/1.1\r\n" HOST, 404, NULL},
		{"GET /status HTTP/1.1\r\n" HOST, 503, "{}"},
		{"GET /silent HTTP/1.1\r\n" HOST, 500, NULL},
		{"GET /twice HTTP/1.1\r\n" HOST, 200, "one"},
		{"GET /render?of=status HTTP/1.1\r\n" HOST, 200, "(null)"},
		{"GET /render?of=none HTTP/1.1\r\n" HOST, 200, "(null)"},
		{"GET /render?of=render HTTP/1.1\r\n" HOST, 200, "(null)"},
		{"GET /render?of=echo HTTP/1.1\r\nX-Test: outer\r\n" HOST, 200,
		 "GET name=- q=- x=- trusted=1 body="},
		{"GET /render?of=parts HTTP/1.1\r\n" HOST, 200, ""},
	};
	start("{}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply reply = ask(cases[i].request);
		if (reply.code != cases[i].code)
			fprintf(stderr, "\n%s-> %s%s\n", cases[i].request, reply.head, reply.body);
		CU_ASSERT_EQUAL(reply.code, cases[i].code);
		if (cases[i].body != NULL)
			UNIT_TEXT(reply.body, cases[i].body);
		CU_ASSERT(has_header(&reply, "Cache-Control: no-store"));
		CU_ASSERT_EQUAL(reply.code < 400 || reply.code == 503,
				strstr(reply.head, "application/problem+json") == NULL);
		forget(&reply);
	}
	stop();
}

static void refuses(void)
{
	static const struct {
		const char *request;
		int code;
		bool closed; /* nothing behind it may be believed */
		const char *detail;
	} cases[] = {
		{"GET /echo HTTP/1.1\r\n\r\n", 400, false, "an HTTP/1.1 request needs a Host header"},
		{"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, false,
		 "there are two Host headers"},
		{"GET /echo HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", 400, true, "there are two Host headers"},
		{"POST /form HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n" HOST "abc", 400, true,
		 "there are two Content-Length headers"},
		{"POST /form HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 40\r\n" HOST "abc", 400, true,
		 "there are two Content-Length headers"},
		{"POST /form HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n" HOST
		 "0\r\n\r\n",
		 400, true, "there is a Content-Length beside a Transfer-Encoding"},
		{"POST /form HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n" HOST
		 "0\r\n\r\n",
		 400, true, "there is a Content-Length beside a Transfer-Encoding"},
		{"POST /form HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" HOST "0\r\n\r\n", 400, true,
		 "the only Transfer-Encoding that is understood is chunked"},
		{"POST /form HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" HOST
		 "0\r\n\r\n",
		 400, true, "the only Transfer-Encoding that is understood is chunked"},
		{"POST /form HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" HOST "0\r\n\r\n", 400, true,
		 "HTTP/1.0 has no Transfer-Encoding"},
		{"POST /form HTTP/1.1\r\nContent-Length : 3\r\n" HOST "abc", 400, true,
		 "a header has a space before its colon, or a NUL"},
		{"POST /form HTTP/1.1\r\nContent-Length: 1025\r\n" HOST, 413, true,
		 "the body is larger than limits.request_body allows"},
		{"GET /echo/%00 HTTP/1.1\r\n" HOST, 400, false,
		 "the target has a % that is not followed by two hexadecimal digits, or %00"},
		{"GET /nothing/%zz HTTP/1.1\r\n" HOST, 400, false,
		 "the target has a % that is not followed by two hexadecimal digits, or %00"},
		{"GET /echo?q=%4 HTTP/1.1\r\n" HOST, 400, false,
		 "the target has a % that is not followed by two hexadecimal digits, or %00"},
		{"GET /echo/a b HTTP/1.1\r\n" HOST, 400, false,
		 "the path has a space, a control character or a byte above 127; encode it"},
		{"GET /echo/\xff HTTP/1.1\r\n" HOST, 400, false,
		 "the path has a space, a control character or a byte above 127; encode it"},
		{"GET echo HTTP/1.1\r\n" HOST, 400, false,
		 "the target of the request is not a path that begins with /"},
		{"GET * HTTP/1.1\r\n" HOST, 400, false,
		 "the target of the request is not a path that begins with /"},
		{"CONNECT x:1 HTTP/1.1\r\n" HOST, 400, false,
		 "the target of the request is not a path that begins with /"},
	};
	start("limits: {request_body: 1KiB}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = dial();
		say(fd, cases[i].request);
		struct reply reply = hear(fd);
		CU_ASSERT_EQUAL(reply.code, cases[i].code);
		char wanted[256];
		snprintf(wanted, sizeof(wanted), "\"error\":\"%s\"}", cases[i].detail);
		if (reply.body == NULL || strstr(reply.body, wanted) == NULL)
			fprintf(stderr, "\n%s-> %s%s\n", cases[i].request, reply.head, reply.body);
		CU_ASSERT(reply.body != NULL && strstr(reply.body, wanted) != NULL);
		forget(&reply);
		if (cases[i].closed) {
			CU_ASSERT(is_closed(fd));
		} else {
			say(fd, "GET /echo HTTP/1.1\r\n" HOST);
			reply = hear(fd);
			CU_ASSERT_EQUAL(reply.code, 200);
			forget(&reply);
		}
		close(fd);
	}
	stop();
}

static void refuses_large(void)
{
	start("limits: {request_body: 1KiB}");
	/* chunks that pass the limit: known only when they have come */
	int fd = dial();
	say(fd, "POST /form HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST);
	char chunk[0x100 + 8];
	memcpy(chunk, "100\r\n", 5);
	memset(chunk + 5, 'x', 0x100);
	strcpy(chunk + 5 + 0x100, "\r\n");
	for (int i = 0; i < 5; i++)
		say(fd, chunk);
	say(fd, "0\r\n\r\n");
	struct reply reply = hear(fd);
	CU_ASSERT_EQUAL(reply.code, 413);
	forget(&reply);
	CU_ASSERT(is_closed(fd));
	close(fd);
	/* exactly the limit */
	fd = dial();
	say(fd, "POST /form HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST);
	for (int i = 0; i < 4; i++)
		say(fd, chunk);
	say(fd, "0\r\n\r\n");
	reply = hear(fd);
	CU_ASSERT_EQUAL(reply.code, 200);
	forget(&reply);
	close(fd);
	/* a target of 9 KiB, and one of 40 KiB, which libmicrohttpd refuses */
	char *request = malloc(50000);
	for (int kib = 9; kib < 41; kib += 31) {
		strcpy(request, "GET /echo?q=");
		size_t length = strlen(request);
		memset(request + length, 'a', (size_t)kib * 1024);
		strcpy(request + length + kib * 1024, " HTTP/1.1\r\n" HOST);
		reply = ask(request);
		CU_ASSERT_EQUAL(reply.code, 414);
		forget(&reply);
	}
	/* a query of nothing but separators is a query */
	strcpy(request, "GET /echo?");
	memset(request + 10, '&', 7000);
	strcpy(request + 7010, "q=last HTTP/1.1\r\n" HOST);
	reply = ask(request);
	CU_ASSERT_EQUAL(reply.code, 200);
	UNIT_TEXT(reply.body, "GET name=- q=last x=- trusted=1 body=");
	forget(&reply);
	free(request);
	stop();
}

static void has_right_headers(void)
{
	start("{}");
	struct reply get = ask("GET /echo HTTP/1.1\r\n" HOST), head = ask("HEAD /echo HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(head.code, 200);
	CU_ASSERT(has_header(&get, "Content-Type: text/plain"));
	CU_ASSERT(has_header(&get, "X-Echo: yes"));
	CU_ASSERT(has_header(&get, "Access-Control-Allow-Origin: *"));
	CU_ASSERT(has_header(&get, "Content-Length: 34"));
	CU_ASSERT(has_header(&head, "Content-Length: 35")); /* it says HEAD in place of GET */
	CU_ASSERT(has_header(&head, "X-Echo: yes"));
	CU_ASSERT_PTR_NULL(strstr(get.head, "Connection:"));
	forget(&get);
	forget(&head);
	struct reply private = ask("GET /private HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(private.code, 200);
	CU_ASSERT_PTR_NULL(strstr(private.head, "Access-Control"));
	forget(&private);
	struct reply post = ask("POST /form HTTP/1.1\r\nContent-Length: 0\r\n" HOST);
	CU_ASSERT_EQUAL(post.code, 200);
	CU_ASSERT_PTR_NULL(strstr(post.head, "Access-Control"));
	forget(&post);
	struct reply wrong = ask("PUT /echo/a HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(wrong.code, 405);
	CU_ASSERT(has_header(&wrong, "Allow: GET, HEAD, POST, OPTIONS"));
	forget(&wrong);
	struct reply broken = ask("GET /broken HTTP/1.1\r\n" HOST);
	CU_ASSERT(has_header(&broken, "Content-Type: application/problem+json"));
	static const char before[] =
		"{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,"
		"\"detail\":\"it \\\"broke\\\" at 7 %\",\"timestamp\":\"20",
			  after[] = "Z\",\"error\":\"it \\\"broke\\\" at 7 %\"}";
	CU_ASSERT_FATAL(broken.size == strlen(before) + strlen(after) + 21);
	CU_ASSERT(memcmp(broken.body, before, strlen(before)) == 0);
	UNIT_TEXT(broken.body + broken.size - strlen(after), after);
	forget(&broken);
	stop();
}

static void answers_options(void)
{
	start("{}");
	/* what HAProxy's `option httpchk URI` sends */
	struct reply reply = ask("OPTIONS /status HTTP/1.0\r\n\r\n");
	CU_ASSERT_EQUAL(reply.code, 503);
	CU_ASSERT(has_header(&reply, "Allow: GET, HEAD, OPTIONS"));
	CU_ASSERT_EQUAL(reply.size, 0);
	forget(&reply);
	reply = ask("OPTIONS /echo/a HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(reply.code, 204);
	CU_ASSERT(has_header(&reply, "Allow: GET, HEAD, POST, OPTIONS"));
	CU_ASSERT(has_header(&reply, "Access-Control-Allow-Origin: *"));
	forget(&reply);
	reply = ask("OPTIONS /form HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(reply.code, 204);
	CU_ASSERT(has_header(&reply, "Allow: POST, OPTIONS"));
	forget(&reply);
	reply = ask("OPTIONS * HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(reply.code, 204);
	CU_ASSERT(has_header(&reply, "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS"));
	forget(&reply);
	reply = ask("OPTIONS /nothing HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(reply.code, 404);
	forget(&reply);
	stop();
}

/* Each of so many connections asks, all at once, three times; nobody may wait. */
static void serves_connections(void)
{
	static const int counts[] = {1, 32, 128, 129, 256, 512};
	start("limits: {connections: 2000, connections_per_address: 2000}");
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		int fds[512], good = 0;
		for (int i = 0; i < counts[c]; i++)
			fds[i] = dial();
		for (int round = 0; round < 3; round++) {
			for (int i = 0; i < counts[c]; i++)
				say(fds[i], "GET /echo HTTP/1.1\r\n" HOST);
			for (int i = 0; i < counts[c]; i++) {
				struct reply reply = hear(fds[i]);
				good += reply.code == 200;
				forget(&reply);
			}
		}
		CU_ASSERT_EQUAL(good, 3 * counts[c]);
		for (int i = 0; i < counts[c]; i++)
			close(fds[i]);
	}
	stop();
}

static void serves_pipelined(void)
{
	start("{}");
	int fd = dial(), good = 0;
	char all[40 * 64] = "";
	for (int i = 0; i < 40; i++)
		sprintf(all + strlen(all), "GET /echo/%d HTTP/1.1\r\n" HOST, i);
	say(fd, all);
	for (int i = 0; i < 40; i++) {
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "GET name=%d q=- x=- trusted=1 body=", i);
		struct reply reply = hear(fd);
		good += reply.code == 200 && strcmp(reply.body, wanted) == 0;
		forget(&reply);
	}
	CU_ASSERT_EQUAL(good, 40);
	close(fd);
	stop();
}

static bool unpacks_to_big(const struct reply *reply, size_t size)
{
	char *out = malloc(size + 1);
	z_stream stream = {.next_in = (Bytef *)reply->body,
			   .avail_in = (uInt)reply->size,
			   .next_out = (Bytef *)out,
			   .avail_out = (uInt)size + 1};
	if (inflateInit2(&stream, 15 + 16) != Z_OK)
		abort();
	bool same = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == size &&
		    memcmp(out, big, size) == 0;
	inflateEnd(&stream);
	free(out);
	return same;
}

static struct reply ask_parts(int fd, size_t size, unsigned generation, const char *encoding)
{
	char request[256];
	snprintf(request, sizeof(request),
		 "GET /parts?size=%zu&generation=%u HTTP/1.1\r\nAccept-Encoding: %s\r\n" HOST, size,
		 generation, encoding);
	say(fd, request);
	return hear(fd);
}

static void compresses(void)
{
	static const struct {
		size_t size;
		const char *encoding;
		bool packed;
	} cases[] = {
		{BIG_SIZE, "gzip", true},
		{BIG_SIZE, "identity", false},
		{BIG_SIZE, "deflate, gzip;q=0.5", true},
		{BIG_SIZE, "gzip;q=0", false},
		{BIG_SIZE, "gzip; q=0.0, *", false},
		{BIG_SIZE, "*;q=0.1", true},
		{BIG_SIZE, "br", false},
		{65536, "gzip", true},
		{65537, "GZIP", true},
		{1024, "gzip", true},
		{1023, "gzip", false},
		{0, "gzip", false},
	};
	start("{}");
	int fd = dial(), expected = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply reply = ask_parts(fd, cases[i].size, 0, cases[i].encoding);
		CU_ASSERT_EQUAL(reply.code, 200);
		CU_ASSERT(has_header(&reply, "Vary: Accept-Encoding"));
		CU_ASSERT_EQUAL(has_header(&reply, "Content-Encoding: gzip"), cases[i].packed);
		if (cases[i].packed)
			CU_ASSERT(unpacks_to_big(&reply, cases[i].size));
		if (!cases[i].packed)
			CU_ASSERT(reply.size == cases[i].size && memcmp(reply.body, big, reply.size) == 0);
		forget(&reply);
		expected++;
	}
	close(fd);
	fd = dial();
	say(fd, "HEAD /parts?size=100000 HTTP/1.1\r\nAccept-Encoding: gzip\r\n" HOST);
	struct reply head = hear_for(fd, true), get = ask_parts(fd, 100000, 0, "gzip");
	char length[64];
	snprintf(length, sizeof(length), "Content-Length: %zu", get.size);
	CU_ASSERT(has_header(&head, length));
	forget(&head);
	forget(&get);
	close(fd);
	stop();
	CU_ASSERT_EQUAL(released, expected + 2);
}

/* Many at once, half of them of one generation, some of which leave without waiting; /echo is served
 * meanwhile. */
static void shares_compressed(void)
{
	enum { ASKERS = 40 };
	int fds[ASKERS], good = 0;
	start("{}");
	for (int i = 0; i < ASKERS; i++) {
		char request[256];
		fds[i] = dial();
		snprintf(request, sizeof(request),
			 "GET /parts?size=%d&generation=%d HTTP/1.1\r\nAccept-Encoding: gzip\r\n" HOST,
			 BIG_SIZE, i % 2 == 0 ? 7 : 0);
		say(fds[i], request);
	}
	struct reply beside = ask("GET /echo HTTP/1.1\r\n" HOST);
	CU_ASSERT_EQUAL(beside.code, 200);
	forget(&beside);
	for (int i = 0; i < ASKERS; i += 4) {
		struct linger now = {.l_onoff = 1};
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* leaves with a reset */
		close(fds[i]);
	}
	for (int i = 0; i < ASKERS; i++) {
		if (i % 4 == 0)
			continue;
		struct reply reply = hear(fds[i]);
		good += reply.code == 200 && unpacks_to_big(&reply, BIG_SIZE);
		forget(&reply);
		close(fds[i]);
	}
	CU_ASSERT_EQUAL(good, ASKERS - ASKERS / 4);
	stop();
	CU_ASSERT_EQUAL(released, ASKERS);
}

/* The end comes while bodies are being compressed. */
static void stops_in_the_middle(void)
{
	int fds[8];
	start("{}");
	for (int i = 0; i < 8; i++) {
		fds[i] = dial();
		say(fds[i], "GET /parts?size=1048576 HTTP/1.1\r\nAccept-Encoding: gzip\r\n" HOST);
	}
	struct reply first = hear(fds[0]);
	CU_ASSERT_EQUAL(first.code, 200);
	forget(&first);
	stop();
	CU_ASSERT(released > 0);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static const struct skymon_http_count *find_count(const char *route, const char *method, int code)
{
	size_t count;
	const struct skymon_http_count *const *rows = http_counts(server.http, &count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i]->route, route) == 0 && strcmp(rows[i]->method, method) == 0 &&
		    rows[i]->code == code)
			return rows[i];
	return NULL;
}

static uint64_t counted(const char *route, const char *method, int code)
{
	const struct skymon_http_count *row = find_count(route, method, code);
	return row != NULL ? row->requests : 0;
}

static struct {
	uint64_t total, times, echo;
	double errors, average;
} seen;

static void look(void)
{
	size_t count;
	const struct skymon_http_time *const *times = http_times(server.http, &count);
	struct http_window window = http_window(server.http, loop_now_ms(server.loop));
	seen.total = http_requests_total(server.http);
	seen.errors = window.error_percent;
	seen.average = window.average_ms;
	seen.times = seen.echo = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t sum = 0;
		for (size_t b = 0; b < SKYMON_BUCKETS; b++)
			sum += times[i]->buckets[b];
		CU_ASSERT(sum <= times[i]->count);
		seen.times += times[i]->count;
		seen.echo += strcmp(times[i]->route, "/echo/{name}") == 0 ? times[i]->count : 0;
	}
	CU_ASSERT_EQUAL(counted("/echo/{name}", "GET", 200), 3);
	CU_ASSERT_EQUAL(counted("/echo/{name}", "POST", 200), 1);
	CU_ASSERT_EQUAL(counted("/echo/{name}", "POST", 415), 1);
	CU_ASSERT_EQUAL(counted("/status", "GET", 503), 2);
	CU_ASSERT_EQUAL(counted("/status", "OPTIONS", 503), 1);
	CU_ASSERT_EQUAL(counted("/broken", "GET", 500), 1);
	CU_ASSERT_EQUAL(counted("", "GET", 404), 2);
	CU_ASSERT_EQUAL(counted("", "other", 405), 1);
	CU_ASSERT_EQUAL(counted("", "GET", 400), 1);
}

static void swap_table(void)
{
	route_table_unref(server.table);
	server.table = make_table();
	http_set_routes(server.http, server.table);
}

static void too_late(void)
{
	struct http_window window = http_window(server.http, loop_now_ms(server.loop) + 61000);
	CU_ASSERT_EQUAL(window.error_percent, 0);
	CU_ASSERT_EQUAL(window.average_ms, 0);
}

static void counts(void)
{
	static const char *const requests[] = {
		"GET /echo/a HTTP/1.1\r\n" HOST,
		"GET /echo/b HTTP/1.1\r\n" HOST,
		"GET /echo/c HTTP/1.1\r\n" HOST,
		"POST /echo/a HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 0\r\n" HOST,
		"POST /echo/a HTTP/1.1\r\nContent-Length: 0\r\n" HOST,
		"GET /status HTTP/1.1\r\n" HOST,
		"GET /status HTTP/1.1\r\n" HOST,
		"OPTIONS /status HTTP/1.1\r\n" HOST,
		"GET /broken HTTP/1.1\r\n" HOST,
		"GET /nothing HTTP/1.1\r\n" HOST,
		"GET /nowhere HTTP/1.1\r\n" HOST,
		"BREW /echo HTTP/1.1\r\n" HOST,
		"GET /echo HTTP/1.1\r\n\r\n",
	};
	size_t count = sizeof(requests) / sizeof(requests[0]);
	start("{}");
	for (size_t i = 0; i < count; i++) {
		struct reply reply = ask(requests[i]);
		forget(&reply);
		if (i == 4)
			call(swap_table); /* a reload keeps the numbers */
	}
	call(look);
	CU_ASSERT_EQUAL(seen.total, count);
	CU_ASSERT_EQUAL(seen.times, count);
	CU_ASSERT_EQUAL(seen.echo, 5);
	CU_ASSERT_DOUBLE_EQUAL(seen.errors, 100.0 / (double)count,
			       1e-9); /* a 503 that reports a status is none */
	CU_ASSERT(seen.average > 0 && seen.average < 5000);
	call(too_late);
	stop();
}

static void asks_for_token(void)
{
	start("access: {token: s3cret, public: [echo, status]}");
	static const struct {
		const char *request;
		int code;
		const char *body;
	} cases[] = {
		{"GET /echo HTTP/1.1\r\n" HOST, 200, "GET name=- q=- x=- trusted=0 body="},
		{"GET /echo/below HTTP/1.1\r\n" HOST, 200, "GET name=below q=- x=- trusted=0 body="},
		{"GET /echo HTTP/1.1\r\nAuthorization: Bearer s3cret\r\n" HOST, 200,
		 "GET name=- q=- x=- trusted=1 body="},
		{"GET /echo HTTP/1.1\r\nAuthorization: Bearer s3cre\r\n" HOST, 200,
		 "GET name=- q=- x=- trusted=0 body="},
		{"GET /private HTTP/1.1\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Bearer\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Bearer \r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Bearer s3cret2\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Basic s3cret\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: bearer s3cret\r\n" HOST, 200,
		 "GET name=- q=- x=- trusted=1 body="},
		{"GET /nothing HTTP/1.1\r\n" HOST, 404, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply reply = ask(cases[i].request);
		CU_ASSERT_EQUAL(reply.code, cases[i].code);
		CU_ASSERT_EQUAL(has_header(&reply, "WWW-Authenticate: Bearer"), cases[i].code == 401);
		if (cases[i].body != NULL)
			UNIT_TEXT(reply.body, cases[i].body);
		CU_ASSERT_EQUAL(strstr(reply.head, "Access-Control") != NULL, i < 4);
		forget(&reply);
	}
	stop();
}

static void serves_some_routes(void)
{
	static const struct {
		const char *request;
		int code;
	} cases[] = {
		{"GET /echo HTTP/1.1\r\n" HOST, 200},
		{"GET /echo/below HTTP/1.1\r\n" HOST, 200},
		{"POST /echo HTTP/1.1\r\n" HOST, 405},
		{"GET /status HTTP/1.1\r\n" HOST, 404},
		{"OPTIONS /status HTTP/1.1\r\n" HOST, 404},
		{"GET /form HTTP/1.1\r\n" HOST, 404},
		{"POST /form HTTP/1.1\r\nContent-Length: 0\r\n" HOST, 404},
	};
	start("{}");
	int fd = dial_unix();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say(fd, cases[i].request);
		struct reply reply = hear(fd);
		CU_ASSERT_EQUAL(reply.code, cases[i].code);
		forget(&reply);
	}
	close(fd);
	stop();
}

static void quiesce(void)
{
	http_quiesce(server.http);
}

static bool idle;
static void look_idle(void)
{
	idle = http_is_idle(server.http);
}

static int64_t open_now;
static void look_open(void)
{
	open_now = http_open_connections(server.http);
}

static void quiesces(void)
{
	start("{}");
	int fd = dial();
	say(fd, "GET /echo HTTP/1.1\r\n" HOST);
	struct reply reply = hear(fd);
	CU_ASSERT_EQUAL(reply.code, 200);
	CU_ASSERT_PTR_NULL(strstr(reply.head, "Connection:"));
	forget(&reply);
	call(look_open);
	CU_ASSERT_EQUAL(open_now, 1);
	call(quiesce);
	call(look_idle);
	CU_ASSERT(idle);
	/* a connection that is there is served once more, and told that it was the last time */
	say(fd, "GET /echo HTTP/1.1\r\n" HOST);
	reply = hear(fd);
	CU_ASSERT_EQUAL(reply.code, 200);
	CU_ASSERT(has_header(&reply, "Connection: close"));
	forget(&reply);
	CU_ASSERT(is_closed(fd));
	close(fd);
	/* a new one is refused */
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = htons(server.port)};
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CU_ASSERT(connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED);
	close(fd);
	stop();
}

static void ends_slow_clients(void)
{
	start("limits: {header_timeout: 1s, idle_timeout: 30s}");
	int silent = dial(), slow = dial(), fast = dial();
	say(slow, "GET /echo HTTP/1.1\r\n");
	say(fast, "GET /echo HTTP/1.1\r\n" HOST);
	struct reply reply = hear(fast);
	CU_ASSERT_EQUAL(reply.code, 200);
	forget(&reply);
	/* a byte now and then keeps nothing open */
	for (int i = 0; i < 40; i++) {
		struct timespec pause = {.tv_nsec = 50000000};
		say(slow, "X");
		nanosleep(&pause, NULL);
	}
	CU_ASSERT(is_closed(silent));
	int gone = dial(); /* ends together with its first bytes */
	say(gone, "GET /ec");
	shutdown(gone, SHUT_WR);
	CU_ASSERT(is_closed(gone));
	close(gone);
	char byte;
	CU_ASSERT(recv(slow, &byte, 1, 0) <= 0);
	say(fast, "GET /echo HTTP/1.1\r\n" HOST); /* and who has had an answer may be idle for longer */
	reply = hear(fast);
	CU_ASSERT_EQUAL(reply.code, 200);
	forget(&reply);
	close(silent);
	close(slow);
	close(fast);
	stop();
}

int main(void)
{
	big = malloc(BIG_SIZE);
	for (size_t i = 0; i < BIG_SIZE; i++) /* compresses, but not to nothing */
		big[i] = (char)('a' + (i * i / 7 + i / 1000) % 19);
	int failed = unit_run("http", (const struct unit_test[]){{"answers", answers},
								 {"refuses", refuses},
								 {"refuses large", refuses_large},
								 {"has right headers", has_right_headers},
								 {"answers OPTIONS", answers_options},
								 {"serves connections", serves_connections},
								 {"serves pipelined", serves_pipelined},
								 {"compresses", compresses},
								 {"shares compressed", shares_compressed},
								 {"stops in the middle", stops_in_the_middle},
								 {"counts", counts},
								 {"asks for token", asks_for_token},
								 {"serves some routes", serves_some_routes},
								 {"quiesces", quiesces},
								 {"ends slow clients", ends_slow_clients},
								 {0}});
	free(big);
	return failed;
}
