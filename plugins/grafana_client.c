/* grafana_client: one exchange with Grafana, over a connection from a small pool. An answer is bounded before
 * it is parsed; a redirect is not followed (the key would go with it); the key's bytes are in the request
 * alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grafana.h"
#include "json_read.h"

/* A dashboard that came through us is at most 1 MiB; others have been seen with 2. All the alert rules of a
 * large installation are some MiB. Their trees are several times as large, and 64 requests share the worker's
 * memory. */
#define BODY_MAX (4u << 20)
#define URL_MAX 2048
#define KEY_MIN 16 /* bytes; shorter ones are not Grafana's, and may be words */

/* ---- The pool ---- */

static struct fetch *take_fetch(struct grafana_own *own)
{
	struct fetch *fetch = NULL;

	pthread_mutex_lock(&own->lock);
	if (own->idle_count > 0)
		fetch = own->idle[--own->idle_count]; /* the last that came back: its connection is the
							 youngest */
	pthread_mutex_unlock(&own->lock);
	return fetch != NULL ? fetch : fetch_new();
}

static void give_fetch(struct grafana_own *own, struct fetch *fetch)
{
	pthread_mutex_lock(&own->lock);
	if (own->idle_count < GRAFANA_IDLE_MAX) {
		own->idle[own->idle_count++] = fetch;
		fetch = NULL;
	}
	pthread_mutex_unlock(&own->lock);
	fetch_free(fetch);
}

/* ---- Texts ---- */

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

/* Do all its numbers read back as the same with 15 digits? Those that people write do; 17 digits would show
 * them 0.1 as 0.10000000000000001. */
static bool is_short(const json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;
	char text[40];

	if (json_is_real(json)) {
		snprintf(text, sizeof(text), "%.15g", json_real_value(json));
		return strtod(text, NULL) == json_real_value(json);
	}
	json_object_foreach((json_t *)(uintptr_t)json, key, value) if (!is_short(value)) return false;
	json_array_foreach(json, i, value) if (!is_short(value)) return false;
	return true;
}

char *grafana_print(const json_t *json)
{
	return json_dumps(json,
			  JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(is_short(json) ? 15 : 17));
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

	if (text == NULL) {
		grafana_fail(ctx, 500, "no memory is left for the answer");
		grafana_tell(ctx);
		return;
	}
	skymon_reply(ctx->sm, ctx->rq, code, "application/json", text, strlen(text));
	grafana_free_text(text);
}

/* ---- The exchange ---- */

enum wanted { TYPE, LOCATION, RETRY_AFTER };
static const char *const wanted[] = {"content-type", "location", "retry-after", NULL};

struct exchange {
	struct grafana_ctx *ctx;
	struct fetch_request request;
	char url[URL_MAX];
	char *authorization, *body;
	size_t key_size;
	bool repeatable; /* by us, when the connection breaks */
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

static bool prepare(struct exchange *x, const char *path, const json_t *body)
{
	struct grafana *grafana = x->ctx->grafana;
	size_t size = grafana->api_key.size + 8;

	if ((size_t)snprintf(x->url, sizeof(x->url), "%s%s", grafana->own->base, path) >= sizeof(x->url))
		return grafana_fail(x->ctx, 422,
				    "the path to be asked for at Grafana is longer than %d bytes", URL_MAX);
	x->authorization = malloc(size);
	x->body = body != NULL ? grafana_print(body) : NULL;
	if (x->authorization == NULL || (body != NULL && x->body == NULL))
		return grafana_fail(x->ctx, 500, "no memory is left for the request to Grafana");
	x->key_size = size;
	snprintf(x->authorization, size, "Bearer %s", grafana->api_key.bytes);
	return true;
}

static void finish(struct exchange *x)
{
	if (x->authorization != NULL)
		explicit_bzero(x->authorization, x->key_size);
	free(x->authorization);
	grafana_free_text(x->body);
}

static void append(struct grafana_ctx *ctx, const char *text)
{
	size_t used = strlen(ctx->fault.detail);

	snprintf(ctx->fault.detail + used, sizeof(ctx->fault.detail) - used, "%s", text);
}

/* Once, or once more when the connection broke and that does no harm. */
static bool fetch_it(struct exchange *x, struct fetch_answer *from, bool *repeated)
{
	struct grafana_ctx *ctx = x->ctx;
	struct fetch *fetch = take_fetch(ctx->grafana->own);
	struct fetch_fault fault = {.status = SKYMON_UNKNOWN};
	bool good = false, again = fetch != NULL;

	*repeated = false;
	for (int attempt = 0; again && attempt < 2; attempt++) {
		good = fetch_do(ctx->sm, fetch, &x->request, from, &fault);
		again = !good && fault.broken && (!fault.sent || x->repeatable) &&
			skymon_ms_left(ctx->sm) > 0;
		if (again && fault.sent)
			*repeated = true;
	}
	if (!good && fetch != NULL) {
		grafana_explain_fetch(&fault, &ctx->fault);
		if (fault.sent && strcmp(x->request.method, "GET") != 0)
			append(ctx, "; it may have been done: the same request once more is safe");
	} else if (!good)
		grafana_fail(ctx, 500, "no memory is left for a connection to Grafana");
	if (fetch != NULL)
		give_fetch(ctx->grafana->own, fetch);
	return good;
}

/* The host masks the key in all that we say. But of a text that tells it back only a part may be said, in
 * which the host would not find it. */
static void hide_key(const struct skymon_secret *key, char *text, size_t size)
{
	char *at = key->size >= KEY_MIN && text != NULL ? text : NULL;

	while (at != NULL && (at = memmem(at, size - (size_t)(at - text), key->bytes, key->size)) != NULL) {
		memset(at, '*', key->size);
		at += key->size;
	}
}

/* What came, judged. */
static bool read_answer(struct grafana_ctx *ctx, const struct fetch_answer *from,
			struct grafana_answer *answer)
{
	const char *place = ctx->grafana->own->place, *retry = from->wanted[RETRY_AFTER], *message, *word;
	char *location = from->wanted[LOCATION];
	json_t *json;

	hide_key(&ctx->grafana->api_key, from->body, from->size);
	hide_key(&ctx->grafana->api_key, location, location != NULL ? strlen(location) : 0);
	json = from->size > 0 ? json_read(from->body, from->size) : NULL;
	answer->code = from->code;
	if (from->code >= 200 && from->code < 300 && (json != NULL || from->code == 204)) {
		answer->json = json;
		return true;
	}
	message = json_read_text(json, "message");
	word = json_read_text(json, "status");
	/* an error without a body is Grafana's in places, as for a rule that is not there */
	if (from->code < 400 || (json == NULL && from->size > 0))
		grafana_explain_alien(from->code, location, from->body, place, &ctx->fault);
	else
		grafana_explain(from->code, message, word, retry, place, &ctx->fault);
	json_decref(json);
	*answer = (struct grafana_answer){0};
	return false;
}

bool grafana_ask(struct grafana_ctx *ctx, const char *method, const char *path, const json_t *body,
		 struct grafana_answer *answer)
{
	struct grafana *grafana = ctx->grafana;
	bool writes = strcmp(method, "GET") != 0, creates = strcmp(method, "POST") == 0 && !ctx->repeatable;
	bool provisions = writes && strncmp(path, "/api/v1/provisioning/", 21) == 0, good, repeated;
	struct exchange x = {.ctx = ctx, .repeatable = !creates};
	struct fetch_answer from = {0};

	*answer = (struct grafana_answer){0};
	grafana_forget(&ctx->fault);
	ctx->repeatable = false;
	if (!has_key(ctx))
		return false;
	good = prepare(&x, path, body);
	if (good) {
		/* so that what we have made can be edited in Grafana */
		struct skymon_label headers[] = {{"Authorization", x.authorization},
						 {"Accept", "application/json"},
						 {"Content-Type", body != NULL ? "application/json" : NULL},
						 {"X-Disable-Provenance", provisions ? "true" : NULL}};

		x.request = (struct fetch_request){.method = method,
						   .url = x.url,
						   .headers = headers,
						   .header_count = sizeof(headers) / sizeof(headers[0]),
						   .body = x.body,
						   .body_size = x.body != NULL ? strlen(x.body) : 0,
						   .body_max = BODY_MAX,
						   .timeout_ms = grafana->timeout.ms,
						   .connect_ms = grafana->connect_timeout.ms,
						   /* of a repeated DELETE we have to know, as it finds
						      nothing: libcurl is not to repeat it */
						   .once = creates || strcmp(method, "DELETE") == 0,
						   .wanted = wanted,
						   .tls = &grafana->tls,
						   .proxy = grafana->proxy};
		good = fetch_it(&x, &from, &repeated) && read_answer(ctx, &from, answer);
		ctx->fault.repeated = repeated;
		fetch_answer_free(&from);
	}
	finish(&x);
	return good;
}

void grafana_answer_free(struct grafana_answer *answer)
{
	json_decref(answer->json);
	*answer = (struct grafana_answer){0};
}
