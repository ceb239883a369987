/* SPDX-License-Identifier: Apache-2.0 */
/* message: each message survives put and get; a body cut at any point is refused. */
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static void put_start(struct buf *body)
{
	message_put_start(body, &(struct message_start){"c", "/state", "a=\"b\"", 7, 30000, 3});
}

static bool get_start(struct wire_reader *in)
{
	struct message_start start;
	return message_get_start(in, &start) && strcmp(start.name, "c") == 0 &&
	       strcmp(start.state_dir, "/state") == 0 && strcmp(start.labels, "a=\"b\"") == 0 &&
	       start.series_max == 7 && start.interval_ms == 30000 && start.observe == 3;
}

static void put_run(struct buf *body)
{
	message_put_run(body, &(struct message_run){1ull << 40, 5000, 30000});
}

static bool get_run(struct wire_reader *in)
{
	struct message_run run;
	return message_get_run(in, &run) && run.run == 1ull << 40 && run.timeout_ms == 5000 &&
	       run.interval_ms == 30000;
}

static void put_ask(struct buf *body)
{
	message_put_ask(body,
			&(struct message_ask){.number = 3, .fresh = true, .timeout_ms = 9, .path = "a#b"});
}

static bool get_ask(struct wire_reader *in)
{
	struct message_ask ask;
	return message_get_ask(in, &ask) && ask.number == 3 && ask.fresh && ask.timeout_ms == 9 &&
	       strcmp(ask.path, "a#b") == 0;
}

static void put_request(struct buf *body)
{
	message_put_request(body, &(struct message_request){.number = 4, .repeated = true, .timeout_ms = 8});
}

static bool get_request(struct wire_reader *in)
{
	struct message_request request;
	message_get_request(in, &request);
	return !in->bad && request.number == 4 && request.repeated && request.timeout_ms == 8;
}

static void put_cancel(struct buf *body)
{
	message_put_cancel(body, 5);
}

static bool get_cancel(struct wire_reader *in)
{
	uint64_t number;
	return message_get_cancel(in, &number) && number == 5;
}

static void put_hello(struct buf *body)
{
	message_put_hello(body, "no symbol");
}

static bool get_hello(struct wire_reader *in)
{
	const char *why;
	return message_get_hello(in, &why) && strcmp(why, "no symbol") == 0;
}

static void put_good_hello(struct buf *body)
{
	message_put_hello(body, NULL);
}

static bool get_good_hello(struct wire_reader *in)
{
	const char *why;
	return message_get_hello(in, &why) && why == NULL;
}

static void put_started(struct buf *body)
{
	message_put_started(body, true, SKYMON_DNS, "it is");
}

static bool get_started(struct wire_reader *in)
{
	enum skymon_reason reason;
	const char *message;
	bool ok;
	return message_get_started(in, &ok, &reason, &message) && ok && reason == SKYMON_DNS &&
	       strcmp(message, "it is") == 0;
}

static void put_result(struct buf *body)
{
	message_put_result(body, 6);
}

static bool get_result(struct wire_reader *in)
{
	uint64_t run;
	message_get_result(in, &run);
	return !in->bad && run == 6;
}

static void put_log(struct buf *body)
{
	message_put_log(body, LOG_LEVEL_DEBUG, "a line");
}

static bool get_log(struct wire_reader *in)
{
	enum log_level level;
	const char *text;
	return message_get_log(in, &level, &text) && level == LOG_LEVEL_DEBUG && strcmp(text, "a line") == 0;
}

static void put_crash(struct buf *body)
{
	uint8_t bytes[MESSAGE_CRASH_MAX];
	buf_add(body, bytes,
		message_put_crash(bytes, &(struct message_crash){WIRE_CRASH_SIGNAL, 11, "a\nb\x80"}));
}

static bool get_crash(struct wire_reader *in)
{
	struct message_crash crash;
	message_get_crash(in, &crash);
	return wire_end(in) && crash.cause == WIRE_CRASH_SIGNAL && crash.number == 11 &&
	       strcmp(crash.step, "a?b?") == 0;
}

static void put_answer(struct buf *body)
{
	message_put_answer(body, &(struct message_answer){.number = 7,
							  .ok = true,
							  .reason = SKYMON_OTHER,
							  .message = "m",
							  .bytes = "x\0y",
							  .size = 3,
							  .lease_ms = 1000});
}

static bool get_answer(struct wire_reader *in)
{
	struct message_answer answer;
	return message_get_answer(in, &answer) && answer.number == 7 && answer.ok &&
	       answer.reason == SKYMON_OTHER && strcmp(answer.message, "m") == 0 && answer.size == 3 &&
	       memcmp(answer.bytes, "x\0y", 3) == 0 && answer.lease_ms == 1000;
}

static void put_reply(struct buf *body)
{
	message_put_reply(body, 8);
}

static bool get_reply(struct wire_reader *in)
{
	uint64_t number;
	message_get_reply(in, &number);
	return !in->bad && number == 8;
}

static void put_step(struct buf *body)
{
	message_put_step(body, 9, "connecting");
}

static bool get_step(struct wire_reader *in)
{
	uint64_t run;
	const char *step;
	return message_get_step(in, &run, &step) && run == 9 && strcmp(step, "connecting") == 0;
}

static void put_observed(struct buf *body)
{
	message_put_observed(body, &(struct message_observed){"resolve", 5, 6, 7, 8});
}

static bool get_observed(struct wire_reader *in)
{
	struct message_observed seen;
	return message_get_observed(in, &seen) && strcmp(seen.text, "resolve") == 0 && seen.at_us == 5 &&
	       seen.heap_bytes == 6 && seen.files == 7 && seen.threads == 8;
}

static void put_mistake(struct buf *body)
{
	message_put_mistake(body, "url", "must be one");
}

static bool get_mistake(struct wire_reader *in)
{
	const char *option, *text;
	return message_get_mistake(in, &option, &text) && strcmp(option, "url") == 0 &&
	       strcmp(text, "must be one") == 0;
}

static void each_reads_back(void)
{
	static const struct {
		const char *name;
		void (*put)(struct buf *body);
		bool (*get)(struct wire_reader *in);
	} rows[] = {
		{"start", put_start, get_start},
		{"run", put_run, get_run},
		{"ask", put_ask, get_ask},
		{"request", put_request, get_request},
		{"cancel", put_cancel, get_cancel},
		{"hello", put_hello, get_hello},
		{"good hello", put_good_hello, get_good_hello},
		{"started", put_started, get_started},
		{"result", put_result, get_result},
		{"log", put_log, get_log},
		{"crash", put_crash, get_crash},
		{"answer", put_answer, get_answer},
		{"reply", put_reply, get_reply},
		{"step", put_step, get_step},
		{"observed", put_observed, get_observed},
		{"mistake", put_mistake, get_mistake},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf body = {0};
		rows[i].put(&body);
		for (size_t size = 0; size <= body.size; size++) {
			char *cut = malloc(
				size > 0 ? size : 1); /* so that a sanitizer reports each read beyond it */
			memcpy(cut, body.data, size);
			struct wire_reader in = wire_reader(cut, size);
			bool whole = size == body.size, got = rows[i].get(&in) && !in.bad;
			if (got != whole || (whole && !wire_end(&in)))
				fprintf(stderr, "\n%s, %zu of %zu bytes: %d\n", rows[i].name, size, body.size,
					got);
			CU_ASSERT(got == whole && (!whole || wire_end(&in)));
			free(cut);
		}
		buf_free(&body);
	}
}

static void claims_out_of_range_are_refused(void)
{
	struct buf body = {0};
	message_put_started(&body, true, SKYMON_REASON_COUNT, "");
	struct wire_reader in = wire_reader(body.data, body.size);
	enum skymon_reason reason;
	const char *text;
	bool ok;
	CU_ASSERT_FALSE(message_get_started(&in, &ok, &reason, &text));
	body.size = 0;
	message_put_log(&body, (enum log_level)(LOG_LEVEL_DEBUG + 1), "");
	in = wire_reader(body.data, body.size);
	enum log_level level;
	CU_ASSERT_FALSE(message_get_log(&in, &level, &text));
	static const struct message_answer answers[] = {
		{.reason = SKYMON_REASON_COUNT, .bytes = "", .message = ""},
		{.lease_ms = -1, .bytes = "", .message = ""}};
	for (size_t i = 0; i < 2; i++) {
		body.size = 0;
		message_put_answer(&body, &answers[i]);
		in = wire_reader(body.data, body.size);
		struct message_answer answer;
		CU_ASSERT_FALSE(message_get_answer(&in, &answer));
	}
	buf_free(&body);
}

/* A body with bytes after its fields is from another version, or hostile. */
static void what_follows_is_refused(void)
{
	struct buf body = {0};
	put_run(&body);
	wire_put_u8(&body, 0);
	struct wire_reader in = wire_reader(body.data, body.size);
	uint64_t number;
	struct message_run run;
	CU_ASSERT_FALSE(message_get_run(&in, &run));
	body.size = 0;
	put_cancel(&body);
	wire_put_u8(&body, 0);
	in = wire_reader(body.data, body.size);
	CU_ASSERT_FALSE(message_get_cancel(&in, &number));
	buf_free(&body);
}

static void mistakes_end_with_the_body(void)
{
	struct buf body = {0};
	const char *option, *text;
	unsigned count = 0;
	struct wire_reader in = wire_reader(NULL, 0);
	CU_ASSERT(!message_get_mistake(&in, &option, &text) && !in.bad);
	for (unsigned i = 0; i < 3; i++)
		put_mistake(&body);
	in = wire_reader(body.data, body.size);
	while (message_get_mistake(&in, &option, &text))
		count++;
	CU_ASSERT(count == 3 && !in.bad);
	in = wire_reader(body.data, body.size - 1);
	for (count = 0; message_get_mistake(&in, &option, &text);)
		count++;
	CU_ASSERT(count == 2 && in.bad);
	buf_free(&body);
}

static void a_long_step_is_cut(void)
{
	char step[1000];
	memset(step, 'x', sizeof(step));
	step[sizeof(step) - 1] = '\0';
	uint8_t body[MESSAGE_CRASH_MAX];
	size_t size = message_put_crash(body, &(struct message_crash){WIRE_CRASH_EXIT, 3, step});
	struct wire_reader in = wire_reader(body, size);
	struct message_crash crash;
	message_get_crash(&in, &crash);
	CU_ASSERT(size < sizeof(body) && wire_end(&in) && strlen(crash.step) == 200);
}

int main(void)
{
	return unit_run("message",
			(const struct unit_test[]){
				{"each reads back, and no part of it does", each_reads_back},
				{"claims out of range are refused", claims_out_of_range_are_refused},
				{"what follows the fields is refused", what_follows_is_refused},
				{"mistakes end with the body", mistakes_end_with_the_body},
				{"a long step is cut", a_long_step_is_cut},
				{0}});
}
