/* SPDX-License-Identifier: Apache-2.0 */
/* skymon run: one check through the runner that the workers use. */
#include "tool.h"

#include <getopt.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "worker/runner.h"

#define ID 1u
#define GRACE_MS 200 /* so that a check that keeps its deadline can report its last step */

struct run {
	const char *word; /* the plugin as it was given */
	struct tool_folders folders;
	int64_t timeout_ms;
	char step[100]; /* what a run that does not end was doing */
	long count;
	const char *state_dir;
	bool verbose;
	struct skymon_plugin plugin;
	struct runner *runner;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct result *result; /* under the lock */
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

/* ---- The runner's events ---- */

static void ended(void *arg, uint32_t id, const struct buf *body)
{
	struct run *run = arg;
	struct err err = {""};
	char *copy = x_alloc(body->size);
	memcpy(copy, body->data, body->size);
	struct wire_reader in = wire_reader(copy, body->size);
	uint64_t number;
	(void)id;
	message_get_result(&in, &number);
	pthread_mutex_lock(&run->lock);
	run->result = result_decode(copy, in, 0, &err);
	if (run->result == NULL)
		run->result =
			result_new(SKYMON_UNKNOWN, SKYMON_PROTOCOL, 0, -1, "the plugin made %s", err.text);
	pthread_cond_signal(&run->ended);
	pthread_mutex_unlock(&run->lock);
}

static void logged(void *arg, uint32_t id, enum log_level level, const char *text)
{
	const struct run *run = arg;
	(void)id;
	if (level != LOG_LEVEL_DEBUG || run->verbose)
		fprintf(stderr, "%s: %s\n", log_level_words[level], text);
}

static void refused(void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	fputs("warn: the plugin says that its secret was refused; a daemon would read it again\n", stderr);
}

static void note_step(void *arg, uint32_t id, uint64_t number, const char *text)
{
	struct run *run = arg;
	(void)id;
	(void)number;
	snprintf(run->step, sizeof(run->step), " while %s", text);
}

static const struct runner_events events = {
	.ended = ended, .log = logged, .refused = refused, .step = note_step};

/* ---- The component ---- */

static bool read_secrets(const struct option_values *bound, struct option_bytes **out, size_t *count)
{
	const struct option_secret *secrets = option_secrets(bound, count);
	struct option_bytes *all = x_alloc((*count + 1) * sizeof(*all));
	bool ok = true;
	for (size_t i = 0; i < *count; i++) {
		struct err err;
		char *bytes = NULL;
		if (secrets[i].kind == OPTION_SECRET_NONE)
			continue;
		if (secrets[i].kind == OPTION_SECRET_STORE) {
			tool_fail("%s is kept by the component %s, which is not here: give it as {file: …} "
				  "or {env: …}",
				  secrets[i].option, secrets[i].store);
			ok = false;
		} else if (option_secret_read(&secrets[i], config_environment, &bytes, &all[i].size, &err)) {
			all[i].bytes = bytes;
		} else {
			tool_fail("%s", err.text);
			ok = false;
		}
	}
	*out = all;
	return ok;
}

/* As they would come over the wire. */
static struct option_values *send_values(const struct option_values *bound)
{
	struct option_bytes *secrets;
	struct option_values *values = NULL;
	struct buf body = {0};
	struct err err;
	size_t count;
	if (read_secrets(bound, &secrets, &count)) {
		option_values_encode(bound, secrets, &body);
		struct wire_reader in = wire_reader(body.data, body.size);
		values = option_values_decode(&in, &err);
		if (values == NULL)
			tool_fail("%s", err.text);
		explicit_bzero(body.data, body.size);
		buf_free(&body);
	}
	for (size_t i = 0; i < count; i++) {
		if (secrets[i].bytes != NULL)
			explicit_bzero((void *)(uintptr_t)secrets[i].bytes, secrets[i].size);
		free((void *)(uintptr_t)secrets[i].bytes);
	}
	free(secrets);
	return values;
}

/* Binds the words to the plugin's options. NULL with *code, the exit code, after the errors were printed. */
static struct option_values *bind_words(struct run *run, char *const *words, size_t count, int *code)
{
	struct err err;
	struct err_list errs = {0};
	struct config config = {0};
	struct option_values *bound = NULL, *values = NULL;
	char *yaml = tool_yaml(words, count, &err);
	*code = TOOL_UNKNOWN;
	if (yaml == NULL) {
		tool_fail("%s", err.text);
		return NULL;
	}
	struct option_binding binding = {
		.table = run->plugin.options, .what = run->plugin.name, .lookup = config_environment};
	if (config_parse("options", yaml, strlen(yaml), config_environment, &config, &errs)) {
		binding.section = config.root;
		bound = option_bind(&binding, &errs);
	}
	for (size_t i = 0; i < errs.count; i++)
		tool_fail("%s", errs.texts[i]);
	if (bound != NULL && option_not_configured(bound) != NULL)
		*code = print_own(SKYMON_UNKNOWN, SKYMON_NOT_CONFIGURED, -1, option_not_configured(bound));
	else if (bound != NULL)
		values = send_values(bound);
	option_values_free(bound);
	config_free(&config);
	err_list_free(&errs);
	free(yaml);
	return values;
}

/* ---- The runs ---- */

/* Returns NULL if it did not end in time. */
static struct result *wait_for_result(struct run *run)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	int64_t ms = run->timeout_ms + GRACE_MS + until.tv_nsec / 1000000;
	until.tv_sec += ms / 1000;
	until.tv_nsec = ms % 1000 * 1000000;
	pthread_mutex_lock(&run->lock);
	while (run->result == NULL && pthread_cond_timedwait(&run->ended, &run->lock, &until) == 0)
		;
	struct result *result = run->result;
	run->result = NULL;
	pthread_mutex_unlock(&run->lock);
	return result;
}

static int run_once(struct run *run, uint64_t number)
{
	char message[200];
	(void)runner_run(run->runner, ID, number, run->timeout_ms);
	struct result *result = wait_for_result(run);
	if (result == NULL) { /* its thread is lost: so is this process */
		(void)runner_watch(run->runner);
		snprintf(message, sizeof(message), "no result within %lld ms%s", (long long)run->timeout_ms,
			 run->step);
		_exit(print_own(SKYMON_UNHEALTHY, SKYMON_TIMEOUT, run->timeout_ms * 1000, message));
	}
	if (result->view.duration_us > run->timeout_ms * 1000)
		result_worsen(result, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "took %lld ms of %lld: %s",
			      (long long)(result->view.duration_us / 1000), (long long)run->timeout_ms,
			      result->view.message);
	print_result(&result->view);
	int code = tool_exit_of(skymon_status_word(result->view.status));
	result_unref(result);
	return code;
}

static int run_all(struct run *run, char *const *words, size_t count)
{
	int code;
	struct err err;
	enum skymon_reason reason = SKYMON_OTHER;
	struct runner_spec spec = {
		.id = ID, .start = {.name = run->plugin.name, .state_dir = run->state_dir, .labels = ""}};
	spec.values = bind_words(run, words, count, &code);
	if (spec.values == NULL)
		return code;
	signal(SIGPIPE, SIG_IGN); /* as in a worker: a server that goes must not end us */
	if (run->state_dir[0] != '\0' &&
	    !option_table_writes(run->plugin.options)) { /* as the daemon has it */
		char *folder = x_printf("%s/%s", run->state_dir, run->plugin.name);
		(void)mkdir(folder, 0750);
		spec.start.state_dir = run->state_dir = folder;
	}
	run->runner = runner_new(&run->plugin, 0, &events, run, &err);
	if (run->runner == NULL) {
		option_values_free(spec.values);
		return print_own(SKYMON_UNKNOWN, SKYMON_OTHER, -1, err.text);
	}
	if (!runner_start(run->runner, &spec, &reason, &err))
		return print_own(SKYMON_UNKNOWN, reason, -1, err.text);
	for (long i = 0; i < run->count; i++) {
		if (i > 0)
			sleep(1);
		code = run_once(run, (uint64_t)i + 1);
	}
	if (!runner_free(run->runner, 2000))
		_exit(code);
	return code;
}

/* A plugin that calls exit() must not pass for a healthy one. */
static bool finished;
static void at_exit(int status, void *arg)
{
	(void)arg;
	if (finished)
		return;
	fprintf(stderr, "skymon: the plugin ended the process with exit(%d)\n", status);
	fflush(NULL);
	_exit(TOOL_UNKNOWN);
}

static bool take_option(struct run *run, int option, const char *value)
{
	char *end;
	switch (option) {
	case 'p':
		tool_folders_add(&run->folders, value);
		return true;
	case 's':
		run->state_dir = value;
		return true;
	case 'v':
		run->verbose = true;
		return true;
	case 't':
		if (option_parse_duration(value, &run->timeout_ms, NULL) && run->timeout_ms > 0 &&
		    run->timeout_ms <= 86400000)
			return true;
		tool_fail("--timeout %s is not a time between 1ms and 24h", value);
		return false;
	case 'n':
		run->count = strtol(value, &end, 10);
		if (end != value && *end == '\0' && run->count >= 1 && run->count <= 1000000)
			return true;
		tool_fail("--count %s is not a number between 1 and 1000000", value);
		return false;
	default: /* getopt has printed the error */
		return false;
	}
}

static bool parse_options(struct run *run, int argc, char **argv)
{
	static const struct option longs[] = {
		{"plugin-path", required_argument, NULL, 'p'}, {"timeout", required_argument, NULL, 't'},
		{"count", required_argument, NULL, 'n'},       {"state-dir", required_argument, NULL, 's'},
		{"verbose", no_argument, NULL, 'v'},           {0}};
	for (int option; (option = getopt_long(argc, argv, "p:t:n:s:v", longs, NULL)) != -1;)
		if (!take_option(run, option, optarg))
			return false;
	if (optind < argc) {
		run->word = argv[optind++];
		return true;
	}
	tool_fail("run what? skymon run PLUGIN [OPTION=VALUE…]");
	return false;
}

int tool_run(int argc, char **argv)
{
	static struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER,
				 .ended = PTHREAD_COND_INITIALIZER,
				 .count = 1,
				 .state_dir = ""};
	struct err err = {""};
	if (!parse_options(&run, argc, argv))
		return TOOL_UNKNOWN;
	tool_folders_add(&run.folders, SKYMON_PLUGINDIR);
	char *path = tool_find_plugin(&run.folders, run.word, &err);
	if (path == NULL)
		return tool_fail("%s", err.text);
	on_exit(at_exit, NULL);
	struct plugin_mark mark;
	int copy = plugin_file_open(path, &mark, &err);
	if (copy < 0)
		fprintf(stderr, "warn: a daemon will not load it: %s\n", err.text);
	bool ok = plugin_open(path, copy, &run.plugin, &err);
	if (ok && run.plugin.check == NULL)
		ok = err_set(&err, "plugin %s has no check: it serves routes from the daemon",
			     run.plugin.name);
	int code = TOOL_UNKNOWN;
	if (!ok) {
		tool_fail("%s", err.text);
	} else {
		if (run.timeout_ms == 0)
			run.timeout_ms = run.plugin.timeout_ms > 0 ? run.plugin.timeout_ms : 5000;
		code = run_all(&run, argv + optind, (size_t)(argc - optind));
		plugin_close(&run.plugin);
	}
	free(run.folders.items);
	free(path);
	finished = true;
	return code;
}
