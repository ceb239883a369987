/* SPDX-License-Identifier: Apache-2.0 */
/* net: URLs are parsed without being quoted; sockets, proxies and deadlines with a minimal server. TLS and
 * real servers: tests/live/test_cache.py. */
#include <fcntl.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "fake_host.h"
#include "unit.h"

#include "../../sdk/lib/net.c"
#include "../../sdk/lib/net_connect.c"
#include "../../sdk/lib/net_proxy.c"
#include "../../sdk/lib/net_tls.c"
#include "../../sdk/lib/net_url.c"
#include "../../sdk/lib/net_race.c"
#include "../../sdk/lib/tls_authorities.c"

/* ---- URLs ---- */

static const struct url_row {
	const char *text, *scheme, *user, *password, *host, *path, *query;
	uint16_t port;
} good_urls[] = {
	{"redis://h", "redis", "", "", "h", "", "", 0},
	{"REDIS://cache.example.com:6380/3", "redis", "", "", "cache.example.com", "/3", "", 6380},
	{"redis://:pw@h/", "redis", "", "pw", "h", "/", "", 0},
	{"rediss://u:p%40%3a%2f%25@h:1", "rediss", "u", "p@:/%", "h", "", "", 1},
	{"redis://u:a@b@h:65535?x=1#f", "redis", "u", "a@b", "h", "", "x=1", 65535},
	{"ws://[::1]:80/a/b?c=d&e", "ws", "", "", "::1", "/a/b", "c=d&e", 80},
	{"redis://u@10.0.0.1", "redis", "u", "", "10.0.0.1", "", "", 0},
	{"redis://h#frag", "redis", "", "", "h", "", "", 0},
};

static const struct {
	const char *text, *word;
} bad_urls[] = {
	{"", "no ://"},
	{"SECRET", "no ://"},
	{"://h", "no ://"},
	{"redis://", "no host"},
	{"redis://u:SECRET@", "no host"},
	{"redis://u:SEC/RET@h", "%2F"},
	{"redis://:SEC#RET@h", "not a number"},
	{"redis://u:SEC%zzRET@h", "%25"},
	{"redis://u:SEC%00RET@h", "%XX"},
	{"redis://h:0", "1 to 65535"},
	{"redis://h:65536", "1 to 65535"},
	{"redis://h:99999999999999999999", "1 to 65535"},
	{"redis://h:+1", "1 to 65535"},
	{"redis://h:", "1 to 65535"},
	{"redis://::1", "brackets"},
	{"redis://[::1", "brackets"},
	{"redis://[SECRET]", "brackets"},
	{"redis://[::1]x", "brackets"},
	{"redis://a b", "no host"},
	{"redis://a\rb", "no host"},
};

static void urls(void)
{
	struct skymon_net_url url;
	const char *why;
	for (size_t i = 0; i < sizeof(good_urls) / sizeof(good_urls[0]); i++) {
		const struct url_row *is = &good_urls[i];
		CU_ASSERT_FATAL(skymon_net_url_parse(is->text, &url, &why));
		UNIT_TEXT(url.scheme, is->scheme);
		UNIT_TEXT(url.user, is->user);
		UNIT_TEXT(url.password, is->password);
		UNIT_TEXT(url.host, is->host);
		UNIT_TEXT(url.path, is->path);
		UNIT_TEXT(url.query, is->query);
		CU_ASSERT(url.port == is->port && url.has_password == (is->password[0] != '\0'));
		skymon_net_url_free(&url);
	}
	for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
		CU_ASSERT_FALSE_FATAL(skymon_net_url_parse(bad_urls[i].text, &url, &why));
		CU_ASSERT(strstr(why, "SEC") == NULL && strstr(why, "RET") == NULL && url.memory == NULL);
		if (strstr(why, bad_urls[i].word) == NULL)
			UNIT_TEXT(why, bad_urls[i].word);
	}
	char place[300];
	skymon_net_place("::1", 5, place, sizeof(place));
	UNIT_TEXT(place, "[::1]:5");
	skymon_net_place("h", 5, place, sizeof(place));
	UNIT_TEXT(place, "h:5");
	skymon_net_place("/run/x", 5, place, sizeof(place));
	UNIT_TEXT(place, "/run/x");
}

/* ---- A server: for each connection it waits for bytes that end with `expect`, then sends its answer ---- */

static struct server {
	int listener;
	uint16_t port;
	const char *expect, *answer; /* NULL to wait for nothing, or to send nothing */
	bool hang;
	char got[4096];
	size_t size;
	atomic_int connections;
	atomic_bool stop;
	pthread_t thread;
} server;

static bool readable(int fd)
{
	struct pollfd on = {.fd = fd, .events = POLLIN};
	while (!server.stop)
		if (poll(&on, 1, 10) > 0)
			return true;
	return false;
}

static void serve(int fd)
{
	server.size = 0;
	ssize_t got;
	while (server.expect != NULL && readable(fd) &&
	       (got = recv(fd, server.got + server.size, sizeof(server.got) - 1 - server.size, 0)) > 0) {
		server.size += (size_t)got;
		server.got[server.size] = '\0';
		if (strstr(server.got, server.expect) != NULL)
			break;
	}
	if (server.answer != NULL)
		send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL);
	while (server.hang && !server.stop)
		poll(NULL, 0, 5);
	close(fd);
}

static void *run(void *arg)
{
	(void)arg;
	while (readable(server.listener)) {
		int fd = accept(server.listener, NULL, NULL);
		if (fd < 0)
			break;
		server.connections++;
		serve(fd);
	}
	return NULL;
}

static void start_server(const char *expect, const char *answer, bool hang)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	memset(&server, 0, sizeof(server));
	server.expect = expect;
	server.answer = answer;
	server.hang = hang;
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	CU_ASSERT_FATAL(bind(server.listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
			listen(server.listener, 8) == 0 &&
			getsockname(server.listener, (struct sockaddr *)&at, &size) == 0);
	server.port = ntohs(at.sin_port);
	CU_ASSERT_FATAL(pthread_create(&server.thread, NULL, run, NULL) == 0);
}

static void stop_server(void)
{
	server.stop = true;
	pthread_join(server.thread, NULL);
	close(server.listener);
}

/* ---- The host: a running clock and two names ---- */

static double ends;
static const char *here_is; /* addresses of the name "here.test" */

static int64_t ms_left(struct skymon *sm)
{
	double left = (ends - skymon_net_clock()) * 1000;
	(void)sm;
	return left > 0 ? (int64_t)left : 0;
}

static bool resolve(struct skymon *sm, const char *host, char *addresses, size_t size)
{
	if (strcmp(host, "nowhere.test") == 0) {
		fake_reason(sm, SKYMON_DNS);
		return false;
	}
	snprintf(addresses, size, "%s", strcmp(host, "here.test") == 0 ? here_is : host);
	return true;
}

static struct skymon *host(int for_ms)
{
	static struct skymon_host table;
	static struct skymon sm = {&table};
	table = *fake_new_run()->host;
	table.ms_left = ms_left;
	table.resolve = resolve;
	ends = skymon_net_clock() + for_ms / 1000.0;
	return &sm;
}

static struct skymon_fault fault;

static struct skymon_net *open_at(struct skymon *sm, const char *name, uint16_t port, const char *proxy)
{
	struct skymon_net_target to = {.host = name, .port = port, .proxy = proxy};
	return skymon_net_open(sm, &to, &fault);
}

static uint16_t closed_port(void)
{
	start_server(NULL, NULL, false);
	uint16_t port = server.port;
	stop_server();
	return port;
}

static void read_and_write(void)
{
	struct skymon *sm = host(2000);
	char text[64] = "";
	here_is = "127.0.0.1";
	start_server("ping", "pong", false);
	struct skymon_net *net = open_at(sm, "here.test", server.port, "none");
	CU_ASSERT_FATAL(net != NULL);
	CU_ASSERT(strncmp(net->place, "here.test:", 10) == 0 && skymon_net_alive(net));
	CU_ASSERT(skymon_net_write(sm, net, "ping", 4, &fault));
	CU_ASSERT(skymon_net_read(sm, net, text, sizeof(text), &fault) == 4 && memcmp(text, "pong", 4) == 0);
	/* The server closes the connection: noticed by a read, and without one. */
	CU_ASSERT(skymon_net_read(sm, net, text, sizeof(text), &fault) == 0);
	CU_ASSERT(fault.lost && fault.reason == SKYMON_PROTOCOL && !skymon_net_alive(net));
	/* A write to a closed connection raises no signal (SIGPIPE would end this test). */
	signal(SIGPIPE, SIG_DFL);
	for (int i = 0; i < 3; i++)
		skymon_net_write(sm, net, "ping", 4, &fault);
	CU_ASSERT(!skymon_net_write(sm, net, "ping", 4, &fault) && fault.lost);
	skymon_net_close(net);
	stop_server();
}

static void addresses(void)
{
	struct skymon *sm = host(2000);
	/* the second address is used */
	start_server(NULL, NULL, true);
	here_is = "::1,127.0.0.1";
	struct skymon_net *net = open_at(sm, "here.test", server.port, NULL);
	CU_ASSERT_FATAL(net != NULL);
	skymon_net_close(net);
	stop_server();
	/* the most specific fault of several */
	here_is = "127.0.0.1,255.255.255.255";
	CU_ASSERT(open_at(sm, "here.test", closed_port(), NULL) == NULL);
	CU_ASSERT(fault.reason == SKYMON_REFUSED && fault.status == SKYMON_UNHEALTHY);
	CU_ASSERT(strstr(fault.text, "connection refused") != NULL &&
		  strncmp(fault.text, "here.test:", 10) == 0);
	CU_ASSERT(open_at(sm, "nowhere.test", 1, NULL) == NULL);
	CU_ASSERT(fault.reported && skymon_report(sm, NULL, &fault) == SKYMON_UNHEALTHY &&
		  fake.reason == SKYMON_DNS);
	CU_ASSERT(open_at(sm, "/no/such/socket", 0, NULL) == NULL && fault.reason == SKYMON_REFUSED);
}

/* Opens a listener whose queue is full, which drops new connections. Port 0 is any. */
struct hole {
	int listener, fill[8];
	uint16_t port;
};

static struct hole open_hole(const char *address, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct hole hole = {.listener = socket(AF_INET, SOCK_STREAM, 0)};
	socklen_t size = sizeof(at);
	inet_pton(AF_INET, address, &at.sin_addr);
	/* a connection of another process may have this port on this address */
	setsockopt(hole.listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	CU_ASSERT_FATAL(bind(hole.listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
			listen(hole.listener, 0) == 0 &&
			getsockname(hole.listener, (struct sockaddr *)&at, &size) == 0);
	for (int i = 0; i < 8; i++) {
		hole.fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(hole.fill[i], (struct sockaddr *)&at, sizeof(at));
	}
	hole.port = ntohs(at.sin_port);
	return hole;
}

static void close_hole(struct hole *hole)
{
	for (int i = 0; i < 8; i++)
		close(hole->fill[i]);
	close(hole->listener);
}

static void black_hole(void)
{
	struct hole hole = open_hole("127.0.0.1", 0);
	struct skymon *sm = host(400);
	double began = skymon_net_clock();
	CU_ASSERT(open_at(sm, "127.0.0.1", hole.port, NULL) == NULL);
	CU_ASSERT(fault.reason == SKYMON_TIMEOUT && strstr(fault.text, "connection attempt") != NULL);
	CU_ASSERT(skymon_net_clock() - began > 0.3); /* before the deadline */
	close_hole(&hole);
}

static void order(void)
{
	static const struct {
		const char *given, *expected;
	} rows[] = {
		{"10.0.0.1", "10.0.0.1"},
		{"::1,127.0.0.1", "::1,127.0.0.1"},
		{"127.0.0.1,::1", "127.0.0.1,::1"},
		{"::1,::2,::3,10.0.0.1,10.0.0.2", "::1,10.0.0.1,::2,10.0.0.2,::3"},
		{"10.0.0.1,10.0.0.2,10.0.0.3,::1", "10.0.0.1,::1,10.0.0.2,10.0.0.3"},
		{"::1,::2,::3,::4,::5,::6,::7,::8,10.0.0.1", "::1,10.0.0.1,::2,::3,::4,::5,::6,::7"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char given[200], joined[200] = "";
		snprintf(given, sizeof(given), "%s", rows[i].given);
		const char *sorted[SKYMON_NET_RACE_MAX];
		size_t count = skymon_net_in_turn(given, sorted);
		for (size_t j = 0; j < count; j++) {
			strcat(joined, j > 0 ? "," : "");
			strcat(joined, sorted[j]);
		}
		UNIT_TEXT(joined, rows[i].expected);
	}
}

static int open_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Silent addresses come first: each delays the next attempt by a quarter of a second, and no attempt stays
 * open. */
static void race(void)
{
	static const struct {
		const char *addresses;
		double at_least_s;
	} rows[] = {
		{"127.0.0.1", 0},
		{"127.68.4.2,127.0.0.1", 0.24},
		{"127.68.4.2,127.68.4.3,127.0.0.1", 0.48},
		{"::1,127.68.4.2,127.0.0.1", 0.24},             /* refused: the next one at once */
		{"100::1,127.0.0.1", 0},                        /* unreachable, or silent */
		{"127.0.0.4,127.0.0.5,127.0.0.6,127.0.0.1", 0}, /* all refused, then good */
	};

	int before = open_descriptors();
	start_server(NULL, NULL, true);
	struct hole one = open_hole("127.68.4.2", server.port), two = open_hole("127.68.4.3", server.port);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = host(5000);
		double began = skymon_net_clock();
		here_is = rows[i].addresses;
		struct skymon_net *net = open_at(sm, "here.test", server.port, NULL);
		CU_ASSERT_FATAL(net != NULL);
		CU_ASSERT(skymon_net_clock() - began >= rows[i].at_least_s);
		skymon_net_close(net);
	}
	/* all silent: until the deadline, which the message names */
	struct skymon *sm = host(700);
	here_is = "127.68.4.2,127.68.4.3";
	CU_ASSERT(open_at(sm, "here.test", server.port, NULL) == NULL);
	CU_ASSERT(fault.reason == SKYMON_TIMEOUT);
	close_hole(&one);
	close_hole(&two);
	stop_server(); /* its thread has closed its sockets too */
	CU_ASSERT(open_descriptors() == before);
}

static void silence(void)
{
	struct skymon *sm = host(300);
	start_server(NULL, NULL, true);
	struct skymon_net *net = open_at(sm, "127.0.0.1", server.port, "");
	CU_ASSERT_FATAL(net != NULL);
	char text[8];
	CU_ASSERT(skymon_net_read(sm, net, text, sizeof(text), &fault) < 0);
	CU_ASSERT(fault.reason == SKYMON_TIMEOUT && !fault.lost);
	CU_ASSERT(skymon_net_alive(net));
	skymon_net_close(net);
	stop_server();
}

/* ---- The proxy ---- */

static const struct {
	const char *answer;
	bool hang;
	enum skymon_reason reason; /* SKYMON_NONE if it connects */
	const char *word;
} proxies[] = {
	{"HTTP/1.1 200 Connection established\r\n\r\n+PONG\r\n", true, SKYMON_NONE, ""},
	{"HTTP/1.0 200 OK\r\nA: b\r\n\r\n+PONG\r\n", true, SKYMON_NONE, ""},
	{"HTTP/1.1 407 Auth\r\n\r\n", false, SKYMON_AUTH_FAILED, "407"},
	{"HTTP/1.1 503 No\r\n\r\n", false, SKYMON_UNREACHABLE, "HTTP 503"},
	{"HTTP/1.1 200 OK\r\n", true, SKYMON_TIMEOUT, "further in time"},
	{"HTTP/1.1 200 OK\r\n", false, SKYMON_PROTOCOL, "closed"},
	{NULL, false, SKYMON_PROTOCOL, "closed"},
	{NULL, true, SKYMON_TIMEOUT, "in time"},
	{"SSH-2.0-OpenSSH\r\n", true, SKYMON_PROTOCOL, "not an HTTP proxy"},
	{"HTTP/1.1 hello\r\n\r\n", true, SKYMON_PROTOCOL, "not an HTTP proxy"},
};

static void proxy(void)
{
	char url[100], text[16] = "";
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
		struct skymon *sm = host(proxies[i].reason == SKYMON_TIMEOUT ? 300 : 3000);
		start_server("\r\n\r\n", proxies[i].answer, proxies[i].hang);
		snprintf(url, sizeof(url), "http://us%%40er:wo%%3Ard@127.0.0.1:%u", server.port);
		struct skymon_net *net =
			open_at(sm, "cache.test", 6379, url); /* a name that only the proxy resolves */
		if (proxies[i].reason == SKYMON_NONE) {
			CU_ASSERT_FATAL(net != NULL);
			/* Bytes after the proxy's header are from the server. */
			CU_ASSERT(skymon_net_read(sm, net, text, sizeof(text) - 1, &fault) == 7);
			UNIT_TEXT(text, "+PONG\r\n");
			UNIT_TEXT(net->place, "cache.test:6379");
			/* base64 of us@er:wo:rd */
			UNIT_TEXT(server.got, "CONNECT cache.test:6379 HTTP/1.1\r\nHost: cache.test:6379\r\n"
					      "Proxy-Authorization: Basic dXNAZXI6d286cmQ=\r\n\r\n");
		} else {
			CU_ASSERT(net == NULL && fault.reason == proxies[i].reason);
			if (strstr(fault.text, proxies[i].word) == NULL)
				UNIT_TEXT(fault.text, proxies[i].word);
			CU_ASSERT(strncmp(fault.text, "proxy 127.0.0.1:", 16) == 0);
		}
		skymon_net_close(net);
		stop_server();
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", closed_port());
	CU_ASSERT(open_at(host(1000), "cache.test", 1, url) == NULL && fault.reason == SKYMON_REFUSED);
	CU_ASSERT(strncmp(fault.text, "proxy ", 6) == 0);
}

static void endless_head(void)
{
	struct skymon *sm = host(3000);
	char *flood = malloc(100000);
	memset(flood, 'a', 99999);
	memcpy(flood, "HTTP/1.1 200 ", 13);
	flood[99999] = '\0';
	start_server("\r\n\r\n", flood, true);
	char url[60];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", server.port);
	CU_ASSERT(open_at(sm, "cache.test", 1, url) == NULL && fault.reason == SKYMON_PROTOCOL);
	stop_server();
	free(flood);
}

static void accepted_proxies(void)
{
	CU_ASSERT(skymon_net_accepts_proxy(NULL, &fault) && skymon_net_accepts_proxy("", &fault));
	CU_ASSERT(skymon_net_accepts_proxy("none", &fault) &&
		  skymon_net_accepts_proxy("http://a:3128", &fault));
	CU_ASSERT(!skymon_net_accepts_proxy("https://SECRET:a@b:1", &fault) &&
		  fault.status == SKYMON_UNKNOWN);
	CU_ASSERT(strstr(fault.text, "SECRET") == NULL);
	CU_ASSERT(!skymon_net_accepts_proxy("SECRET", &fault) && strstr(fault.text, "SECRET") == NULL);
}

/* ---- Servers without TLS that answer a TLS handshake ---- */

static void no_tls(void)
{
	static const struct {
		const char *answer;
		bool hang;
		enum skymon_reason reason;
		const char *word;
	} rows[] = {
		{"-ERR unknown command\r\n", true, SKYMON_TLS_OTHER, "not TLS"},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", true, SKYMON_TLS_OTHER, "not TLS"},
		{NULL, false, SKYMON_PROTOCOL, "closed"},
		{NULL, true, SKYMON_TIMEOUT, "did not begin TLS in time"},
		{"\x16\x03\x03", true, SKYMON_TIMEOUT, "did not begin TLS in time"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = host(rows[i].reason == SKYMON_TIMEOUT ? 300 : 3000);
		struct skymon_net_target to = {.host = "127.0.0.1", .secure = true};
		start_server(rows[i].hang ? "\x03" : NULL, rows[i].answer, rows[i].hang);
		to.port = server.port;
		CU_ASSERT(skymon_net_open(sm, &to, &fault) == NULL);
		CU_ASSERT(fault.reason == rows[i].reason && fault.status == SKYMON_UNHEALTHY);
		if (strstr(fault.text, rows[i].word) == NULL)
			UNIT_TEXT(fault.text, rows[i].word);
		stop_server();
	}
}

static void tls_files(void)
{
	static const struct skymon_tls blocks[] = {
		{.ca_file = "/none.pem"}, {.cert_file = "/none.pem"}, {.key_file = "/none.pem"}};
	start_server(NULL, NULL, true);
	for (size_t i = 0; i < 3; i++) {
		struct skymon *sm = host(1000);
		struct skymon_net_target to = {
			.host = "127.0.0.1", .port = server.port, .secure = true, .tls = &blocks[i]};
		CU_ASSERT(skymon_net_open(sm, &to, &fault) == NULL);
		CU_ASSERT(fault.reason == SKYMON_TLS_OTHER && fault.status == SKYMON_UNKNOWN);
		CU_ASSERT(strstr(fault.text, i == 0 ? "tls.ca_file" : "tls.cert_file and tls.key_file") !=
			  NULL);
	}
	stop_server();
}

int main(void)
{
	return unit_run("net", (const struct unit_test[]){{"urls", urls},
							  {"read and write", read_and_write},
							  {"addresses", addresses},
							  {"black hole", black_hole},
							  {"order", order},
							  {"race", race},
							  {"silence", silence},
							  {"proxy", proxy},
							  {"endless head", endless_head},
							  {"accepted proxies", accepted_proxies},
							  {"no TLS", no_tls},
							  {"TLS files", tls_files},
							  {0}});
}
