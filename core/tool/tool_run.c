/* SPDX-License-Identifier: Apache-2.0 */
/* skymon run: tries one component of a plugin, in a worker as skymond would run it, and prints what its check
 * found. Called by main; owns the pool with that worker. On the loop's thread. */
#include "tool.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "supervisor/pool.h"

#define GRACE_MS 200              /* so that a check that keeps its deadline can report its last step */
#define PAUSE_MS 1000             /* between two runs */
#define EXIT_TIMEOUT_MS 2000      /* of the worker */
#define WORKER_MEMORY (256 << 20) /* the default of limits.worker_memory */

/* The component and its runs. The pool reports to it. */
struct check {
	const char *name; /* of the plugin, and of the component */
	struct tool_folders folders;
	int64_t timeout_ms;
	const char *state_dir;
	char *const *words; /* OPTION=VALUE… */
	size_t word_count;
	long left;      /* runs; 0 ends the pool */
	char step[100]; /* of a run that has no time left */
	int code;       /* the exit code */
	struct loop *loop;
	struct pool *pool;
	struct component *component;
	struct component_spec spec;
	struct timer next, overdue;
};

/* ---- What was found, as JSON ---- */

/* The value that begins behind the quote; *at is left behind its end. */
static json_t *label_value(const char **at, const char *end)
{
	struct buf value = {0};
	const char *from = *at;
	for (; from < end && *from != '"'; from++) {
		bool escaped = *from == '\\' && from + 1 < end;
		from += escaped;
		buf_add(&value, escaped && *from == 'n' ? "\n" : from, 1);
	}
	*at = from + 1;
	json_t *text = json_stringn(value.data != NULL ? value.data : "", value.size);
	buf_free(&value);
	return text;
}

static json_t *labels_json(const struct skymon_series *series)
{
	json_t *labels = json_object();
	const char *at = series->labels, *end = at + series->labels_size;
	while (at < end) {
		const char *equals = memchr(at, '=', (size_t)(end - at));
		if (equals == NULL)
			break;
		char *name = x_strndup(at, (size_t)(equals - at));
		at = equals + 2;
		json_object_set_new(labels, name, label_value(&at, end));
		free(name);
		at += at < end; /* the comma */
	}
	return labels;
}

/* The number as it was printed; one that JSON does not have as a text. */
static json_t *value_json(const char *text, size_t size)
{
	char *copy = x_strndup(text, size);
	json_t *value = json_loads(copy, JSON_DECODE_ANY, NULL);
	if (value == NULL)
		value = json_string(copy);
	free(copy);
	return value;
}

static json_t *metrics_json(const struct skymon_result *result)
{
	json_t *metrics = json_object();
	for (size_t i = 0; i < result->family_count; i++) {
		const struct skymon_family *family = result->families[i];
		struct skymon_series series;
		json_t *list = json_array();
		for (size_t at = 0; skymon_series_next(family, &at, &series);)
			json_array_append_new(list,
					      json_pack("{s:o, s:o}", "labels", labels_json(&series), "value",
							value_json(series.value, series.value_size)));
		const char *type = family->type == SKYMON_COUNTER ? "counter" : "gauge";
		json_object_set_new(
			metrics, family->name,
			json_pack("{s:s, s:s, s:o}", "type", type, "help", family->help, "series", list));
	}
	return metrics;
}

static void print_result(const struct skymon_result *result)
{
	json_t *out = json_object(), *numbers = json_object();
	for (size_t i = 0; i < result->number_count; i++)
		json_object_set_new(numbers, result->numbers[i]->name,
				    value_json(result->numbers[i]->text, strlen(result->numbers[i]->text)));
	json_object_set_new(out, "status", json_string(skymon_status_word(result->status)));
	json_object_set_new(out, "reason", json_string(skymon_reason_word(result->reason)));
	json_object_set_new(out, "message", json_string(result->message));
	json_object_set_new(out, "response_time_ms",
			    result->duration_us >= 0 ? json_integer(result->duration_us / 1000)
						     : json_null());
	json_object_set_new(out, "details", json_loads(result->details, 0, NULL));
	json_object_set_new(out, "numbers", numbers);
	json_object_set_new(out, "metrics", metrics_json(result));
	json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	putchar('\n');
	fflush(stdout);
	json_decref(out);
}

/* A finding of the tool itself, in place of a result. */
static int print_own(enum skymon_status status, enum skymon_reason reason, int64_t duration_us,
		     const char *message)
{
	struct result *result = result_new(status, reason, 0, duration_us, "%s", message);
	print_result(&result->view);
	int code = tool_exit_of(skymon_status_word(result->view.status));
	result_unref(result);
	return code;
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
	finish(check, print_own(SKYMON_UNHEALTHY, SKYMON_TIMEOUT, check->timeout_ms * 1000, message));
}

static void on_able(struct check *check)
{
	if (check->next.slot == 0)
		loop_set_timer(check->loop, &check->next, loop_now_ms(check->loop));
}

static void on_unable(struct check *check, const struct pool_failure *failure)
{
	if (check->left > 0)
		finish(check, print_own(SKYMON_UNKNOWN, failure->reason, -1, failure->text));
}

/* `able` comes when the component is up again. */
static void on_cut_off(struct check *check)
{
	loop_clear_timer(check->loop, &check->overdue);
}

static void on_result(struct check *check, struct result *result)
{
	if (check->left > 0) {
		loop_clear_timer(check->loop, &check->overdue);
		if (result->view.duration_us > check->timeout_ms * 1000)
			result_worsen(result, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "took %lld ms of %lld: %s",
				      (long long)(result->view.duration_us / 1000),
				      (long long)check->timeout_ms, result->view.message);
		print_result(&result->view);
		check->code = tool_exit_of(skymon_status_word(result->view.status));
		if (--check->left == 0)
			finish(check, check->code);
		else
			loop_set_timer(check->loop, &check->next, loop_now_ms(check->loop) + PAUSE_MS);
	}
	result_unref(result);
}

static void on_step(struct check *check, const char *text)
{
	snprintf(check->step, sizeof(check->step), " while %s", text);
}

static const struct pool_callbacks callbacks = {
	.able = on_able, .unable = on_unable, .cut_off = on_cut_off, .result = on_result, .step = on_step};

/* ---- The component ---- */

/* Reads the secrets once before the pool does, for errors that belong to the command line. */
static bool check_secrets(const struct option_values *bound)
{
	size_t count;
	const struct option_secret *secrets = option_secrets(bound, &count);
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		struct err err;
		struct option_bytes *secret = x_alloc(sizeof(*secret));
		char *bytes = NULL;
		if (secrets[i].kind == OPTION_SECRET_STORE) {
			tool_fail("%s is kept by the component %s, which is not here: give it as {file: …} "
				  "or {env: …}",
				  secrets[i].option, secrets[i].store);
			ok = false;
		} else if (secrets[i].kind != OPTION_SECRET_NONE &&
			   !option_secret_read(&secrets[i], config_environment, &bytes, &secret->size,
					       &err)) {
			tool_fail("%s", err.text);
			ok = false;
		}
		secret->bytes = bytes;
		option_bytes_free(secret, 1);
	}
	return ok;
}

/* Binds the words to the plugin's options. NULL after the errors were printed. */
static struct option_values *bind_words(const struct check *check, const struct plugin_info *info)
{
	struct err err;
	struct err_list errs = {0};
	struct config config = {0};
	struct option_values *bound = NULL;
	char *yaml = tool_yaml(check->words, check->word_count, &err);
	if (yaml == NULL) {
		tool_fail("%s", err.text);
		return NULL;
	}
	struct option_binding binding = {
		.table = info->options, .what = info->name, .lookup = config_environment};
	if (config_parse("options", yaml, strlen(yaml), config_environment, &config, &errs)) {
		binding.section = config.root;
		bound = option_bind(&binding, &errs);
	}
	for (size_t i = 0; i < errs.count; i++)
		tool_fail("%s", errs.texts[i]);
	config_free(&config);
	err_list_free(&errs);
	free(yaml);
	return bound;
}

static void on_opened(void *arg)
{
	static char no_labels[1];
	struct check *check = arg;
	const char *why;
	const struct plugin_info *info = pool_info(check->pool, check->name, &why);
	if (info == NULL) {
		finish(check, tool_fail("%s: %s", check->name, why));
		return;
	}
	if (!info->has_check) {
		finish(check,
		       tool_fail("plugin %s has no check: it serves routes from the daemon", info->name));
		return;
	}
	struct option_values *values = bind_words(check, info);
	check->spec = (struct component_spec){
		.name = info->name, .plugin = info->name, .labels = no_labels, .values = values};
	if (values != NULL && option_not_configured(values) != NULL) {
		finish(check,
		       print_own(SKYMON_UNKNOWN, SKYMON_NOT_CONFIGURED, -1, option_not_configured(values)));
	} else if (values == NULL || !check_secrets(values)) {
		finish(check, TOOL_UNKNOWN);
	} else {
		if (check->timeout_ms == 0)
			check->timeout_ms = info->timeout_ms > 0 ? info->timeout_ms : 5000;
		check->component = pool_add(check->pool, &check->spec, false, check);
	}
}

static int run(struct check *check)
{
	check->loop = loop_new();
	if (check->loop == NULL)
		return tool_fail("cannot make an event loop");
	check->pool = pool_new(check->loop, TOOL_WORKER, &callbacks);
	pool_configure(check->pool, check->state_dir, WORKER_MEMORY, 0, config_environment);
	pool_make_folders(check->pool);
	pool_prepare(check->pool, (char *const *)&check->name, 1, check->folders.items, check->folders.count,
		     on_opened, check);
	loop_run(check->loop);
	pool_free(check->pool);
	loop_free(check->loop);
	option_values_free(check->spec.values);
	return check->code;
}

/* ---- The command line ---- */

static bool take_option(struct check *check, int option, const char *value)
{
	char *end;
	switch (option) {
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
	case 'n':
		check->left = strtol(value, &end, 10);
		if (end != value && *end == '\0' && check->left >= 1 && check->left <= 1000000)
			return true;
		tool_fail("--count %s is not a number between 1 and 1000000", value);
		return false;
	default: /* getopt has printed the error */
		return false;
	}
}

static bool parse_options(struct check *check, int argc, char **argv)
{
	static const struct option longs[] = {
		{"plugin-path", required_argument, NULL, 'p'}, {"timeout", required_argument, NULL, 't'},
		{"count", required_argument, NULL, 'n'},       {"state-dir", required_argument, NULL, 's'},
		{"verbose", no_argument, NULL, 'v'},           {0}};
	for (int option; (option = getopt_long(argc, argv, "p:t:n:s:v", longs, NULL)) != -1;)
		if (!take_option(check, option, optarg))
			return false;
	if (optind < argc) {
		check->name = tool_folders_end(&check->folders, argv[optind++]);
		check->words = argv + optind;
		check->word_count = (size_t)(argc - optind);
		return true;
	}
	tool_fail("run what? skymon run PLUGIN [OPTION=VALUE…]");
	return false;
}

int tool_run(int argc, char **argv)
{
	struct check check = {.left = 1, .state_dir = "", .next.fire = on_next, .overdue.fire = on_overdue};
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
	int code = parse_options(&check, argc, argv) ? run(&check) : TOOL_UNKNOWN;
	free(check.folders.items);
	return code;
}
