/* SPDX-License-Identifier: Apache-2.0 */
/* Results in the daemon: made, decoded and checked, counted; and the forms of names, labels and values, which
 * both ends check. On the daemon's thread; the forms on any. */
#include "result.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The memory behind a decoded view: the structs, then the arrays of pointers to them. */
struct views {
	struct skymon_value *values;
	struct skymon_family *families;
	const struct skymon_value **value_list;
	const struct skymon_family **family_list;
};

/* ---- Life ---- */

static struct result *new_result(int status, int reason, int64_t time_ms, int64_t duration_us)
{
	static uint64_t last_id; /* ids are unique in this process; results are made on one thread */
	struct result *result = x_alloc(sizeof(*result));
	result->references = 1;
	result->view = (struct skymon_result){.size = sizeof(result->view),
					      .status = status,
					      .reason = reason,
					      .reason_word = skymon_reason_word(reason),
					      .id = ++last_id,
					      .time_ms = time_ms,
					      .duration_us = duration_us,
					      .message = "",
					      .details = "{}"};
	return result;
}

static char *print_list(const char *format, va_list list)
{
	char *text = NULL;
	if (vasprintf(&text, format, list) < 0)
		text = NULL;
	return text != NULL ? text : x_strdup("");
}

struct result *result_new(enum skymon_status status, enum skymon_reason reason, int64_t time_ms,
			  int64_t duration_us, const char *format, ...)
{
	struct result *result = new_result(status, reason, time_ms, duration_us);
	va_list list;
	va_start(list, format);
	result->text = print_list(format, list);
	va_end(list);
	result->view.message = result->text;
	return result;
}

struct result *result_ref(struct result *result)
{
	result->references++;
	return result;
}

void result_unref(struct result *result)
{
	if (result == NULL || --result->references > 0)
		return;
	free(result->memory);
	free(result->body);
	free(result->text);
	free(result);
}

void result_worsen(struct result *result, enum skymon_status status, enum skymon_reason reason,
		   const char *format, ...)
{
	va_list list;
	va_start(list, format);
	char *text = print_list(format, list); /* may print the message that it replaces */
	va_end(list);
	free(result->text);
	result->text = text;
	result->view.message = text;
	result->view.status = status;
	result->view.reason = reason;
	result->view.reason_word = skymon_reason_word(reason);
}

const struct skymon_value *result_number(const struct skymon_result *result, const char *name)
{
	for (size_t i = 0; i < result->number_count; i++)
		if (strcmp(result->numbers[i]->name, name) == 0)
			return result->numbers[i];
	return NULL;
}

/* Families may be changed until the result is shared; their records lie one behind the other. */
void result_limit_series(struct result *result, uint32_t most)
{
	for (size_t i = 0; i < result->view.family_count; i++) {
		struct skymon_family *family = (struct skymon_family *)(uintptr_t)result->view.families[i];
		if (family->series_count > most) {
			const unsigned char *at = family->series;
			for (uint32_t kept = 0; kept < most; kept++)
				at += 3 + (size_t)(at[0] | at[1] << 8) + at[2];
			if (result->dropped == 0)
				result->dropped_name = family->name;
			result->dropped += family->series_count - most;
			family->series_size = (size_t)(at - (const unsigned char *)family->series);
			family->series_count = most;
		}
		most -= family->series_count;
	}
}

/* ---- The forms of names, labels and values ---- */

/* Classes of bytes, in a table because a result may hold a hundred thousand series. */
enum { NAME_FIRST = 1, NAME_NEXT = 2, VALUE_SPECIAL = 4, DIGIT = 8 };
static const uint8_t classes[256] = {
	['a' ... 'z'] = NAME_FIRST | NAME_NEXT,
	['A' ... 'Z'] = NAME_FIRST | NAME_NEXT,
	['_'] = NAME_FIRST | NAME_NEXT,
	['0' ... '9'] = NAME_NEXT | DIGIT,
	['"'] = VALUE_SPECIAL,
	['\\'] = VALUE_SPECIAL,
	['\n'] = VALUE_SPECIAL,
};

static unsigned name_class(unsigned char c)
{
	return classes[c];
}

bool metric_name_ok(const char *name)
{
	if (name[0] != ':' && !(name_class((unsigned char)name[0]) & NAME_FIRST))
		return false;
	for (const char *at = name; *at != '\0'; at++)
		if (*at != ':' && !(name_class((unsigned char)*at) & NAME_NEXT))
			return false;
	return true;
}

bool label_name_ok(const char *name)
{
	if (!(name_class((unsigned char)name[0]) & NAME_FIRST) || strncmp(name, "__", 2) == 0)
		return false;
	for (const char *at = name; *at != '\0'; at++)
		if (!(name_class((unsigned char)*at) & NAME_NEXT))
			return false;
	return true;
}

bool metric_name_reserved(const char *name)
{
	return strcmp(name, "up") == 0 || strncmp(name, "scrape_", 7) == 0 || strncmp(name, "__", 2) == 0 ||
	       strncmp(name, "process_", 8) == 0;
}

bool label_name_reserved(const char *name)
{
	static const char *const names[] = {"job", "instance", "le", "quantile"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

int result_claim(int status, int reason)
{
#define OWN(name, word, own) own,
	static const bool own[] = {SKYMON_REASONS(OWN)};
#undef OWN
	_Static_assert(sizeof(own) == SKYMON_REASON_COUNT && SKYMON_REASON_COUNT <= UINT8_MAX,
		       "a reason crosses the wire as one byte");
	if (status == SKYMON_HEALTHY)
		return reason == SKYMON_STANDBY ? reason : SKYMON_OK;
	return reason < 0 || reason >= SKYMON_REASON_COUNT || own[reason] ? SKYMON_OTHER : reason;
}

void labels_print(struct buf *out, const struct skymon_label *labels, size_t count)
{
	bool first = true;
	for (size_t i = 0; i < count; i++) {
		const char *at = labels[i].value;
		if (at == NULL || *at == '\0') /* the same as no label: Prometheus drops it */
			continue;
		buf_text(out, first ? "" : ",");
		first = false;
		buf_text(out, labels[i].name);
		buf_add(out, "=\"", 2);
		while (*at != '\0') {
			size_t plain = strcspn(at, "\\\"\n");
			buf_add(out, at, plain);
			at += plain;
			if (*at == '\0')
				break;
			buf_add(out, *at == '\n' ? "\\n" : *at == '"' ? "\\\"" : "\\\\", 2);
			at++;
		}
		buf_add(out, "\"", 1);
	}
}

/* Returns whether the name follows the one before (NULL for the first), as the builder sorts them. A label
 * that is there twice, or that the core adds, would cost the whole scrape. */
static bool label_follows(const unsigned char *name, size_t size, const unsigned char *before,
			  size_t before_size)
{
	int order = before == NULL ? 1 : memcmp(name, before, size < before_size ? size : before_size);
	if (order < 0 || (order == 0 && size <= before_size))
		return false;
	switch (size) { /* label_name_reserved, and the core's own, without a copy of the name */
	case 2:
		return memcmp(name, "le", size) != 0;
	case 3:
		return memcmp(name, "job", size) != 0;
	case 8:
		return memcmp(name, "instance", size) != 0 && memcmp(name, "quantile", size) != 0;
	case 9:
		return memcmp(name, "component", size) != 0;
	default:
		return true;
	}
}

/* `a="x",b="y"` as labels_print writes it, sorted by name; the bytes are known to be UTF-8. */
static bool labels_ok(const unsigned char *at, const unsigned char *end)
{
	const unsigned char *before = NULL;
	size_t before_size = 0;
	while (at < end) {
		const unsigned char *name = at;
		if (!(name_class(*at) & NAME_FIRST) || (end - at >= 2 && at[0] == '_' && at[1] == '_'))
			return false;
		while (at < end && (name_class(*at) & NAME_NEXT))
			at++;
		if (!label_follows(name, (size_t)(at - name), before, before_size))
			return false;
		before = name;
		before_size = (size_t)(at - name);
		if (end - at < 3 || at[0] != '=' || at[1] != '"')
			return false;
		for (at += 2; at < end; at++) {
			if (!(classes[*at] & VALUE_SPECIAL))
				continue;
			if (*at == '"')
				break;
			if (*at == '\n' || ++at == end || (*at != '\\' && *at != '"' && *at != 'n'))
				return false;
		}
		if (at == end)
			return false;
		at++;
		if (at == end)
			return true;
		if (*at != ',' || ++at == end)
			return false;
	}
	return true;
}

static const unsigned char *digits(const unsigned char *at, const unsigned char *end)
{
	while (at < end && (classes[*at] & DIGIT))
		at++;
	return at;
}

/* A number as number_print writes it; counters are never negative and never NaN. */
static bool value_ok(const unsigned char *at, const unsigned char *end, int type)
{
	size_t size = (size_t)(end - at);
	if (size == 4 && (memcmp(at, "+Inf", 4) == 0 || memcmp(at, "-Inf", 4) == 0))
		return type != SKYMON_COUNTER || at[0] == '+';
	if (size == 3 && memcmp(at, "NaN", 3) == 0)
		return type != SKYMON_COUNTER;
	if (at < end && *at == '-') {
		if (type == SKYMON_COUNTER)
			return false;
		at++;
	}
	const unsigned char *after = digits(at, end);
	if (after == at)
		return false;
	if (after < end && *after == '.') {
		at = after + 1;
		after = digits(at, end);
		if (after == at)
			return false;
	}
	if (after < end && *after == 'e') {
		at = after + 1;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		after = digits(at, end);
		if (after == at)
			return false;
	}
	return after == end;
}

/* ---- Decoding ---- */

static bool series_ok(const struct skymon_family *family)
{
	const unsigned char *at = family->series, *end = at + family->series_size;
	uint32_t count = 0;
	for (; at < end; count++) {
		if (end - at < 3)
			return false;
		size_t labels = (size_t)(at[0] | at[1] << 8), value = at[2];
		at += 3;
		if ((size_t)(end - at) < labels + value || !wire_text_ok(at, labels) ||
		    !labels_ok(at, at + labels) || !value_ok(at + labels, at + labels + value, family->type))
			return false;
		at += labels + value;
	}
	return count == family->series_count;
}

static bool decode_number(struct wire_reader *in, struct skymon_value *out)
{
	out->size = sizeof(*out);
	out->name = wire_get_text_or_empty(in);
	out->text = wire_get_text_or_empty(in);
	out->number = wire_get_f64(in);
	const unsigned char *text = (const unsigned char *)out->text;
	return !in->bad && label_name_ok(out->name) && isfinite(out->number) &&
	       value_ok(text, text + strlen(out->text), SKYMON_GAUGE);
}

static bool decode_family(struct wire_reader *in, struct skymon_family *out)
{
	out->size = sizeof(*out);
	out->type = wire_get_u8(in);
	out->name = wire_get_text_or_empty(in);
	out->help = wire_get_text_or_empty(in);
	out->series_count = wire_get_u32(in);
	out->series = wire_get_bytes(in, &out->series_size);
	return !in->bad && (out->type == SKYMON_GAUGE || out->type == SKYMON_COUNTER) &&
	       metric_name_ok(out->name) && !metric_name_reserved(out->name) && series_ok(out);
}

static bool details_ok(const char *text)
{
	size_t size = strlen(text);
	if (strcmp(text, "{}") == 0)
		return true;
	if (size > RESULT_DETAILS_MAX)
		return false;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	bool ok = json_is_object(json);
	json_decref(json);
	return ok;
}

void result_set_details(struct result *result, const char *json)
{
	if (!details_ok(json))
		return;
	free(result->memory);
	result->memory = x_strdup(json);
	result->view.details = result->memory;
}

static void *make_views(size_t numbers, size_t families, struct views *out)
{
	char *memory = x_alloc(numbers * (sizeof(*out->values) + sizeof(void *)) +
			       families * (sizeof(*out->families) + sizeof(void *)));
	void *at = memory; /* all four are aligned as pointers are */
	out->values = at;
	at = out->values + numbers;
	out->families = at;
	at = out->families + families;
	out->value_list = at;
	at = out->value_list + numbers;
	out->family_list = at;
	return memory;
}

static bool decode_lists(struct result *result, struct wire_reader *in, size_t numbers, size_t families,
			 struct err *err)
{
	struct views views;
	result->memory = make_views(numbers, families, &views);
	for (size_t i = 0; i < numbers; i++) {
		views.value_list[i] = &views.values[i];
		if (!decode_number(in, &views.values[i]))
			return err_set(err, "a result whose number %zu is malformed", i + 1);
	}
	for (size_t i = 0; i < families; i++) {
		views.family_list[i] = &views.families[i];
		if (!decode_family(in, &views.families[i]))
			return err_set(err, "a result whose metric %zu is malformed", i + 1);
	}
	result->view.numbers = views.value_list;
	result->view.number_count = numbers;
	result->view.families = views.family_list;
	result->view.family_count = families;
	return true;
}

static bool decode(struct result *result, struct wire_reader *in, struct err *err)
{
	struct skymon_result *view = &result->view;
	view->status = wire_get_u8(in);
	view->reason = wire_get_u8(in);
	view->duration_us = (int64_t)wire_get_u64(in);
	view->message = wire_get_text_or_empty(in);
	view->details = wire_get_text_or_empty(in);
	uint32_t numbers = wire_get_u32(in), families = wire_get_u32(in);
	if (in->bad || view->status > SKYMON_UNHEALTHY || view->reason == SKYMON_NONE ||
	    view->reason >= SKYMON_REASON_COUNT || view->duration_us < 0)
		return err_set(err, "a result with a malformed head");
	view->reason = result_claim(view->status, view->reason);
	view->reason_word = skymon_reason_word(view->reason);
	if (view->message[0] == '\0' || strlen(view->message) > RESULT_MESSAGE_MAX ||
	    strpbrk(view->message, "\n\r") != NULL)
		return err_set(err, "a result whose message is empty, too long or of several lines");
	if (!details_ok(view->details))
		return err_set(err, "a result whose details are not a JSON object");
	if (numbers > RESULT_NUMBERS_MAX || families > RESULT_FAMILIES_MAX)
		return err_set(err, "a result with %u numbers and %u metrics", numbers, families);
	if (!decode_lists(result, in, numbers, families, err))
		return false;
	result->dropped = wire_get_u32(in);
	result->dropped_name = wire_get_text_or_empty(in);
	return wire_end(in) || err_set(err, "a result with bytes behind its end");
}

struct result *result_decode(void *body, struct wire_reader in, int64_t time_ms, struct err *err)
{
	struct result *result = new_result(SKYMON_UNKNOWN, SKYMON_OTHER, time_ms, -1);
	result->body = body;
	if (decode(result, &in, err))
		return result;
	result_unref(result);
	return NULL;
}
