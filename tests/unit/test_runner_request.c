/* SPDX-License-Identifier: Apache-2.0 */
/* runner: calls on threads of their own: requests for a plugin's routes and requests to a secret store: their
 * answers, how many run at once, and how they end. */
#include "worker/runner.h"

#include <pthread.h>
#include <skymon/secrets.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

/* ---- A plugin in this program: the query selects what its handler does ---- */

struct state {
	struct skymon_secret password;
};

static const struct skymon_option options[] = {SKYMON_OPT(struct state, password, NULL, "a secret"), {0}};
static atomic_int stops;

static void stop(struct skymon *sm, void *memory)
{
	(void)sm;
	(void)memory;
	atomic_fetch_add(&stops, 1);
}

static enum skymon_status check(struct skymon *sm, void *memory)
{
	(void)memory;
	return skymon_healthy(sm, "there");
}

static void handle(struct skymon *sm, void *memory, struct skymon_request *rq)
{
	const char *does = skymon_query(sm, rq, "does"), *step;
	const struct state *state = memory;
	uint32_t id;
	CU_ASSERT(runner_current(&id, &step) && id == 1 && strcmp(step, "answering GET /u") == 0);
	skymon_audit(sm, rq, "%s\r\nwith %s", does, state->password.bytes);
	if (strcmp(does, "silent") == 0 || (strcmp(does, "again") == 0 && skymon_again(sm, rq)))
		return;
	while (strcmp(does, "wait") == 0 && skymon_ms_left(sm) > 0)
		usleep(1000);
	if (strcmp(does, "problem") == 0) {
		skymon_problem_json(sm, rq, "more", " [1]");
		skymon_problem_json(sm, rq, "broken", "[1");
		skymon_problem_json(sm, rq, "status", "200");
		skymon_problem(sm, rq, 422, "no %s", state->password.bytes);
		return;
	}
	skymon_reply_header(sm, rq, "X-Fine", "a hunter\"2");
	skymon_reply_header(sm, rq, "X-Bad", "a\nb");
	if (strcmp(does, "head") == 0)
		for (int i = 0; i < 200; i++)
			skymon_reply_header(sm, rq, "X-Many", "of thirty bytes each, or nearly");
	struct skymon_part parts[] = {{"of ", 3}, {state->password.bytes, state->password.size}};
	if (strcmp(does, "parts") == 0)
		skymon_reply_parts(sm, rq, 200, "text/plain", parts, 2, 0, NULL, NULL);
	else
		skymon_reply(sm, rq, strcmp(does, "code") == 0 ? 99 : 200, NULL, "plain", 5);
	if (strcmp(does, "twice") == 0)
		skymon_reply(sm, rq, 200, NULL, "second", 6);
}

static void secret(struct skymon *sm, void *memory, struct skymon_ask *ask)
{
	static char large[65537];
	const char *path = skymon_ask_path(sm, ask), *field = skymon_ask_field(sm, ask), *step;
	const struct state *state = memory;
	uint32_t id;
	CU_ASSERT(runner_current(&id, &step) && id == 1 && strcmp(step, "answering for a secret") == 0);
	while (strcmp(path, "wait") == 0 && skymon_ms_left(sm) > 0)
		usleep(1000);
	if (strcmp(path, "silent") == 0)
		return;
	if (strcmp(path, "refuse") == 0)
		skymon_refuse(sm, ask, SKYMON_SEALED, "no %s of %s", field, state->password.bytes);
	else if (strcmp(path, "large") == 0)
		skymon_answer(sm, ask, large, sizeof(large), 0);
	else
		skymon_answer(sm, ask, field, strlen(field), skymon_ask_fresh(sm, ask) ? 7 : -7);
	if (strcmp(path, "twice") == 0)
		skymon_refuse(sm, ask, SKYMON_OTHER, "not counted");
}

static const struct skymon_route route = {
	.size = sizeof(route), .method = "GET", .path = "/u", .name = "u", .summary = "", .handle = handle};
static const struct skymon_route *const routes[] = {&route, NULL};
static const struct skymon_number numbers[] = {{0}};
static const struct skymon_plugin plugin = {.size = sizeof(plugin),
					    .name = "unit",
					    .version = "1",
					    .summary = "",
					    .option_size = sizeof(struct skymon_option),
					    .number_size = sizeof(struct skymon_number),
					    .state_size = sizeof(struct state),
					    .options = options,
					    .numbers = numbers,
					    .stop = stop,
					    .check = check,
					    .secret = secret,
					    .routes = routes};

/* ---- Reports of the runner ---- */

static struct {
	pthread_mutex_t lock;
	unsigned replies, stopped;
	struct buf replied, log; /* one line per reply */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void replied(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply)
{
	(void)arg;
	pthread_mutex_lock(&seen.lock);
	buf_printf(&seen.replied, "%u %u: again=%d problem=%d %d %s [%s]", id, (unsigned)number, reply->again,
		   reply->problem, reply->code, reply->type, reply->audit);
	for (size_t i = 0; i < reply->header_count; i++)
		buf_printf(&seen.replied, " %s=%s", reply->headers[i].name, reply->headers[i].value);
	buf_text(&seen.replied, " ");
	buf_add(&seen.replied, reply->body, reply->body_size);
	buf_text(&seen.replied, "\n");
	seen.replies++;
	pthread_mutex_unlock(&seen.lock);
}

static void answered(void *arg, uint32_t id, const struct message_answer *answer)
{
	(void)arg;
	pthread_mutex_lock(&seen.lock);
	buf_printf(&seen.replied, "%u %u: %d %s [%s] %d %.*s\n", id, (unsigned)answer->number, answer->ok,
		   skymon_reason_word(answer->reason), answer->message, (int)answer->lease_ms,
		   (int)answer->size, answer->bytes != NULL ? (const char *)answer->bytes : "");
	seen.replies++;
	pthread_mutex_unlock(&seen.lock);
}

static void logged(void *arg, uint32_t id, enum log_level level, const char *text)
{
	(void)arg;
	(void)id;
	(void)level;
	pthread_mutex_lock(&seen.lock);
	buf_printf(&seen.log, "%s\n", text);
	pthread_mutex_unlock(&seen.lock);
}

static void stopped(void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	seen.stopped++;
}

static const struct runner_events events = {
	.log = logged, .replied = replied, .answered = answered, .stopped = stopped};

static void wait_replies(unsigned least)
{
	unsigned count = 0;
	for (int i = 0; i < 20000 && count < least; i++, usleep(1000)) {
		pthread_mutex_lock(&seen.lock);
		count = seen.replies;
		pthread_mutex_unlock(&seen.lock);
	}
	CU_ASSERT_EQUAL(count, least);
}

/* Makes a runner with component 1, whose password JSON would escape. */
static struct runner *open_runner(void)
{
	static const char yaml[] = "{password: x}";
	struct err_list errs = {0};
	struct err err = {""};
	struct buf body = {0};
	seen.replies = seen.stopped = 0;
	seen.replied.size = 0;
	atomic_store(&stops, 0);
	struct config config;
	CU_ASSERT_FATAL(config_parse("test", yaml, strlen(yaml), config_environment, &config, &errs));
	struct option_binding binding = {
		.table = options, .section = config.root, .what = "component", .lookup = config_environment};
	struct option_values *bound = option_bind(&binding, &errs);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bound);
	option_values_encode(bound, &(struct option_bytes){"hunter\"2", 8}, &body);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct runner_spec spec = {.id = 1,
				   .start = {.name = "c", .state_dir = "", .labels = ""},
				   .values = option_values_decode(&in, &err)};
	struct runner *runner = runner_new(&plugin, NULL, 0, &events, NULL, &err);
	enum skymon_reason reason;
	CU_ASSERT_FATAL(runner != NULL && runner_start(runner, &spec, &reason, &err));
	buf_free(&body);
	option_values_free(bound);
	config_free(&config);
	err_list_free(&errs);
	return runner;
}

static void request(struct runner *runner, uint32_t id, uint64_t number, bool again, const char *query)
{
	struct http_message_request asked = {
		.method = "GET", .query = query, .address = "unix", .local = true};
	struct buf body = {0};
	message_put_request(&body, &(struct message_request){number, again, 20000});
	http_message_put_request(&body, &asked);
	runner_request(runner, id, body.data, body.size);
}

static void close_runner(struct runner *runner)
{
	CU_ASSERT(runner_free(runner, 10000));
	buf_free(&seen.replied);
	buf_free(&seen.log);
}

/* ---- Tests ---- */

static void what_a_handler_says(void)
{
	static const struct {
		const char *query;
		bool again;
		const char *says;
	} rows[] = {
		{"does=ok", false,
		 "1 0: again=0 problem=0 200  [ok  with ********] X-Fine=a ******** plain\n"},
		{"does=parts", false,
		 "again=0 problem=0 200 text/plain [parts  with ********] X-Fine=a ******** of ********\n"},
		{"does=twice", false,
		 "again=0 problem=0 200  [twice  with ********] X-Fine=a ******** plain\n"},
		{"does=silent", false,
		 "again=0 problem=1 500 application/problem+json [silent  with ********] {"},
		{"does=code", false,
		 "again=0 problem=1 500 application/problem+json [code  with ********] {"},
		{"does=head", false,
		 "again=0 problem=1 500 application/problem+json [head  with ********] {"},
		{"does=problem", false, "\"error\":\"no ********\",\"more\": [1]}\n"},
		{"does=again", false, "again=1 problem=0 0  [again  with ********] \n"},
		{"does=again", true,
		 "again=0 problem=0 200  [again  with ********] X-Fine=a ******** plain\n"},
	};
	struct runner *runner = open_runner();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		seen.replied.size = 0;
		request(runner, 1, i, rows[i].again, rows[i].query);
		wait_replies(i + 1);
		if (strstr(seen.replied.data, rows[i].says) == NULL)
			UNIT_TEXT(seen.replied.data, rows[i].says);
		CU_ASSERT_PTR_NULL(strstr(seen.replied.data, "hunter"));
	}
	CU_ASSERT(runner_free(runner, 10000)); /* so that all is logged */
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.log.data, "the reply header X-Bad cannot be sent"));
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.log.data, "member broken of a problem is not JSON"));
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.log.data, "member status of a problem is there already"));
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.log.data, "answered twice"));
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.log.data, "the handler of GET /u did not answer"));
	buf_free(&seen.replied);
	buf_free(&seen.log);
}

/* Each request is answered exactly once: too many, unknown components, invalid messages; a cancelled one has
 * no time left; a component is stopped when its handlers have returned. */
static void how_they_end(void)
{
	struct runner *runner = open_runner();
	unsigned most = 2 * HTTP_MESSAGE_OUT_MAX;
	for (unsigned i = 0; i < most; i++)
		request(runner, 1, i, false, "does=wait");
	request(runner, 1, 1000, false, "does=ok");
	request(runner, 2, 1001, false, "does=ok");
	runner_request(runner, 1, calloc(1, 8), 8);
	wait_replies(3);
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.replied.data, "1 1000: again=0 problem=1 503"));
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.replied.data, "0 1001: again=0 problem=1 503"));
	CU_ASSERT_PTR_NOT_NULL(strstr(seen.replied.data, "1 0: again=0 problem=1 500"));
	runner_stop(runner, 1);
	request(runner, 1, 1002, false, "does=ok");
	wait_replies(4);
	runner_cancel(runner, 99999); /* an unknown request */
	CU_ASSERT(atomic_load(&stops) == 0);
	for (unsigned i = 0; i < most; i++)
		runner_cancel(runner, i);
	wait_replies(most + 4);
	for (int i = 0; i < 20000 && seen.stopped == 0; i++, usleep(1000))
		runner_tend(runner);
	CU_ASSERT(atomic_load(&stops) == 1 && seen.stopped == 1);
	close_runner(runner);
}

static void ask(struct runner *runner, uint32_t id, uint64_t number, bool fresh, const char *path)
{
	runner_ask(runner, id, &(struct message_ask){number, fresh, 20000, path});
}

static void what_a_store_says(void)
{
	static const struct {
		const char *path;
		bool fresh;
		const char *says;
	} rows[] = {
		{"a/b#c", false, "1 0: 1 other [] 0 c\n"},
		{"a#b#c", true, "1 1: 1 other [] 7 c\n"},
		{"no field", false, "1 2: 1 other [] 0 \n"},
		{"refuse#c", false, "1 3: 0 sealed [no c of ********] 0 \n"},
		{"silent#c", false, "1 4: 0 other [the secret store did not answer] 0 \n"},
		{"large#c", false, "1 5: 0 resource [the value is larger than 64 KiB] 0 \n"},
		{"twice#c", false, "1 6: 1 other [] 0 c\n"},
	};
	struct runner *runner = open_runner();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		seen.replied.size = 0;
		ask(runner, 1, i, rows[i].fresh, rows[i].path);
		wait_replies(i + 1);
		UNIT_TEXT(seen.replied.data, rows[i].says);
	}
	close_runner(runner);
}

/* Like requests, but a cancel does not affect them, even with the same number. */
static void how_asks_end(void)
{
	struct runner *runner = open_runner();
	for (unsigned i = 1; i <= 16; i++)
		ask(runner, 1, i, false, "wait#c");
	ask(runner, 1, 17, false, "a#c");
	ask(runner, 2, 18, false, "a#c");
	wait_replies(2);
	UNIT_TEXT(seen.replied.data, "1 17: 0 resource [the secret store is too busy] 0 \n"
				     "2 18: 0 resource [the secret store is not there] 0 \n");
	for (unsigned i = 1; i <= 16; i++)
		runner_cancel(runner, i);
	runner_stop(runner, 1);
	CU_ASSERT(atomic_load(&stops) == 0 && seen.replies == 2);
	close_runner(runner); /* ends the time of all */
	CU_ASSERT(atomic_load(&stops) == 1 && seen.replies == 18);
}

int main(void)
{
	return unit_run("runner_request",
			(const struct unit_test[]){{"what a handler says", what_a_handler_says},
						   {"how they end", how_they_end},
						   {"what a store says", what_a_store_says},
						   {"how asks end", how_asks_end},
						   {0}});
}
