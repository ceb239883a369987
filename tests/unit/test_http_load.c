/* SPDX-License-Identifier: Apache-2.0 */
/* http: many clients, large bodies, counters, access and shutdown. */
#include "http_server.h"

#include <zlib.h>

/* That many connections send a request at once, three times; none may stall. */
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

/* Many requests at once, half of them of one generation; some clients leave without waiting. /echo is served
 * meanwhile. */
static void shares_compressed(void)
{
	enum { ASKERS = 40 };
	int good = 0;
	start("{}");
	int fds[ASKERS];
	for (int i = 0; i < ASKERS; i++) {
		fds[i] = dial();
		char request[256];
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
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* disconnects with a reset */
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

/* Shutdown while bodies are being compressed. */
static void stops_in_the_middle(void)
{
	start("{}");
	int fds[8];
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
		for (size_t b = 0; b < HTTP_BUCKETS; b++)
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
			       1e-9); /* a 503 that reports a status is not an error */
	CU_ASSERT(seen.average > 0 && seen.average < 5000);
	call(too_late);
	stop();
}

static void asks_for_token(void)
{
	start("access: {token: s3cret-s3cret-s3cret, public: [echo, status]}");
	static const struct {
		const char *request;
		int code;
		const char *body;
	} cases[] = {
		{"GET /echo HTTP/1.1\r\n" HOST, 200, "GET name=- q=- x=- trusted=0 body="},
		{"GET /echo/below HTTP/1.1\r\n" HOST, 200, "GET name=below q=- x=- trusted=0 body="},
		{"GET /echo HTTP/1.1\r\nAuthorization: Bearer s3cret-s3cret-s3cret\r\n" HOST, 200,
		 "GET name=- q=- x=- trusted=1 body="},
		{"GET /echo HTTP/1.1\r\nAuthorization: Bearer s3cre\r\n" HOST, 200,
		 "GET name=- q=- x=- trusted=0 body="},
		{"GET /private HTTP/1.1\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Bearer\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Bearer \r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Bearer s3cret-s3cret-s3cret2\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: Basic s3cret-s3cret-s3cret\r\n" HOST, 401, NULL},
		{"GET /private HTTP/1.1\r\nAuthorization: bearer s3cret-s3cret-s3cret\r\n" HOST, 200,
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
	/* an open connection is served once more, and closed */
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
	/* a byte now and then does not keep a connection open */
	for (int i = 0; i < 40; i++) {
		struct timespec pause = {.tv_nsec = 50000000};
		say(slow, "X");
		nanosleep(&pause, NULL);
	}
	CU_ASSERT(is_closed(silent));
	int gone = dial(); /* its end arrives together with its first bytes */
	say(gone, "GET /ec");
	shutdown(gone, SHUT_WR);
	CU_ASSERT(is_closed(gone));
	close(gone);
	struct reply late = hear(slow);
	CU_ASSERT_EQUAL(late.code, 408);
	CU_ASSERT(has_header(&late, "Content-Type: application/problem+json"));
	forget(&late);
	say(fast, "GET /echo HTTP/1.1\r\n" HOST); /* a client that has had a reply may be idle for longer */
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
	return run_tests("http_load", (const struct unit_test[]){{"serves connections", serves_connections},
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
}
