/* SPDX-License-Identifier: Apache-2.0 */
/* websocket: frames, also hostile ones, the handshake, and what `start` accepts. With servers:
 * tests/live/test_websocket.py. */
#include "fake_host.h"
#include "unit.h"

#include "../../plugins/websocket/websocket.h"

extern const struct skymon_plugin skymon_plugin;

/* ---- Sent frames ---- */

static void sends(void)
{
	static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	static const unsigned char hello[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
					      0x7f, 0x9f, 0x4d, 0x51, 0x58};
	static const struct {
		size_t size, head;
		unsigned char length[10];
	} rows[] = {{0, 6, {0x80}},
		    {125, 6, {0xFD}},
		    {126, 8, {0xFE, 0x00, 0x7E}},
		    {65535, 8, {0xFE, 0xFF, 0xFF}},
		    {65536, 14, {0xFF, 0, 0, 0, 0, 0, 1, 0, 0}}};
	static unsigned char bytes[65536], out[sizeof(bytes) + WEBSOCKET_FRAME_HEAD_MAX];
	/* RFC 6455, 5.7 */
	CU_ASSERT_EQUAL(websocket_frame(WEBSOCKET_OP_TEXT, "Hello", 5, mask, out), sizeof(hello));
	CU_ASSERT(memcmp(out, hello, sizeof(hello)) == 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t length = rows[i].head - 5;
		CU_ASSERT_EQUAL(websocket_frame(WEBSOCKET_OP_BINARY, bytes, rows[i].size, mask, out),
				rows[i].head + rows[i].size);
		CU_ASSERT(out[0] == 0x82 && memcmp(out + 1, rows[i].length, length) == 0);
		CU_ASSERT(memcmp(out + 1 + length, mask, 4) == 0);
		for (size_t at = 0; at < rows[i].size; at++)
			if (out[rows[i].head + at] != mask[at % 4])
				CU_FAIL_FATAL("not masked");
	}
}

/* ---- Received frames ---- */

static char heard[4096]; /* "pong:ab message:hello bad:sent …" */

/* Returns the events of the bytes, fed in pieces of `step`. */
static const char *hear(const void *bytes, size_t size, size_t step, size_t max)
{
	struct websocket_reader reader = {.message_max = max};
	size_t at = 0, length = 0;
	enum websocket_event event = WEBSOCKET_NOTHING;
	heard[0] = '\0';
	while (at < size && event != WEBSOCKET_BAD) {
		size_t used, part = size - at < step ? size - at : step;
		event = websocket_read(&reader, (const char *)bytes + at, part, &used);
		at += used;
		CU_ASSERT(used <= part && (event != WEBSOCKET_NOTHING || used == part));
		CU_ASSERT(reader.message_size <= max && reader.control_size <= WEBSOCKET_CONTROL_MAX);
		char *to = heard + length;
		size_t room = sizeof(heard) - length;
		if (event == WEBSOCKET_PING || event == WEBSOCKET_PONG)
			length += (size_t)snprintf(to, room, "%s:%.*s ",
						   event == WEBSOCKET_PING ? "ping" : "pong",
						   (int)reader.control_size, (const char *)reader.control);
		else if (event == WEBSOCKET_MESSAGE)
			length += (size_t)snprintf(to, room, "message:%.*s ", (int)reader.message_size,
						   reader.message != NULL ? reader.message : "");
		else if (event == WEBSOCKET_CLOSE)
			length += (size_t)snprintf(to, room, "close:%u ", reader.close_code);
		else if (event == WEBSOCKET_BAD)
			length += (size_t)snprintf(to, room, "bad:%u %s", reader.close_code, reader.bad);
	}
	if (event == WEBSOCKET_BAD) { /* the state is final */
		size_t used;
		CU_ASSERT_EQUAL(websocket_read(&reader, "\x89\0", 2, &used), WEBSOCKET_BAD);
	} else if (websocket_is_halfway(&reader)) {
		snprintf(heard + length, sizeof(heard) - length, "halfway");
	}
	websocket_reader_free(&reader);
	return heard;
}

#define BYTES(text) (text), sizeof(text) - 1

static const struct {
	const char *bytes;
	size_t size;
	const char *expected; /* beginning of the message */
} frames[] = {
	/* RFC 6455, 5.7 */
	{BYTES("\x81\x05Hello"), "message:Hello "},
	{BYTES("\x01\x03Hel\x80\x02lo"), "message:Hello "},
	{BYTES("\x89\x05Hello"), "ping:Hello "},
	{BYTES("\x8a\x05Hello"), "pong:Hello "},
	{BYTES("\x89\x00"), "ping: "},
	{BYTES("\x81\x00"), "message: "},
	{BYTES("\x82\x03\x00\xff\xfe"), "message:"},
	{BYTES("\x81\x02\xc3\xa4"), "message:\xc3\xa4 "},
	/* control frames in the middle of a message; a character in two frames */
	{BYTES("\x01\x01\xc3\x8a\x01x\x89\x01y\x80\x01\xa4"), "pong:x ping:y message:\xc3\xa4 "},
	{BYTES("\x01\x01"
	       "a\x00\x00\x00\x01"
	       "b\x80\x01"
	       "c\x81\x01"
	       "d"),
	 "message:abc message:d "},
	/* halves */
	{BYTES("\x81"), "halfway"},
	{BYTES("\x81\x05Hell"), "halfway"},
	{BYTES("\x81\x7e\x00"), "halfway"},
	{BYTES("\x01\x05Hello"), "halfway"},
	/* close */
	{BYTES("\x88\x00"), "close:0 "},
	{BYTES("\x88\x02\x03\xe8"), "close:1000 "},
	{BYTES("\x88\x06\x03\xf3oops"), "close:1011 "},
	{BYTES("\x88\x02\x0f\xa0"), "close:4000 "},
	{BYTES("\x88\x01\x03"), "bad:1002 sent a close frame with half a code"},
	{BYTES("\x88\x02\x03\xed"), "bad:1002 sent a close frame with a code"}, /* 1005 */
	{BYTES("\x88\x02\x03\xee"), "bad:1002 sent a close frame with a code"}, /* 1006 */
	{BYTES("\x88\x02\x03\xf7"), "bad:1002 sent a close frame with a code"}, /* 1015 */
	{BYTES("\x88\x02\x00\x00"), "bad:1002 sent a close frame with a code"},
	{BYTES("\x88\x02\x0b\xb7"), "bad:1002 sent a close frame with a code"}, /* 2999 */
	{BYTES("\x88\x02\x13\x88"), "bad:1002 sent a close frame with a code"}, /* 5000 */
	{BYTES("\x88\x04\x03\xe8\xff\xff"), "bad:1007 sent a close frame whose text"},
	/* hostile */
	{BYTES("\x91\x00"), "bad:1002 sent a frame with reserved bits"},
	{BYTES("\xc1\x00"), "bad:1002 sent a frame with reserved bits"},
	{BYTES("\x83\x00"), "bad:1002 sent a frame of a kind"},
	{BYTES("\x8b\x00"), "bad:1002 sent a frame of a kind"},
	{BYTES("\x81\x85\x01\x02\x03\x04Hello"), "bad:1002 sent a masked frame"},
	{BYTES("\x09\x01x"), "bad:1002 sent a control frame in pieces"},
	{BYTES("\x89\x7e\x00\x7e"), "bad:1002 sent a control frame of more"},
	{BYTES("\x8a\x7f\x00\x00\x00\x00\x00\x00\x00\x01"), "bad:1002 sent a control frame of more"},
	{BYTES("\x80\x01x"), "bad:1002 sent the continuation"},
	{BYTES("\x01\x01x\x81\x01y"), "bad:1002 began a message in the middle"},
	{BYTES("\x81\x01x\x80\x01y"), "message:x bad:1002 sent the continuation"},
	{BYTES("\x81\x7e\x00\x7d"), "bad:1002 sent a frame whose length"},
	{BYTES("\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), "bad:1002 sent a frame whose length"},
	{BYTES("\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), "bad:1002 sent a frame whose length"},
	{BYTES("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), "bad:1002 sent a frame whose length"},
	/* larger than the 64 bytes that are kept: reported before any of it is read */
	{BYTES("\x81\x41"), "bad:1009 sent a message that is larger"},
	{BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), "bad:1009 sent a message that is larger"},
	{BYTES("\x01\x03xyz\x80\x3e"), "bad:1009 sent a message that is larger"},
	/* invalid UTF-8: a lone byte, an overlong slash, a surrogate, too high, cut off */
	{BYTES("\x81\x01\x80"), "bad:1007 sent a text that is not UTF-8"},
	{BYTES("\x81\x02\xc0\xaf"), "bad:1007 sent a text that is not UTF-8"},
	{BYTES("\x81\x03\xe0\x80\xaf"), "bad:1007 sent a text that is not UTF-8"},
	{BYTES("\x81\x03\xed\xa0\x80"), "bad:1007 sent a text that is not UTF-8"},
	{BYTES("\x81\x04\xf4\x90\x80\x80"), "bad:1007 sent a text that is not UTF-8"},
	{BYTES("\x81\x04\xf0\x8f\xbf\xbf"), "bad:1007 sent a text that is not UTF-8"},
	{BYTES("\x81\x03\xf0\x9f\x98"), "bad:1007 sent a text that is not UTF-8"},
	{BYTES("\x81\x04\xf0\x9f\x98\x80"), "message:\xf0\x9f\x98\x80 "},
};

static void hears(void)
{
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
		for (size_t step = 1; step <= frames[i].size; step++) {
			const char *found = hear(frames[i].bytes, frames[i].size, step, 64);
			bool same = strncmp(found, frames[i].expected, strlen(frames[i].expected)) == 0;
			if (!same)
				fprintf(stderr, "\nframe %zu, step %zu: got %s, expected %s\n", i, step,
					found, frames[i].expected);
			CU_ASSERT(same);
		}
}

/* A message that is not kept uses no memory, at any length. */
static void reads_past(void)
{
	static const unsigned char head[] = {0x82, 0x7f, 0, 0, 0, 0, 1, 0, 0, 0}; /* 16 MiB */
	static unsigned char noise[65536];
	struct websocket_reader reader = {.message_max = 0};
	size_t used;
	CU_ASSERT_EQUAL(websocket_read(&reader, head, sizeof(head), &used), WEBSOCKET_NOTHING);
	for (int i = 0; i < 256; i++) {
		enum websocket_event event = websocket_read(&reader, noise, sizeof(noise), &used);
		CU_ASSERT_EQUAL(event, i == 255 ? WEBSOCKET_MESSAGE : WEBSOCKET_NOTHING);
	}
	CU_ASSERT(reader.message == NULL && reader.message_size == 0);
	CU_ASSERT_FALSE(websocket_is_halfway(&reader));
	websocket_reader_free(&reader);
}

/* A large announced length allocates nothing before the bytes arrive. */
static void promises(void)
{
	static const unsigned char head[] = {0x82, 0x7f, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 'x'};
	struct websocket_reader reader = {.message_max = 1 << 30};
	size_t used;
	CU_ASSERT_EQUAL(websocket_read(&reader, head, sizeof(head), &used), WEBSOCKET_NOTHING);
	CU_ASSERT(reader.message_size == 1 && reader.message_room <= 4096);
	websocket_reader_free(&reader);
}

/* Random bytes: bounds hold (under sanitizers), and the pieces make no difference. */
static void noise(void)
{
	uint64_t seed = 88172645463325252u;
	unsigned char bytes[96];
	char whole[sizeof(heard)];
	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			/* Nearly valid headers get further than random bytes. */
			bytes[i] = (seed >> 20 & 3) != 0
					   ? (unsigned char)"\x81\x01\x80\x89\x8a\x02\x00\x05"[seed >> 30 & 7]
					   : (unsigned char)(seed >> 40);
		}
		snprintf(whole, sizeof(whole), "%s", hear(bytes, sizeof(bytes), sizeof(bytes), 32));
		UNIT_TEXT(hear(bytes, sizeof(bytes), 1 + (size_t)round % 7, 32), whole);
	}
}

/* ---- The handshake ---- */

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455, 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define AGREED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static void keys(void)
{
	char key[WEBSOCKET_KEY_SIZE];
	websocket_key((const unsigned char *)"the sample nonce", key);
	UNIT_TEXT(key, KEY);
	char accept[WEBSOCKET_ACCEPT_SIZE];
	websocket_accept(key, accept);
	UNIT_TEXT(accept, ACCEPT);
}

static void asks(void)
{
	static const char *const words[] = {"chat", "v2.chat"};
	static const struct skymon_label labels[] = {{"X-Team", "orders"}}, own_host[] = {{"host", "else"}};
	struct skymon_texts none = {NULL, 0}, two = {words, 2};
	struct skymon_map empty = {NULL, 0}, one = {labels, 1}, host = {own_host, 1};
	struct websocket_request request = {.host = "h:81",
					    .path = "",
					    .query = "",
					    .key = KEY,
					    .subprotocols = &none,
					    .headers = &empty};
	size_t size;
	char *text = websocket_request(&request, &size);
	UNIT_TEXT(text,
		  "GET / HTTP/1.1\r\nHost: h:81\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\nUser-Agent: skymon\r\n\r\n");
	CU_ASSERT_EQUAL(size, strlen(text));
	free(text);
	request = (struct websocket_request){.host = "h",
					     .path = "/a",
					     .query = "b=c",
					     .key = KEY,
					     .subprotocols = &two,
					     .headers = &one,
					     .origin = "https://o",
					     .authorization = "Bearer x"};
	text = websocket_request(&request, &size);
	UNIT_TEXT(text,
		  "GET /a?b=c HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n"
		  "Sec-WebSocket-Protocol: chat, v2.chat\r\nOrigin: https://o\r\nAuthorization: Bearer x\r\n"
		  "User-Agent: skymon\r\nX-Team: orders\r\n\r\n");
	free(text);
	request.headers = &host;
	text = websocket_request(&request, &size);
	CU_ASSERT(strstr(text, "Host: h\r\n") == NULL && strstr(text, "host: else\r\n") != NULL);
	free(text);
}

static const struct {
	const char *text;
	int asked; /* sub-protocols */
	enum websocket_answered answered;
	unsigned code;
	const char *says; /* text in `why`, or the sub-protocol */
} answers[] = {
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 0, WEBSOCKET_AGREED, 101, NULL},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n\x81\x00", 0, WEBSOCKET_AGREED, 101, NULL},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\n\n", 0, WEBSOCKET_AGREED, 101, NULL},
	{AGREED "sec-websocket-accept:" ACCEPT "  \r\nSec-WebSocket-Protocol: v2.chat\r\n\r\n", 2,
	 WEBSOCKET_AGREED, 101, "v2.chat"},
	{"HTTP/1.1 101 x\r\nupgrade: h2c, WebSocket\r\nconnection: keep-alive, "
	 "UPGRADE\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
	 0, WEBSOCKET_AGREED, 101, NULL},
	{"HTTP/1.1 101\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
	 "\r\n\r\n",
	 0, WEBSOCKET_AGREED, 101, NULL},
	/* incomplete */
	{"H", 0, WEBSOCKET_HALF, 0, NULL},
	{"HTTP/1.1 101", 0, WEBSOCKET_HALF, 0, NULL},
	{AGREED, 0, WEBSOCKET_HALF, 101, NULL},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\n\r", 0, WEBSOCKET_HALF, 101, NULL},
	{"HTTP/1.1 403 No\r\n", 0, WEBSOCKET_HALF, 403, NULL},
	/* refused */
	{"HTTP/1.1 403 No\r\n\r\n", 0, WEBSOCKET_REFUSED, 403, NULL},
	{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 0, WEBSOCKET_REFUSED, 200, NULL},
	/* invalid */
	{"SSH-2.0-x\r\n", 0, WEBSOCKET_WRONG, 0, "not HTTP"},
	{"X", 0, WEBSOCKET_WRONG, 0, "not HTTP"},
	{"HTTP/2 101\r\n\r\n", 0, WEBSOCKET_WRONG, 0, "not HTTP"},
	{"HTTP/1.1 1x1 \r\n\r\n", 0, WEBSOCKET_WRONG, 0, "not HTTP"},
	{"HTTP/1.1 1010\r\n\r\n", 0, WEBSOCKET_WRONG, 0, "not HTTP"},
	{"HTTP/1.1 999 \r\n\r\n", 0, WEBSOCKET_WRONG, 0, "not HTTP"},
	{"HTTP/1.1\r\n\r\n", 0, WEBSOCKET_WRONG, 0, "not HTTP"},
	{AGREED "no colon\r\n\r\n", 0, WEBSOCKET_WRONG, 101, "not HTTP"},
	{"HTTP/1.0 101 x\r\n\r\n", 0, WEBSOCKET_WRONG, 101, "HTTP/1.0"},
	{"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 0, WEBSOCKET_WRONG, 101,
	 "not to a WebSocket"},
	{"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", 0, WEBSOCKET_WRONG, 101, "not to a WebSocket"},
	{AGREED "\r\n", 0, WEBSOCKET_WRONG, 101, "without one Sec-WebSocket-Accept"},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 0,
	 WEBSOCKET_WRONG, 101, "without one Sec-WebSocket-Accept"},
	{AGREED "Sec-WebSocket-Accept: " KEY "\r\n\r\n", 0, WEBSOCKET_WRONG, 101,
	 "wrong Sec-WebSocket-Accept"},
	{AGREED "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n\r\n", 0, WEBSOCKET_WRONG, 101,
	 "wrong Sec-WebSocket-Accept"},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 0,
	 WEBSOCKET_WRONG, 101, "extension"},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: chat\r\n\r\n", 0,
	 WEBSOCKET_WRONG, 101, "sub-protocol that was not requested"},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: else\r\n\r\n", 2,
	 WEBSOCKET_WRONG, 101, "sub-protocol that was not requested"},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 1, WEBSOCKET_WRONG, 101,
	 "does not speak the sub-protocol"},
	{AGREED "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", 2, WEBSOCKET_WRONG, 101,
	 "none of the sub-protocols"},
};

static void validates_answers(void)
{
	static const char *const words[] = {"chat", "v2.chat"};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct skymon_texts asked = {words, (size_t)answers[i].asked};
		size_t size = strlen(answers[i].text) + (strstr(answers[i].text, "\x81") != NULL);
		char *exact = malloc(size); /* so that the sanitizer reports a read beyond */
		memcpy(exact, answers[i].text, size);
		struct websocket_answer answer;
		enum websocket_answered found = websocket_answered(exact, size, KEY, &asked, &answer);
		if (found != answers[i].answered || answer.code != answers[i].code)
			fprintf(stderr, "\nanswer %zu: got %d, %u\n", i, (int)found, answer.code);
		CU_ASSERT(found == answers[i].answered && answer.code == answers[i].code);
		if (found == WEBSOCKET_WRONG)
			CU_ASSERT(answer.why != NULL && strstr(answer.why, answers[i].says) != NULL);
		if (found == WEBSOCKET_AGREED) {
			UNIT_TEXT(answer.subprotocol, answers[i].says);
			CU_ASSERT_EQUAL(answer.size, size - 2 * (strstr(answers[i].text, "\x81") != NULL));
		}
		free(exact);
	}
}

static void heads_are_bounded(void)
{
	size_t size = WEBSOCKET_HEAD_MAX;
	char *head = malloc(size);
	struct skymon_texts none = {NULL, 0};
	memset(head, 'a', size);
	memcpy(head, AGREED "X: ", strlen(AGREED "X: "));
	struct websocket_answer answer;
	CU_ASSERT_EQUAL(websocket_answered(head, size - 1, KEY, &none, &answer), WEBSOCKET_HALF);
	CU_ASSERT_EQUAL(websocket_answered(head, size, KEY, &none, &answer), WEBSOCKET_WRONG);
	CU_ASSERT(strstr(answer.why, "16 KiB") != NULL);
	free(head);
}

/* ---- Start ---- */

static const struct {
	const char *url, *says; /* NULL if accepted */
} urls[] = {
	{"ws://h", NULL},
	{"wss://h:8443/a?b=c", NULL},
	{"WSS://geheim:wort@h/", NULL},
	{"ws://[::1]:81/", NULL},
	{"http://geheim:wort@h/", "url must begin with ws:// or wss://"},
	{"geheim", "url is not a URL"},
	{"ws://geheim:kla/rtext@h/", "url has"},
	{"ws://h:0/geheim", "url has a port"},
	{"ws://h/gehe im", "%XX"},
	{"ws://h/?geheim=\xc3\xa4", "%XX"},
	{"ws://h/geheim\r\nX: y", "%XX"},
};

static void starts(void)
{
	static const char *const hosts[] = {"h", "h:8443", "h", "[::1]:81"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct websocket ws = {.url = urls[i].url};
		struct skymon *sm = fake_new_run();
		bool started = fake_start(&skymon_plugin, sm, &ws);
		CU_ASSERT_EQUAL(started, urls[i].says == NULL);
		if (urls[i].says != NULL && strstr(fake.message, urls[i].says) == NULL)
			UNIT_TEXT(fake.message, urls[i].says);
		CU_ASSERT(strstr(fake.message, "geheim") == NULL && strstr(fake.message, "kla") == NULL);
		if (started) {
			if (i == 2)
				UNIT_TEXT(ws.basic, "Basic Z2VoZWltOndvcnQ=");
			UNIT_TEXT(ws.host, hosts[i]);
			skymon_plugin.stop(sm, &ws);
		}
	}
}

static void refuses_options(void)
{
	static const struct {
		const char *name, *value, *says;
	} headers[] = {{"X-A", "b\tc", NULL},
		       {"Host", "h", NULL},
		       {"X-A", "b\r\nGeheim: x", "headers is wrong: X-A has a line break"},
		       {"X A", "", "headers is wrong: X A is not the name of a header"},
		       {"", "", "is not the name of a header"},
		       {"X\n", "", "headers is wrong: one is not the name of a header"},
		       {"authorization", "geheim", "`authorization`"},
		       {"Sec-WebSocket-Protocol", "x", "`subprotocol`"},
		       {"origin", "x", "`origin`"},
		       {"sec-websocket-key", "x", "belongs to the handshake"},
		       {"Connection", "x", "belongs to the handshake"}};
	static const char *const words[] = {"two words"};
	struct skymon *sm = fake_new_run();
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct skymon_label label = {headers[i].name, headers[i].value};
		struct websocket ws = {.url = "ws://h", .headers = {&label, 1}};
		fake.message[0] = '\0';
		CU_ASSERT_EQUAL(fake_start(&skymon_plugin, sm, &ws), headers[i].says == NULL);
		CU_ASSERT(strstr(fake.message, headers[i].says != NULL ? headers[i].says : "") != NULL);
		CU_ASSERT(strcasestr(fake.message, "geheim") == NULL);
		skymon_plugin.stop(sm, &ws);
	}
	struct websocket word = {.url = "ws://h", .subprotocol = {words, 1}};
	CU_ASSERT(!fake_start(&skymon_plugin, sm, &word) && strstr(fake.message, "subprotocol") != NULL);
	struct websocket secret = {.url = "wss://h", .authorization = {"geheim\r\nX: y", 12}};
	CU_ASSERT(!fake_start(&skymon_plugin, sm, &secret) &&
		  strstr(fake.message, "authorization has a line break") != NULL);
	/* a login is sent to another machine only over TLS, or where that is allowed */
	static const struct {
		struct websocket options;
		bool good;
	} logins[] = {
		{{.url = "ws://h", .authorization = {"Bearer x", 8}}, false},
		{{.url = "ws://u:p@h"}, false},
		{{.url = "ws://u@192.0.2.1"}, false},
		{{.url = "ws://u@[2001:db8::1]"}, false},
		{{.url = "ws://u@127.0.0.1.example.com"}, false},
		{{.url = "ws://h"}, true},
		{{.url = "ws://u:p@localhost"}, true},
		{{.url = "ws://u:p@127.1.2.3"}, true},
		{{.url = "ws://u:p@[::1]"}, true},
		{{.url = "wss://u:p@h"}, true},
		{{.url = "ws://u:p@h", .tls = {.insecure = true}}, true},
	};
	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		struct websocket ws = logins[i].options;
		sm = fake_new_run();
		if (fake_start(&skymon_plugin, sm, &ws) != logins[i].good) {
			fprintf(stderr, "\n%s\n", ws.url);
			CU_FAIL();
		}
		CU_ASSERT(logins[i].good || strstr(fake.message, "tls: {insecure: true}") != NULL);
		if (logins[i].good)
			skymon_plugin.stop(sm, &ws);
	}
	struct websocket proxy = {.url = "ws://h", .proxy = "socks5://geheim@h"};
	CU_ASSERT(!fake_start(&skymon_plugin, sm, &proxy) &&
		  strstr(fake.message, "proxy must be http://") != NULL);
	CU_ASSERT(strstr(fake.message, "geheim") == NULL);
}

int main(void)
{
	return unit_run("websocket", (const struct unit_test[]){{"sends", sends},
								{"hears", hears},
								{"reads past", reads_past},
								{"promises", promises},
								{"noise", noise},
								{"keys", keys},
								{"asks", asks},
								{"validates answers", validates_answers},
								{"heads are bounded", heads_are_bounded},
								{"starts", starts},
								{"refuses options", refuses_options},
								{0}});
}
