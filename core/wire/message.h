/* SPDX-License-Identifier: Apache-2.0 */
/* message: the fields of each message between the daemon and its workers: a put and a get for each, side by
 * side, and used by both ends. Messages of one kind without fields (stop, refused, stopped, stale) have none.
 * What follows the fields of some (option values, a result, an HTTP message, a sandbox) has a pair in its own
 * module.
 *
 * Texts that were got point into the message's body. A get returns false if the fields are malformed. Pure.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <skymon/plugin.h>

#include "base/log.h"
#include "wire.h"

/* ---- From the daemon ---- */

/* Parts of a run that the worker reports by WIRE_OBSERVED, for `skymon run`. */
enum message_observe { MESSAGE_CALLS = 1, MESSAGE_USAGE = 2 };

/* WIRE_START and WIRE_VALIDATE; option values follow (option_values_encode). */
struct message_start {
	const char *name, *state_dir;
	const char *labels;  /* as labels_print writes them: metrics may not use their names */
	uint32_t series_max; /* of a result; 0: any number */
	int64_t interval_ms;
	uint8_t observe; /* of enum message_observe */
};
void message_put_start(struct buf *body, const struct message_start *start);
bool message_get_start(struct wire_reader *in, struct message_start *start) MUST_CHECK;

/* WIRE_RUN; the interval as it is now: a reload may have changed it. */
struct message_run {
	uint64_t run;
	uint32_t timeout_ms;
	int64_t interval_ms;
};
void message_put_run(struct buf *body, const struct message_run *run);
bool message_get_run(struct wire_reader *in, struct message_run *run) MUST_CHECK;

/* WIRE_ASK: a secret store is asked for a value. */
struct message_ask {
	uint64_t number; /* comes back with the answer */
	bool fresh;      /* the value that was given last has been refused */
	uint32_t timeout_ms;
	const char *path; /* path#field */
};
void message_put_ask(struct buf *body, const struct message_ask *ask);
bool message_get_ask(struct wire_reader *in, struct message_ask *ask) MUST_CHECK;

/* WIRE_REQUEST; the request follows (http_message_put_request). */
struct message_request {
	uint64_t number; /* comes back with the reply */
	bool repeated;   /* its secret was refused, and has been read again for it */
	uint32_t timeout_ms;
};
void message_put_request(struct buf *body, const struct message_request *request);
void message_get_request(struct wire_reader *in, struct message_request *request);

void message_put_cancel(struct buf *body, uint64_t number);
bool message_get_cancel(struct wire_reader *in, uint64_t *number) MUST_CHECK;

/* ---- From the worker ---- */

/* why: the plugin cannot be used; if NULL, what it declares follows (plugin_info_encode). */
void message_put_hello(struct buf *body, const char *why);
bool message_get_hello(struct wire_reader *in, const char **why) MUST_CHECK;

void message_put_started(struct buf *body, bool ok, enum skymon_reason reason, const char *message);
bool message_get_started(struct wire_reader *in, bool *ok, enum skymon_reason *reason,
			 const char **message) MUST_CHECK;

/* WIRE_RESULT; the result follows (result_encode). */
void message_put_result(struct buf *body, uint64_t run);
void message_get_result(struct wire_reader *in, uint64_t *run);

void message_put_log(struct buf *body, enum log_level level, const char *text);
bool message_get_log(struct wire_reader *in, enum log_level *level, const char **text) MUST_CHECK;

/* WIRE_CRASH: the last words of a worker. The put is async-signal-safe: it fills a body of fixed size, cuts
 * the step to what fits, replaces what is not printable ASCII, and returns the size. */
#define MESSAGE_CRASH_MAX 256
struct message_crash {
	enum wire_crash cause;
	uint8_t number; /* of the signal, or the exit code */
	const char *step;
};
size_t message_put_crash(uint8_t body[MESSAGE_CRASH_MAX], const struct message_crash *crash);
void message_get_crash(struct wire_reader *in, struct message_crash *crash);

/* WIRE_ANSWER: of a secret store. */
struct message_answer {
	uint64_t number;
	bool ok;
	enum skymon_reason reason; /* unless ok, with the sentence */
	const char *message;
	const void *bytes;
	size_t size;
	int64_t lease_ms; /* 0: until it is refused */
};
void message_put_answer(struct buf *body, const struct message_answer *answer);
bool message_get_answer(struct wire_reader *in, struct message_answer *answer) MUST_CHECK;

/* WIRE_REPLY; the reply follows (http_message_put_reply). */
void message_put_reply(struct buf *body, uint64_t number);
void message_get_reply(struct wire_reader *in, uint64_t *number);

/* WIRE_STEP: where a run is whose time is over. */
void message_put_step(struct buf *body, uint64_t run, const char *step);
bool message_get_step(struct wire_reader *in, uint64_t *run, const char **step) MUST_CHECK;

/* WIRE_OBSERVED: a call of the plugin, or, with an empty text, what the process holds after a run. */
struct message_observed {
	const char *text;
	int64_t at_us; /* since the run began */
	int64_t heap_bytes, files, threads;
};
void message_put_observed(struct buf *body, const struct message_observed *observed);
bool message_get_observed(struct wire_reader *in, struct message_observed *observed) MUST_CHECK;

/* WIRE_VALIDATED: mistakes, one after the other until the body ends; none if the options are valid. The get
 * returns false at the end, and when in->bad is set. */
void message_put_mistake(struct buf *body, const char *option, const char *text);
bool message_get_mistake(struct wire_reader *in, const char **option, const char **text) MUST_CHECK;

#endif
