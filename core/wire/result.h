/* SPDX-License-Identifier: Apache-2.0 */
/* result: the report of one check, as an immutable, counted value; and its form on the wire. Built in a
 * worker (result_builder, by the runner), decoded and checked in the daemon. Not thread-safe: the daemon
 * counts on one thread, a builder belongs to the thread of its check. */
#ifndef RESULT_H
#define RESULT_H

#include <skymon/routes.h>

#include "wire.h"

struct result {
	struct skymon_result view; /* the first member: a skymon_result is its result */
	uint32_t references;
	uint32_t dropped;         /* series that limits.series left out */
	const char *dropped_name; /* the metric of the first of them */
	/* private: the memory behind the view */
	void *memory, *body;
	char *text;
};

/* Returns the daemon's own finding, without details and numbers; the caller has one reference. duration_us is
 * -1 without a run. */
struct result *result_new(enum skymon_status status, enum skymon_reason reason, int64_t time_ms,
			  int64_t duration_us, const char *format, ...) PRINTF(5);
struct result *result_ref(struct result *result);
void result_unref(struct result *result); /* NULL is fine */

/* Sets a worse status with its reason and message (thresholds), before the result is shared (references ==
 * 1). */
void result_worsen(struct result *result, enum skymon_status status, enum skymon_reason reason,
		   const char *format, ...) PRINTF(4);
/* Sets details that are a JSON object, and drops others, before the result is shared. */
void result_set_details(struct result *result, const char *json);
/* Returns the number of that name, or NULL. */
const struct skymon_value *result_number(const struct skymon_result *result, const char *name);

/* Drops the series above so many, in their order, before the result is shared. */
void result_limit_series(struct result *result, uint32_t most);

/* ---- Worker's side ---- */
#define RESULT_LABELS_MAX 32u /* of one series */
#define RESULT_MESSAGE_MAX 500
#define RESULT_DETAILS_MAX (256u << 10)
#define RESULT_NUMBERS_MAX 256u
#define RESULT_FAMILIES_MAX 4096u
struct result_builder; /* one per run */
struct result_builder *result_builder_new(void);
void result_builder_limit(struct result_builder *b, uint32_t series_max); /* 0 for none; outlives a reset */
void result_builder_reset(struct result_builder *b);
void result_builder_free(struct result_builder *b);
void result_say(struct result_builder *b, const char *text);
void result_reason(struct result_builder *b, int reason);
/* Marks message and reason as those of a name that does not resolve: later ones of the plugin replace them,
 * and a check that succeeds nevertheless drops them. */
void result_unresolved(struct result_builder *b);
bool result_detail(struct result_builder *b, const char *key, const char *json,
		   struct err *err); /* json: any value, checked */
/* Ignores what is not finite, and so was not measured. */
bool result_set_number(struct result_builder *b, const char *name, double value, struct err *err);
/* Checks name, labels (not `component`), type against earlier samples of this family, and that the series is
 * new. Labels are sorted by name, so that the same ones in another order are the same series. A counter is
 * named …_total and is never negative. */
bool result_metric(struct result_builder *b, int type, const char *name, const char *help, double value,
		   const struct skymon_label *labels, size_t count, struct err *err);
const char *result_builder_message(const struct result_builder *b);
int result_builder_reason(const struct result_builder *b);
/* Appends status, reason, duration, message, details, numbers, families and the number of dropped series to
 * body. NONE becomes ok or other; an empty message becomes the reason's word. */
void result_encode(struct result_builder *b, enum skymon_status status, int64_t duration_us,
		   struct buf *body);

/* ---- Daemon's side ---- */
/* Takes the message's body (frees it, or keeps it as the result's memory) with the reader behind the run's
 * number. Checks everything: enums, UTF-8, that details is a JSON object, the form of names, labels and
 * values, the types of families. */
struct result *result_decode(void *body, struct wire_reader in, int64_t time_ms, struct err *err) MUST_CHECK;

/* Prints `a="x",b="y"` with escapes; for the labels of components too. */
void labels_print(struct buf *out, const struct skymon_label *labels, size_t count);
bool metric_name_ok(const char *name); /* [a-zA-Z_:][a-zA-Z0-9_:]* */
/* Names that scrapers, exporters and the daemon itself set: not for plugins and configs. */
bool metric_name_reserved(const char *name);
bool label_name_reserved(const char *name);
/* Returns the reason that a plugin's result may have: the one given, `ok` where a healthy one gives a
 * failure's, `other` where it is the core's own. */
int result_claim(int status, int reason);
bool label_name_ok(const char *name); /* [a-zA-Z_][a-zA-Z0-9_]*, not __… */

#endif
