/* http: what is answered to one request: codes, headers, bodies, refusals. */
#include "http_server.h"

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

int main(void)
{
	return run_tests("http", (const struct unit_test[]){{"answers", answers},
							    {"refuses", refuses},
							    {"refuses large", refuses_large},
							    {"has right headers", has_right_headers},
							    {"answers OPTIONS", answers_options},
							    {0}});
}
