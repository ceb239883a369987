/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_json: validates and takes apart JSON as text, without a tree. And the caller's body: reads it,
 * accepts other names for Grafana's fields, validates fields, and reports faults under the names that the
 * caller used. Called by all files of the plugin, on the thread of the request; all but grafana_body is pure.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "grafana.h"
#include "text.h"
#include <skymon/json.h>

/* ---- JSON as text ---- */

#define DEPTH_MAX 10000      /* Grafana's own */
#define LOAD_MAX (16u << 10) /* bytes of a small value */

/* Bytes of jansson's trees, with malloc's overhead, and with both tables while a table grows. */
enum {
	COST_OBJECT = 240,
	COST_MEMBER = 120,
	COST_ARRAY = 136,
	COST_ITEM = 24,
	COST_TEXT = 80,
	COST_NUMBER = 32
};

struct scan {
	const char *at, *end;
	size_t cost;
};

static void skip_space(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

static bool skip_escape(struct scan *s)
{
	if (s->end - s->at < 2 || strchr("\"\\/bfnrtu", s->at[1]) == NULL || s->at[1] == '\0')
		return false;
	if (s->at[1] != 'u') {
		s->at += 2;
		return true;
	}
	for (int i = 2; i < 6; i++)
		if (s->at + i >= s->end || !isxdigit((unsigned char)s->at[i]))
			return false;
	s->at += 6;
	return true;
}

static bool skip_string(struct scan *s)
{
	if (s->at == s->end || *s->at != '"')
		return false;
	for (s->at++; s->at < s->end && *s->at != '"';) {
		if ((unsigned char)*s->at < 0x20)
			return false;
		if (*s->at == '\\') {
			if (!skip_escape(s))
				return false;
			continue;
		}
		size_t size = text_character(s->at, (size_t)(s->end - s->at));
		if (size == 0)
			return false;
		s->at += size;
	}
	return s->at < s->end && *s->at++ == '"';
}

static bool skip_digits(struct scan *s)
{
	const char *start = s->at;
	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > start;
}

static bool skip_number(struct scan *s)
{
	if (s->at < s->end && *s->at == '-')
		s->at++;
	const char *start = s->at;
	if (!skip_digits(s) || (*start == '0' && s->at > start + 1))
		return false;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!skip_digits(s))
			return false;
	}
	if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		return skip_digits(s);
	}
	return true;
}

static bool skip_scalar(struct scan *s)
{
	static const char *const words[] = {"true", "false", "null"};
	if (*s->at == '"') {
		s->cost += COST_TEXT;
		return skip_string(s);
	}
	for (size_t i = 0; i < 3; i++)
		if ((size_t)(s->end - s->at) >= strlen(words[i]) &&
		    memcmp(s->at, words[i], strlen(words[i])) == 0) {
			s->at += strlen(words[i]);
			return true;
		}
	s->cost += COST_NUMBER;
	return skip_number(s);
}

static bool skip_key(struct scan *s)
{
	s->cost += COST_MEMBER;
	skip_space(s);
	if (!skip_string(s))
		return false;
	skip_space(s);
	return s->at < s->end && *s->at++ == ':';
}

/* Skips a value. Not recursive: a thread's stack is small. */
static bool skip_value(struct scan *s)
{
	char closes[DEPTH_MAX];
	size_t depth = 0;
	const char *start = s->at;
	for (;;) {
		skip_space(s);
		if (s->at == s->end)
			return false;
		if (*s->at == '{' || *s->at == '[') {
			bool object = *s->at++ == '{';
			if (depth == DEPTH_MAX)
				return false;
			s->cost += object ? COST_OBJECT : COST_ARRAY;
			closes[depth++] = object ? '}' : ']';
			skip_space(s);
			if (s->at == s->end)
				return false;
			if (*s->at != closes[depth - 1]) { /* not empty: continue at its first value */
				if (object && !skip_key(s))
					return false;
				continue;
			}
		} else if (!skip_scalar(s)) {
			return false;
		}
		for (;;) { /* the value has ended, and perhaps the ones around it */
			if (depth == 0) {
				s->cost += (size_t)(s->at - start);
				return true;
			}
			skip_space(s);
			if (s->at == s->end)
				return false;
			if (*s->at == ',') {
				s->at++;
				s->cost += COST_ITEM;
				if (closes[depth - 1] == '}' && !skip_key(s))
					return false;
				break;
			}
			if (*s->at++ != closes[--depth])
				return false;
		}
	}
}

bool grafana_scan(struct grafana_span text, size_t *cost)
{
	struct scan s = {text.text, text.text + text.size, 0};
	bool good = skip_value(&s);
	skip_space(&s);
	*cost = s.cost;
	return good && s.at == s.end;
}

bool grafana_walk(struct grafana_span *rest, struct grafana_span *key, struct grafana_span *value)
{
	struct scan s = {rest->text, rest->text + rest->size, 0};
	skip_space(&s);
	if (s.at == s.end || strchr(key != NULL ? "{," : "[,", *s.at) == NULL)
		return false;
	s.at++;
	skip_space(&s);
	if (s.at == s.end || *s.at == '}' || *s.at == ']')
		return false;
	if (key != NULL) {
		key->text = s.at;
		if (!skip_string(&s))
			return false;
		key->size = (size_t)(s.at - key->text);
		skip_space(&s);
		if (s.at == s.end || *s.at++ != ':')
			return false;
		skip_space(&s);
	}
	value->text = s.at;
	if (!skip_value(&s))
		return false;
	value->size = (size_t)(s.at - value->text);
	*rest = (struct grafana_span){s.at, (size_t)(s.end - s.at)};
	return true;
}

json_t *grafana_load(struct grafana_span value)
{
	if (value.text == NULL || value.size > LOAD_MAX || skymon_json_is_deep(value.text, value.size))
		return NULL;
	return json_loadb(value.text, value.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
}

/* Compares a key in quotes with a name. */
static bool is_name(struct grafana_span key, const char *name)
{
	size_t size = strlen(name);
	if (memchr(key.text, '\\', key.size) == NULL)
		return key.size == size + 2 && memcmp(key.text + 1, name, size) == 0;
	json_t *text = grafana_load(key);
	bool same = text != NULL && strcmp(json_string_value(text), name) == 0;
	json_decref(text);
	return same;
}

struct grafana_span grafana_find(struct grafana_span object, const char *name)
{
	struct grafana_span key, value;
	while (object.text != NULL && grafana_walk(&object, &key, &value))
		if (is_name(key, name))
			return value;
	return (struct grafana_span){NULL, 0};
}

json_t *grafana_pick(struct grafana_span object, const char *name)
{
	return grafana_load(grafana_find(object, name));
}

/* ---- The body ---- */

struct grafana_span grafana_body_text(struct grafana_ctx *ctx)
{
	struct grafana_span body = {NULL, 0};
	body.text = skymon_body(ctx->sm, ctx->rq, &body.size);
	return body;
}

json_t *grafana_body(struct grafana_ctx *ctx)
{
	struct grafana_span body = grafana_body_text(ctx);
	if (body.text == NULL || body.size == 0) {
		grafana_fail(ctx, 400, "the request has no body: JSON is expected");
		return NULL;
	}
	grafana_count(ctx, body.size);
	if (skymon_json_is_deep(body.text, body.size)) {
		grafana_fail(ctx, 422, "the body is nested deeper than %d levels", SKYMON_JSON_DEPTH);
		return NULL;
	}
	size_t cost;
	bool good = grafana_scan(body, &cost);
	if (!grafana_reserve(ctx, cost + body.size, 413, &ctx->body_reserved))
		return NULL;
	json_error_t error;
	json_t *json = json_loadb(body.text, body.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	char words[200];
	if (json == NULL) {
		grafana_clean(error.text, words, sizeof(words));
		grafana_fail(ctx, 400, "the body is %s: line %d, column %d: %s",
			     good ? "JSON that skymon cannot parse" : "invalid JSON", error.line,
			     error.column, words);
	} else if (!json_is_object(json)) {
		json_decref(json);
		json = NULL;
		grafana_invalid(&ctx->fault, "", "must be a JSON object");
	}
	return json;
}

void grafana_drop_body(struct grafana_ctx *ctx, json_t *body)
{
	size_t text = grafana_body_text(ctx).size, rest = 0;
	json_decref(body);
	if (ctx->body_reserved > text) {
		rest = ctx->body_reserved - text;
		ctx->body_reserved = text;
	}
	grafana_release(&rest);
}

/* ---- Names ---- */

static bool is_given(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	return value != NULL && !json_is_null(value);
}

const char *grafana_sent_name(const struct grafana_fields *fields, const char *own)
{
	for (const struct grafana_name *name = fields->names; name != NULL && name->own != NULL; name++)
		if (strcmp(name->own, own) == 0 && is_given(fields->sent, name->other))
			return name->other;
	return own;
}

static const char *own_name(const struct grafana_fields *fields, const char *sent)
{
	for (const struct grafana_name *name = fields->names; name != NULL && name->own != NULL; name++)
		if (strcmp(name->other, sent) == 0)
			return name->own;
	return sent;
}

json_t *grafana_rename(const struct grafana_fields *fields)
{
	json_t *out = json_object(), *value;
	const char *key;
	json_object_foreach((json_t *)(uintptr_t)fields->sent, key, value) {
		const char *own = own_name(fields, key);
		if (json_is_null(value) && strcmp(grafana_sent_name(fields, own), key) != 0)
			continue;
		if (is_given(out, own) && !json_equal(json_object_get(out, own), value)) {
			grafana_invalid_field(fields, own, "is given twice, under two names");
			json_decref(out);
			return NULL;
		}
		json_object_set(out, own, value);
	}
	return out;
}

static bool is_among(const char *const *list, const char *name)
{
	while (*list != NULL && strcmp(*list, name) != 0)
		list++;
	return *list != NULL;
}

size_t grafana_copy_members(const struct grafana_fields *fields, struct grafana_span object,
			    const char *const *skip, char *out)
{
	struct grafana_span key, value;
	char *at = out;
	while (grafana_walk(&object, &key, &value)) {
		json_t *loaded = grafana_load(key);
		const char *name = loaded != NULL ? json_string_value(loaded) : "";
		const char *own = own_name(fields, name);
		if (!is_among(skip, own) && strcmp(grafana_sent_name(fields, own), name) == 0) {
			if (own != name) /* renamed; Grafana's name is shorter */
				at += sprintf(at, ",\"%s\":", own);
			else
				at += sprintf(at, ",%.*s:", (int)key.size, key.text);
			memcpy(at, value.text, value.size);
			at += value.size;
		}
		json_decref(loaded);
	}
	return (size_t)(at - out);
}

json_t *grafana_field(const struct grafana_fields *fields, const char *own)
{
	json_t *value = json_object_get(fields->sent, grafana_sent_name(fields, own));
	return json_is_null(value) ? NULL : value;
}

static bool is_blank(const json_t *value)
{
	const char *text = json_string_value(value);
	return (text != NULL && text[strspn(text, " \t\r\n")] == '\0') ||
	       (json_is_array(value) && json_array_size(value) == 0) ||
	       (json_is_object(value) && json_object_size(value) == 0);
}

json_t *grafana_dropped(const struct grafana_fields *fields, const json_t *kept, const char *const *skip)
{
	json_t *dropped = NULL, *value;
	const char *key;
	json_object_foreach((json_t *)(uintptr_t)fields->sent, key, value) {
		if (json_is_null(value) || json_is_false(value) || is_blank(value) ||
		    is_among(skip, own_name(fields, key)) ||
		    json_object_get(kept, own_name(fields, key)) != NULL)
			continue;
		if (dropped == NULL)
			dropped = json_array();
		json_array_append_new(
			dropped,
			json_sprintf("/%s was sent, and this Grafana did not keep it: it has no effect",
				     key));
	}
	return dropped;
}

/* ---- Validation of fields ---- */

/* Appends a name to a JSON pointer: ~ and / are escaped (RFC 6901). */
static void add_step(char *out, size_t size, const char *name)
{
	size_t used = strlen(out);
	for (; *name != '\0' && used + 3 < size; name++) {
		if (*name == '~' || *name == '/') {
			out[used++] = '~';
			out[used++] = *name == '~' ? '0' : '1';
		} else {
			out[used++] = *name;
		}
	}
	out[used] = '\0';
}

bool grafana_invalid_field(const struct grafana_fields *fields, const char *own, const char *format, ...)
{
	char pointer[160];
	snprintf(pointer, sizeof(pointer), "%s/", fields->pointer);
	add_step(pointer, sizeof(pointer), grafana_sent_name(fields, own));
	va_list list;
	va_start(list, format);
	char text[400];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	return grafana_invalid(fields->fault, pointer, "%s", text);
}

static bool is_kind(const json_t *value, enum grafana_kind kind)
{
	return (kind == GRAFANA_TEXT && json_is_string(value)) ||
	       (kind == GRAFANA_BOOLEAN && json_is_boolean(value)) ||
	       (kind == GRAFANA_INTEGER && json_is_integer(value)) ||
	       (kind == GRAFANA_OBJECT && json_is_object(value)) ||
	       (kind == GRAFANA_ARRAY && json_is_array(value));
}

static const char *const kinds[] = {"a text", "true or false", "a whole number", "an object", "a list"};

bool grafana_is(const struct grafana_fields *fields, const char *own, enum grafana_kind kind)
{
	const json_t *value = grafana_field(fields, own);
	return value == NULL || is_kind(value, kind) ||
	       grafana_invalid_field(fields, own, "must be %s", kinds[kind]);
}

bool grafana_needs(const struct grafana_fields *fields, const char *own, enum grafana_kind kind)
{
	const json_t *value = grafana_field(fields, own);
	if (value == NULL)
		return grafana_invalid_field(fields, own, "is missing");
	return grafana_is(fields, own, kind) &&
	       (!is_blank(value) || grafana_invalid_field(fields, own, "must not be empty"));
}

const char *grafana_uid_fault(const char *uid)
{
	if (strlen(uid) > GRAFANA_UID_MAX)
		return "is longer than 40 characters";
	if (uid[strspn(uid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0')
		return "has a character other than a-z, A-Z, 0-9, - and _";
	return uid[0] == '\0' ? "is empty" : NULL;
}

bool grafana_is_uid(const struct grafana_fields *fields, const char *own)
{
	const char *uid = json_string_value(grafana_field(fields, own));
	if (!grafana_is(fields, own, GRAFANA_TEXT))
		return false;
	const char *fault = uid != NULL && uid[0] != '\0' ? grafana_uid_fault(uid) : NULL;
	return fault == NULL || grafana_invalid_field(fields, own, "%s", fault);
}
