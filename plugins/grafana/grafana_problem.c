/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_problem: builds a fault (one sentence, a code, the known outcome of a write) and replies to a
 * request with it; and makes foreign texts printable. Called by all files of the plugin, on the thread of the
 * request. Owns nothing; all but grafana_reply_fault is pure. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grafana.h"
#include "text.h"

void grafana_forget(struct grafana_fault *fault)
{
	json_decref(fault->members);
	*fault = (struct grafana_fault){.status = SKYMON_UNKNOWN, .reason = SKYMON_OTHER};
}

bool grafana_fail(struct grafana_ctx *ctx, int code, const char *format, ...)
{
	grafana_forget(&ctx->fault);
	ctx->fault.code = code;
	va_list list;
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

bool grafana_invalid(struct grafana_fault *fault, const char *pointer, const char *format, ...)
{
	grafana_forget(fault);
	fault->code = 422;
	va_list list;
	va_start(list, format);
	char text[480];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	set_pointer(fault, pointer);
	snprintf(fault->detail, sizeof(fault->detail), "%s %s",
		 pointer[0] != '\0' ? fault->pointer : "the body", text);
	grafana_trim_cut(fault->detail);
	return false;
}

bool grafana_reword(struct grafana_ctx *ctx, int code, const char *pointer, const char *format, ...)
{
	struct grafana_fault *fault = &ctx->fault;
	json_decref(fault->members);
	fault->members = NULL;
	fault->code = code;
	fault->retry_after[0] = '\0';
	va_list list;
	va_start(list, format);
	char text[480];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	set_pointer(fault, pointer);
	snprintf(fault->detail, sizeof(fault->detail), "%s%s%s", fault->pointer,
		 pointer[0] != '\0' ? " " : "", text);
	grafana_trim_cut(fault->detail);
	return false;
}

struct grafana_fault grafana_set_aside(struct grafana_fault *fault)
{
	struct grafana_fault was = *fault;
	fault->members = NULL; /* `was` owns them now */
	return was;
}

void grafana_put_back(struct grafana_fault *fault, const struct grafana_fault *was)
{
	json_decref(fault->members);
	*fault = *was;
}

static void append(struct grafana_fault *fault, const char *format, const char *verb)
{
	size_t used = strlen(fault->detail);
	bool asks = used > 0 && fault->detail[used - 1] == '?';
	char text[200];
	snprintf(text, sizeof(text), format, asks ? "I" : "i", verb);
	snprintf(fault->detail + used, sizeof(fault->detail) - used, "%s%s", asks ? " " : "; ", text);
	grafana_trim_cut(fault->detail);
}

void grafana_add_outcome(struct grafana_fault *fault, enum grafana_done done, const char *verb)
{
	fault->done = done;
	if (done == GRAFANA_DONE)
		append(fault, "%st was %s nevertheless", verb);
	else if (done == GRAFANA_MAYBE_DONE)
		append(fault, "%st may have been %s: repeating the request is safe", "done");
}

bool grafana_is_open(const struct grafana_fault *fault)
{
	int status = fault->upstream_status;
	return !fault->key_refused && ((status >= 200 && status < 300) || status >= 500);
}

const char *grafana_result(const struct grafana_fault *fault, bool done, const char *verb, char out[60])
{
	snprintf(out, 60, "%s%s%s",
		 done || fault->done == GRAFANA_DONE ? ""
		 : fault->done == GRAFANA_MAYBE_DONE ? "perhaps "
						     : "not ",
		 verb, !done && fault->done == GRAFANA_DONE ? " nevertheless" : "");
	return out;
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

void grafana_trim_cut(char *text)
{
	char *end = text + strlen(text), *at = end;
	while (at > text && ((unsigned char)at[-1] & 0xc0) == 0x80)
		at--;
	if (at > text && text_character(at - 1, (size_t)(end - at) + 1) == 0)
		at[-1] = '\0';
}

void grafana_clean(const char *text, char *out, size_t size)
{
	const char *end = text + strlen(text);
	size_t used = 0, bytes;
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0';
	     at += bytes > 0 ? bytes : 1) {
		bytes = text_character((const char *)at, (size_t)(end - (const char *)at));
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

/* ---- The reply ---- */

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
	if (fault->upstream_status != 0) {
		snprintf(number, sizeof(number), "%d", fault->upstream_status);
		skymon_problem_json(ctx->sm, ctx->rq, "upstream_status", number);
		add_text(ctx, "upstream_message", fault->upstream_message);
	}
	if (fault->pointer[0] != '\0')
		add_text(ctx, "pointer", fault->pointer);
	const char *key;
	json_t *value;
	json_object_foreach(fault->members, key, value) {
		char *json = grafana_print(value);
		if (json != NULL)
			skymon_problem_json(ctx->sm, ctx->rq, key, json);
		grafana_free_text(json);
	}
}

void grafana_reply_fault(struct grafana_ctx *ctx)
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
