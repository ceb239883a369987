/* SPDX-License-Identifier: Apache-2.0 */
/* http: raw requests against RFC 9112 (sections in brackets). Requests that two programs could understand
 * differently get one reply, which is ours, and the connection ends; merely odd requests are served. */
#include "http_server.h"

#include <netinet/tcp.h>

#include "http/http_private.h"

#define BEHIND "GET /echo?q=behind HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET "GET /echo HTTP/1.1\r\n"
#define POST "POST /form HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define BYTES(text) text, sizeof(text) - 1
#define NO_CODING "the only Transfer-Encoding that is understood is chunked"
#define NO_PATH "the target of the request is not a path that begins with /"
#define NO_LINE "the request line "

static const struct {
	const char *bytes;
	size_t size;
	int code;
	const char *detail; /* beginning of the reply */
} refused[] = {
	/* the request line [3] */
	{BYTES("GET /echo\r\n\r\n"), 400, NO_LINE "has no version"},
	{BYTES("GET\r\n\r\n"), 400, NO_LINE "does not begin"},
	{BYTES("GET HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_LINE "has no version"},
	{BYTES("GET  HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_LINE "has no target"},
	{BYTES("GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the path has a space"},
	{BYTES("GET /echo  HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the path has a space"},
	{BYTES("GET\t/echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_LINE "does not begin"},
	{BYTES("GET /echo\tHTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_LINE "has no version"},
	{BYTES(" GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_LINE "does not begin"},
	{BYTES("GET /echo HTTP/1.1 \r\nHost: x\r\n\r\n"), 400, NO_LINE "is not METHOD"},
	{BYTES("GET /echo HTTP/1.1x\r\nHost: x\r\n\r\n"), 400, NO_LINE "is not METHOD"},
	{BYTES("GET /echo http/1.1\r\nHost: x\r\n\r\n"), 400, NO_LINE "is not METHOD"},
	{BYTES("GET /echo HTTP/1.10\r\nHost: x\r\n\r\n"), 400, NO_LINE "is not METHOD"},
	{BYTES("GET /echo HTTP/1\r\nHost: x\r\n\r\n"), 400, NO_LINE "is not METHOD"},
	{BYTES("GET /echo HTTP/0.9\r\nHost: x\r\n\r\n"), 505, "this server speaks"},
	{BYTES("GET /echo HTTP/2.0\r\nHost: x\r\n\r\n"), 505, "this server speaks"},
	{BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505, "this server speaks"},
	{BYTES("G(T /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_LINE "does not begin"},
	{BYTES("GETGETGETGETGETGETGETGETGETGETGETGET /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 501, "the method"},
	{BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400, NO_LINE "does not begin"},
	{BYTES("\r\n\r\n\r\n\r\n\r\n"), 400, "there are empty lines"},
	/* the target [3.2] */
	{BYTES("GET echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_PATH},
	{BYTES("GET * HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_PATH},
	{BYTES("OPTIONS *x HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_PATH},
	{BYTES("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_PATH},
	{BYTES("GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_PATH},
	{BYTES("GET ftp://x/echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NO_PATH},
	{BYTES("GET http:///echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the target of the request names no"},
	{BYTES("GET http://:80/echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the target of the request names no"},
	{BYTES("GET http://a@b/echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the target of the request names no"},
	{BYTES("GET http://a:b/echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the target of the request names no"},
	{BYTES("GET http://[::1/echo HTTP/1.1\r\nHost: x\r\n\r\n"), 400,
	 "the target of the request names no"},
	{BYTES("GET /echo#a HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the target of the request has a fragment"},
	{BYTES("GET /echo/\xff HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the path has"},
	{BYTES("GET /ec\0ho HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the path has"},
	{BYTES("GET /echo\x7f HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the path has"},
	{BYTES("GET /echo?a\x01 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "the path has"},
	/* Host [3.2, 3.3] */
	{BYTES(GET "\r\n"), 400, "an HTTP/1.1 request needs a Host"},
	{BYTES(GET "Host: a\r\nHost: b\r\n\r\n"), 400, "there are two Host"},
	{BYTES("GET /echo HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n"), 400, "there are two Host"},
	{BYTES(GET "Host: a b\r\n\r\n"), 400, "the Host header is not"},
	{BYTES(GET "Host: a, b\r\n\r\n"), 400, "the Host header is not"},
	{BYTES(GET "Host: a,b\r\n\r\n"), 400, "the Host header is not"},
	{BYTES(GET "Host: http://a\r\n\r\n"), 400, "the Host header is not"},
	{BYTES(GET "Host: a/b\r\n\r\n"), 400, "the Host header is not"},
	{BYTES(GET "Host: u@a\r\n\r\n"), 400, "the Host header is not"},
	/* one header where the other is not allowed [5.3] */
	{BYTES(GET "Host: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"), 400,
	 "there are two Auth"},
	{BYTES(GET "Authorization: Basic a\r\nHost: x\r\nauthorization:\r\n\r\n"), 400, "there are two Auth"},
	{BYTES(GET "Host: x\r\nOrigin: http://x\r\nA: b\r\nORIGIN: http://evil\r\n\r\n"), 400,
	 "there are two Origin"},
	{BYTES(POST "Content-Type: application/json\r\ncontent-type: text/plain\r\n\r\n"), 400,
	 "there are two Content-Type"},
	/* lines [2.2] and fields [5] */
	{BYTES("GET /echo HTTP/1.1\nHost: x\n\n"), 400, "a line ends with LF alone"},
	{BYTES("GET /echo HTTP/1.0\n\n"), 400, "a line ends with LF alone"},
	{BYTES(GET "Host: x\n\r\n"), 400, "a line ends with LF alone"},
	{BYTES(GET "Host: x\r\n\n"), 400, "a line ends with LF alone"},
	{BYTES("GET /echo HTTP/1.1\rHost: x\r\n\r\n"), 400, "a line has a CR"},
	{BYTES(GET "Host: x\r\nA: b\rc\r\n\r\n"), 400, "a line has a CR"},
	{BYTES(GET "Host: x\r\nA: b\r\r\n\r\n"), 400, "a line has a CR"},
	{BYTES(GET "Host: x\r\nA: b\0c\r\n\r\n"), 400, "a header has a control"},
	{BYTES(GET "Host: x\r\nA: b\x0b\r\n\r\n"), 400, "a header has a control"},
	{BYTES(GET "Host: x\r\nA\0: b\r\n\r\n"), 400, "the name of a header"},
	{BYTES(GET "Host: x\r\n:\r\n"), 400, "a header has no name"},
	{BYTES(GET "Host: x\r\n: value\r\n\r\n"), 400, "a header has no name"},
	{BYTES(GET "Host: x\r\n:\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"), 400, "a header has no name"},
	{BYTES(GET "Host: x\r\nA : b\r\n\r\n"), 400, "a header has a space before"},
	{BYTES(GET "Host: x\r\nA\t: b\r\n\r\n"), 400, "a header has a space before"},
	{BYTES(GET "Host: x\r\nA b: c\r\n\r\n"), 400, "a header has a space before"},
	{BYTES(GET "Host: x\r\nA(b: c\r\n\r\n"), 400, "the name of a header"},
	{BYTES(GET "Host: x\r\nA\xe9: c\r\n\r\n"), 400, "the name of a header"},
	{BYTES(GET "Host: x\r\nnocolon\r\n\r\n"), 400, "a line between the headers has no colon"},
	{BYTES(GET "Host: x\r\nA: b\r\n c\r\n\r\n"), 400, "a header is folded"},
	{BYTES(GET "Host: x\r\nA: b\r\n\tc\r\n\r\n"), 400, "a header is folded"},
	{BYTES(GET " Host: x\r\n\r\n"), 400, "a header is folded"},
	/* where the body ends [6] */
	{BYTES(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 400, "there are two Content-L"},
	{BYTES(POST "Content-Length: 3\r\ncontent-length: 40\r\n\r\nabc"), 400, "there are two Content-L"},
	{BYTES(POST "Content-Length: +3\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length: -3\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length: 3, 3\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length: 1 2\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length: 0x3\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length: 3.0\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length:\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length : 3\r\n\r\nabc"), 400, "a header has a space before"},
	{BYTES(POST "Content-Length:\r\n 3\r\n\r\nabc"), 400, "Content-Length is not"},
	{BYTES(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
	 "there is a Content-L"},
	{BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"), 400,
	 "there is a Content-L"},
	{BYTES(POST "Content-Length: 4\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Content-Length: 4\r\nA: b\r\n Transfer-Encoding: chunked\r\n\r\n"), 400,
	 "a header is folded"},
	{BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501, NO_CODING},
	{BYTES(POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"), 400, NO_CODING},
	{BYTES(POST "Transfer-Encoding: \x0b"
		    "chunked\r\n\r\n0\r\n\r\n"),
	 400, "a header has a control"},
	{BYTES(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400, "a header has a space before"},
	{BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
	 NO_CODING},
	{BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"), 400,
	 NO_CODING},
	{BYTES("POST /form HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "HTTP/1.0 has no"},
	{BYTES(POST "Content-Length: 1025\r\n\r\n"), 413, "the body is larger than"},
	{BYTES(POST "Content-Length: 18446744073709551617\r\n\r\n"), 413, "the body is larger than"},
	/* chunks [7.1] */
	{BYTES(CHUNKED "g\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "-1\r\na\r\n0\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "0x1\r\na\r\n0\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED " 1\r\na\r\n0\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "1 \r\na\r\n0\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "1 ;a\r\na\r\n0\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "00000000000000001\r\na\r\n0\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "1\na\r\n0\r\n\r\n"), 400, "the size of a chunk"},
	{BYTES(CHUNKED "1;a\na\r\n0\r\n\r\n"), 400, "a line of the chunked body does not"},
	{BYTES(CHUNKED "1;a\rb\r\na\r\n0\r\n\r\n"), 400, "a line of the chunked body does not"},
	{BYTES(CHUNKED "1;a=\"\0\"\r\na\r\n0\r\n\r\n"), 400, "the extension of a chunk"},
	{BYTES(CHUNKED "1\r\nab\r\n0\r\n\r\n"), 400, "a chunk does not end"},
	{BYTES(CHUNKED "1\r\na\n0\r\n\r\n"), 400, "a chunk does not end"},
	{BYTES(CHUNKED "1\r\na\r0\r\n\r\n"), 400, "a chunk does not end"},
	{BYTES(CHUNKED "0\r\nA b: c\r\n\r\n"), 400, "a header after the body"},
	{BYTES(CHUNKED "0\r\n:\r\n\r\n"), 400, "a header after the body"},
	{BYTES(CHUNKED "0\r\nA: b\n\n"), 400, "a line of the chunked body does not"},
	{BYTES(CHUNKED "0\r\nA: b\r\n c\r\n\r\n"), 400, "a header after the body"},
	{BYTES(CHUNKED "401\r\n"), 413, "the body is larger than"},
	{BYTES(CHUNKED "1\r\na\r\n400\r\n"), 413, "the body is larger than"},
	{BYTES(CHUNKED "ffffffffffffffff\r\n"), 413, "the body is larger than"},
};

static const struct {
	const char *request, *answer; /* of /echo and /form */
} served[] = {
	{GET "Host:\r\n\r\n", "GET name=- q=- x=- trusted=1 body="},
	{GET "Host: a_b.example:8080\r\n\r\n", "GET name=- q=- x=- trusted=1 body="},
	{GET "Host: [fe80::1]:80\r\n\r\n", "GET name=- q=- x=- trusted=1 body="},
	{GET "Host: ::1\r\n\r\n", "GET name=- q=- x=- trusted=1 body="}, /* unusual, but not ambiguous */
	{GET "HOST:x\r\n\r\n", "GET name=- q=- x=- trusted=1 body="},
	{GET "Host: x\r\nX-Test: a  \t\r\n\r\n", "GET name=- q=- x=a trusted=1 body="},
	{GET "Host: x\r\nX-Test:\ta b \r\n\r\n", "GET name=- q=- x=a b trusted=1 body="},
	{GET "Host: x\r\nX-Test: \xc3\xa9\tb\r\n\r\n", "GET name=- q=- x=\xc3\xa9\tb trusted=1 body="},
	{GET "Host: x\r\nX-Test:\r\n\r\n", "GET name=- q=- x= trusted=1 body="},
	{GET "Host: x\r\nX-Test: \r\n\r\n", "GET name=- q=- x= trusted=1 body="},
	{GET "Cookie: a=b\r\nHost: x \r\nCOOKIE: c\r\nX-Test: y\r\n\r\n",
	 "GET name=- q=- x=y trusted=1 body="},
	{"\r\n\r\n" GET "Host: x\r\n\r\n", "GET name=- q=- x=- trusted=1 body="},
	{"GET /echo HTTP/1.2\r\nHost: x\r\n\r\n", "GET name=- q=- x=- trusted=1 body="},
	{"GET /echo?q=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", "GET name=- q=\xc3\xa9 x=- trusted=1 body="},
	{"GET http://other:1/echo?q=1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET name=- q=1 x=- trusted=1 body="},
	{"GET HTTP://other/echo HTTP/1.1\r\nHost: x\r\n\r\n", "GET name=- q=- x=- trusted=1 body="},
	{GET "Host: x\r\nContent-Length: 3 \r\n\r\nabc", "GET name=- q=- x=- trusted=1 body=abc"},
	{POST "Content-Length: 003\r\n\r\na=b\r\n", "POST name=- q=- x=- trusted=1 body=a=b"},
	{POST "Transfer-Encoding: Chunked \r\n\r\n3\r\na=b\r\n0\r\n\r\n",
	 "POST name=- q=- x=- trusted=1 body=a=b"},
	{CHUNKED "001;a;b=\"c\td\"\r\na\r\n2;x\r\n=b\r\n00\r\nA: b\r\nContent-Length: 7\r\n\r\n",
	 "POST name=- q=- x=- trusted=1 body=a=b"},
	{CHUNKED "A\r\n0123456789\r\n0\r\n\r\n", "POST name=- q=- x=- trusted=1 body=0123456789"},
};

/* Reads until the server ends the connection. */
static char *hear_all(int fd)
{
	struct buf all = {0};
	for (;;) {
		char *room = buf_room(&all, 4096);
		ssize_t got = recv(fd, room, 4096, 0);
		if (got <= 0)
			break;
		all.size += (size_t)got;
	}
	*buf_room(&all, 1) = '\0';
	return all.data;
}

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;
	for (text = strstr(text, what); text != NULL; text = strstr(text + 1, what))
		count++;
	return count;
}

static void send_all(int fd, const char *bytes, size_t size, size_t step)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (size_t at = 0; at < size; at += step)
		if (send(fd, bytes + at, step < size - at ? step : size - at, MSG_NOSIGNAL) <= 0)
			return;
}

static void refuses_one(size_t i, size_t step)
{
	char bytes[1024];
	int fd = dial();
	memcpy(bytes, refused[i].bytes, refused[i].size);
	strcpy(bytes + refused[i].size, BEHIND);
	send_all(fd, bytes, refused[i].size + strlen(BEHIND), step);
	shutdown(fd, SHUT_WR); /* so that a request that is served also ends */
	char *got = hear_all(fd);
	char wanted[256];
	snprintf(wanted, sizeof(wanted), "HTTP/1.1 %d ", refused[i].code);
	bool ok = strncmp(got, wanted, strlen(wanted)) == 0 && count_of(got, "\r\nContent-Length: ") == 1;
	ok = ok && strstr(got, "\r\nConnection: close\r\n") != NULL && strstr(got, "q=behind") == NULL;
	ok = ok && strstr(got, "\r\nContent-Type: application/problem+json\r\n") != NULL;
	snprintf(wanted, sizeof(wanted), "\"error\":\"%s", refused[i].detail);
	ok = ok && strstr(got, wanted) != NULL;
	if (!ok)
		fprintf(stderr, "\n%zu (by %zu): %s-> %s\n", i, step, refused[i].bytes, got);
	CU_ASSERT(ok);
	free(got);
	close(fd);
}

static void refuses(void)
{
	start("limits: {request_body: 1KiB}");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		refuses_one(i, 1024);
		refuses_one(i, 1);
	}
	stop();
}

static void serves(void)
{
	start("limits: {request_body: 1KiB}");
	for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++)
		for (size_t step = 1; step < 2048; step += 1023) {
			int fd = dial();
			send_all(fd, served[i].request, strlen(served[i].request), step);
			send_all(fd, BYTES(BEHIND), step);
			struct reply reply = hear(fd), behind = hear(fd);
			if (reply.code != 200)
				fprintf(stderr, "\n%s-> %s%s\n", served[i].request, reply.head, reply.body);
			UNIT_TEXT(reply.body, served[i].answer);
			UNIT_TEXT(behind.body, "GET name=- q=behind x=- trusted=1 body=");
			forget(&reply);
			forget(&behind);
			close(fd);
		}
	stop();
}

/* ---- Limits ---- */

static char *long_request(const char *before, size_t filling, const char *after)
{
	size_t size = strlen(before);
	char *request = malloc(size + filling + strlen(after) + 1);
	memcpy(request, before, size);
	memset(request + size, 'a', filling);
	strcpy(request + size + filling, after);
	return request;
}

static void has_limits(void)
{
	static const struct {
		const char *before;
		size_t filling;
		const char *after;
		int code;
	} cases[] = {
		{GET "Host: x\r\nA: ", 16384, "\r\n\r\n", 200},
		{GET "Host: x\r\nCookie: ", 16384, "\r\n\r\n", 200},
		{GET "Host: x\r\nA: ", HEAD_MAX - 36, "\r\n\r\n", 200}, /* exactly HEAD_MAX */
		{GET "Host: x\r\nA: ", HEAD_MAX - 35, "\r\n\r\n", 431},
		{GET "Host: x\r\nA: ", 100000, "\r\n\r\n", 431},
		{GET "Host: x\r\nA: ", 100000, "", 431},
		{GET "Host: x\r\nA", 100000, ": b\r\n\r\n", 431},
		{"GET /echo?q=", HEAD_TARGET_MAX - 8, " HTTP/1.1\r\n" HOST,
		 200}, /* exactly HEAD_TARGET_MAX */
		{"GET /echo?q=", HEAD_TARGET_MAX - 7, " HTTP/1.1\r\n" HOST, 414},
		{"GET /echo?q=", 40000, " HTTP/1.1\r\n" HOST, 414},
		{"GET /echo?q=", 40000, "", 414},
		{"GET", 40000, " /echo HTTP/1.1\r\n" HOST, 501},
		{CHUNKED "0\r\nA: ", 8000, "\r\n\r\n", 200},
		{CHUNKED "0\r\nA: ", 40000, "\r\n\r\n", 400},
		{CHUNKED "1;", 900, "\r\na\r\n0\r\n\r\n", 200},
		{CHUNKED "1;", 40000, "\r\na\r\n0\r\n\r\n", 400},
	};
	start("{}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *request = long_request(cases[i].before, cases[i].filling, cases[i].after);
		struct reply reply = ask(request);
		if (reply.code != cases[i].code)
			fprintf(stderr, "\n%zu: %.40s… -> %s\n", i, request, reply.head);
		CU_ASSERT_EQUAL(reply.code, cases[i].code);
		CU_ASSERT_EQUAL(reply.code != 200,
				has_header(&reply, "Content-Type: application/problem+json"));
		forget(&reply);
		free(request);
	}
	/* 128 headers, and one more; each costs libmicrohttpd more than it is long */
	for (int count = 127; count <= 128; count++) {
		struct buf many = {0};
		buf_text(&many, GET "Host: x\r\n");
		for (int i = 0; i < count; i++)
			buf_printf(&many, "A%d: %0140d\r\n", i, i);
		buf_text(&many, "\r\n");
		struct reply reply = ask(many.data);
		CU_ASSERT_EQUAL(reply.code, count == 127 ? 200 : 431);
		forget(&reply);
		buf_free(&many);
	}
	stop();
}

/* ---- The validator alone: the result does not depend on how the bytes arrive ---- */

struct trickle {
	const char *bytes;
	size_t size, at, batch; /* batch: how many more bytes may be read before waiting */
};

static ssize_t trickle_read(void *arg, char *out, size_t room)
{
	struct trickle *from = arg;
	size_t n = from->size - from->at;
	n = n < room ? n : room;
	n = n < from->batch ? n : from->batch;
	memcpy(out, from->bytes + from->at, n);
	from->at += n;
	from->batch -= n;
	return n > 0 ? (ssize_t)n : -1;
}

/* Reads as libmicrohttpd does: repeatedly while reads are full, then only when new bytes have arrived. */
static char *passed(const char *bytes, size_t size, size_t step, size_t room, bool records,
		    struct framing *framing)
{
	struct buf all = {0};
	struct trickle from = {.bytes = bytes, .size = size};
	struct framing_source source = {.read = trickle_read, .arg = &from, .again = -1, .records = records};
	*framing = (struct framing){.body_limit = 1024};
	while (from.at < size) {
		from.batch = step;
		ssize_t got;
		do {
			got = framing_read(framing, &source, buf_room(&all, room), room);
			all.size += got > 0 ? (size_t)got : 0;
		} while (records ? got > 0 : got == (ssize_t)room);
	}
	*buf_room(&all, 1) = '\0';
	return all.data;
}

static void passes_the_same(void)
{
	static const size_t steps[] = {1, 2, 3, 7, 33, 4096}, rooms[] = {1, 2, 5, 64, 4096};
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]) + sizeof(served) / sizeof(served[0]);
	     i++) {
		size_t count = sizeof(refused) / sizeof(refused[0]);
		const char *request = i < count ? refused[i].bytes : served[i - count].request;
		size_t size = i < count ? refused[i].size : strlen(request);
		char bytes[1024];
		memcpy(bytes, request, size);
		strcpy(bytes + size, BEHIND);
		size += strlen(BEHIND);
		struct framing whole;
		char *wanted = passed(bytes, size, size, 8192, false, &whole);
		/* an unusual Host passes: routes that check it answer 403 */
		bool shuts = i < count && strncmp(refused[i].detail, "the Host header is not", 22) != 0;
		CU_ASSERT_EQUAL(whole.fault, shuts ? refused[i].code : 0);
		struct framing framing;
		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
			for (size_t r = 0; r < 2 * sizeof(rooms) / sizeof(rooms[0]); r++) {
				char *got = passed(bytes, size, steps[s], rooms[r / 2], r % 2, &framing);
				/* a fault after an answered head may be noticed sooner or later */
				CU_ASSERT_EQUAL(framing.fault, whole.fault);
				UNIT_TEXT(got, wanted);
				CU_ASSERT(framing.fault != 0 || framing.held == NULL);
				framing_free(&framing);
				free(got);
			}
		framing_free(&whole);
		free(wanted);
	}
}

int main(void)
{
	return run_tests("http_head", (const struct unit_test[]){{"refuses", refuses},
								 {"serves", serves},
								 {"has limits", has_limits},
								 {"passes the same", passes_the_same},
								 {0}});
}
