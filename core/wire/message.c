/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of each message, in the order of message.h. Called by the worker's main and runner, and by the
 * daemon's process and pool; owns nothing; any thread. */
#include "message.h"

#include <string.h>

#define STEP_MAX 200 /* bytes of a crash's step */

/* ---- From the daemon ---- */

void message_put_start(struct buf *body, const struct message_start *start)
{
	wire_put_text(body, start->name);
	wire_put_text(body, start->state_dir);
	wire_put_text(body, start->labels);
	wire_put_u32(body, start->series_max);
	wire_put_u64(body, (uint64_t)start->interval_ms);
	wire_put_u8(body, start->observe);
}

bool message_get_start(struct wire_reader *in, struct message_start *start)
{
	start->name = wire_get_text_or_empty(in);
	start->state_dir = wire_get_text_or_empty(in);
	start->labels = wire_get_text_or_empty(in);
	start->series_max = wire_get_u32(in);
	start->interval_ms = (int64_t)wire_get_u64(in);
	start->observe = wire_get_u8(in);
	return !in->bad;
}

void message_put_run(struct buf *body, const struct message_run *run)
{
	wire_put_u64(body, run->run);
	wire_put_u32(body, run->timeout_ms);
	wire_put_u64(body, (uint64_t)run->interval_ms);
}

bool message_get_run(struct wire_reader *in, struct message_run *run)
{
	run->run = wire_get_u64(in);
	run->timeout_ms = wire_get_u32(in);
	run->interval_ms = (int64_t)wire_get_u64(in);
	return wire_end(in);
}

void message_put_ask(struct buf *body, const struct message_ask *ask)
{
	wire_put_u64(body, ask->number);
	wire_put_u8(body, ask->fresh);
	wire_put_u32(body, ask->timeout_ms);
	wire_put_text(body, ask->path);
}

bool message_get_ask(struct wire_reader *in, struct message_ask *ask)
{
	ask->number = wire_get_u64(in);
	ask->fresh = wire_get_u8(in) != 0;
	ask->timeout_ms = wire_get_u32(in);
	ask->path = wire_get_text_or_empty(in);
	return wire_end(in);
}

void message_put_request(struct buf *body, const struct message_request *request)
{
	wire_put_u64(body, request->number);
	wire_put_u8(body, request->repeated);
	wire_put_u32(body, request->timeout_ms);
}

void message_get_request(struct wire_reader *in, struct message_request *request)
{
	request->number = wire_get_u64(in);
	request->repeated = wire_get_u8(in) != 0;
	request->timeout_ms = wire_get_u32(in);
}

void message_put_cancel(struct buf *body, uint64_t number)
{
	wire_put_u64(body, number);
}

bool message_get_cancel(struct wire_reader *in, uint64_t *number)
{
	*number = wire_get_u64(in);
	return wire_end(in);
}

/* ---- From the worker ---- */

void message_put_hello(struct buf *body, const char *why)
{
	wire_put_text(body, why);
}

bool message_get_hello(struct wire_reader *in, const char **why)
{
	*why = wire_get_text(in);
	return !in->bad;
}

void message_put_started(struct buf *body, bool ok, enum skymon_reason reason, const char *message)
{
	wire_put_u8(body, ok);
	wire_put_u8(body, (uint8_t)reason);
	wire_put_text(body, message);
}

bool message_get_started(struct wire_reader *in, bool *ok, enum skymon_reason *reason, const char **message)
{
	*ok = wire_get_u8(in) != 0;
	*reason = (enum skymon_reason)wire_get_u8(in);
	*message = wire_get_text_or_empty(in);
	return wire_end(in) && *reason < SKYMON_REASON_COUNT;
}

void message_put_result(struct buf *body, uint64_t run)
{
	wire_put_u64(body, run);
}

void message_get_result(struct wire_reader *in, uint64_t *run)
{
	*run = wire_get_u64(in);
}

void message_put_log(struct buf *body, enum log_level level, const char *text)
{
	wire_put_u8(body, (uint8_t)level);
	wire_put_text(body, text);
}

bool message_get_log(struct wire_reader *in, enum log_level *level, const char **text)
{
	*level = (enum log_level)wire_get_u8(in);
	*text = wire_get_text_or_empty(in);
	return wire_end(in) && *level <= LOG_LEVEL_DEBUG;
}

/* As wire_put_u8 and wire_put_text would put them, without memory to allocate. */
size_t message_put_crash(uint8_t body[MESSAGE_CRASH_MAX], const struct message_crash *crash)
{
	uint32_t size = 0;
	uint8_t *text = body + 2 + sizeof(size);
	body[0] = (uint8_t)crash->cause;
	body[1] = crash->number;
	for (; size < STEP_MAX && crash->step[size] != '\0'; size++)
		text[size] = crash->step[size] >= ' ' && crash->step[size] < 0x7F ? (uint8_t)crash->step[size]
										  : '?';
	text[size++] = '\0';
	memcpy(body + 2, &size, sizeof(size));
	return 2 + sizeof(size) + size;
}

void message_get_crash(struct wire_reader *in, struct message_crash *crash)
{
	crash->cause = (enum wire_crash)wire_get_u8(in);
	crash->number = wire_get_u8(in);
	crash->step = wire_get_text_or_empty(in);
}

void message_put_answer(struct buf *body, const struct message_answer *answer)
{
	wire_put_u64(body, answer->number);
	wire_put_u8(body, answer->ok);
	wire_put_u8(body, (uint8_t)answer->reason);
	wire_put_u64(body, (uint64_t)answer->lease_ms);
	wire_put_text(body, answer->message);
	wire_put_bytes(body, answer->bytes, answer->size);
}

bool message_get_answer(struct wire_reader *in, struct message_answer *answer)
{
	answer->number = wire_get_u64(in);
	answer->ok = wire_get_u8(in) != 0;
	answer->reason = (enum skymon_reason)wire_get_u8(in);
	answer->lease_ms = (int64_t)wire_get_u64(in);
	answer->message = wire_get_text_or_empty(in);
	answer->bytes = wire_get_bytes(in, &answer->size);
	return wire_end(in) && answer->reason < SKYMON_REASON_COUNT && answer->lease_ms >= 0;
}

void message_put_reply(struct buf *body, uint64_t number)
{
	wire_put_u64(body, number);
}

void message_get_reply(struct wire_reader *in, uint64_t *number)
{
	*number = wire_get_u64(in);
}

void message_put_step(struct buf *body, uint64_t run, const char *step)
{
	wire_put_u64(body, run);
	wire_put_text(body, step);
}

bool message_get_step(struct wire_reader *in, uint64_t *run, const char **step)
{
	*run = wire_get_u64(in);
	*step = wire_get_text_or_empty(in);
	return wire_end(in);
}

void message_put_observed(struct buf *body, const struct message_observed *observed)
{
	wire_put_text(body, observed->text);
	wire_put_u64(body, (uint64_t)observed->at_us);
	wire_put_u64(body, (uint64_t)observed->heap_bytes);
	wire_put_u64(body, (uint64_t)observed->files);
	wire_put_u64(body, (uint64_t)observed->threads);
}

bool message_get_observed(struct wire_reader *in, struct message_observed *observed)
{
	observed->text = wire_get_text_or_empty(in);
	observed->at_us = (int64_t)wire_get_u64(in);
	observed->heap_bytes = (int64_t)wire_get_u64(in);
	observed->files = (int64_t)wire_get_u64(in);
	observed->threads = (int64_t)wire_get_u64(in);
	return wire_end(in);
}

void message_put_mistake(struct buf *body, const char *option, const char *text)
{
	wire_put_text(body, option);
	wire_put_text(body, text);
}

bool message_get_mistake(struct wire_reader *in, const char **option, const char **text)
{
	if (wire_end(in))
		return false;
	*option = wire_get_text_or_empty(in);
	*text = wire_get_text_or_empty(in);
	return !in->bad;
}
