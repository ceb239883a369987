/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin_api.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/sandbox.h"

#define SAMPLE_MS 5000 /* of the CPU time */
#define SAMPLES 12     /* so that the oldest is 60 s old */
#define FILES_MS 1000  /* how old the number of open descriptors may be: each is counted */
#define MEMORY_MS 100  /* how old the resident size may be; reading it takes longer than answering /health */

struct handle {
	struct skymon sm; /* the first member: a struct skymon is its handle */
	struct host *host;
	struct handle *next;
	char *name;
};

struct cpu_sample {
	int64_t time_ms;
	double seconds;
};

enum own { OWN_CONNECTIONS, OWN_REQUESTS, OWN_ERRORS, OWN_TIME, OWN_MEMORY, OWN_CPU, OWN_NONE };

struct host {
	struct skymon_host table;
	struct loop *loop;
	struct http *http;
	struct board *board;
	const struct settings *settings;
	struct handle *handles;
	host_plugins *plugins;
	void *plugins_arg;
	struct skymon_self self;
	struct skymon_config config;
	const char **features;
	struct skymon_routes routes;
	struct skymon_route_line *lines;
	struct skymon_source sources[8];
	enum own own[8]; /* which of them are the daemon's own */
	int64_t started_clock_ms, memory_time_ms;
	int statm;
	int64_t files_time_ms;
	struct timer sampler;
	struct cpu_sample samples[SAMPLES];
	size_t sample_count,
		sample_at; /* sample_at: where the next goes, which is the oldest when the ring is full */
};

static struct host *host_of(struct skymon *sm)
{
	return ((struct handle *)sm)->host;
}

/* ---- The process ---- */

static double cpu_seconds(void)
{
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static int64_t resident_bytes(int statm)
{
	char text[128];
	ssize_t size = pread(statm, text, sizeof(text) - 1, 0);
	if (size <= 0)
		return 0;
	text[size] = '\0';
	char *end;
	strtoll(text, &end, 10); /* the first is the virtual size */
	return strtoll(end, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int64_t open_files(void)
{
	int64_t count = -3; /* ".", ".." and the descriptor of the folder itself */
	DIR *folder = opendir("/proc/self/fd");
	if (folder == NULL)
		return 0;
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

static int64_t files_limit(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int64_t)limit.rlim_cur : 0;
}

static void sample(struct timer *timer, int64_t now_ms)
{
	struct host *host = container_of(timer, struct host, sampler);
	host->samples[host->sample_at] = (struct cpu_sample){now_ms, cpu_seconds()};
	host->sample_at = (host->sample_at + 1) % SAMPLES;
	if (host->sample_count < SAMPLES)
		host->sample_count++;
	loop_set_timer(host->loop, timer, now_ms + SAMPLE_MS);
}

/* Of one core, since the oldest sample. */
static double cpu_percent(const struct host *host, double used, int64_t now_ms)
{
	const struct cpu_sample *oldest = &host->samples[host->sample_count < SAMPLES ? 0 : host->sample_at];
	int64_t passed = now_ms - oldest->time_ms;
	return passed > 0 ? 100 * (used - oldest->seconds) * 1000 / (double)passed : 0;
}

/* ---- The eight metrics of the seed ---- */

static double self_value(struct host *host, enum own own, int64_t now_ms, bool *present)
{
	const struct skymon_self *self = &host->self;
	*present = true;
	switch (own) {
	case OWN_CONNECTIONS:
		return (double)self->open_connections;
	case OWN_REQUESTS:
		return (double)self->requests_total;
	case OWN_ERRORS:
		return http_window(host->http, now_ms).error_percent;
	case OWN_TIME:
		return http_window(host->http, now_ms).average_ms;
	case OWN_MEMORY:
		*present = self->resident_bytes > 0;
		return (double)self->resident_bytes / 1e6;
	case OWN_CPU:
		return cpu_percent(host, self->cpu_seconds, host->memory_time_ms);
	default:
		*present = false; /* nothing that the daemon knows of itself */
		return 0;
	}
}

static enum own own_of(const struct settings_source *source)
{
	static const char *const keys[OWN_NONE] = {
		[OWN_CONNECTIONS] = "active_connections", [OWN_REQUESTS] = "total_requests",
		[OWN_ERRORS] = "error_rate_percent",      [OWN_TIME] = "average_response_time_ms",
		[OWN_MEMORY] = "memory_usage_mb",         [OWN_CPU] = "cpu_usage_percent",
	};
	if (source->component == NULL || strcmp(source->component, "self") != 0)
		return OWN_NONE;
	for (int own = 0; own < OWN_NONE; own++)
		if (strcmp(source->key, keys[own]) == 0)
			return (enum own)own;
	return OWN_NONE;
}

static double component_value(struct host *host, const char *component, const char *key, bool *present)
{
	const struct skymon_snapshot *snapshot = board_snapshot(host->board);
	const struct skymon_value *value = NULL;
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct skymon_component *each = snapshot->components[i];
		if (strcmp(each->name, component) == 0 && each->latest != NULL && !each->stale)
			value = result_number(each->latest, key);
	}
	double number = value != NULL ? value->number : 0;
	*present = value != NULL;
	board_release(host->board, snapshot);
	return number;
}

static void fill_sources(struct host *host, int64_t now_ms)
{
	for (size_t i = 0; i < host->self.source_count; i++) {
		struct skymon_source *source = &host->sources[i];
		const char *component = host->settings->sources[i].component;
		source->present = false;
		source->value = 0;
		if (host->own[i] != OWN_NONE)
			source->value = self_value(host, host->own[i], now_ms, &source->present);
		else if (component != NULL)
			source->value = component_value(host, component, source->key, &source->present);
	}
}

/* ---- The read functions ---- */

static const struct skymon_self *read_self(struct skymon *sm)
{
	struct host *host = host_of(sm);
	struct skymon_self *self = &host->self;
	int64_t clock_ms = loop_clock_ms();
	self->now_ms = wall_clock_ms();
	self->uptime_seconds = (clock_ms - host->started_clock_ms) / 1000;
	self->loop_age_ms = clock_ms - loop_now_ms(host->loop);
	self->open_connections = http_open_connections(host->http);
	self->requests_total = http_requests_total(host->http);
	self->refused_connections_total = http_refused_connections_total(host->http);
	self->evicted_connections_total = http_evicted_connections_total(host->http);
	self->failed_tokens_total = http_failed_tokens_total(host->http);
	if (host->memory_time_ms == 0 || clock_ms - host->memory_time_ms >= MEMORY_MS) {
		host->memory_time_ms = clock_ms;
		self->resident_bytes = resident_bytes(host->statm);
		self->cpu_seconds = cpu_seconds();
	}
	if (host->files_time_ms == 0 || clock_ms - host->files_time_ms >= FILES_MS) {
		host->files_time_ms = clock_ms;
		self->open_fds = open_files();
		self->max_fds = files_limit();
	}
	self->http_counts = http_counts(host->http, &self->http_count_count);
	self->http_times = http_times(host->http, &self->http_time_count);
	if (host->plugins != NULL)
		self->plugins = host->plugins(host->plugins_arg, &self->plugin_count);
	if (host->settings != NULL)
		fill_sources(host, clock_ms);
	return self;
}

static const struct skymon_snapshot *read_snapshot(struct skymon *sm)
{
	return board_snapshot(host_of(sm)->board);
}

static void release_snapshot(struct skymon *sm, const struct skymon_snapshot *snapshot)
{
	board_release(host_of(sm)->board, snapshot);
}

static const struct skymon_config *read_config(struct skymon *sm)
{
	return &host_of(sm)->config;
}

static const struct skymon_routes *read_routes(struct skymon *sm)
{
	return &host_of(sm)->routes;
}

static void write_log(struct skymon *sm, int level, const char *format, va_list list)
{
	const char *const fields[] = {"plugin", ((struct handle *)sm)->name, NULL};
	bool known = level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG;
	log_line_list(known ? (enum log_level)level : LOG_LEVEL_INFO, fields, format, list);
}

static const char *read_name(struct skymon *sm)
{
	return ((struct handle *)sm)->name;
}

static const char *read_state_dir(struct skymon *sm)
{
	const struct host *host = host_of(sm);
	return host->settings != NULL ? host->settings->state_dir : "";
}

/* The sentence with which `start` fails. */
static void write_say(struct skymon *sm, const char *format, va_list list)
{
	write_log(sm, LOG_LEVEL_WARN, format, list);
}

/* A check's functions are left out: their wrappers do nothing. */
static void fill_table(struct skymon_host *table)
{
	*table = http_host; /* the request half */
	table->size = sizeof(*table);
	table->log = write_log;
	table->say = write_say;
	table->name = read_name;
	table->state_dir = read_state_dir;
	table->print = number_print;
	table->snapshot = read_snapshot;
	table->release = release_snapshot;
	table->self = read_self;
	table->config_public = read_config;
	table->routes = read_routes;
}

/* ---- Life ---- */

struct host *host_new(struct loop *loop, struct http *http, struct board *board)
{
	struct host *host = x_alloc(sizeof(*host));
	host->loop = loop;
	host->http = http;
	host->board = board;
	fill_table(&host->table);
	host->self.size = sizeof(host->self);
	host->self.phase = SKYMON_PHASE_STARTING;
	host->self.version = SKYMON_VERSION;
	host->self.compiler = __VERSION__;
	host->self.service = host->self.title = host->self.service_version = "";
	host->self.started_ms = wall_clock_ms();
	host->self.sources = host->sources;
	host->self.isolation = SANDBOX_ALL & ~sandbox_missing();
	host->started_clock_ms = loop_clock_ms();
	host->config.size = sizeof(host->config);
	host->config.environment = host->config.log_level = "";
	host->routes.size = sizeof(host->routes);
	host->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	host->sampler.fire = sample;
	sample(&host->sampler, host->started_clock_ms);
	return host;
}

void host_free(struct host *host)
{
	loop_clear_timer(host->loop, &host->sampler);
	for (struct handle *handle = host->handles, *next; handle != NULL; handle = next) {
		next = handle->next;
		free(handle->name);
		free(handle);
	}
	if (host->statm >= 0)
		close(host->statm);
	free(host->features);
	free(host->lines);
	free(host);
}

struct skymon *host_handle(struct host *host, const char *name)
{
	struct handle *handle = x_alloc(sizeof(*handle));
	handle->sm.host = &host->table;
	handle->host = host;
	handle->name = x_strdup(name);
	handle->next = host->handles;
	host->handles = handle;
	return &handle->sm;
}

static bool is_counter(const char *key)
{
	return strcmp(key, "total_requests") == 0;
}

void host_set_settings(struct host *host, const struct settings *settings)
{
	host->settings = settings;
	host->self.service = settings->service;
	host->self.title = settings->title;
	host->self.service_version = settings->service_version;
	host->self.source_count = settings->source_count < 8 ? settings->source_count : 8;
	for (size_t i = 0; i < host->self.source_count; i++) {
		const struct settings_source *source = &settings->sources[i];
		host->sources[i] =
			(struct skymon_source){.key = source->key, .counter = is_counter(source->key)};
		host->own[i] = own_of(source);
	}
	host->features = x_realloc(host->features, settings->plugin_count * sizeof(*host->features));
	for (size_t i = 0; i < settings->plugin_count; i++)
		host->features[i] = settings->plugins[i].name;
	host->config.environment = settings->environment;
	host->config.log_level = log_level_words[settings->log_level];
	host->config.features = host->features;
	host->config.feature_count = settings->plugin_count;
	host->config.ready_follows_self = settings->ready_follows_self;
}

void host_set_routes(struct host *host, struct route_table *table)
{
	size_t count = route_count(table);
	host->lines = x_realloc(host->lines, count * sizeof(*host->lines));
	for (size_t i = 0; i < count; i++) {
		const struct route_entry *entry = route_at(table, i);
		const struct skymon_route *route = entry->route;
		host->lines[i] = (struct skymon_route_line){.method = route->method,
							    .path = route->path,
							    .name = route->name,
							    .summary = route->summary,
							    .plugin = entry->plugin};
	}
	host->routes.lines = host->lines;
	host->routes.count = count;
}

void host_set_plugins(struct host *host, host_plugins *plugins, void *arg)
{
	host->plugins = plugins;
	host->plugins_arg = arg;
}

void host_set_phase(struct host *host, enum skymon_phase phase)
{
	host->self.phase = phase;
}

void host_set_reload(struct host *host, bool ok, int64_t time_ms)
{
	host->self.reload_ok = ok;
	if (ok)
		host->self.reload_time_ms = time_ms;
}

void host_set_lag(struct host *host, double seconds)
{
	host->self.loop_lag_seconds = seconds;
}
