/* SPDX-License-Identifier: Apache-2.0 */
/* The table of functions that a plugin calls (struct skymon_host), and those that report a check. Called by
 * plugins through the wrappers of skymon/plugin.h, on all threads of the runner; owns nothing. */
#include "plugin/plugin.h"
#include "runner_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolve.h"

#define SAMPLE_SIZE_MIN                                                                                      \
	(offsetof(struct skymon_sample, label_count) + sizeof(size_t)) /* in the first minor */

static struct runner_component *of(struct skymon *sm)
{
	return (struct runner_component *)sm;
}

/* ---- Reports of a check ---- */

static void say(struct skymon *sm, const char *text, size_t size)
{
	char *clean = runner_masked(of(sm), text, size);
	result_say(of(sm)->builder, clean);
	free(clean);
}

static void reason(struct skymon *sm, int value)
{
	result_reason(of(sm)->builder, value);
}

static void add_detail(struct runner_component *component, const char *key, const char *json)
{
	struct err err;
	if (!result_detail(component->builder, key, json, &err))
		runner_dropped(component, &err);
}

static void detail_text(struct skymon *sm, const char *key, const char *text, size_t size)
{
	struct buf json = {0};
	char *clean = runner_masked(of(sm), text, size);
	buf_json(&json, clean);
	add_detail(of(sm), key, json.data);
	buf_free(&json);
	free(clean);
}

static void detail_number(struct skymon *sm, const char *key, double value)
{
	struct buf json = {0};
	buf_json_number(&json, value);
	add_detail(of(sm), key, json.data);
	buf_free(&json);
}

static void detail_boolean(struct skymon *sm, const char *key, bool value)
{
	add_detail(of(sm), key, value ? "true" : "false");
}

static void detail_json(struct skymon *sm, const char *key, const char *json)
{
	struct runner_component *component = of(sm);
	json_t *value = NULL;
	if (component->mask.count > 0 && json != NULL)
		value = json_loads(json, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	if (value == NULL) { /* nothing to mask, or invalid JSON, which add_detail reports */
		add_detail(component, key, json);
		return;
	}
	json_t *clean = runner_masked_json(component, value);
	char *text = json_dumps(clean, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
	add_detail(component, key, json_equal(clean, value) ? json : text);
	free(text);
	json_decref(clean);
	json_decref(value);
}

static void number(struct skymon *sm, const char *name, double value)
{
	struct runner_component *component = of(sm);
	const struct skymon_number *declared = component->runner->plugin->numbers;
	while (declared != NULL && declared->name != NULL && name != NULL && !plugin_declares(declared, name))
		declared++;
	struct err err;
	bool known = name != NULL && declared != NULL && declared->name != NULL;
	if (!known)
		err_set(&err, "number %.100s is not declared by the plugin", name != NULL ? name : "");
	if (!known || !result_set_number(component->builder, name, value, &err))
		runner_dropped(component, &err);
}

static bool label_taken(const struct runner_component *component, const struct skymon_label *labels,
			size_t count, const char *name, struct err *err)
{
	for (char **own = component->label_names; *own != NULL; own++)
		for (size_t i = 0; i < count; i++)
			if (labels[i].name != NULL && strcmp(labels[i].name, *own) == 0) {
				err_set(err,
					"metric %.100s has the label %s, which the component's own labels "
					"have",
					name != NULL ? name : "", *own);
				return true;
			}
	return false;
}

static void add_sample(struct runner_component *component, const struct skymon_sample *sample)
{
	struct err err;
	if (label_taken(component, sample->labels, sample->label_count, sample->name, &err) ||
	    !result_metric(component->builder, sample->type, sample->name, sample->help, sample->value,
			   sample->labels, sample->label_count, &err))
		runner_dropped(component, &err);
}

static void sample(struct skymon *sm, const struct skymon_sample *given)
{
	const struct mask *mask = &of(sm)->mask;
	struct skymon_sample sample = {0};
	if (given->size < SAMPLE_SIZE_MIN) {
		struct err err;
		err_set(&err, "a sample's size is %u, not sizeof(struct skymon_sample)", given->size);
		runner_dropped(of(sm), &err);
		return;
	}
	memcpy(&sample, given, given->size < sizeof(sample) ? given->size : sizeof(sample));
	size_t count = sample.label_count;
	if (mask->count == 0 ||
	    count > RESULT_LABELS_MAX) { /* nothing to mask, or too many labels, which add_sample refuses */
		add_sample(of(sm), &sample);
		return;
	}
	struct skymon_label clean[RESULT_LABELS_MAX];
	struct buf rooms[RESULT_LABELS_MAX + 1] = {0};
	for (size_t i = 0; i < count; i++)
		clean[i] = (struct skymon_label){sample.labels[i].name,
						 mask_text(mask, sample.labels[i].value, &rooms[i])};
	sample.help = mask_text(mask, sample.help, &rooms[count]);
	sample.labels = clean;
	add_sample(of(sm), &sample);
	for (size_t i = 0; i <= count; i++)
		buf_free(&rooms[i]);
}

/* ---- Questions of a check ---- */

static int64_t ms_left(struct skymon *sm)
{
	int64_t left = of(sm)->deadline_us - runner_clock_us();
	return left > 0 ? left / 1000 : 0;
}

static void step(struct skymon *sm, const char *text)
{
	struct buf room = {0};
	runner_loop_note(of(sm));
	runner_set_step(of(sm), text != NULL ? mask_text(&of(sm)->mask, text, &room) : "");
	buf_free(&room);
}

static bool resolve_within(struct skymon *sm, const char *host, int64_t ms, char *addresses, size_t size)
{
	struct runner_component *component = of(sm);
	int64_t until_us = component->deadline_us, now_us = runner_clock_us();
	enum skymon_reason why;
	struct err err;
	if (ms < (until_us - now_us) / 1000)
		until_us = now_us + ms * 1000;
	if (resolve_host(host, until_us, addresses, size, &why, &err))
		return true;
	runner_unresolved(component, why, err.text);
	return false;
}

static bool resolve(struct skymon *sm, const char *host, char *addresses, size_t size)
{
	return resolve_within(sm, host, INT64_MAX, addresses, size);
}

static void secret_refused(struct skymon *sm)
{
	struct runner *runner = of(sm)->runner;
	runner->events->refused(runner->arg, of(sm)->id);
}

static const char *name_of(struct skymon *sm)
{
	return of(sm)->name;
}

static const char *state_dir(struct skymon *sm)
{
	return of(sm)->state_dir;
}

static int64_t interval_ms(struct skymon *sm)
{
	return of(sm)->interval_ms;
}

static void *shared(struct skymon *sm)
{
	return of(sm)->runner->shared;
}

/* Functions that only plugins in the daemon have (snapshot, self, render, …) are left out: their wrappers
 * give NULL. */
const struct skymon_host runner_host = {
	.size = sizeof(struct skymon_host),
	.log = runner_log_text,
	.say = say,
	.reason = reason,
	.detail_text = detail_text,
	.detail_number = detail_number,
	.detail_boolean = detail_boolean,
	.detail_json = detail_json,
	.number = number,
	.sample = sample,
	.ms_left = ms_left,
	.step = step,
	.resolve = resolve,
	.resolve_within = resolve_within,
	.secret_refused = secret_refused,
	.name = name_of,
	.state_dir = state_dir,
	.interval_ms = interval_ms,
	.print = number_print,
	.shared = shared,
	.request_method = runner_request_method,
	.request_param = runner_request_param,
	.request_query = runner_request_query,
	.request_header = runner_request_header,
	.request_body = runner_request_body,
	.request_trusted = runner_request_trusted,
	.request_caller = runner_request_caller,
	.request_again = runner_request_again,
	.request_audit = runner_request_audit,
	.reply_header = runner_reply_header,
	.reply = runner_reply,
	.reply_parts = runner_reply_parts,
	.reply_problem = runner_reply_problem,
	.problem_json = runner_problem_json,
	.ask_path = runner_ask_path,
	.ask_field = runner_ask_field,
	.ask_fresh = runner_ask_fresh,
	.answer = runner_ask_answer,
	.refuse = runner_ask_refuse,
	.invalid = runner_invalid,
	.done = runner_loop_done,
	.watch = runner_loop_watch,
	.timer = runner_loop_timer,
	.resolve_later = runner_loop_resolve,
};
