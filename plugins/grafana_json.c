/* grafana_json: what the caller sent: read, with the place of a mistake; the names that it may use for
 * Grafana's; what a field must be. What is wrong is told with the caller's own names. All but grafana_body is
 * pure. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "grafana.h"
#include "json_read.h"

json_t *grafana_body(struct grafana_ctx *ctx)
{
	size_t size = 0;
	const char *text = skymon_body(ctx->sm, ctx->rq, &size);
	json_error_t error;
	char words[200];
	json_t *json;

	if (text == NULL || size == 0) {
		grafana_fail(ctx, 400, "the request has no body: JSON is expected");
		return NULL;
	}
	if (json_read_is_deep(text, size)) {
		grafana_fail(ctx, 422, "the body is nested deeper than %d levels", JSON_READ_DEPTH);
		return NULL;
	}
	json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (json == NULL) {
		grafana_clean(error.text, words, sizeof(words));
		grafana_fail(ctx, 400, "the body is no JSON that can be read: line %d, column %d: %s",
			     error.line, error.column, words);
	} else if (!json_is_object(json)) {
		json_decref(json);
		json = NULL;
		grafana_wrong(&ctx->fault, "", "must be a JSON object");
	}
	return json;
}

/* ---- Names ---- */

/* The name under which the field was sent, or else Grafana's. */
static const char *sent_name(const struct grafana_spot *spot, const char *own)
{
	for (const struct grafana_name *name = spot->names; name != NULL && name->own != NULL; name++)
		if (strcmp(name->own, own) == 0 && json_object_get(spot->sent, name->other) != NULL)
			return name->other;
	return own;
}

static const char *own_name(const struct grafana_spot *spot, const char *sent)
{
	for (const struct grafana_name *name = spot->names; name != NULL && name->own != NULL; name++)
		if (strcmp(name->other, sent) == 0)
			return name->own;
	return sent;
}

json_t *grafana_rename(const struct grafana_spot *spot)
{
	json_t *out = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)spot->sent, key, value)
	{
		const char *own = own_name(spot, key);

		if (json_object_get(out, own) != NULL) {
			grafana_wrong_field(spot, own, "is given twice, under two names");
			json_decref(out);
			return NULL;
		}
		json_object_set(out, own, value);
	}
	return out;
}

json_t *grafana_field(const struct grafana_spot *spot, const char *own)
{
	json_t *value = json_object_get(spot->sent, sent_name(spot, own));

	return json_is_null(value) ? NULL : value;
}

/* ---- What a field must be ---- */

/* A name as a part of a pointer: ~ and / are escaped (RFC 6901). */
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

bool grafana_wrong_field(const struct grafana_spot *spot, const char *own, const char *format, ...)
{
	char pointer[160], text[400];
	va_list list;

	snprintf(pointer, sizeof(pointer), "%s/", spot->pointer);
	add_step(pointer, sizeof(pointer), sent_name(spot, own));
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	return grafana_wrong(spot->fault, pointer, "%s", text);
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

bool grafana_is(const struct grafana_spot *spot, const char *own, enum grafana_kind kind)
{
	const json_t *value = grafana_field(spot, own);

	return value == NULL || is_kind(value, kind) ||
	       grafana_wrong_field(spot, own, "must be %s", kinds[kind]);
}

static bool is_empty(const json_t *value)
{
	const char *text = json_string_value(value);

	return (text != NULL && text[strspn(text, " \t\r\n")] == '\0') ||
	       (json_is_array(value) && json_array_size(value) == 0) ||
	       (json_is_object(value) && json_object_size(value) == 0);
}

bool grafana_needs(const struct grafana_spot *spot, const char *own, enum grafana_kind kind)
{
	const json_t *value = grafana_field(spot, own);

	if (value == NULL)
		return grafana_wrong_field(spot, own, "is missing");
	return grafana_is(spot, own, kind) &&
	       (!is_empty(value) || grafana_wrong_field(spot, own, "must not be empty"));
}

const char *grafana_uid_fault(const char *uid)
{
	if (strlen(uid) > GRAFANA_UID_MAX)
		return "is longer than 40 characters";
	if (uid[strspn(uid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0')
		return "has a character that is none of a-z, A-Z, 0-9, - and _";
	return uid[0] == '\0' ? "is empty" : NULL;
}

bool grafana_is_uid(const struct grafana_spot *spot, const char *own)
{
	const char *uid = json_string_value(grafana_field(spot, own)), *fault;

	if (!grafana_is(spot, own, GRAFANA_TEXT))
		return false;
	fault = uid != NULL && uid[0] != '\0' ? grafana_uid_fault(uid) : NULL;
	return fault == NULL || grafana_wrong_field(spot, own, "%s", fault);
}
