/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_client: one exchange with Grafana, over a connection from a small pool. An answer is bounded before
 * it is parsed; a redirect is not followed (the key would go with it); the key's bytes are in the request
 * alone. And the room for what is large in work, that all requests share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "grafana.h"
#include "json_read.h"

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

/* ---- Room ---- */

#define ROOM_DEFAULT (256u << 20) /* where a worker has no limit: as much as where it has the default one */
#define SPARE_MS 500              /* before the deadline, so that the answer is still ours */
#define SLICE_MS 250              /* how soon it is seen that the client has left */

static _Thread_local struct {
	struct grafana_room *room;
	size_t held, waited; /* all; without what was there already */
} mine;

void *grafana_alloc(size_t size)
{
	void *memory = malloc(size);

	if (memory == NULL && size > 0) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return memory;
}

/* Three fifths of the worker's limit. The rest is for what is not counted of 64 requests (threads,
 * connections, small trees), for libraries, and for the heap's holes. */
bool grafana_room_start(struct grafana_room *room)
{
	struct rlimit limit;
	bool limited = getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
	pthread_condattr_t monotonic;

	/* the data limit is twice limits.worker_memory */
	room->all = (limited ? (size_t)limit.rlim_cur / 2 : ROOM_DEFAULT) / 5 * 3;
	room->answer_max = room->all / 4 < GRAFANA_REPLY_MAX ? room->all / 4 : GRAFANA_REPLY_MAX;
	return pthread_condattr_init(&monotonic) == 0 &&
	       pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
	       pthread_cond_init(&room->given, &monotonic) == 0 && pthread_mutex_init(&room->lock, NULL) == 0;
}

void grafana_room_end(struct grafana_room *room)
{
	pthread_mutex_destroy(&room->lock);
	pthread_cond_destroy(&room->given);
}

static struct grafana_room *room_of(struct grafana_ctx *ctx)
{
	return mine.room = skymon_shared(ctx->sm);
}

static size_t answer_max(struct grafana_ctx *ctx)
{
	return room_of(ctx)->answer_max;
}

/* Who has some already may have the last part, which newcomers leave: it can end then, and gives back. */
static bool fits(const struct grafana_room *room, size_t bytes)
{
	size_t all = mine.waited > 0 ? room->all : room->all / 6 * 5;

	return room->used == mine.held || (bytes <= all && room->used <= all - bytes);
}

static void wait_for_room(struct grafana_room *room, int64_t left_ms)
{
	int64_t ms = left_ms < SLICE_MS ? left_ms : SLICE_MS;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&room->given, &room->lock, &until);
}

static void add_room(struct grafana_room *room, size_t bytes)
{
	room->used += bytes;
	mine.held += bytes;
}

bool grafana_take_room(struct grafana_ctx *ctx, size_t bytes, int never, size_t *taken)
{
	struct grafana_room *room;
	int64_t left_ms;
	bool good;

	*taken = 0;
	if (bytes <= GRAFANA_SMALL)
		return true;
	room = room_of(ctx);
	if (bytes > room->all - (mine.held < room->all ? mine.held : room->all))
		return grafana_fail(
			ctx, never,
			"this takes about %zu MiB of memory, more than there is for it: fewer or smaller "
			"values, or a larger limits.worker_memory",
			(bytes >> 20) + 1);
	pthread_mutex_lock(&room->lock);
	while (!(good = fits(room, bytes)) && (left_ms = skymon_ms_left(ctx->sm) - SPARE_MS) > 0)
		wait_for_room(room, left_ms);
	if (good)
		add_room(room, bytes);
	pthread_mutex_unlock(&room->lock);
	if (!good) {
		grafana_fail(ctx, 503,
			     "too many large requests to Grafana are in work at this moment: try again");
		ctx->fault.reason = SKYMON_RESOURCE;
		snprintf(ctx->fault.retry_after, sizeof(ctx->fault.retry_after), "2");
		return false;
	}
	mine.waited += bytes;
	*taken = bytes;
	return true;
}

void grafana_count_room(struct grafana_ctx *ctx, size_t bytes)
{
	struct grafana_room *room = bytes > GRAFANA_SMALL ? room_of(ctx) : NULL;

	if (room == NULL)
		return;
	pthread_mutex_lock(&room->lock);
	add_room(room, bytes);
	pthread_mutex_unlock(&room->lock);
}

bool grafana_take_large(struct grafana_ctx *ctx)
{
	size_t taken;

	ctx->large = ctx->large || grafana_take_room(ctx, 3 * answer_max(ctx), 502, &taken);
	return ctx->large;
}

static void give(size_t bytes)
{
	if (bytes == 0)
		return;
	pthread_mutex_lock(&mine.room->lock);
	mine.room->used -= bytes;
	mine.held -= bytes;
	pthread_cond_broadcast(&mine.room->given);
	pthread_mutex_unlock(&mine.room->lock);
}

void grafana_give_room(size_t *taken)
{
	give(*taken);
	mine.waited -= *taken;
	*taken = 0;
}

void grafana_give_all_room(void)
{
	give(mine.held);
	mine.waited = 0;
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

char *grafana_print(const json_t *json)
{
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | json_read_digits(json);
	size_t size =
		json_dumpb(json, NULL, 0, flags); /* json_dumps would take four times as much for a while */
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

enum wanted { TYPE, LOCATION, RETRY_AFTER };
static const char *const wanted[] = {"content-type", "location", "retry-after", NULL};

struct exchange {
	struct grafana_ctx *ctx;
	struct fetch_request request;
	char url[URL_MAX];
	char *authorization;
	size_t key_size;
	size_t room;     /* that the answer takes */
	bool crowded;    /* there is none: ctx->fault tells */
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

static bool prepare(struct exchange *x, const char *path)
{
	struct grafana *grafana = x->ctx->grafana;
	size_t size = grafana->api_key.size + 8;

	if ((size_t)snprintf(x->url, sizeof(x->url), "%s%s", grafana->own->base, path) >= sizeof(x->url))
		return grafana_fail(x->ctx, 422,
				    "the path to be asked for at Grafana is longer than %d bytes", URL_MAX);
	x->authorization = grafana_alloc(size);
	x->key_size = size;
	snprintf(x->authorization, size, "Bearer %s", grafana->api_key.bytes);
	return true;
}

static void finish(struct exchange *x)
{
	if (x->authorization != NULL)
		explicit_bzero(x->authorization, x->key_size);
	free(x->authorization);
	grafana_give_room(&x->room);
}

/* The answer is not small. */
static bool grow(void *arg)
{
	struct exchange *x = arg;

	if (x->room > 0 || x->ctx->large)
		return true;
	x->crowded = !grafana_take_room(x->ctx, 3 * answer_max(x->ctx), 502, &x->room);
	return !x->crowded;
}

/* Once, or once more when the connection broke and that does no harm. */
static bool fetch_it(struct exchange *x, struct fetch_answer *from, bool *repeated)
{
	struct grafana_ctx *ctx = x->ctx;
	struct fetch *fetch = take_fetch(ctx->grafana->own);
	struct skymon_fault fault = {.status = SKYMON_UNKNOWN};
	bool good = false, again = fetch != NULL;

	*repeated = false;
	if (fetch != NULL)
		fetch_begin(fetch, ctx->grafana->reconnect.ms);
	for (int attempt = 0; again && attempt < 2; attempt++) {
		good = fetch_do(ctx->sm, fetch, &x->request, from, &fault);
		again = !good && fault.lost && (!fault.sent || x->repeatable) && skymon_ms_left(ctx->sm) > 0;
		if (again && fault.sent)
			*repeated = true;
	}
	if (good) {
		ctx->connected = true;
		ctx->trust = from->trust;
		ctx->local = from->local;
		ctx->certificate_days = from->certificate_days;
	}
	if (!good && fetch != NULL) {
		if (!x->crowded)
			grafana_explain_fetch(&fault, &ctx->fault);
		if (fault.sent && strcmp(x->request.method, "GET") != 0)
			grafana_say_done(&ctx->fault, GRAFANA_MAYBE_DONE, "");
	} else if (!good)
		grafana_fail(ctx, 500, "out of memory for a connection to Grafana");
	if (fetch != NULL) {
		fetch_end(fetch);
		give_fetch(ctx->grafana->own, fetch);
	}
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

/* What is no success, or none of Grafana's. */
static bool explain(struct grafana_ctx *ctx, const struct fetch_answer *from)
{
	const char *place = ctx->grafana->own->place;
	struct grafana_span body = {from->body, from->size};
	json_t *message, *word;
	size_t cost;

	/* an error without a body is Grafana's in places, as for a rule that is not there */
	if (from->code < 400 || (from->size > 0 && !grafana_scan(body, &cost)))
		grafana_explain_alien(from->code, from->wanted[LOCATION], from->wanted[RETRY_AFTER],
				      from->body, place, &ctx->fault);
	else {
		message = grafana_pick(body, "message");
		word = grafana_pick(body, "status");
		grafana_explain(from->code, json_string_value(message), json_string_value(word),
				from->wanted[RETRY_AFTER], place, &ctx->fault);
		json_decref(message);
		json_decref(word);
	}
	return false;
}

/* What came, judged. Takes over the body, when it is good. */
static bool read_answer(struct exchange *x, struct fetch_answer *from, struct grafana_text *answer)
{
	const struct skymon_secret *key = &x->ctx->grafana->api_key;
	char *location = from->wanted[LOCATION];
	bool empty = from->size == 0 && strcmp(x->request.method, "DELETE") == 0;
	size_t cost;

	hide_key(key, from->body, from->size);
	hide_key(key, location, location != NULL ? strlen(location) : 0);
	if (from->code < 200 || from->code >= 300 ||
	    (!empty && !grafana_scan((struct grafana_span){from->body, from->size}, &cost))) {
		return explain(x->ctx, from);
	}
	*answer = (struct grafana_text){from->code, from->body, from->size, x->room};
	from->body = NULL;
	from->size = 0;
	x->room = 0;
	return true;
}

/* What was taken for an answer of unknown size, but for itself and its reply on the way out. */
static void keep_room(struct grafana_text *answer)
{
	size_t keep = answer->size * 3, rest;

	if (answer->room <= keep)
		return;
	rest = answer->room - keep;
	answer->room = keep;
	grafana_give_room(&rest);
}

bool grafana_ask_text(struct grafana_ctx *ctx, const char *method, const char *path, struct grafana_span body,
		      size_t most, struct grafana_text *answer)
{
	struct grafana *grafana = ctx->grafana;
	bool writes = strcmp(method, "GET") != 0, creates = strcmp(method, "POST") == 0 && !ctx->repeatable;
	bool provisions = writes && strncmp(path, "/api/v1/provisioning/", 21) == 0, good, repeated;
	struct exchange x = {.ctx = ctx, .repeatable = !creates};
	struct fetch_answer from = {0};

	int64_t limit_ms = ctx->limit_ms > 0 ? ctx->limit_ms : grafana->timeout.ms;

	*answer = (struct grafana_text){0};
	grafana_forget(&ctx->fault);
	ctx->repeatable = false;
	ctx->limit_ms = 0;
	if (!has_key(ctx))
		return false;
	good = prepare(&x, path);
	if (good) {
		/* so that what we have made can be edited in Grafana */
		struct skymon_label headers[] = {
			{"Authorization", x.authorization},
			{"Accept", "application/json"},
			{"Content-Type", body.text != NULL ? "application/json" : NULL},
			{"X-Disable-Provenance", provisions ? "true" : NULL}};

		x.request = (struct fetch_request){.method = method,
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
						   /* of a repeated DELETE we have to know, as it finds
						      nothing: libcurl is not to repeat it */
						   .once = creates || strcmp(method, "DELETE") == 0,
						   .wanted = wanted,
						   .tls = &grafana->tls,
						   .proxy = grafana->proxy};
		good = fetch_it(&x, &from, &repeated) && read_answer(&x, &from, answer);
		ctx->fault.repeated = repeated;
		fetch_answer_free(&from);
		keep_room(answer);
	}
	finish(&x);
	return good;
}

void grafana_text_free(struct grafana_text *text)
{
	if (text->bytes != NULL)
		explicit_bzero(text->bytes, text->size);
	free(text->bytes);
	grafana_give_room(&text->room);
	*text = (struct grafana_text){0};
}

/* As a tree. */
static bool read_tree(struct grafana_ctx *ctx, const struct grafana_text *text, struct grafana_answer *answer)
{
	size_t cost = 0;

	answer->code = text->code;
	if (text->size == 0)
		return true;
	grafana_scan((struct grafana_span){text->bytes, text->size}, &cost);
	if (!grafana_take_room(ctx, cost, 502, &answer->room))
		return false;
	answer->json = json_read(text->bytes, text->size);
	if (answer->json != NULL)
		return true;
	grafana_give_room(&answer->room);
	grafana_explain_alien(text->code, NULL, NULL, text->bytes, ctx->grafana->own->place, &ctx->fault);
	return grafana_mean(
		ctx, 502, "",
		"%.200s answered JSON that skymon does not read (HTTP %d): it is too deep in itself, has a "
		"name twice, a number of more than 64 bits or \\u0000",
		ctx->grafana->own->place, text->code);
}

bool grafana_ask(struct grafana_ctx *ctx, const char *method, const char *path, const json_t *body,
		 struct grafana_answer *answer)
{
	char *printed = body != NULL ? grafana_print(body) : NULL;
	struct grafana_text text;
	bool good, repeated;

	*answer = (struct grafana_answer){0};
	good = grafana_ask_text(ctx, method, path,
				(struct grafana_span){printed, printed != NULL ? strlen(printed) : 0}, 0,
				&text);
	grafana_free_text(printed);
	repeated = ctx->fault.repeated;
	good = good && read_tree(ctx, &text, answer);
	ctx->fault.repeated = repeated;
	grafana_text_free(&text);
	return good;
}

void grafana_answer_free(struct grafana_answer *answer)
{
	json_decref(answer->json);
	grafana_give_room(&answer->room);
	*answer = (struct grafana_answer){0};
}
