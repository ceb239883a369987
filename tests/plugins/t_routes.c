/* SPDX-License-Identifier: Apache-2.0 */
/* Routes in a worker: what a request brings, and handlers that are slow, wrong, or die. */
#include <poll.h>
#include <skymon/routes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct routes {
	struct skymon_secret key; /* what the "server" accepts is in the file `accepted` */
	const char *accepted, *word, *busy, *target;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct routes, key, NULL, "a key"),
	SKYMON_OPT(struct routes, accepted, "", "the file that holds the key that is accepted",
		   .flags = SKYMON_PATH_WRITE),
	SKYMON_OPT(struct routes, word, "", "the file that holds what the check says; healthy without it"),
	SKYMON_OPT(struct routes, busy, "", "while this file is there a check does not return"),
	SKYMON_OPT(struct routes, target, "there", "left empty, it is not configured",
		   .flags = SKYMON_TARGET),
	{0}};

static bool exists(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file != NULL)
		fclose(file);
	return file != NULL;
}

/* The first word of a file; "" without it. */
static void read_word(const char *path, char word[100])
{
	word[0] = '\0';
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fscanf(file, "%99s", word) != 1)
		word[0] = '\0';
	fclose(file);
}

static bool start(struct skymon *sm, void *state)
{
	const struct routes *own = state;
	skymon_info(sm, "started, its key has %zu bytes", own->key.size);
	return true;
}

static void stop(struct skymon *sm, void *state)
{
	const struct routes *own = state;
	skymon_info(sm, "stopped, its key had %zu bytes", own->key.size);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct routes *own = state;
	while (exists(own->busy) && skymon_ms_left(sm) > 0)
		poll(NULL, 0, 10);
	char word[100];
	read_word(own->word, word);
	if (strcmp(word, "crash") == 0)
		abort();
	skymon_detail(sm, "version", "7");
	if (strcmp(word, "degraded") == 0)
		return skymon_degraded(sm, "half there");
	return skymon_verdict(sm, strcmp(word, "unhealthy") != 0, "looked");
}

static const char *or_none(const char *text)
{
	return text != NULL ? text : "none";
}

/* All that a handler can see, a line each, and the body. */
static void echo(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	size_t size;
	const char *body = skymon_body(sm, rq, &size);
	const struct skymon_caller *caller = skymon_caller(sm, rq);
	size_t rendered;
	const char *health = skymon_render(sm, rq, "health", &rendered);
	char *text = malloc(size + 8192);
	int length = snprintf(text, 8192,
			      "method=%s\nid=%s\nq=%s\nheader=%s\nlocal=%d\naddress=%s\ntrusted=%d\n"
			      "time=%d\nname=%s\nrender=%d\nself=%d\nsize=%zu\nend=%d\n\n",
			      skymon_method(sm, rq), or_none(skymon_param(sm, rq, "id")),
			      or_none(skymon_query(sm, rq, "q")), or_none(skymon_header(sm, rq, "x-TEST")),
			      caller->local, caller->address, skymon_is_trusted(sm, rq),
			      skymon_ms_left(sm) > 20000 && skymon_ms_left(sm) <= 30000, skymon_name(sm),
			      health != NULL, skymon_self(sm) != NULL, size, body[size] == '\0');
	memcpy(text + length, body, size);
	skymon_reply_header(sm, rq, "X-Answer", "yes");
	skymon_audit(sm, rq, "echoed %s\nof %zu bytes", or_none(skymon_param(sm, rq, "id")), size);
	skymon_reply(sm, rq, 200, "text/plain", text, (size_t)length + size);
	free(text);
}

/* Waits ?ms=, or until the file ?until= is there, or until it has no time left, which it logs. ?deaf=1: does
 * not look at the time. ?began= is a file that gets a line when it begins. */
static void slow(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *ms = skymon_query(sm, rq, "ms"), *until = skymon_query(sm, rq, "until");
	const char *began = skymon_query(sm, rq, "began");
	FILE *file = began != NULL ? fopen(began, "ae") : NULL;
	if (file != NULL) {
		fputs("begun\n", file);
		fclose(file);
	}
	bool deaf = skymon_query(sm, rq, "deaf") != NULL;
	long left = ms != NULL ? atol(ms) : 60000;
	for (; left > 0 && (deaf || skymon_ms_left(sm) > 0) && (until == NULL || !exists(until)); left -= 10)
		poll(NULL, 0, 10);
	if (skymon_ms_left(sm) == 0)
		skymon_info(sm, "slow: no time left");
	skymon_audit(sm, rq, "was slow");
	skymon_reply(sm, rq, 200, "text/plain", "done\n", 5);
}

/* Asks a server that knows one key, once the file ?until= is there. */
static void ask(struct skymon *sm, void *state, struct skymon_request *rq)
{
	const struct routes *own = state;
	const char *until = skymon_query(sm, rq, "until");
	while (until != NULL && !exists(until) && skymon_ms_left(sm) > 0)
		poll(NULL, 0, 10);
	char accepted[100];
	read_word(own->accepted, accepted);
	if (own->key.bytes != NULL && strcmp(own->key.bytes, accepted) == 0)
		skymon_reply(sm, rq, 200, "text/plain", "accepted\n", 9);
	else if (!skymon_again(sm, rq))
		skymon_problem(sm, rq, 502, "the key %s is refused", own->key.bytes);
}

static void misbehave(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *how = or_none(skymon_query(sm, rq, "how"));
	if (strcmp(how, "crash") == 0)
		abort();
	if (strcmp(how, "hang") == 0)
		for (;;)
			poll(NULL, 0, -1);
	if (strcmp(how, "twice") == 0)
		skymon_reply(sm, rq, 200, "text/plain", "first", 5);
	if (strcmp(how, "silent") == 0)
		return;
	if (strcmp(how, "headers") == 0) {
		skymon_reply_header(sm, rq, "Content-Length", "1");
		skymon_reply_header(sm, rq, "X-Two", "a\r\nX-Forged: b");
		skymon_reply_header(sm, rq, "X-Fine", "c");
	}
	if (strcmp(how, "head") == 0)
		for (int i = 0; i < 100; i++)
			skymon_reply_header(sm, rq, "X-Long",
					    "a header of which there are far too many for any client");
	if (strcmp(how, "empty") == 0)
		skymon_reply(sm, rq, 204, NULL, NULL, 0);
	if (strcmp(how, "code") == 0)
		skymon_reply(sm, rq, 99, "text/plain", "x", 1);
	if (strcmp(how, "problem") == 0) {
		skymon_problem_json(sm, rq, "more", "{\"a\":[1]}");
		skymon_problem_json(sm, rq, "broken", "{");
		skymon_problem(sm, rq, 422, "it is wrong");
		return;
	}
	if (strcmp(how, "big") == 0) {
		size_t size = 9u << 20;
		char *bytes = calloc(1, size);
		skymon_reply(sm, rq, 200, "text/plain", bytes, size);
		free(bytes);
		return;
	}
	skymon_reply(sm, rq, 200, "text/plain", "second", 6);
}

/* Answers, and goes on for a moment. */
static void linger(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_reply(sm, rq, 200, "text/plain", "early\n", 6);
	poll(NULL, 0, 20);
}

/* A large body, for compression. ?size= */
static void large(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *wanted = skymon_query(sm, rq, "size");
	size_t size = wanted != NULL ? (size_t)atol(wanted) : 100000;
	char *bytes = malloc(size + 1);
	memset(bytes, 'x', size);
	skymon_reply(sm, rq, 200, "text/plain", bytes, size);
	free(bytes);
}

#define ROUTE(method_, path_, name_, handle_, flags_)                                                        \
	&(const struct skymon_route)                                                                         \
	{                                                                                                    \
		sizeof(struct skymon_route), method_, path_, name_, "for tests", handle_, flags_             \
	}

static const struct skymon_route *const routes[] = {
	ROUTE("GET", "/t/health", "t_health", NULL, SKYMON_ROUTE_HEALTH | SKYMON_ROUTE_PRIVATE),
	ROUTE("GET", "/t/echo/{id}", "echo", echo, SKYMON_ROUTE_GUARDED),
	ROUTE("POST", "/t/echo/{id}", "echo", echo, SKYMON_ROUTE_GUARDED),
	ROUTE("GET", "/t/open/{id}", "open", echo, SKYMON_ROUTE_OPTIONS_AS_GET),
	ROUTE("GET", "/t/slow", "slow", slow, 0),
	ROUTE("POST", "/t/slow", "slow", slow, SKYMON_ROUTE_GUARDED | SKYMON_ROUTE_ANY_BODY),
	ROUTE("GET", "/t/ask", "ask", ask, 0),
	ROUTE("DELETE", "/t/echo/{id}", "echo", echo, SKYMON_ROUTE_GUARDED),
	ROUTE("GET", "/t/misbehave", "misbehave", misbehave, 0),
	ROUTE("GET", "/t/linger", "linger", linger, 0),
	ROUTE("GET", "/t/large", "large", large, 0),
	NULL};

SKYMON_PLUGIN(t_routes, "1.0", "Routes in a worker", .state_size = sizeof(struct routes), .options = options,
	      .start = start, .stop = stop, .check = check, .routes = routes);
