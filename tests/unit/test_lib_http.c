/* SPDX-License-Identifier: Apache-2.0 */
/* http: the plugins' HTTP client, with a minimal server that sends the answer of a table's row. TLS and real
 * servers: tests/live. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "fake_host.h"
#include "unit.h"

#include "../../sdk/lib/http.c"
#include "../../sdk/lib/http_fault.c"
#include "../../sdk/lib/http_sink.c"
#include "../../sdk/lib/http_tls.c"
#include "../../sdk/lib/http_url.c"
#include "../../sdk/lib/net_race.c"
#include "../../sdk/lib/tls_authorities.c"

/* ---- The server ---- */

enum then { CLOSE, HANG, KEEP, FLOOD, REFUSE_TO_READ, LOSE_SECOND };
#define CONNECTIONS_MAX 16

static struct server {
	int listener, port;
	const char *answer;
	size_t size;
	enum then then;
	atomic_int connections, requests, stop;
	char last[8192]; /* the last request; under last_lock, for the server's thread and the test's */
	pthread_t thread, servers[CONNECTIONS_MAX];
} server;
static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *last_request(void)
{
	static char copy[sizeof(server.last)];
	pthread_mutex_lock(&last_lock);
	memcpy(copy, server.last, sizeof(copy));
	pthread_mutex_unlock(&last_lock);
	return copy;
}

static bool wait_for(int fd)
{
	struct pollfd on = {.fd = fd, .events = POLLIN};
	while (!server.stop)
		if (poll(&on, 1, 10) > 0)
			return true;
	return false;
}

/* Reads a request without a body, or with one that arrives in the same piece. */
static bool read_request(int fd)
{
	char request[sizeof(server.last)];
	size_t used = 0;
	ssize_t got;
	while (wait_for(fd) && (got = recv(fd, request + used, sizeof(request) - 1 - used, 0)) > 0) {
		used += (size_t)got;
		request[used] = '\0';
		if (strstr(request, "\r\n\r\n") != NULL) {
			pthread_mutex_lock(&last_lock);
			memcpy(server.last, request, used + 1);
			pthread_mutex_unlock(&last_lock);
			server.requests++;
			return true;
		}
	}
	return false;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	if (server.then != REFUSE_TO_READ)
		while (read_request(fd)) {
			if (server.then == LOSE_SECOND && server.requests == 2)
				break;
			send(fd, server.answer, server.size, MSG_NOSIGNAL);
			while (server.then == FLOOD && !server.stop &&
			       send(fd, server.answer, server.size, MSG_NOSIGNAL) > 0)
				;
			if (server.then == HANG)
				while (!server.stop)
					poll(NULL, 0, 10);
			if (server.then != KEEP && server.then != LOSE_SECOND)
				break;
		}
	close(fd);
	return NULL;
}

static void *run(void *arg)
{
	(void)arg;
	while (wait_for(server.listener)) {
		int fd = accept(server.listener, NULL, NULL);
		if (fd < 0)
			continue;
		int number = server.connections++; /* counted before it can be answered */
		if (number == CONNECTIONS_MAX ||
		    pthread_create(&server.servers[number], NULL, serve, (void *)(intptr_t)fd) != 0)
			abort();
	}
	return NULL;
}

static void listen_on(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	socklen_t size = sizeof(at);
	int one = 1;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server.listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(server.listener, 16) != 0 ||
	    getsockname(server.listener, (struct sockaddr *)&at, &size) != 0)
		abort();
	server.port = ntohs(at.sin_port);
}

static void start_server(int port, const char *answer, size_t size, enum then then)
{
	server = (struct server){.answer = answer, .size = size, .then = then};
	listen_on(port);
	if (pthread_create(&server.thread, NULL, run, NULL) != 0)
		abort();
}

static void stop_server(void)
{
	server.stop = 1;
	pthread_join(server.thread, NULL);
	for (int i = 0; i < server.connections; i++)
		pthread_join(server.servers[i], NULL);
	close(server.listener);
}

/* ---- The host ---- */

static int lookups;

static bool fake_resolve(struct skymon *sm, const char *host, char *addresses, size_t size)
{
	lookups++;
	if (strcmp(host, "nowhere.test") == 0) {
		skymon_reason(sm, SKYMON_DNS);
		skymon_unknown(sm, "cannot resolve nowhere.test");
		return false;
	}
	snprintf(addresses, size, "%s", strcmp(host, "here.test") == 0 ? "::1,127.0.0.1" : host);
	return true;
}

static struct skymon *new_run(int64_t ms_left)
{
	static struct skymon_host host;
	static struct skymon sm = {&host};
	host = *fake_new_run()->host;
	host.resolve = fake_resolve;
	fake.ms_left = ms_left;
	return &sm;
}

static const char *url_of(const char *host, const char *path)
{
	static char url[300];
	snprintf(url, sizeof(url), "http://%s:%d%s", host, server.port, path);
	return url;
}

static double left_at;
static struct skymon_http_answer answer;
static struct skymon_fault fault;

static bool get(struct skymon_http *http, struct skymon_http_request request)
{
	skymon_http_answer_free(&answer);
	return skymon_http_do(new_run(600), http, &request, &answer, &fault);
}

/* ---- Tests ---- */

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: a\r\nx-two:  b \r\n\r\nhello"

static void answers(void)
{
	struct skymon_http *http = skymon_http_new();
	static const char *const wanted[] = {"x-one", "X-TWO", "x-three", NULL};
	struct skymon_label headers[] = {{"X-Vault-Token", "geheim"}, {"X-None", NULL}, {"X-Empty", ""}};
	const struct skymon_secret token = {.bytes = "offen", .size = 5}, none = {.bytes = NULL},
				   broken = {.bytes = "a\r\nB: c", .size = 7};

	start_server(0, OK, strlen(OK), KEEP);
	CU_ASSERT(get(http, (struct skymon_http_request){.url = url_of("127.0.0.1", "/a?b=c"),
							 .wanted = wanted,
							 .bearer = &token,
							 .headers = headers,
							 .header_count = 3}));
	CU_ASSERT(answer.code == 200 && answer.size == 5 && !answer.reused && answer.seconds > 0 &&
		  answer.connect_seconds > 0 && answer.tls_seconds == 0 && answer.wait_seconds > 0);
	UNIT_TEXT(answer.body, "hello");
	UNIT_TEXT(answer.wanted[0], "a");
	UNIT_TEXT(answer.wanted[1], "b");
	CU_ASSERT_PTR_NULL(answer.wanted[2]);
	CU_ASSERT(strncmp(last_request(), "GET /a?b=c HTTP/1.1\r\n", 21) == 0);
	CU_ASSERT(strstr(last_request(), "Authorization: Bearer offen\r\n") != NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(last_request(), "\r\nX-Vault-Token: geheim\r\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(last_request(), "\r\nX-Empty:\r\n"));
	CU_ASSERT_PTR_NULL(strstr(last_request(), "X-None"));
	CU_ASSERT(get(http, (struct skymon_http_request){.method = "PUT",
							 .url = url_of("127.0.0.1", "/"),
							 .body = "{}",
							 .body_size = 2}));
	CU_ASSERT(answer.reused && answer.connect_seconds == 0 && server.connections == 1);
	CU_ASSERT(strncmp(last_request(), "PUT / HTTP/1.1\r\n", 16) == 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(last_request(), "\r\nContent-Length: 2\r\n"));
	CU_ASSERT_PTR_NULL(strstr(last_request(), "geheim")); /* nothing remains of the last request */
	CU_ASSERT(get(http, (struct skymon_http_request){.method = "POST", .url = url_of("127.0.0.1", "/")}));
	CU_ASSERT_PTR_NOT_NULL(strstr(last_request(), "\r\nContent-Length: 0\r\n"));
	CU_ASSERT(
		get(http, (struct skymon_http_request){.method = "DELETE", .url = url_of("127.0.0.1", "/")}));
	CU_ASSERT(strncmp(last_request(), "DELETE / HTTP/1.1\r\n", 19) == 0 && server.connections == 1);
	/* a header with a line break */
	headers[0].value = "a\r\nHost: b";
	CU_ASSERT_FALSE(get(http, (struct skymon_http_request){.url = url_of("127.0.0.1", "/"),
							       .headers = headers,
							       .header_count = 1}));
	CU_ASSERT(fault.status == SKYMON_UNKNOWN && server.requests == 4);
	CU_ASSERT_FALSE(
		get(http, (struct skymon_http_request){.url = url_of("127.0.0.1", "/"), .bearer = &broken}));
	UNIT_TEXT(fault.text, "the header Authorization has a line break in its value");
	CU_ASSERT(get(http, (struct skymon_http_request){.url = url_of("127.0.0.1", "/"), .bearer = &none}));
	CU_ASSERT_PTR_NULL(strstr(last_request(), "Authorization"));
	stop_server();
	skymon_http_free(http);
	skymon_http_answer_free(&answer);
}

/* A name is resolved once while the connection is kept; the second address is used if the first refuses. */
static void names(void)
{
	struct skymon_http *http = skymon_http_new();
	start_server(0, OK, strlen(OK), KEEP);
	int port = server.port;
	lookups = 0;
	for (int i = 0; i < 3; i++)
		CU_ASSERT(get(http, (struct skymon_http_request){.url = url_of("here.test", "/")}));
	CU_ASSERT(lookups == 1 && server.connections == 1);
	/* restarted server: no fault, a new connection, the name resolved again */
	stop_server();
	start_server(port, OK, strlen(OK), KEEP);
	CU_ASSERT(get(http, (struct skymon_http_request){.url = url_of("here.test", "/")}));
	CU_ASSERT(lookups == 2 && server.connections == 1);
	CU_ASSERT_FALSE(get(http, (struct skymon_http_request){.url = "http://nowhere.test:1/"}));
	CU_ASSERT(fault.reported && fault.reason == SKYMON_DNS && fake.reason == SKYMON_DNS);
	stop_server();
	CU_ASSERT_FALSE(get(http, (struct skymon_http_request){.url = url_of("here.test", "/")}));
	CU_ASSERT(fault.reason == SKYMON_REFUSED && fault.status == SKYMON_UNHEALTHY && !fault.reported);
	skymon_http_free(http);
	skymon_http_answer_free(&answer);
}

#define TEXT(text) text, sizeof(text) - 1
static const struct row {
	const char *name, *answer;
	size_t size;
	enum then then;
	enum skymon_reason reason; /* SKYMON_OK for an answer */
	const char *words;
} row_list[] = {
	{"closed before the request", TEXT(""), REFUSE_TO_READ, SKYMON_PROTOCOL, "before it answered"},
	{"closed after it", TEXT(""), CLOSE, SKYMON_PROTOCOL, "before it answered"},
	{"silent", TEXT(""), HANG, SKYMON_TIMEOUT, "accepted the request and did not answer in time"},
	{"half a status line", TEXT("HTTP/1.1 20"), CLOSE, SKYMON_PROTOCOL, ""},
	{"half a status line, silent", TEXT("HTTP/1.1 20"), HANG, SKYMON_TIMEOUT, ""},
	{"half a header", TEXT("HTTP/1.1 200 OK\r\nContent-Le"), CLOSE, SKYMON_PROTOCOL, "in the middle"},
	{"no end of headers", TEXT("HTTP/1.1 200 OK\r\nA: b\r\n"), CLOSE, SKYMON_PROTOCOL, "in the middle"},
	{"half a body", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), CLOSE, SKYMON_PROTOCOL,
	 "in the middle"},
	{"half a body, silent", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), HANG,
	 SKYMON_TIMEOUT, "did not end it in time"},
	{"half a chunk", TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), CLOSE,
	 SKYMON_PROTOCOL, "in the middle"},
	{"a chunk of nonsense", TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nab"), HANG,
	 SKYMON_PROTOCOL, ""},
	{"noise", TEXT("\1\2\3\377\0\0 noise\r\n\r\n"), CLOSE, SKYMON_PROTOCOL, "not HTTP"},
	{"another protocol", TEXT("SSH-2.0-OpenSSH_9.2\r\n"), HANG, SKYMON_PROTOCOL, "not HTTP"},
	{"a wrong length", TEXT("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"), CLOSE, SKYMON_PROTOCOL,
	 ""},
	{"no end of the body",
	 TEXT("HTTP/1.1 200 OK\r\n\r\n 64 bytes of a body that never ends, over and over.."), FLOOD,
	 SKYMON_PROTOCOL, "larger than the 1000 bytes"},
	{"a length that is too large", TEXT("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhello"),
	 FLOOD, SKYMON_PROTOCOL, "larger than the 1000 bytes"},
	{"no end of the headers", TEXT("HTTP/1.1 200 OK\r\nX-Header: and another one, and another one\r\n"),
	 FLOOD, SKYMON_PROTOCOL, ""},
	{"a redirect",
	 TEXT("HTTP/1.1 302 Found\r\nLocation: http://nowhere.test/\r\nContent-Length: 0\r\n\r\n"), CLOSE,
	 SKYMON_OK, ""},
	{"without a length", TEXT("HTTP/1.1 200 OK\r\n\r\nhello"), CLOSE, SKYMON_OK, ""},
	{"with trailers",
	 TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n"),
	 KEEP, SKYMON_OK, ""},
	{"after 100 Continue", TEXT("HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" OK), CLOSE, SKYMON_OK, ""},
};

static void faults(void)
{
	for (size_t i = 0; i < sizeof(row_list) / sizeof(row_list[0]); i++) {
		const struct row *row = &row_list[i];
		struct skymon_http *http = skymon_http_new();
		struct skymon_http_request request = {.body_max = 1000};
		start_server(0, row->answer, row->size, row->then);
		request.url = url_of("user:geheim@127.0.0.1", "/geheim");
		bool good = get(http, request);
		if (good != (row->reason == SKYMON_OK) ||
		    (!good && (fault.reason != row->reason || strstr(fault.text, row->words) == NULL))) {
			fprintf(stderr, "\n%s: %d, reason %d: %s\n", row->name, good, fault.reason,
				fault.text);
			CU_FAIL();
		}
		CU_ASSERT(good ||
			  (fault.status == SKYMON_UNHEALTHY && answer.body == NULL &&
			   strstr(fault.text, "geheim") == NULL && strstr(fault.text, "user") == NULL &&
			   strncmp(fault.text, "127.0.0.1:", 10) == 0));
		stop_server();
		skymon_http_free(http);
		skymon_http_answer_free(&answer);
	}
}

/* A server that leaves during the handshake: the words of libcurl 7.88 and 8.14, by the moment at which its end is noticed. */
static void handshakes(void)
{
	static const char *const gone[] = {
		"OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to a:1",
		"Recv failure: Connection reset by peer", "Send failure: Broken pipe",
		"TLS connect error: error:0A000126:SSL routines::unexpected eof while reading"};
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		struct skymon_http_failure failure = {
			.code = CURLE_SSL_CONNECT_ERROR, .words = gone[i], .place = "a:1"};
		skymon_http_explain(&failure, &fault);
		CU_ASSERT(fault.reason == SKYMON_PROTOCOL && fault.lost);
		UNIT_TEXT(fault.text, "a:1: the server closed the connection during TLS's handshake");
	}
}

/* The answer is lost on a kept connection. libcurl repeats the request, unless `once` forbids it. */
static void once(void)
{
	struct skymon_http *http = skymon_http_new();
	struct skymon_http_request request = {.method = "POST"};
	start_server(0, OK, strlen(OK), LOSE_SECOND);
	request.url = url_of("127.0.0.1", "/");
	CU_ASSERT(get(http, request));
	CU_ASSERT(get(http, request));
	CU_ASSERT(server.requests == 3 && server.connections == 2);
	stop_server();
	start_server(0, OK, strlen(OK), LOSE_SECOND);
	request.url = url_of("127.0.0.1", "/");
	request.once = true;
	CU_ASSERT(get(http, request));
	CU_ASSERT_FALSE(get(http, request));
	CU_ASSERT(fault.reason == SKYMON_PROTOCOL && fault.sent && fault.lost);
	CU_ASSERT(server.requests == 2 && server.connections == 2);
	request.once = false;
	CU_ASSERT(get(http, request)); /* and the first connection is still usable */
	CU_ASSERT(server.requests == 3);
	stop_server();
	CU_ASSERT_FALSE(get(http, request));
	CU_ASSERT(fault.reason == SKYMON_REFUSED && !fault.sent && !fault.lost);
	skymon_http_free(http);
	skymon_http_answer_free(&answer);
}

/* A timeout of the request, shorter than the deadline. */
static void timeouts(void)
{
	struct skymon_http *http = skymon_http_new();
	struct skymon_http_request request = {.timeout_ms = 50};
	struct skymon *sm = new_run(600000); /* with this timeout the test would not end */
	start_server(0, "", 0, HANG);
	request.url = url_of("127.0.0.1", "/");
	CU_ASSERT_FALSE(skymon_http_do(sm, http, &request, &answer, &fault));
	CU_ASSERT(fault.reason == SKYMON_TIMEOUT && fault.sent && !fault.lost);
	stop_server();
	skymon_http_free(http);
	skymon_http_answer_free(&answer);
}

/* The client disconnects while the request waits for the server. */
static int64_t ms_left_then_none(struct skymon *sm)
{
	(void)sm;
	return clock_now() < left_at ? 60000 : 0;
}

static void leaves(void)
{
	struct skymon_http *http = skymon_http_new();
	struct skymon_http_request request = {.url = NULL};
	struct skymon_host host = *new_run(60000)->host;
	struct skymon sm = {&host};
	double began = clock_now();
	start_server(0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", 40, HANG);
	request.url = url_of("127.0.0.1", "/");
	host.ms_left = ms_left_then_none;
	left_at = began + 0.2;
	CU_ASSERT_FALSE(skymon_http_do(&sm, http, &request, &answer, &fault));
	CU_ASSERT(fault.reason == SKYMON_TIMEOUT && fault.sent);
	CU_ASSERT(clock_now() - began > 0.1 && clock_now() - began < 10);
	stop_server();
	skymon_http_free(http);
}

static bool grows(void *arg)
{
	int *asked = arg;
	++*asked;
	if (*asked == 1) /* longer than the request's timeout */
		poll(NULL, 0, 1700);
	return *asked == 1;
}

/* Waiting for memory for a large answer does not count as the server's time. */
static void large(void)
{
	static char text[4000000]; /* the rest is read after the wait */
	struct skymon_http *http = skymon_http_new();
	int asked = 0, head = snprintf(text, 100, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 3000000);
	struct skymon_http_request request = {
		.grow = grows, .grow_arg = &asked, .small = 4, .timeout_ms = 1500, .body_max = 3000000};
	memset(text + head, 'x', 3000000);
	start_server(0, text, (size_t)head + 3000000, CLOSE);
	request.url = url_of("127.0.0.1", "/");
	CU_ASSERT(skymon_http_do(new_run(60000), http, &request, &answer, &fault));
	CU_ASSERT(answer.size == 3000000 && asked == 1);
	skymon_http_answer_free(&answer);
	CU_ASSERT_FALSE(skymon_http_do(new_run(60000), http, &request, &answer, &fault));
	CU_ASSERT(asked == 2 && fault.reason == SKYMON_RESOURCE);
	request.small = 3000000; /* not larger */
	request.timeout_ms = 0;
	CU_ASSERT(skymon_http_do(new_run(60000), http, &request, &answer, &fault) && asked == 2);
	skymon_http_answer_free(&answer);
	stop_server();
	skymon_http_free(http);
}

/* A server that accepts the connection and never starts TLS. */
static void connect_timeout(void)
{
	struct skymon_http *http = skymon_http_new();
	struct skymon_http_request request = {.connect_ms = 50};
	struct skymon *sm = new_run(600000);
	start_server(0, "", 0, HANG);
	char url[80];
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	request.url = url;
	CU_ASSERT_FALSE(skymon_http_do(sm, http, &request, &answer, &fault));
	CU_ASSERT(fault.reason == SKYMON_TIMEOUT && !fault.sent && !fault.lost);
	stop_server();
	skymon_http_free(http);
	skymon_http_answer_free(&answer);
}

static void proxies(void)
{
	struct skymon_http *http = skymon_http_new();
	start_server(0, OK, strlen(OK), KEEP);
	char proxy[80];
	snprintf(proxy, sizeof(proxy), "http://puser:geheim@127.0.0.1:%d", server.port);
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* is not queried */
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("NO_PROXY", "*", 1);
	lookups = 0;
	CU_ASSERT(get(http, (struct skymon_http_request){.url = url_of("127.0.0.1", "/"), .proxy = "none"}));
	CU_ASSERT(get(http, (struct skymon_http_request){.url = url_of("127.0.0.1", "/"), .proxy = ""}));
	CU_ASSERT(get(http, (struct skymon_http_request){.url = "http://nowhere.test/x", .proxy = proxy}));
	CU_ASSERT(strncmp(last_request(), "GET http://nowhere.test/x HTTP/1.1\r\n", 36) == 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(last_request(), "Proxy-Authorization: Basic "));
	stop_server();
	start_server(server.port, TEXT("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), CLOSE);
	CU_ASSERT_FALSE(
		get(http, (struct skymon_http_request){.url = "https://nowhere.test/x", .proxy = proxy}));
	CU_ASSERT(strncmp(last_request(), "CONNECT nowhere.test:443 HTTP/1.1\r\n", 35) == 0);
	CU_ASSERT(fault.reason == SKYMON_AUTH_FAILED && strstr(fault.text, "geheim") == NULL);
	stop_server();
	start_server(server.port, TEXT("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"), CLOSE);
	CU_ASSERT_FALSE(
		get(http, (struct skymon_http_request){.url = "https://nowhere.test/x", .proxy = proxy}));
	CU_ASSERT(fault.reason == SKYMON_UNREACHABLE && strstr(fault.text, "HTTP 502") != NULL);
	stop_server();
	CU_ASSERT_FALSE(
		get(http, (struct skymon_http_request){.url = "https://nowhere.test/x", .proxy = proxy}));
	CU_ASSERT(fault.reason == SKYMON_REFUSED && strncmp(fault.text, "proxy 127.0.0.1:", 16) == 0);
	skymon_http_free(http);
	skymon_http_answer_free(&answer);
}

static void accepts(void)
{
	static const char *const good[] = {"http://a", "https://a.b:8200/path/", "https://u:p@[::1]:1",
					   "HTTP://A"};
	static const char *const wrong[] = {"",
					    "a",
					    "a:8200",
					    "//a",
					    "ftp://a",
					    "http://",
					    "http://u:geheim@",
					    "file:///etc",
					    "http://a:99999",
					    "http://a b",
					    NULL};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CU_ASSERT(skymon_http_accepts("url", good[i], "", &fault));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (skymon_http_accepts("url", wrong[i], "", &fault)) {
			fprintf(stderr, "\naccepted: %s\n", wrong[i]);
			CU_FAIL();
		}
		CU_ASSERT(strstr(fault.text, "geheim") == NULL && strncmp(fault.text, "url ", 4) == 0);
	}
	CU_ASSERT(skymon_http_accepts("url", "http://a", "none", &fault));
	CU_ASSERT(skymon_http_accepts("url", "http://a", "socks5h://b:1", &fault));
	CU_ASSERT_FALSE(skymon_http_accepts("url", "http://a", "b:1", &fault));
	CU_ASSERT_FALSE(skymon_http_accepts("url", "http://a", "socks5://b:1", &fault));
	char place[300];
	CU_ASSERT(skymon_http_place("https://u:geheim@a.b/x", place, sizeof(place)));
	UNIT_TEXT(place, "a.b:443");
	CU_ASSERT(skymon_http_place("http://[::1]:8200", place, sizeof(place)));
	UNIT_TEXT(place, "[::1]:8200");
	CU_ASSERT_FALSE(skymon_http_place("", place, sizeof(place)));
}

static void no_file(void)
{
	struct skymon_http *http = skymon_http_new();
	struct skymon_tls tls = {.ca_file = "/nowhere/ca.pem"};
	CU_ASSERT_FALSE(get(http, (struct skymon_http_request){.url = "https://127.0.0.1:1/", .tls = &tls}));
	CU_ASSERT(fault.status == SKYMON_UNKNOWN && fault.reason == SKYMON_TLS_OTHER);
	CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/nowhere/ca.pem"));
	skymon_http_free(http);
}

int main(void)
{
	return unit_run("http", (const struct unit_test[]){{"answers", answers},
							   {"names", names},
							   {"faults", faults},
							   {"handshakes", handshakes},
							   {"once", once},
							   {"timeouts", timeouts},
							   {"leaves", leaves},
							   {"large", large},
							   {"connect timeout", connect_timeout},
							   {"proxies", proxies},
							   {"accepts", accepts},
							   {"no file", no_file},
							   {0}});
}
