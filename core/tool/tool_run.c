/* SPDX-License-Identifier: Apache-2.0 */
/* skymon run: tries one component of a plugin, in a worker as skymond would run it, and prints what its check
 * found. Called by main; owns the pool with that worker, and with those of the components that keep its
 * secrets. On the loop's thread. */
#include "tool.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define GRACE_MS 200         /* so that a check that keeps its deadline can report its last step */
#define PAUSE_MS 1000        /* between two runs */
#define REPEAT_MS 1          /* the same of --repeat */
#define EXIT_TIMEOUT_MS 2000 /* of the workers */

/* The component and its runs. The pool reports to it. */
struct check {
	struct check *store; /* stands for all components that keep its secrets; NULL in that one itself */
	struct tool_arguments arguments;
	struct tool_folders folders;
	int64_t timeout_ms; /* 0: the component's */
	const char *state_dir;
	enum tool_format format;
	struct tool_config *config;
	long left;          /* runs; 0 ends the pool */
	long count, repeat; /* as given; 0 if not */
	bool trace;
	struct message_observed held[TOOL_QUARTERS + 1]; /* by the worker, as tool_leaks wants it */
	char step[100];                                  /* of a run that has no time left */
	int code;                                        /* the exit code */
	struct loop *loop;
	struct pool *pool;
	struct component *component;
	struct timer next, overdue;
};

/* ---- Results ---- */

static const struct component_spec *spec_of(const struct check *check)
{
	return check->config->specs[0];
}

/* Returns the exit code. Takes the result. */
static int show(const struct check *check, struct result *result)
{
	const struct component_spec *spec = spec_of(check);
	const char *why;
	if (result->dropped > 0)
		fprintf(stderr, "skymon: %u series above limits.series are dropped, of metric %s first\n",
			result->dropped, result->dropped_name);
	verdict_apply_limits(spec->limits, spec->limit_count, result);
	tool_show(check->format, spec, pool_info(check->pool, spec->plugin, &why), &result->view);
	int code = tool_exit_of(skymon_status_word(result->view.status));
	result_unref(result);
	return code;
}

/* Shows a finding of the tool itself, in place of a result. */
static int show_own(const struct check *check, enum skymon_status status, enum skymon_reason reason,
		    int64_t duration_us, const char *message)
{
	return show(check, result_new(status, reason, wall_clock_ms(), duration_us, "%s", message));
}

/* ---- The end ---- */

static void on_gone(void *arg)
{
	const struct check *check = arg;
	loop_stop(check->loop);
}

/* Leaves the end of the pool to the timer, because the pool may be reporting just now. */
static void finish(struct check *check, int code)
{
	check->code = code;
	check->left = 0;
	loop_clear_timer(check->loop, &check->overdue);
	loop_set_timer(check->loop, &check->next, loop_now_ms(check->loop));
}

/* ---- Runs ---- */

static void on_next(struct timer *timer, int64_t now_ms)
{
	struct check *check = container_of(timer, struct check, next);
	if (check->left == 0) {
		pool_end(check->pool, EXIT_TIMEOUT_MS, on_gone, check);
	} else if (pool_is_up(check->component)) { /* else `able` comes */
		check->step[0] = '\0';
		pool_run(check->component, check->timeout_ms);
		loop_set_timer(check->loop, &check->overdue, now_ms + check->timeout_ms + GRACE_MS);
	}
}

static void on_overdue(struct timer *timer, int64_t now_ms)
{
	struct check *check = container_of(timer, struct check, overdue);
	char message[200];
	(void)now_ms;
	snprintf(message, sizeof(message), "no result within %lld ms%s", (long long)check->timeout_ms,
		 check->step);
	finish(check, show_own(check, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, check->timeout_ms * 1000, message));
}

/* The stores need no run: what they cannot give is reported of the component that asks them. */
static void on_able(struct check *check)
{
	if (check->store != NULL && check->next.slot == 0)
		loop_set_timer(check->loop, &check->next, loop_now_ms(check->loop));
}

static void on_unable(struct check *check, const struct pool_failure *failure)
{
	if (check->store != NULL && check->left > 0)
		finish(check, show_own(check, SKYMON_UNKNOWN, failure->reason, -1, failure->text));
}

/* `able` comes when the component is up again. */
static void on_cut_off(struct check *check)
{
	if (check->store != NULL)
		loop_clear_timer(check->loop, &check->overdue);
}

static void on_result(struct check *check, struct result *result)
{
	if (check->left == 0) {
		result_unref(result);
		return;
	}
	loop_clear_timer(check->loop, &check->overdue);
	if (result->view.duration_us > check->timeout_ms * 1000)
		result_worsen(result, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "took %lld ms of %lld: %s",
			      (long long)(result->view.duration_us / 1000), (long long)check->timeout_ms,
			      result->view.message);
	check->left--;
	if (check->repeat > 0) { /* on_observed comes next */
		if (check->left > 0)
			result_unref(result);
		else
			check->code = show(check, result);
		return;
	}
	check->code = show(check, result);
	if (check->left == 0)
		finish(check, check->code);
	else
		loop_set_timer(check->loop, &check->next, loop_now_ms(check->loop) + PAUSE_MS);
}

static void on_observed(struct check *check, const struct message_observed *observed)
{
	if (observed->text[0] != '\0') {
		fprintf(stderr, "%10.3f ms  ", (double)observed->at_us / 1000);
		for (const unsigned char *at = (const unsigned char *)observed->text; *at != '\0'; at++)
			putc(*at < ' ' || *at == 0x7F ? ' ' : *at, stderr);
		putc('\n', stderr);
		return;
	}
	long done = check->repeat - check->left;
	if (done == 1)
		check->held[0] = *observed;
	check->held[1 + (done - 1) * TOOL_QUARTERS / check->repeat] = *observed;
	if (check->left > 0) /* a moment later, when the thread of this run is idle again */
		loop_set_timer(check->loop, &check->next, loop_now_ms(check->loop) + REPEAT_MS);
	else
		finish(check, tool_leaks(check->held, check->repeat) && check->code == TOOL_HEALTHY
				      ? TOOL_DEGRADED
				      : check->code);
}

static void on_step(struct check *check, const char *text)
{
	if (check->store != NULL)
		snprintf(check->step, sizeof(check->step), " while %s", text);
}

static const struct pool_callbacks callbacks = {.able = on_able,
						.unable = on_unable,
						.cut_off = on_cut_off,
						.result = on_result,
						.step = on_step,
						.observed = on_observed};

/* ---- The component ---- */

static void on_opened(void *arg)
{
	struct check *check = arg;
	struct tool_config *config = check->config;
	if (!tool_config_bind(config, check->pool)) {
		finish(check, TOOL_UNKNOWN);
		return;
	}
	const struct component_spec *spec = spec_of(check);
	const char *missing = option_not_configured(spec->values);
	if (missing != NULL) {
		finish(check, show_own(check, SKYMON_UNKNOWN, SKYMON_NOT_CONFIGURED, -1, missing));
		return;
	}
	if (check->timeout_ms == 0)
		check->timeout_ms = spec->timeout_ms;
	config->specs[0]->observe =
		(uint8_t)((check->trace ? MESSAGE_CALLS : 0) | (check->repeat > 0 ? MESSAGE_USAGE : 0));
	for (size_t i = 1; i < config->spec_count; i++)
		if (option_not_configured(config->specs[i]->values) == NULL)
			pool_add(check->pool, config->specs[i], false, check->store);
	check->component = pool_add(check->pool, spec, false, check);
}

static void add_folders(struct check *check)
{
	const struct settings *settings = check->config->settings;
	for (size_t i = 0; check->arguments.config != NULL && i < settings->plugin_folder_count; i++)
		tool_folders_add(&check->folders, settings->plugin_folders[i]);
}

/* The state of a running skymond belongs to its user: without --state-dir, no folder is made in it. */
static void configure(struct check *check)
{
	const struct settings *settings = check->config->settings;
	const char *state_dir = check->state_dir;
	if (state_dir == NULL)
		state_dir = check->arguments.config != NULL ? settings->places.state_dir : "";
	else
		pool_make_folders(check->pool);
	pool_configure(check->pool, state_dir, (int64_t)settings->limits.worker_memory.count,
		       (uint32_t)settings->limits.series, config_environment);
	pool_set_isolation(check->pool, settings->places.isolation.index == SETTINGS_ISOLATION_STRICT);
}

static int run(struct check *check)
{
	check->config = tool_config_new(&check->arguments);
	if (check->config == NULL)
		return TOOL_UNKNOWN;
	check->loop = loop_new();
	if (check->loop == NULL)
		return tool_fail("cannot make an event loop");
	/* The cache that malloc keeps for each thread counts as memory in use. It fills during the first hundred
	 * runs, which would look like a leak: the worker does without it. */
	if (check->repeat > 0)
		setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", true);
	check->pool = pool_new(check->loop, TOOL_WORKER, &callbacks);
	add_folders(check);
	configure(check);
	pool_prepare(check->pool, check->config->plugins, check->config->count, check->folders.items,
		     check->folders.count, on_opened, check);
	loop_run(check->loop);
	pool_free(check->pool);
	loop_free(check->loop);
	tool_config_free(check->config);
	return check->code;
}

/* ---- The command line ---- */

static bool take_number(const char *value, const char *name, long least, long *number)
{
	char *end;
	*number = strtol(value, &end, 10);
	if (end != value && *end == '\0' && *number >= least && *number <= 1000000)
		return true;
	tool_fail("%s %s is not a number between %ld and 1000000", name, value, least);
	return false;
}

static bool take_option(struct check *check, int option, const char *value)
{
	switch (option) {
	case 'c':
		check->arguments.config = value;
		return true;
	case 'o':
		if (tool_format_parse(value, &check->format))
			return true;
		tool_fail("--output %s is not one of json, text, metrics and nagios", value);
		return false;
	case 'p':
		tool_folders_add(&check->folders, value);
		return true;
	case 's':
		check->state_dir = value;
		return true;
	case 'v':
		log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_PLAIN);
		return true;
	case 't':
		if (option_parse_duration(value, &check->timeout_ms, NULL) && check->timeout_ms > 0 &&
		    check->timeout_ms <= 86400000)
			return true;
		tool_fail("--timeout %s is not a time between 1ms and 24h", value);
		return false;
	case 'T':
		check->trace = true;
		return true;
	case 'n':
		return take_number(value, "--count", 1, &check->count);
	case 'r':
		return take_number(value, "--repeat", 10, &check->repeat);
	default: /* getopt has printed the error */
		return false;
	}
}

static bool parse_options(struct check *check, int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},    {"plugin-path", required_argument, NULL, 'p'},
		{"timeout", required_argument, NULL, 't'},   {"count", required_argument, NULL, 'n'},
		{"state-dir", required_argument, NULL, 's'}, {"output", required_argument, NULL, 'o'},
		{"repeat", required_argument, NULL, 'r'},    {"trace", no_argument, NULL, 'T'},
		{"verbose", no_argument, NULL, 'v'},         {0}};
	for (int option; (option = getopt_long(argc, argv, "c:p:t:n:s:o:v", longs, NULL)) != -1;)
		if (!take_option(check, option, optarg))
			return false;
	struct tool_arguments *arguments = &check->arguments;
	check->left = check->repeat > 0 ? check->repeat : check->count > 0 ? check->count : 1;
	if (check->repeat > 0 && check->count > 0) {
		tool_fail("--count and --repeat cannot be combined");
		return false;
	}
	if (optind == argc) {
		tool_fail(arguments->config != NULL ? "run what? skymon run -c FILE COMPONENT"
						    : "run what? skymon run PLUGIN [OPTION=VALUE…]");
		return false;
	}
	arguments->name = argv[optind++];
	if (arguments->config == NULL)
		arguments->name = tool_folders_end(&check->folders, argv[optind - 1]);
	arguments->words = argv + optind;
	arguments->word_count = (size_t)(argc - optind);
	if (arguments->config != NULL && arguments->word_count > 0) {
		tool_fail("%s: the options of a component of -c are in its file", argv[optind]);
		return false;
	}
	return true;
}

int tool_run(int argc, char **argv)
{
	struct check store = {0};
	struct check check = {.store = &store, .next.fire = on_next, .overdue.fire = on_overdue};
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
	int code = parse_options(&check, argc, argv) ? run(&check) : TOOL_UNKNOWN;
	free(check.folders.items);
	return code;
}
