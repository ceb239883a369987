/* Routes in a worker: what a request brings, and handlers that are slow, wrong, or die. */
#include <poll.h>
#include <skymon/routes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct routes {
	struct skymon_secret key; /* what the "server" accepts is in the file `accepted` */
	const char *accepted;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct routes, key, NULL, "a key"),
	SKYMON_OPT(struct routes, accepted, "", "the file that holds the key that is accepted"),
	{0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	skymon_detail(sm, "version", "7");
	return skymon_healthy(sm, "there");
}

static const char *or_none(const char *text)
{
	return text != NULL ? text : "none";
}

/* All that a handler can see, a line each. */
static void echo(struct skymon *sm, void *state, struct skymon_request *rq)
{
	char text[4096];
	size_t size;
	(void)state;
	const char *body = skymon_body(sm, rq, &size);
	const struct skymon_caller *caller = skymon_caller(sm, rq);
	int length = snprintf(text, sizeof(text),
			      "method=%s id=%s q=%s header=%s local=%d address=%s trusted=%d time=%d name=%s "
			      "render=%d self=%d body=%.*s\n",
			      skymon_method(sm, rq), or_none(skymon_param(sm, rq, "id")),
			      or_none(skymon_query(sm, rq, "q")), or_none(skymon_header(sm, rq, "x-test")),
			      caller->local, caller->address, skymon_is_trusted(sm, rq),
			      skymon_ms_left(sm) > 20000 && skymon_ms_left(sm) <= 30000, skymon_name(sm),
			      skymon_render(sm, rq, "health", &size) != NULL, skymon_self(sm) != NULL,
			      (int)size, body);
	skymon_reply_header(sm, rq, "X-Answer", "yes");
	skymon_audit(sm, rq, "echoed %s", or_none(skymon_param(sm, rq, "id")));
	skymon_reply(sm, rq, 200, "text/plain", text, (size_t)length);
}

/* Waits ?ms=, or until it has no time left, which it logs. */
static void slow(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *ms = skymon_query(sm, rq, "ms");
	for (long left = ms != NULL ? atol(ms) : 1000; left > 0 && skymon_ms_left(sm) > 0; left -= 10)
		poll(NULL, 0, 10);
	if (skymon_ms_left(sm) == 0)
		skymon_info(sm, "slow: no time left");
	skymon_reply(sm, rq, 200, "text/plain", "done\n", 5);
}

/* Asks a server that knows one key. */
static void ask(struct skymon *sm, void *state, struct skymon_request *rq)
{
	const struct routes *own = state;
	char accepted[100] = "";
	FILE *file = fopen(own->accepted, "re");
	if (file != NULL && fgets(accepted, sizeof(accepted), file) == NULL)
		accepted[0] = '\0';
	if (file != NULL)
		fclose(file);
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
	if (strcmp(how, "header") == 0)
		skymon_reply_header(sm, rq, "Content-Length", "1");
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
	ROUTE("GET", "/t/misbehave", "misbehave", misbehave, 0),
	ROUTE("GET", "/t/large", "large", large, 0),
	NULL};

SKYMON_PLUGIN(t_routes, "1.0", "Routes in a worker", .state_size = sizeof(struct routes), .options = options,
	      .check = check, .routes = routes);
