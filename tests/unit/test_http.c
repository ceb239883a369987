/* SPDX-License-Identifier: Apache-2.0 */
/* http: the reply to one request: codes, headers, bodies, refusals. */
#include "http_server.h"

static void answers(void)
{
	static const struct {
		const char *request;
		int code;
		const char *body; /* NULL for any */
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
		bool closed; /* nothing after the request can be trusted */
		const char *detail;
	} cases[] = {
		{"POST /form HTTP/1.1\r\nContent-Length: 1025\r\n" HOST, 413, true,
		 "the body is larger than limits.request_body allows"},
		{"GET /echo/%00 HTTP/1.1\r\n" HOST, 400, false,
		 "the target has a % that is not followed by two hexadecimal digits, or %00"},
		{"GET /nothing/%zz HTTP/1.1\r\n" HOST, 400, false,
		 "the target has a % that is not followed by two hexadecimal digits, or %00"},
		{"GET /echo?q=%4 HTTP/1.1\r\n" HOST, 400, false,
		 "the target has a % that is not followed by two hexadecimal digits, or %00"},
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
	/* the sum of the chunks exceeds the limit, which is known only when they have arrived */
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
	/* a query of nothing but separators is a query */
	char request[8000] = "GET /echo?";
	memset(request + 10, '&', 7000);
	strcpy(request + 7010, "q=last HTTP/1.1\r\n" HOST);
	reply = ask(request);
	CU_ASSERT_EQUAL(reply.code, 200);
	UNIT_TEXT(reply.body, "GET name=- q=last x=- trusted=1 body=");
	forget(&reply);
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
	CU_ASSERT(has_header(&head, "Content-Length: 35")); /* the body says HEAD in place of GET */
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

/* ---- Forwarded requests ---- */

static struct {
	struct skymon_request *rq; /* a request that waits */
	unsigned sent, cancelled;
	const char *does;
	char seen[256];
} elsewhere;

static const char away_body[] = "from elsewhere";

static void answer_away(struct skymon_request *rq, const char *does)
{
	struct http_message_pair header = {"X-Away", "yes"};
	struct http_message_reply reply = {.code = 201,
					   .type = "text/plain",
					   .audit = "",
					   .headers = &header,
					   .header_count = 1,
					   .body = away_body,
					   .body_size = strlen(away_body)};
	if (strcmp(does, "big") == 0) {
		reply.body = big;
		reply.body_size = BIG_SIZE;
	}
	http_forward_reply(rq, strcmp(does, "none") != 0 ? &reply : NULL, 503, "the worker is \"gone\"");
}

static uint64_t send_elsewhere(void *arg, const struct route_entry *entry,
			       const struct http_message_request *asked, struct skymon_request *rq)
{
	(void)arg;
	elsewhere.sent++;
	snprintf(elsewhere.seen, sizeof(elsewhere.seen), "%s %s ?%s local=%d %s %s body=%.*s", asked->method,
		 entry->route->path, asked->query, asked->local, asked->address,
		 http_message_find(asked->headers, asked->header_count, "x-test", false),
		 (int)asked->body_size, asked->body != NULL ? asked->body : "");
	const char *does = strncmp(asked->query, "now=", 4) == 0 ? asked->query + 4 : NULL;
	if (does == NULL) {
		elsewhere.rq = rq;
		return 7;
	}
	answer_away(rq, does);
	return 0;
}

static void cancel(void *arg, uint64_t number)
{
	(void)arg;
	CU_ASSERT_EQUAL(number, 7);
	elsewhere.cancelled++;
	elsewhere.rq = NULL;
}

static void set_forward(void)
{
	static const struct http_forward forward = {send_elsewhere, cancel};
	http_set_forward(server.http, &forward, NULL);
}

static void answer_waiting(void)
{
	if (elsewhere.rq != NULL)
		answer_away(elsewhere.rq, elsewhere.does);
	elsewhere.rq = NULL;
}

static unsigned waiting, gone;
static void look(void)
{
	waiting = elsewhere.rq != NULL;
	gone = elsewhere.cancelled;
}

static void wait_sent(void)
{
	for (waiting = 0; waiting == 0; usleep(1000))
		call(look);
}

/* The reply comes within send() and later, small, large, compressed and not at all, on one connection. */
static void forwards(void)
{
	static const char *const requests[] = {
		"GET /away?%s HTTP/1.1\r\nX-Test: t\r\n" HOST,
		"GET /away?%s HTTP/1.1\r\nAccept-Encoding: gzip\r\nX-Test: t\r\n" HOST};
	static const char *const does[] = {"small", "big", "none"};
	start("{}");
	call(set_forward);
	int fd = dial();
	for (int later = 0; later < 2; later++)
		for (size_t d = 0; d < 3; d++)
			for (size_t r = 0; r < 2; r++) {
				char query[16];
				snprintf(query, sizeof(query), "%s%s", later ? "x=" : "now=", does[d]);
				char text[200];
				snprintf(text, sizeof(text), r == 0 ? requests[0] : requests[1], query);
				say(fd, text);
				elsewhere.does = does[d];
				if (later) {
					wait_sent();
					call(answer_waiting);
				}
				struct reply reply = hear(fd);
				CU_ASSERT_EQUAL(reply.code, d == 2 ? 503 : 201);
				CU_ASSERT_EQUAL(has_header(&reply, "X-Away: yes"), d != 2);
				CU_ASSERT_EQUAL(has_header(&reply, "Retry-After: 5"), d == 2);
				CU_ASSERT_EQUAL(has_header(&reply, "Content-Encoding: gzip"),
						d == 1 && r == 1);
				if (d == 0)
					UNIT_TEXT(reply.body, away_body);
				if (d == 1 && r == 0)
					CU_ASSERT(reply.size == BIG_SIZE &&
						  memcmp(reply.body, big, BIG_SIZE) == 0);
				forget(&reply);
			}
	/* The client is this process, and the daemon's own processes never count as local. */
	UNIT_TEXT(elsewhere.seen, "GET /away ?x=none local=0 127.0.0.1 t body=");
	CU_ASSERT_EQUAL(elsewhere.cancelled, 0);
	close(fd);
	stop();
}

/* A request is cancelled when its client leaves, in each way, and when the server ends. */
static void cancels(void)
{
	start("{}");
	call(set_forward);
	for (int how = 0; how < 3; how++) {
		elsewhere.cancelled = 0;
		int fd = dial();
		say(fd, "GET /away HTTP/1.1\r\nX-Test: t\r\n" HOST);
		wait_sent();
		if (how == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
		if (how == 1)
			shutdown(fd, SHUT_WR);
		else
			close(fd);
		for (gone = 0; gone == 0; usleep(1000))
			call(look);
		if (how == 1) {
			CU_ASSERT(is_closed(fd));
			close(fd);
		}
	}
	elsewhere.cancelled = 0;
	int fd = dial();
	say(fd, "GET /away HTTP/1.1\r\nX-Test: t\r\n" HOST);
	wait_sent();
	stop();
	CU_ASSERT_EQUAL(elsewhere.cancelled, 1);
	CU_ASSERT(is_closed(fd));
	close(fd);
}

static struct route_table *smaller;
static void take_routes_away(void)
{
	smaller = route_table_new();
	struct err err;
	CU_ASSERT(route_add(smaller, &(struct route_entry){.route = &routes[0], .sm = &sm, .plugin = "test"},
			    &err));
	http_set_routes(server.http, smaller);
}

/* A reload does not change the reply to a request that is forwarded. */
static void outlives_its_routes(void)
{
	start("access: {token: a-word-of-16-bytes, public: [away]}");
	call(set_forward);
	int fd = dial();
	say(fd, "GET /away HTTP/1.1\r\nX-Test: t\r\n" HOST);
	wait_sent();
	call(take_routes_away);
	elsewhere.does = "small";
	call(answer_waiting);
	struct reply reply = hear(fd);
	CU_ASSERT_EQUAL(reply.code, 201);
	CU_ASSERT(has_header(&reply, "Access-Control-Allow-Origin: *"));
	forget(&reply);
	close(fd);
	stop();
	route_table_unref(smaller);
}

/* Only a Host that names this machine reaches the route; tests/live has the long table. */
static void guards(void)
{
	static const struct {
		const char *head;
		int code;
	} cases[] = {
		{"Host: 127.0.0.1:80\r\n", 201},
		{"Host: [::1]\r\n", 201},
		{"Host: known.example:1\r\n", 201},
		{"Host: unknown.example\r\n", 403},
		{"Host: [::1].example\r\n", 403},
		{"Host: localhost\r\nOrigin: http://localhost\r\n", 201},
		{"Host: localhost\r\nOrigin: http://localhost:81\r\n", 403},
		{"Host: localhost\r\nOrigin: null\r\n", 403},
	};
	start("server_names: [known.example]");
	call(set_forward);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		elsewhere.sent = 0;
		char request[300];
		snprintf(request, sizeof(request),
			 "POST /guarded?now=small HTTP/1.1\r\n%sX-Test: t\r\nContent-Length: 2\r\n\r\n{}",
			 cases[i].head);
		struct reply reply = ask(request);
		if (reply.code != cases[i].code)
			fprintf(stderr, "\n%s-> %s", cases[i].head, reply.head);
		CU_ASSERT_EQUAL(reply.code, cases[i].code);
		call(look); /* synchronizes with the loop's thread */
		CU_ASSERT_EQUAL(elsewhere.sent, reply.code == 201);
		forget(&reply);
	}
	UNIT_TEXT(elsewhere.seen, "POST /guarded ?now=small local=0 127.0.0.1 t body={}");
	stop();
}

int main(void)
{
	return run_tests("http", (const struct unit_test[]){{"answers", answers},
							    {"refuses", refuses},
							    {"refuses large", refuses_large},
							    {"has right headers", has_right_headers},
							    {"answers OPTIONS", answers_options},
							    {"forwards", forwards},
							    {"cancels", cancels},
							    {"outlives its routes", outlives_its_routes},
							    {"guards", guards},
							    {0}});
}
