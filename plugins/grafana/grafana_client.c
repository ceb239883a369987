/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_client: one HTTP exchange with Grafana, over a connection from a small pool. Called by all files
 * that talk to Grafana, on the thread of the request or check. Owns the pool of idle connections. An answer
 * is bounded before it is parsed, a redirect is not followed (it would receive the key), and the key is
 * copied into the request only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grafana.h"
#include <skymon/json.h>

#define URL_MAX 2048
#define KEY_MIN 16 /* bytes; a shorter text is not a key of Grafana, and may be a word */

/* ---- The pool ---- */

static struct skymon_http *take_connection(struct grafana_own *own)
{
	struct skymon_http *http = NULL;
	pthread_mutex_lock(&own->lock);
	if (own->idle_count > 0)
		http = own->idle[--own->idle_count]; /* the last one that was returned has the youngest
							 connection */
	pthread_mutex_unlock(&own->lock);
	return http != NULL ? http : skymon_http_new();
}

static void return_connection(struct grafana_own *own, struct skymon_http *http)
{
	pthread_mutex_lock(&own->lock);
	if (own->idle_count < GRAFANA_IDLE_MAX) {
		own->idle[own->idle_count++] = http;
		http = NULL;
	}
	pthread_mutex_unlock(&own->lock);
	skymon_http_free(http);
}

/* ---- Texts ---- */

void *grafana_alloc(size_t size)
{
	void *memory = malloc(size);
	if (memory == NULL && size > 0) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return memory;
}

bool grafana_path(char *path, size_t size, const char *before, const char *text, const char *after)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	size_t used = (size_t)snprintf(path, size, "%s", before), rest = strlen(after);
	for (; *text != '\0' && used + 4 + rest < size; text++)
		used += (size_t)snprintf(path + used, size - used,
					 strchr(plain, *text) != NULL ? "%c" : "%%%02X",
					 (unsigned char)*text);
	if (*text != '\0' || used + rest >= size)
		return false;
	memcpy(path + used, after, rest + 1);
	return true;
}

char *grafana_print(const json_t *json)
{
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | skymon_json_digits(json);
	size_t size =
		json_dumpb(json, NULL, 0, flags); /* json_dumps would need four times as much meanwhile */
	char *text = grafana_alloc(size + 1);
	json_dumpb(json, text, size, flags);
	text[size] = '\0';
	return text;
}

void grafana_free_text(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void grafana_reply(struct grafana_ctx *ctx, int code, const json_t *json)
{
	char *text = grafana_print(json);
	skymon_reply(ctx->sm, ctx->rq, code, "application/json", text, strlen(text));
	grafana_free_text(text);
}

void grafana_reply_text(struct grafana_ctx *ctx, const struct grafana_text *text)
{
	skymon_reply(ctx->sm, ctx->rq, text->code, "application/json", text->bytes, text->size);
}

/* ---- The exchange ---- */

static size_t answer_max(struct grafana_ctx *ctx)
{
	return ((struct grafana_budget *)skymon_shared(ctx->sm))->answer_max;
}

enum wanted { TYPE, LOCATION, RETRY_AFTER };
static const char *const wanted[] = {"content-type", "location", "retry-after", NULL};

struct exchange {
	struct grafana_ctx *ctx;
	struct skymon_http_request request;
	char url[URL_MAX];
	char *authorization;
	size_t key_size;
	size_t reserved; /* for the answer */
	bool crowded;    /* the reservation failed, with ctx->fault */
	bool repeatable; /* by skymon, if the connection breaks */
};

static bool has_key(struct grafana_ctx *ctx)
{
	if (ctx->grafana->api_key.bytes != NULL && ctx->grafana->api_key.size > 0)
		return true;
	grafana_fail(ctx, 503,
		     "no key for Grafana is configured: set the option `api_key` of the plugin grafana");
	ctx->fault.status = SKYMON_UNKNOWN;
	ctx->fault.reason = SKYMON_AUTH_FAILED;
	return false;
}

static bool prepare(struct exchange *x, const char *path)
{
	struct grafana *grafana = x->ctx->grafana;
	size_t size = grafana->api_key.size + 8;
	if ((size_t)snprintf(x->url, sizeof(x->url), "%s%s", grafana->own->base, path) >= sizeof(x->url))
		return grafana_fail(x->ctx, 422, "the path for Grafana is longer than %d bytes", URL_MAX);
	x->authorization = grafana_alloc(size);
	x->key_size = size;
	snprintf(x->authorization, size, "Bearer %s", grafana->api_key.bytes);
	return true;
}

static void free_exchange(struct exchange *x)
{
	if (x->authorization != NULL)
		explicit_bzero(x->authorization, x->key_size);
	free(x->authorization);
	grafana_release(&x->reserved);
}

/* Called by http for an answer that is not small. */
static bool grow(void *arg)
{
	struct exchange *x = arg;
	if (x->reserved > 0 || x->ctx->large)
		return true;
	x->crowded = !grafana_reserve(x->ctx, 3 * answer_max(x->ctx), 502, &x->reserved);
	return !x->crowded;
}

/* Tries a second time if the connection broke and a repeated request does no harm. */
static bool fetch_with_retry(struct exchange *x, struct skymon_http_answer *from, bool *repeated)
{
	struct grafana_ctx *ctx = x->ctx;
	struct skymon_http *http = take_connection(ctx->grafana->own);
	struct skymon_fault fault = {.status = SKYMON_UNKNOWN};
	bool good = false, again = http != NULL;
	*repeated = false;
	if (http != NULL)
		skymon_http_begin(http, ctx->grafana->reconnect.ms);
	for (int attempt = 0; again && attempt < 2; attempt++) {
		good = skymon_http_do(ctx->sm, http, &x->request, from, &fault);
		again = !good && fault.lost && (!fault.sent || x->repeatable) && skymon_ms_left(ctx->sm) > 0;
		if (again && fault.sent)
			*repeated = true;
	}
	if (good) {
		ctx->connected = true;
		ctx->trust = from->trust;
		ctx->local = from->local;
		ctx->days = from->days;
	}
	if (!good && http != NULL) {
		if (!x->crowded)
			grafana_explain_fetch(&fault, &ctx->fault);
		if (fault.sent && strcmp(x->request.method, "GET") != 0)
			grafana_add_outcome(&ctx->fault, GRAFANA_MAYBE_DONE, "");
	} else if (!good)
		grafana_fail(ctx, 500, "out of memory for a connection to Grafana");
	if (http != NULL) {
		skymon_http_end(http);
		return_connection(ctx->grafana->own, http);
	}
	return good;
}

/* The host masks the key in all output, but only as a whole: a text of Grafana's that contains the key may be
 * cut in the middle of it. */
static void hide_key(const struct skymon_secret *key, char *text, size_t size)
{
	char *at = key->size >= KEY_MIN && text != NULL ? text : NULL;
	while (at != NULL && (at = memmem(at, size - (size_t)(at - text), key->bytes, key->size)) != NULL) {
		memset(at, '*', key->size);
		at += key->size;
	}
}

static bool explain_answer(struct grafana_ctx *ctx, const struct skymon_http_answer *from)
{
	const char *place = ctx->grafana->own->place;
	struct grafana_span body = {from->body, from->size};
	size_t cost;
	/* Grafana sends some errors without a body, as for a rule that does not exist */
	if (from->code < 400 || (from->size > 0 && !grafana_scan(body, &cost)))
		grafana_explain_alien(from->code, from->wanted[LOCATION], from->wanted[RETRY_AFTER],
				      from->body, place, &ctx->fault);
	else {
		json_t *message = grafana_pick(body, "message");
		json_t *word = grafana_pick(body, "status");
		grafana_explain(from->code, json_string_value(message), json_string_value(word),
				from->wanted[RETRY_AFTER], place, &ctx->fault);
		json_decref(message);
		json_decref(word);
	}
	return false;
}

/* Takes over the body of a success. */
static bool read_answer(struct exchange *x, struct skymon_http_answer *from, struct grafana_text *answer)
{
	const struct skymon_secret *key = &x->ctx->grafana->api_key;
	char *location = from->wanted[LOCATION];
	bool empty = from->size == 0 && strcmp(x->request.method, "DELETE") == 0;
	hide_key(key, from->body, from->size);
	hide_key(key, location, location != NULL ? strlen(location) : 0);
	size_t cost;
	if (from->code < 200 || from->code >= 300 ||
	    (!empty && !grafana_scan((struct grafana_span){from->body, from->size}, &cost))) {
		return explain_answer(x->ctx, from);
	}
	*answer = (struct grafana_text){from->code, from->body, from->size, x->reserved};
	from->body = NULL;
	from->size = 0;
	x->reserved = 0;
	return true;
}

/* Releases the part of a reservation for an answer of unknown size that exceeds the answer and its reply. */
static void shrink_reservation(struct grafana_text *answer)
{
	size_t keep = answer->size * 3;
	if (answer->reserved <= keep)
		return;
	size_t rest = answer->reserved - keep;
	answer->reserved = keep;
	grafana_release(&rest);
}

bool grafana_ask_text(struct grafana_ctx *ctx, const char *method, const char *path, struct grafana_span body,
		      size_t most, struct grafana_text *answer)
{
	struct grafana *grafana = ctx->grafana;
	bool writes = strcmp(method, "GET") != 0, creates = strcmp(method, "POST") == 0 && !ctx->repeatable;
	bool provisions = writes && strncmp(path, "/api/v1/provisioning/", 21) == 0;
	struct exchange x = {.ctx = ctx, .repeatable = !creates};
	struct skymon_http_answer from = {0};
	int64_t limit_ms = ctx->limit_ms > 0 ? ctx->limit_ms : grafana->timeout.ms;
	*answer = (struct grafana_text){0};
	grafana_forget(&ctx->fault);
	ctx->repeatable = false;
	ctx->limit_ms = 0;
	if (!has_key(ctx))
		return false;
	bool good = prepare(&x, path);
	bool repeated;
	if (good) {
		/* so that rules can be edited in Grafana */
		struct skymon_label headers[] = {
			{"Authorization", x.authorization},
			{"Accept", "application/json"},
			{"Content-Type", body.text != NULL ? "application/json" : NULL},
			{"X-Disable-Provenance", provisions ? "true" : NULL}};
		x.request =
			(struct skymon_http_request){.method = method,
						     .url = x.url,
						     .headers = headers,
						     .header_count = sizeof(headers) / sizeof(headers[0]),
						     .body = body.text,
						     .body_size = body.size,
						     .body_max = most > 0 ? most : answer_max(ctx),
						     .grow = grow,
						     .grow_arg = &x,
						     .small = GRAFANA_SMALL,
						     .timeout_ms = limit_ms,
						     .connect_ms = grafana->connect_timeout.ms,
						     /* a repeated DELETE finds nothing, so skymon has to know
						    * of it: libcurl must not repeat it */
						     .once = creates || strcmp(method, "DELETE") == 0,
						     .wanted = wanted,
						     .tls = &grafana->tls,
						     .proxy = grafana->proxy};
		good = fetch_with_retry(&x, &from, &repeated) && read_answer(&x, &from, answer);
		ctx->fault.repeated = repeated;
		skymon_http_answer_free(&from);
		shrink_reservation(answer);
	}
	free_exchange(&x);
	return good;
}

void grafana_text_free(struct grafana_text *text)
{
	if (text->bytes != NULL)
		explicit_bzero(text->bytes, text->size);
	free(text->bytes);
	grafana_release(&text->reserved);
	*text = (struct grafana_text){0};
}

static bool read_tree(struct grafana_ctx *ctx, const struct grafana_text *text, struct grafana_answer *answer)
{
	size_t cost = 0;
	answer->code = text->code;
	if (text->size == 0)
		return true;
	grafana_scan((struct grafana_span){text->bytes, text->size}, &cost);
	if (!grafana_reserve(ctx, cost, 502, &answer->reserved))
		return false;
	answer->json = skymon_json_read(text->bytes, text->size);
	if (answer->json != NULL)
		return true;
	grafana_release(&answer->reserved);
	grafana_explain_alien(text->code, NULL, NULL, text->bytes, ctx->grafana->own->place, &ctx->fault);
	return grafana_reword(
		ctx, 502, "",
		"%.200s answered JSON that skymon cannot parse (HTTP %d): it is nested too deeply, or "
		"has a duplicate name, a number of more than 64 bits or \\u0000",
		ctx->grafana->own->place, text->code);
}

bool grafana_ask(struct grafana_ctx *ctx, const char *method, const char *path, const json_t *body,
		 struct grafana_answer *answer)
{
	char *printed = body != NULL ? grafana_print(body) : NULL;
	*answer = (struct grafana_answer){0};
	struct grafana_text text;
	bool good = grafana_ask_text(ctx, method, path,
				     (struct grafana_span){printed, printed != NULL ? strlen(printed) : 0}, 0,
				     &text);
	grafana_free_text(printed);
	bool repeated = ctx->fault.repeated;
	good = good && read_tree(ctx, &text, answer);
	ctx->fault.repeated = repeated;
	grafana_text_free(&text);
	return good;
}

void grafana_answer_free(struct grafana_answer *answer)
{
	json_decref(answer->json);
	grafana_release(&answer->reserved);
	*answer = (struct grafana_answer){0};
}
