/* SPDX-License-Identifier: Apache-2.0 */
/* runner_mask: texts that leave a component: without its secrets, and log lines at a bounded rate. Called
 * by the other files of the runner on all of its threads; owns nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner_private.h"

#define LOG_LINES_MAX 20u /* of one component in LOG_WINDOW_US */
#define LOG_WINDOW_US 10000000
#define COMPLAINTS_MAX 20u /* of one component, until it is started again */

/* ---- Secrets ---- */

static void find_in(struct runner_component *component, const struct skymon_option *table, const char *state)
{
	for (; table != NULL && table->name != NULL; table++) {
		const char *member = state + table->offset;
		if (table->type == SKYMON_SECRET) {
			const struct skymon_secret *secret = (const void *)member;
			mask_add(&component->mask, secret->bytes, secret->bytes != NULL ? secret->size : 0);
		}
		if (table->type != SKYMON_LIST || table->item == NULL)
			continue;
		const struct skymon_list *list = (const struct skymon_list *)(const void *)member;
		for (size_t i = 0; i < list->count; i++)
			find_in(component, table->item, (const char *)list->items + i * table->item_size);
	}
}

void runner_find_secrets(struct runner_component *component)
{
	find_in(component, component->runner->plugin->options, component->state);
}

char *runner_masked(const struct runner_component *component, const char *text, size_t size)
{
	struct buf clean = {0};
	size = text != NULL ? strnlen(text, size) : 0;
	size_t whole = size + 3 < SKYMON_TEXT_MAX ? size : mask_whole(&component->mask, text, size);
	buf_add(&clean, text, whole);
	if (whole < size)
		buf_text(&clean, MASKED);
	struct buf room = {0};
	if (clean.size == 0 || mask_text(&component->mask, clean.data, &room) == clean.data)
		return clean.data != NULL ? clean.data : x_strdup("");
	buf_free(&clean);
	return room.data;
}

/* Returns the value with secrets masked in its keys and texts. */
static json_t *masked_json(const struct mask *mask, json_t *value)
{
	struct buf room = {0};
	json_t *clean = NULL;
	if (json_is_string(value)) {
		clean = json_string(mask_text(mask, json_string_value(value), &room));
	} else if (json_is_array(value)) {
		clean = json_array();
		for (size_t i = 0; i < json_array_size(value); i++)
			json_array_append_new(clean, masked_json(mask, json_array_get(value, i)));
	} else if (json_is_object(value)) {
		const char *key;
		json_t *member;
		clean = json_object();
		json_object_foreach(value, key, member) {
			room.size = 0;
			json_object_set_new(clean, mask_text(mask, key, &room), masked_json(mask, member));
		}
	} else {
		clean = json_incref(value);
	}
	buf_free(&room);
	return clean;
}

json_t *runner_masked_json(const struct runner_component *component, json_t *value)
{
	return masked_json(&component->mask, value);
}

/* ---- Trace ---- */

void runner_trace(struct runner_component *component, const char *format, ...)
{
	if ((component->observe & MESSAGE_CALLS) == 0)
		return;
	va_list list;
	char text[1000];
	struct buf room = {0};
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	struct message_observed observed = {.text = mask_text(&component->mask, text, &room),
					    .at_us = runner_clock_us() - component->begun_us};
	component->runner->events->observed(component->runner->arg, component->id, &observed);
	buf_free(&room);
}

/* ---- Log ---- */

/* Returns whether a line may be logged; *more is the number of lines that were dropped before it. */
static bool may_log(struct runner_component *component, enum log_level level, unsigned *more)
{
	int64_t now = runner_clock_us();
	unsigned kind = level == LOG_LEVEL_DEBUG;
	*more = 0;
	pthread_mutex_lock(&component->runner->lock);
	if (now - component->log_window_us > LOG_WINDOW_US) {
		*more = component->dropped;
		component->log_window_us = now;
		component->logged[0] = component->logged[1] = component->dropped = 0;
	}
	bool ok = component->logged[kind] < LOG_LINES_MAX;
	if (ok)
		component->logged[kind]++;
	else
		component->dropped += kind == 0;
	pthread_mutex_unlock(&component->runner->lock);
	return ok;
}

void runner_log_text(struct skymon *sm, int level, const char *text, size_t size)
{
	struct runner_component *component = (struct runner_component *)sm;
	struct runner *runner = component->runner;
	unsigned more;
	int known = level < LOG_LEVEL_ERROR   ? LOG_LEVEL_ERROR
		    : level > LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG
					      : level;
	if (!may_log(component, (enum log_level)known, &more))
		return;
	if (more > 0) {
		char line[64];
		snprintf(line, sizeof(line), "%u more lines were dropped", more);
		runner->events->log(runner->arg, component->id, LOG_LEVEL_WARN, line);
	}
	char *clean = runner_masked(component, text, size);
	for (char *at = clean; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7F)
			*at = ' ';
	clean[strnlen(clean, SKYMON_TEXT_MAX)] = '\0';
	runner->events->log(runner->arg, component->id, (enum log_level)known, clean);
	free(clean);
}

void runner_log(struct runner_component *component, enum log_level level, const char *format, ...)
{
	char text[SKYMON_TEXT_MAX + 2];
	va_list list;
	va_start(list, format);
	size_t size = skymon_format(text, format, list);
	va_end(list);
	runner_log_text(&component->sm, level, text, size);
}

void runner_dropped(struct runner_component *component, const struct err *err)
{
	if (component->complaints >= COMPLAINTS_MAX ||
	    (component->complaint != NULL && strcmp(component->complaint, err->text) == 0))
		return;
	component->complaints++;
	free(component->complaint);
	component->complaint = x_strdup(err->text);
	runner_log(component, LOG_LEVEL_WARN, "%s: dropped: %s", component->name, err->text);
}
