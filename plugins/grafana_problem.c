/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_problem: what goes wrong, as one sentence and a code. All but grafana_tell is pure. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grafana.h"

void grafana_forget(struct grafana_fault *fault)
{
	json_decref(fault->members);
	*fault = (struct grafana_fault){.status = SKYMON_UNKNOWN, .reason = SKYMON_OTHER};
}

bool grafana_fail(struct grafana_ctx *ctx, int code, const char *format, ...)
{
	va_list list;

	grafana_forget(&ctx->fault);
	ctx->fault.code = code;
	va_start(list, format);
	vsnprintf(ctx->fault.detail, sizeof(ctx->fault.detail), format, list);
	va_end(list);
	grafana_trim_cut(ctx->fault.detail);
	return false;
}

static void set_pointer(struct grafana_fault *fault, const char *pointer)
{
	snprintf(fault->pointer, sizeof(fault->pointer), "%s", pointer);
	grafana_trim_cut(fault->pointer);
}

bool grafana_wrong(struct grafana_fault *fault, const char *pointer, const char *format, ...)
{
	char text[480];
	va_list list;

	grafana_forget(fault);
	fault->code = 422;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	set_pointer(fault, pointer);
	snprintf(fault->detail, sizeof(fault->detail), "%s %s",
		 pointer[0] != '\0' ? fault->pointer : "the body", text);
	grafana_trim_cut(fault->detail);
	return false;
}

bool grafana_mean(struct grafana_ctx *ctx, int code, const char *pointer, const char *format, ...)
{
	struct grafana_fault *fault = &ctx->fault;
	char text[480];
	va_list list;

	json_decref(fault->members);
	fault->members = NULL;
	fault->code = code;
	fault->retry_after[0] = '\0';
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	set_pointer(fault, pointer);
	snprintf(fault->detail, sizeof(fault->detail), "%s%s%s", fault->pointer,
		 pointer[0] != '\0' ? " " : "", text);
	grafana_trim_cut(fault->detail);
	return false;
}

void grafana_copy_member(struct grafana_fault *fault, const json_t *from, const char *key)
{
	if (json_object_get(from, key) != NULL)
		grafana_member(fault, key, json_incref(json_object_get(from, key)));
}

void grafana_member(struct grafana_fault *fault, const char *key, json_t *value)
{
	if (fault->members == NULL)
		fault->members = json_object();
	json_object_set_new(fault->members, key, value);
}

size_t grafana_character(const char *at, const char *end)
{
	const unsigned char *text = (const unsigned char *)at;
	size_t size = text[0] < 0x80    ? 1
		      : text[0] >= 0xf0 ? 4
		      : text[0] >= 0xe0 ? 3
		      : text[0] >= 0xc2 ? 2
					: 0;

	if (text[0] > 0xf4 || size > (size_t)(end - at))
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90) ||
	    (text[0] == 0xed && text[1] >= 0xa0) || (text[0] == 0xf4 && text[1] >= 0x90))
		return 0; /* longer than it need be, a half of a pair, or beyond Unicode */
	return size;
}

void grafana_trim_cut(char *text)
{
	char *end = text + strlen(text), *at = end;

	while (at > text && ((unsigned char)at[-1] & 0xc0) == 0x80)
		at--;
	if (at > text && grafana_character(at - 1, end) == 0)
		at[-1] = '\0';
}

void grafana_clean(const char *text, char *out, size_t size)
{
	const char *end = text + strlen(text);
	size_t used = 0, bytes;

	for (const unsigned char *at = (const unsigned char *)text; *at != '\0';
	     at += bytes > 0 ? bytes : 1) {
		bytes = grafana_character((const char *)at, end);
		if (used + (bytes > 0 ? bytes : 1) >= size)
			break;
		/* C1 controls (U+0080 … U+009F) begin with c2 */
		if (bytes == 0 || *at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0)) {
			if (used == 0 || out[used - 1] != ' ')
				out[used++] = ' ';
		} else {
			memcpy(out + used, at, bytes);
			used += bytes;
		}
	}
	while (used > 0 && out[used - 1] == ' ')
		used--;
	out[used] = '\0';
}

/* ---- What Grafana answers ---- */

/* Which code tells the caller. What is between us and Grafana is 502, what the caller can mend is Grafana's
 * own, but for 412, which is a conflict of versions or names, and 400: our caller's JSON was JSON, and
 * something in it is wrong. */
static int code_for(int upstream)
{
	switch (upstream) {
	case 400:
	case 422:
		return 422;
	case 403:
	case 404:
		return upstream;
	case 409:
	case 412:
		return 409;
	case 429:
		return 503;
	default:
		return 502;
	}
}

static void say(struct grafana_fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct grafana_fault *fault, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, list);
	va_end(list);
	grafana_trim_cut(fault->detail);
}

/* "…Permissions needed: datasources:create" */
static void say_forbidden(struct grafana_fault *fault)
{
	const char *needed = strstr(fault->upstream_message, "Permissions needed: ");

	if (needed != NULL)
		say(fault,
		    "Grafana's key lacks a permission: %.200s; data sources and alert rules need a key with "
		    "the role "
		    "Admin (an Editor's may write dashboards only)",
		    needed + 20);
	else
		say(fault,
		    "Grafana's key may not do this (%.200s); data sources and alert rules need a key with "
		    "the role "
		    "Admin (an Editor's may write dashboards only)",
		    fault->upstream_message[0] != '\0' ? fault->upstream_message : "HTTP 403");
}

static bool is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 10 && text[digits] == '\0';
}

void grafana_explain(int code, const char *message, const char *word, const char *retry_after,
		     const char *place, struct grafana_fault *fault)
{
	grafana_forget(fault);
	fault->upstream_status = code;
	fault->code = code_for(code);
	fault->status = SKYMON_UNHEALTHY;
	fault->reason = code == 401 || code == 403 ? SKYMON_AUTH_FAILED : SKYMON_HTTP_STATUS;
	fault->key_refused = code == 401;
	grafana_clean(message != NULL ? message : "", fault->upstream_message,
		      sizeof(fault->upstream_message));
	grafana_clean(word != NULL ? word : "", fault->upstream_word, sizeof(fault->upstream_word));
	if (code == 401)
		say(fault,
		    "%.200s: Grafana does not accept the key (HTTP 401): put a valid one where `api_key` "
		    "points to",
		    place);
	else if (code == 403)
		say_forbidden(fault);
	else if (code == 429) {
		say(fault, "%.200s: Grafana takes no more requests for now (HTTP 429)", place);
		snprintf(fault->retry_after, sizeof(fault->retry_after), "%s",
			 retry_after != NULL && is_number(retry_after) ? retry_after : "1");
	} else
		say(fault, "Grafana answered HTTP %d%s%s", code,
		    fault->upstream_message[0] != '\0' ? ": " : "", fault->upstream_message);
}

/* Where a redirect leads, without what it may carry along: the host, or the path of the same one. */
static void show_location(const char *location, char *out, size_t size)
{
	char text[120];

	if (location == NULL)
		snprintf(out, size, "nowhere");
	else if (fetch_place(location, text, sizeof(text)))
		snprintf(out, size, "%s", text);
	else {
		grafana_clean(location, text, sizeof(text));
		snprintf(out, size, "%.*s", (int)strcspn(text, "?#"), text);
	}
}

void grafana_explain_alien(int code, const char *location, const char *body, const char *place,
			   struct grafana_fault *fault)
{
	char to[140];
	const char *start = body != NULL ? body + strspn(body, " \t\r\n\xef\xbb\xbf") : "";

	grafana_forget(fault);
	fault->upstream_status = code;
	fault->code = 502;
	fault->status = SKYMON_UNHEALTHY;
	fault->reason = code >= 200 && code < 300 ? SKYMON_PROTOCOL : SKYMON_HTTP_STATUS;
	fault->key_refused = code == 401;
	if (code >= 300 && code < 400) {
		show_location(location, to, sizeof(to));
		say(fault, "%.200s answered a redirect to %s, which is not followed: is `url` right?", place,
		    to);
	} else if (*start == '<') {
		say(fault,
		    "%.200s answered a page of HTML (HTTP %d), not JSON: is `url` right, or a proxy in "
		    "between?",
		    place, code);
	} else {
		say(fault, "%.200s answered %s (HTTP %d): is `url` right?", place,
		    *start == '\0' ? "nothing" : "what is no JSON, or too deep in itself", code);
	}
}

void grafana_explain_fetch(const struct fetch_fault *from, struct grafana_fault *fault)
{
	grafana_forget(fault);
	fault->status = from->status;
	fault->reason = from->reason;
	fault->told = from->told;
	switch (from->reason) {
	case SKYMON_TIMEOUT:
		fault->code = 504;
		break;
	case SKYMON_PROTOCOL:
		fault->code = 502;
		break;
	default: /* refused, unreachable, dns, TLS, its proxy, and what we lack ourselves */
		fault->code = 503;
	}
	fault->sent = from->sent;
	say(fault, from->sent ? "Grafana's answer was not received: %s" : "Grafana cannot be asked: %s",
	    from->text);
}

/* ---- The answer ---- */

static void add_text(struct grafana_ctx *ctx, const char *key, const char *text)
{
	json_t *value = json_string(text);
	char *json = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

	if (json != NULL)
		skymon_problem_json(ctx->sm, ctx->rq, key, json);
	free(json);
	json_decref(value);
}

static void add_members(struct grafana_ctx *ctx)
{
	const struct grafana_fault *fault = &ctx->fault;
	char number[16];
	const char *key;
	json_t *value;

	if (fault->upstream_status != 0) {
		snprintf(number, sizeof(number), "%d", fault->upstream_status);
		skymon_problem_json(ctx->sm, ctx->rq, "upstream_status", number);
		add_text(ctx, "upstream_message", fault->upstream_message);
	}
	if (fault->pointer[0] != '\0')
		add_text(ctx, "pointer", fault->pointer);
	json_object_foreach(fault->members, key, value)
	{
		char *json = grafana_print(value);

		if (json != NULL)
			skymon_problem_json(ctx->sm, ctx->rq, key, json);
		grafana_free_text(json);
	}
}

void grafana_tell(struct grafana_ctx *ctx)
{
	struct grafana_fault *fault = &ctx->fault;

	if (!fault->key_refused || !skymon_again(ctx->sm, ctx->rq)) {
		add_members(ctx);
		if (fault->retry_after[0] != '\0')
			skymon_reply_header(ctx->sm, ctx->rq, "Retry-After", fault->retry_after);
		if (!ctx->audited && (ctx->writes || ctx->refused))
			grafana_audit(ctx, "nothing", NULL, NULL, ctx->writes ? "written" : "read");
		skymon_problem(ctx->sm, ctx->rq, fault->code, "%s", fault->detail);
	}
	grafana_forget(fault);
}
