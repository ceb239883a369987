/* SPDX-License-Identifier: Apache-2.0 */
/* wire: reading and writing of fields and packets, also hostile ones, and the outbox. */
#include "wire/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

static void bodies_read_back(void)
{
	struct buf body = {0};
	wire_put_u8(&body, 7);
	wire_put_u32(&body, 0xDEADBEEF);
	wire_put_u64(&body, 1ull << 60);
	wire_put_f64(&body, -0.25);
	wire_put_text(&body, "h\xC3\xA9llo");
	wire_put_text(&body, NULL);
	wire_put_text(&body, "");
	wire_put_bytes(&body, "a\0b", 3);
	struct wire_reader in = wire_reader(body.data, body.size);
	CU_ASSERT_EQUAL(wire_get_u8(&in), 7);
	CU_ASSERT_EQUAL(wire_get_u32(&in), 0xDEADBEEF);
	CU_ASSERT_EQUAL(wire_get_u64(&in), 1ull << 60);
	CU_ASSERT_EQUAL(wire_get_f64(&in), -0.25);
	UNIT_TEXT(wire_get_text(&in), "h\xC3\xA9llo");
	CU_ASSERT_PTR_NULL(wire_get_text(&in));
	UNIT_TEXT(wire_get_text(&in), "");
	CU_ASSERT(!wire_end(&in));
	size_t size;
	const char *bytes = wire_get_bytes(&in, &size);
	CU_ASSERT(size == 3 && memcmp(bytes, "a\0b", 4) == 0);
	CU_ASSERT(wire_end(&in));
	wire_get_u8(&in);
	CU_ASSERT(in.bad && !wire_end(&in));
	UNIT_TEXT(wire_get_text_or_empty(&in), "");
	buf_free(&body);
}

static void texts_are_made_good(void)
{
	static const struct {
		const char *put, *got;
	} rows[] = {
		{"\xFFx", "\xEF\xBF\xBDx"},
		{"12345678\xC3", "12345678\xEF\xBF\xBD"},
		{"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
		{"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
		{"\xF0\x9F\x98\x80!", "\xF0\x9F\x98\x80!"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf body = {0};
		wire_put_text(&body, rows[i].put);
		struct wire_reader in = wire_reader(body.data, body.size);
		UNIT_TEXT(wire_get_text(&in), rows[i].got);
		CU_ASSERT(wire_end(&in));
		buf_free(&body);
	}
}

/* Bytes that a hostile worker may write where a text or a list is expected. */
static void hostile_bodies_are_bad(void)
{
	static const struct {
		const char *what, *bytes;
		size_t size;
	} rows[] = {
		{"nothing", "", 0},
		{"half a size", "\1\0", 2},
		{"longer than the rest", "\6\0\0\0abc\0", 8},
		{"no end", "\3\0\0\0abc", 7},
		{"a zero inside", "\4\0\0\0a\0c\0", 8},
		{"a zero far inside", "\x0C\0\0\0abcdef\0hijk\0", 16},
		{"no UTF-8", "\3\0\0\0a\xFF\0", 7},
		{"largest size", "\xFF\xFF\xFF\xFF\0", 5},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *copy = malloc(rows[i].size +
				    1); /* of exactly this size, so that ASan reports a read beyond */
		memcpy(copy, rows[i].bytes, rows[i].size);
		struct wire_reader in = wire_reader(copy, rows[i].size);
		CU_ASSERT_PTR_NULL(wire_get_text(&in));
		if (!in.bad)
			fprintf(stderr, "\nnot refused: %s\n", rows[i].what);
		CU_ASSERT(in.bad);
		free(copy);
	}
	struct wire_reader in = wire_reader("\5\0\0\0abcd", 8);
	CU_ASSERT_EQUAL(wire_get_count(&in, 1), 0);
	CU_ASSERT(in.bad);
	in = wire_reader("\4\0\0\0abcd", 8);
	CU_ASSERT_EQUAL(wire_get_count(&in, 1), 4);
	in = wire_reader("\4\0\0\0abcd", 8);
	size_t size;
	CU_ASSERT_PTR_NULL(wire_get_bytes(&in, &size));
	CU_ASSERT(in.bad && size == 0);
}

struct ends {
	int fds[2];
	struct wire_outbox outbox;
	struct wire_inbox inbox;
	struct err err;
};

static void open_ends(struct ends *ends)
{
	memset(ends, 0, sizeof(*ends));
	CU_ASSERT_FATAL(wire_pair(ends->fds, &ends->err));
}

static void close_ends(struct ends *ends)
{
	for (int i = 0; i < 2; i++)
		if (ends->fds[i] >= 0)
			close(ends->fds[i]);
	wire_outbox_free(&ends->outbox);
	wire_inbox_free(&ends->inbox);
}

static void expect(struct ends *ends, unsigned type, uint32_t id, const void *body, size_t size)
{
	struct wire_message got = {0};
	enum wire_got what = wire_receive(&ends->inbox, ends->fds[1], &got, &ends->err);
	CU_ASSERT_EQUAL_FATAL(what, WIRE_MESSAGE);
	CU_ASSERT(got.type == type && got.id == id && got.size == size);
	CU_ASSERT(got.size == size && memcmp(got.body, body, size) == 0 && ((char *)got.body)[size] == '\0');
	free(got.body);
}

static void short_messages_arrive(void)
{
	struct ends e;
	open_ends(&e);
	struct wire_message got;
	CU_ASSERT_EQUAL(wire_receive(&e.inbox, e.fds[1], &got, &e.err), WIRE_AGAIN);
	CU_ASSERT(wire_send(e.fds[0], WIRE_RUN, 9, "run", 3));
	CU_ASSERT(wire_send(e.fds[0], WIRE_STOP, 10, NULL, 0));
	CU_ASSERT(wire_post(&e.outbox, e.fds[0], WIRE_LOG, 0, "log", 3, &e.err));
	expect(&e, WIRE_RUN, 9, "run", 3);
	expect(&e, WIRE_STOP, 10, "", 0);
	expect(&e, WIRE_LOG, 0, "log", 3);
	close(e.fds[0]);
	e.fds[0] = -1;
	CU_ASSERT_EQUAL(wire_receive(&e.inbox, e.fds[1], &got, &e.err), WIRE_CLOSED);
	close_ends(&e);
}

static char *make_body(size_t size)
{
	char *body = malloc(size);
	for (size_t i = 0; i < size; i++)
		body[i] = (char)(i * 31 + i / 977);
	return body;
}

/* More bytes than the socket holds: the outbox keeps the rest, and the report of a crash is delivered in the
 * middle of it. */
static void long_messages_arrive_in_parts(void)
{
	struct ends e;
	struct wire_message got = {0};
	size_t size = 2u << 20;
	char *body = make_body(size);
	bool crash = false;
	open_ends(&e);
	CU_ASSERT(wire_post(&e.outbox, e.fds[0], WIRE_HELLO, 3, body, size, &e.err));
	CU_ASSERT(e.outbox.first != NULL && e.outbox.bytes > 0 && e.outbox.bytes < size + 4096);
	CU_ASSERT(wire_post(&e.outbox, e.fds[0], WIRE_RUN, 4, "x", 1, &e.err));
	enum wire_got what;
	while ((what = wire_receive(&e.inbox, e.fds[1], &got, &e.err)) != WIRE_MESSAGE ||
	       got.type == WIRE_CRASH) {
		if (what == WIRE_MESSAGE) {
			CU_ASSERT(!crash && got.size == 2 && memcmp(got.body, "!!", 2) == 0);
			crash = true;
			free(got.body);
			CU_ASSERT(wire_flush(&e.outbox, e.fds[0], &e.err));
			continue;
		}
		CU_ASSERT_EQUAL_FATAL(what, WIRE_AGAIN);
		if (!crash && wire_send_now(e.fds[0], WIRE_CRASH, 3, "!!", 2))
			continue;
		CU_ASSERT(wire_flush(&e.outbox, e.fds[0], &e.err));
	}
	CU_ASSERT(crash);
	CU_ASSERT(got.type == WIRE_HELLO && got.id == 3 && got.size == size &&
		  memcmp(got.body, body, size) == 0);
	free(got.body);
	CU_ASSERT(wire_flush(&e.outbox, e.fds[0], &e.err));
	CU_ASSERT(e.outbox.first == NULL && e.outbox.bytes == 0);
	expect(&e, WIRE_RUN, 4, "x", 1);
	free(body);
	close_ends(&e);
}

static void outbox_is_bounded(void)
{
	struct ends e;
	char *body = make_body(WIRE_MESSAGE_MAX);
	int sent = 0;
	open_ends(&e);
	while (sent < 100 && wire_post(&e.outbox, e.fds[0], WIRE_START, 1, body, WIRE_MESSAGE_MAX, &e.err))
		sent++;
	CU_ASSERT(sent >= 3 && sent <= 5);
	CU_ASSERT(strstr(e.err.text, "does not read") != NULL);
	CU_ASSERT(!wire_post(&e.outbox, e.fds[0], WIRE_START, 1, body, WIRE_MESSAGE_MAX + 1, &e.err));
	CU_ASSERT(!wire_send(e.fds[0], WIRE_START, 1, body, WIRE_MESSAGE_MAX + 1) && errno == EMSGSIZE);
	free(body);
	close_ends(&e);
}

static void a_closed_reader_is_reported(void)
{
	struct ends e;
	open_ends(&e);
	close(e.fds[1]);
	e.fds[1] = -1;
	CU_ASSERT(!wire_send(e.fds[0], WIRE_RUN, 1, "x", 1));
	CU_ASSERT(!wire_post(&e.outbox, e.fds[0], WIRE_RUN, 1, "x", 1, &e.err));
	CU_ASSERT(!wire_send_now(e.fds[0], WIRE_CRASH, 1, "x", 1));
	close_ends(&e);
}

/* Several messages in a packet arrive one by one, also before and after long ones. */
static void short_messages_share_a_packet(void)
{
	struct ends e;
	struct buf packet = {0};
	struct wire_message got = {0};
	open_ends(&e);
	CU_ASSERT(wire_pack(&packet, WIRE_RESULT, 1, "one", 3));
	CU_ASSERT(wire_pack(&packet, WIRE_STOPPED, 2, NULL, 0));
	CU_ASSERT(wire_pack(&packet, WIRE_RESULT, 3, "three", 5));
	CU_ASSERT(wire_send_packed(e.fds[0], &packet));
	CU_ASSERT(wire_send(e.fds[0], WIRE_LOG, 4, "log", 3));
	expect(&e, WIRE_RESULT, 1, "one", 3);
	CU_ASSERT(wire_has_rest(&e.inbox));
	expect(&e, WIRE_STOPPED, 2, "", 0);
	expect(&e, WIRE_RESULT, 3, "three", 5);
	CU_ASSERT(!wire_has_rest(&e.inbox));
	expect(&e, WIRE_LOG, 4, "log", 3);
	CU_ASSERT_EQUAL(wire_receive(&e.inbox, e.fds[1], &got, &e.err), WIRE_AGAIN);

	char *body = make_body(WIRE_PACKET_MAX);
	unsigned count = 0;
	packet.size = 0;
	while (wire_pack(&packet, WIRE_RESULT, count + 1, body, 1000))
		count++;
	CU_ASSERT(count == WIRE_PACKET_MAX / (1000 + sizeof(struct wire_head)));
	CU_ASSERT(!wire_pack(&packet, WIRE_RESULT, 9, body, WIRE_PACKET_MAX));
	CU_ASSERT(packet.size <= WIRE_PACKET_MAX && wire_send_packed(e.fds[0], &packet));
	for (unsigned i = 0; i < count; i++)
		expect(&e, WIRE_RESULT, i + 1, body, 1000);
	free(body);
	buf_free(&packet);
	close_ends(&e);
}

/* Messages that may wait go in one packet, before the next one that may not, and at the latest with a flush. */
static void packed_posts_keep_their_order(void)
{
	struct ends e;
	struct wire_message got = {0};
	open_ends(&e);
	CU_ASSERT(wire_post_packed(&e.outbox, e.fds[0], WIRE_RUN, 1, "one", 3, &e.err));
	CU_ASSERT(wire_post_packed(&e.outbox, e.fds[0], WIRE_RUN, 2, "two", 3, &e.err));
	CU_ASSERT_EQUAL(wire_receive(&e.inbox, e.fds[1], &got, &e.err), WIRE_AGAIN);
	CU_ASSERT(wire_post(&e.outbox, e.fds[0], WIRE_STOP, 1, NULL, 0, &e.err));
	expect(&e, WIRE_RUN, 1, "one", 3);
	CU_ASSERT(wire_has_rest(&e.inbox));
	expect(&e, WIRE_RUN, 2, "two", 3);
	expect(&e, WIRE_STOP, 1, "", 0);
	CU_ASSERT(wire_post_packed(&e.outbox, e.fds[0], WIRE_RUN, 3, "three", 5, &e.err));
	CU_ASSERT(wire_flush(&e.outbox, e.fds[0], &e.err));
	expect(&e, WIRE_RUN, 3, "three", 5);

	char *body = make_body(WIRE_PACKED_ENOUGH);
	CU_ASSERT(wire_post_packed(&e.outbox, e.fds[0], WIRE_RUN, 4, body, WIRE_PACKED_ENOUGH, &e.err));
	CU_ASSERT(wire_post_packed(&e.outbox, e.fds[0], WIRE_RUN, 5, "five", 4, &e.err)); /* sends both */
	expect(&e, WIRE_RUN, 4, body, WIRE_PACKED_ENOUGH);
	expect(&e, WIRE_RUN, 5, "five", 4);
	CU_ASSERT(e.outbox.first == NULL && e.outbox.packed.size == 0);
	free(body);
	wire_outbox_free(&e.outbox);
	close_ends(&e);
}

/* The rest of a packet is as hostile as its first message. */
static void hostile_rests_are_bad(void)
{
	const uint32_t magic = 0x316D6B73;
	const struct {
		const char *what;
		struct wire_head second;
		size_t cut; /* bytes of the second message that are left out */
	} rows[] = {
		{"half a head", {.magic = magic, .type = WIRE_LOG}, 8},
		{"no mark", {.magic = 1, .type = WIRE_LOG}, 0},
		{"unknown type", {.magic = magic, .type = 99}, 0},
		{"padding", {.magic = magic, .type = WIRE_LOG, .zero = 1}, 0},
		{"nothing of something", {.magic = magic, .type = WIRE_LOG, .size = 3}, 0},
		{"too long", {.magic = magic, .type = WIRE_LOG, .size = WIRE_MESSAGE_MAX + 1}, 0},
		{"last words", {.magic = magic, .type = WIRE_CRASH}, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ends e;
		struct buf packet = {0};
		struct wire_message got = {0};
		open_ends(&e);
		CU_ASSERT(wire_pack(&packet, WIRE_RESULT, 1, "one", 3));
		buf_add(&packet, &rows[i].second, sizeof(rows[i].second));
		CU_ASSERT(send(e.fds[0], packet.data, packet.size - rows[i].cut, 0) > 0);
		CU_ASSERT(wire_send(e.fds[0], WIRE_LOG, 4, "log", 3));
		expect(&e, WIRE_RESULT, 1, "one", 3);
		enum wire_got what = wire_receive(&e.inbox, e.fds[1], &got, &e.err);
		if (what != WIRE_BAD)
			fprintf(stderr, "\nnot refused: %s\n", rows[i].what);
		CU_ASSERT(what == WIRE_BAD && !wire_has_rest(&e.inbox));
		buf_free(&packet);
		close_ends(&e);
	}
}

static void put_packet(struct ends *e, struct wire_head head, size_t payload)
{
	char packet[WIRE_PACKET_MAX + 512] = {0};
	memcpy(packet, &head, sizeof(head));
	CU_ASSERT(send(e->fds[0], packet, sizeof(head) + payload, 0) > 0);
}

/* Each row is one or two packets that a correct worker never sends. */
static void hostile_packets_are_bad(void)
{
	const uint32_t magic = 0x316D6B73;
	const struct {
		const char *what;
		struct wire_head first, second;
		size_t first_size, second_size;
	} rows[] = {
		{"no mark", {.magic = 1, .type = WIRE_LOG}, {0}, 0, 0},
		{"unknown type", {.magic = magic, .type = 99}, {0}, 0, 0},
		{"type 0", {.magic = magic, .type = 0}, {0}, 0, 0},
		{"between the directions", {.magic = magic, .type = WIRE_VALIDATE + 1}, {0}, 0, 0},
		{"padding", {.magic = magic, .type = WIRE_LOG, .zero = 1}, {0}, 0, 0},
		{"too long", {.magic = magic, .type = WIRE_LOG, .size = WIRE_MESSAGE_MAX + 1}, {0}, 9, 0},
		{"result too long",
		 {.magic = magic, .type = WIRE_RESULT, .size = WIRE_RESULT_MAX + 1},
		 {0},
		 9,
		 0},
		{"more than it says", {.magic = magic, .type = WIRE_LOG, .size = 3}, {0}, 4, 0},
		{"nothing of something", {.magic = magic, .type = WIRE_LOG, .size = 3}, {0}, 0, 0},
		{"cut last words", {.magic = magic, .type = WIRE_CRASH, .size = 9}, {0}, 4, 0},
		{"larger than a packet", {.magic = magic, .type = WIRE_RESULT, .size = 70000}, {0}, 65600, 0},
		{"another type within",
		 {.magic = magic, .type = WIRE_RESULT, .size = 100},
		 {.magic = magic, .type = WIRE_LOG, .size = 10},
		 50,
		 10},
		{"another id within",
		 {.magic = magic, .type = WIRE_RESULT, .size = 100},
		 {.magic = magic, .type = WIRE_RESULT, .size = 100, .id = 1},
		 50,
		 50},
		{"another size within",
		 {.magic = magic, .type = WIRE_RESULT, .size = 100},
		 {.magic = magic, .type = WIRE_RESULT, .size = 1000},
		 50,
		 50},
		{"too much in the end",
		 {.magic = magic, .type = WIRE_RESULT, .size = 100},
		 {.magic = magic, .type = WIRE_RESULT, .size = 100},
		 50,
		 51},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ends e;
		struct wire_message got = {0};
		open_ends(&e);
		put_packet(&e, rows[i].first, rows[i].first_size);
		if (rows[i].second.magic != 0)
			put_packet(&e, rows[i].second, rows[i].second_size);
		enum wire_got what;
		while ((what = wire_receive(&e.inbox, e.fds[1], &got, &e.err)) == WIRE_MESSAGE)
			free(got.body);
		if (what != WIRE_BAD)
			fprintf(stderr, "\nnot refused: %s\n", rows[i].what);
		CU_ASSERT_EQUAL(what, WIRE_BAD);
		CU_ASSERT(e.err.text[0] != '\0');
		close_ends(&e);
	}
	struct ends e;
	struct wire_message got = {0};
	open_ends(&e);
	CU_ASSERT(send(e.fds[0], "short", 5, 0) == 5);
	CU_ASSERT_EQUAL(wire_receive(&e.inbox, e.fds[1], &got, &e.err), WIRE_BAD);
	close_ends(&e);
}

int main(void)
{
	return unit_run("wire", (const struct unit_test[]){
					{"bodies read back", bodies_read_back},
					{"invalid texts are mended", texts_are_made_good},
					{"hostile bodies are bad", hostile_bodies_are_bad},
					{"short messages arrive", short_messages_arrive},
					{"long messages arrive in parts", long_messages_arrive_in_parts},
					{"short messages share a packet", short_messages_share_a_packet},
					{"packed posts keep their order", packed_posts_keep_their_order},
					{"hostile rests are bad", hostile_rests_are_bad},
					{"the outbox is bounded", outbox_is_bounded},
					{"a missing reader is reported", a_closed_reader_is_reported},
					{"hostile packets are bad", hostile_packets_are_bad},
					{0}});
}
