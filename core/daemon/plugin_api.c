/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_api: implements struct skymon_host for plugins in the daemon. Called by their handlers, on the
 * loop's thread; owns the handles, the table and the samples of the CPU time. See plugin_api.h. */
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

#define SAMPLE_MS 5000 /* between samples of the CPU time */
#define SAMPLES 12     /* the oldest is 60 s old */
#define FILES_MS 1000  /* maximum age of the number of open descriptors: counting reads a folder */
#define MEMORY_MS 100  /* maximum age of the resident size: reading it takes longer than answering /health */

struct handle {
	struct skymon sm; /* first member, so that a struct skymon is its handle */
	struct plugin_api *api;
	struct handle *next;
	char *name;
};

struct cpu_sample {
	int64_t time_ms;
	double seconds;
};

enum own { OWN_CONNECTIONS, OWN_REQUESTS, OWN_ERRORS, OWN_TIME, OWN_MEMORY, OWN_CPU, OWN_NONE };

struct plugin_api {
	struct skymon_host table;
	struct loop *loop;
	struct http *http;
	struct board *board;
	const struct settings *settings;
	struct handle *handles;
	struct maintenance *maintenance;
	plugin_api_plugins *plugins;
	void *plugins_arg;
	struct skymon_self self;
	struct skymon_config config;
	const char **features;
	struct skymon_routes routes;
	struct skymon_route_line *lines;
	const struct skymon_route_line **line_list;
	struct skymon_source sources[SETTINGS_SOURCES];
	const struct skymon_source *source_list[SETTINGS_SOURCES];
	enum own own[SETTINGS_SOURCES]; /* the daemon's own value behind each source */
	int64_t started_clock_ms, memory_time_ms;
	int statm;
	int64_t files_time_ms;
	struct timer sampler;
	struct cpu_sample samples[SAMPLES];
	size_t sample_count, sample_at; /* sample_at: next slot, the oldest once the ring is full */
};

static struct plugin_api *api_of(struct skymon *sm)
{
	return ((struct handle *)sm)->api;
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
	strtoll(text, &end, 10); /* skip the virtual size */
	return strtoll(end, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int64_t open_files(void)
{
	int64_t count = -3; /* not ".", ".." and the folder's own descriptor */
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
	struct plugin_api *api = container_of(timer, struct plugin_api, sampler);
	api->samples[api->sample_at] = (struct cpu_sample){now_ms, cpu_seconds()};
	api->sample_at = (api->sample_at + 1) % SAMPLES;
	if (api->sample_count < SAMPLES)
		api->sample_count++;
	loop_set_timer(api->loop, timer, now_ms + SAMPLE_MS);
}

/* Returns percent of one core since the oldest sample. */
static double cpu_percent(const struct plugin_api *api, double used, int64_t now_ms)
{
	const struct cpu_sample *oldest = &api->samples[api->sample_count < SAMPLES ? 0 : api->sample_at];
	int64_t passed = now_ms - oldest->time_ms;
	return passed > 0 ? 100 * (used - oldest->seconds) * 1000 / (double)passed : 0;
}

/* ---- The eight metrics of the seed ---- */

static double self_value(struct plugin_api *api, enum own own, int64_t now_ms, bool *present)
{
	const struct skymon_self *self = &api->self;
	*present = true;
	switch (own) {
	case OWN_CONNECTIONS:
		return (double)self->open_connections;
	case OWN_REQUESTS:
		return (double)self->requests_total;
	case OWN_ERRORS:
		return http_window(api->http, now_ms).error_percent;
	case OWN_TIME:
		return http_window(api->http, now_ms).average_ms;
	case OWN_MEMORY:
		*present = self->resident_bytes > 0;
		return (double)self->resident_bytes / 1e6;
	case OWN_CPU:
		return cpu_percent(api, self->cpu_seconds, api->memory_time_ms);
	default:
		*present = false; /* the daemon has no such value of its own */
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

static double component_value(struct plugin_api *api, const char *component, const char *key, bool *present)
{
	const struct skymon_snapshot *snapshot = board_snapshot(api->board);
	const struct skymon_value *value = NULL;
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct skymon_component *each = snapshot->components[i];
		if (strcmp(each->name, component) == 0 && each->latest != NULL && !each->stale)
			value = result_number(each->latest, key);
	}
	double number = value != NULL ? value->number : 0;
	*present = value != NULL;
	board_release(api->board, snapshot);
	return number;
}

static void fill_sources(struct plugin_api *api, int64_t now_ms)
{
	for (size_t i = 0; i < api->self.source_count; i++) {
		struct skymon_source *source = &api->sources[i];
		const char *component = api->settings->sources[i].component;
		source->present = false;
		source->value = 0;
		if (api->own[i] != OWN_NONE)
			source->value = self_value(api, api->own[i], now_ms, &source->present);
		else if (component != NULL)
			source->value = component_value(api, component, source->key, &source->present);
	}
}

/* ---- The read functions ---- */

static const struct skymon_self *read_self(struct skymon *sm)
{
	struct plugin_api *api = api_of(sm);
	struct skymon_self *self = &api->self;
	int64_t clock_ms = loop_clock_ms();
	self->now_ms = wall_clock_ms();
	self->uptime_seconds = (clock_ms - api->started_clock_ms) / 1000;
	self->loop_age_ms = clock_ms - loop_now_ms(api->loop);
	self->open_connections = http_open_connections(api->http);
	self->requests_total = http_requests_total(api->http);
	self->refused_connections_total = http_refused_connections_total(api->http);
	self->evicted_connections_total = http_evicted_connections_total(api->http);
	self->failed_tokens_total = http_failed_tokens_total(api->http);
	if (api->memory_time_ms == 0 || clock_ms - api->memory_time_ms >= MEMORY_MS) {
		api->memory_time_ms = clock_ms;
		self->resident_bytes = resident_bytes(api->statm);
		self->cpu_seconds = cpu_seconds();
	}
	if (api->files_time_ms == 0 || clock_ms - api->files_time_ms >= FILES_MS) {
		api->files_time_ms = clock_ms;
		self->open_fds = open_files();
		self->max_fds = files_limit();
	}
	self->http_counts = http_counts(api->http, &self->http_count_count);
	self->http_times = http_times(api->http, &self->http_time_count);
	self->listeners = http_listeners(api->http, &self->listener_count);
	if (api->plugins != NULL)
		self->plugins = api->plugins(api->plugins_arg, &self->plugin_count);
	if (api->settings != NULL)
		fill_sources(api, clock_ms);
	return self;
}

static const struct skymon_snapshot *read_snapshot(struct skymon *sm)
{
	return board_snapshot(api_of(sm)->board);
}

static void release_snapshot(struct skymon *sm, const struct skymon_snapshot *snapshot)
{
	board_release(api_of(sm)->board, snapshot);
}

static const struct skymon_config *read_config(struct skymon *sm)
{
	return &api_of(sm)->config;
}

static const struct skymon_routes *read_routes(struct skymon *sm)
{
	return &api_of(sm)->routes;
}

static void write_log(struct skymon *sm, int level, const char *text, size_t size)
{
	const char *const fields[] = {"plugin", ((struct handle *)sm)->name, NULL};
	bool known = level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG;
	log_line(known ? (enum log_level)level : LOG_LEVEL_INFO, fields, "%.*s", (int)size, text);
}

static const char *read_name(struct skymon *sm)
{
	return ((struct handle *)sm)->name;
}

static const char *read_state_dir(struct skymon *sm)
{
	const struct plugin_api *api = api_of(sm);
	return api->settings != NULL ? api->settings->places.state_dir : "";
}

/* Stores the message with which `start` fails. */
static void write_say(struct skymon *sm, const char *text, size_t size)
{
	write_log(sm, LOG_LEVEL_WARN, text, size);
}

/* A check's functions are NULL here: their wrappers do nothing. */
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

/* ---- Construction ---- */

struct plugin_api *plugin_api_new(struct loop *loop, struct http *http, struct board *board,
				  const char *config_path)
{
	struct plugin_api *api = x_alloc(sizeof(*api));
	api->loop = loop;
	api->http = http;
	api->board = board;
	fill_table(&api->table);
	api->self.size = sizeof(api->self);
	api->self.phase = SKYMON_PHASE_STARTING;
	api->self.version = SKYMON_VERSION;
	api->self.compiler = __VERSION__;
	api->self.service = api->self.title = api->self.service_version = "";
	api->self.started_ms = wall_clock_ms();
	api->self.sources = api->source_list;
	api->self.bucket_seconds = http_bucket_seconds;
	api->self.bucket_count = HTTP_BUCKETS;
	api->self.isolation = SANDBOX_ALL & ~sandbox_missing();
	api->started_clock_ms = loop_clock_ms();
	api->config.size = sizeof(api->config);
	api->config.environment = api->config.log_level = "";
	api->config.file = config_path;
	api->routes.size = sizeof(api->routes);
	api->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	api->sampler.fire = sample;
	sample(&api->sampler, api->started_clock_ms);
	return api;
}

void plugin_api_free(struct plugin_api *api)
{
	loop_clear_timer(api->loop, &api->sampler);
	for (struct handle *handle = api->handles, *next; handle != NULL; handle = next) {
		next = handle->next;
		free(handle->name);
		free(handle);
	}
	if (api->statm >= 0)
		close(api->statm);
	free(api->features);
	free(api->lines);
	free(api->line_list);
	free(api);
}

struct skymon *plugin_api_handle(struct plugin_api *api, const char *name)
{
	struct handle *handle = x_alloc(sizeof(*handle));
	handle->sm.host = &api->table;
	handle->api = api;
	handle->name = x_strdup(name);
	handle->next = api->handles;
	api->handles = handle;
	return &handle->sm;
}

static bool is_counter(const char *key)
{
	return strcmp(key, "total_requests") == 0;
}

void plugin_api_set_settings(struct plugin_api *api, const struct settings *settings)
{
	api->settings = settings;
	api->self.service = settings->service.name;
	api->self.title = settings->service.title;
	api->self.service_version = settings->service.version;
	api->self.source_count = SETTINGS_SOURCES;
	for (size_t i = 0; i < api->self.source_count; i++) {
		const struct settings_source *source = &settings->sources[i];
		api->sources[i] = (struct skymon_source){.size = sizeof(api->sources[i]),
							 .key = source->key,
							 .counter = is_counter(source->key)};
		api->source_list[i] = &api->sources[i];
		api->own[i] = own_of(source);
	}
	api->features = x_realloc(api->features, settings->plugin_count * sizeof(*api->features));
	for (size_t i = 0; i < settings->plugin_count; i++)
		api->features[i] = settings->plugins[i].name;
	api->config.environment = settings->service.environment;
	api->config.log_level = log_level_words[settings->log.level.index];
	api->config.features = api->features;
	api->config.feature_count = settings->plugin_count;
	api->config.has_access_token = settings->values[SETTINGS_ACCESS] != NULL;
	api->config.ready_follows_self = settings->ready.follow.index == SETTINGS_FOLLOW_SELF;
}

void plugin_api_set_routes(struct plugin_api *api, struct route_table *table)
{
	size_t count = route_count(table);
	api->lines = x_realloc(api->lines, count * sizeof(*api->lines));
	api->line_list = x_realloc(api->line_list, count * sizeof(*api->line_list));
	for (size_t i = 0; i < count; i++) {
		const struct route_entry *entry = route_at(table, i);
		const struct skymon_route *route = entry->route;
		api->lines[i] = (struct skymon_route_line){.size = sizeof(api->lines[i]),
							   .method = route->method,
							   .path = route->path,
							   .name = route->name,
							   .summary = route->summary,
							   .plugin = entry->plugin};
		api->line_list[i] = &api->lines[i];
	}
	api->routes.lines = api->line_list;
	api->routes.count = count;
}

void plugin_api_set_plugins(struct plugin_api *api, plugin_api_plugins *plugins, void *arg)
{
	api->plugins = plugins;
	api->plugins_arg = arg;
}

void plugin_api_set_maintenance(struct plugin_api *api, struct maintenance *maintenance)
{
	api->maintenance = maintenance;
}

struct maintenance *plugin_api_maintenance(struct skymon *sm)
{
	return api_of(sm)->maintenance;
}

void plugin_api_set_phase(struct plugin_api *api, enum skymon_phase phase)
{
	api->self.phase = phase;
}

void plugin_api_set_reload(struct plugin_api *api, const struct err_list *errors)
{
	int64_t now_ms = wall_clock_ms();
	if (api->self.reload_time_ms != 0)
		api->config.reload_ms = now_ms;
	api->self.reload_ok = errors == NULL;
	if (errors == NULL)
		api->self.reload_time_ms = now_ms;
	api->config.errors = errors != NULL ? (const char *const *)errors->texts : NULL;
	api->config.error_count = errors != NULL ? errors->count : 0;
}

void plugin_api_set_lag(struct plugin_api *api, double seconds)
{
	api->self.loop_lag_seconds = seconds;
}
