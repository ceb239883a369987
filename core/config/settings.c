/* SPDX-License-Identifier: Apache-2.0 */
/* The top level of the config: bound by tables, as a plugin's options are. */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "settings_private.h"

#ifndef SKYMON_PLUGINDIR
#define SKYMON_PLUGINDIR "/usr/lib/skymon/plugins"
#endif
#ifndef SKYMON_STATEDIR
#define SKYMON_STATEDIR "/var/lib/skymon"
#endif

/* ---- Tables ---- */

struct places {
	const char *state_dir, *user;
	struct skymon_choice isolation;
	struct skymon_texts plugin_path, server_names, local_users;
};
static const char *const isolations[] = {"available", "strict", NULL};
static const struct skymon_option places_table[] = {
	SKYMON_OPT(struct places, isolation, "available",
		   "strict: workers that the kernel cannot confine do not run", .words = isolations),
	SKYMON_OPT(struct places, state_dir, NULL, "the only folder that is written to"),
	SKYMON_OPT(struct places, user, NULL, "whom skymond becomes when it is started as root"),
	SKYMON_OPT(struct places, plugin_path, NULL, "folders of plugins beside the installed one"),
	SKYMON_OPT(struct places, server_names, NULL, "names that clients may call us by"),
	SKYMON_OPT(struct places, local_users, NULL, "users, by name or number, that count as local callers"),
	{0}};
static const char *const place_keys[] = {"isolation",    "user",        "state_dir", "plugin_path",
					 "server_names", "local_users", NULL};

struct service {
	const char *name, *title, *version, *environment;
};
static const struct skymon_option service_table[] = {
	SKYMON_OPT(struct service, name, "api", "the label `service` of the service's metrics",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct service, title, "", "for people; left out: the name"),
	SKYMON_OPT(struct service, version, "", "the service's version"),
	SKYMON_OPT(struct service, environment, "production", "where it runs"),
	{0}};

struct limits {
	struct skymon_bytes worker_memory, request_body;
	int64_t connections, connections_per_address, checks_at_once, checks_per_address, series;
	struct skymon_duration header_timeout, idle_timeout;
};
#define GIB 1073741824.0
#define WORKER_MEMORY_MIN 16777216
static const struct skymon_option limits_table[] = {
	SKYMON_OPT(struct limits, worker_memory, "256MiB", "memory of a worker; 0: no limit", .min = 0,
		   .max = 1024 * GIB),
	SKYMON_OPT(struct limits, request_body, "1MiB", "body of a request", .min = 1024, .max = GIB),
	SKYMON_OPT(struct limits, connections, "2000", "open connections", .min = 1, .max = 100000),
	SKYMON_OPT(struct limits, connections_per_address, "1000", "of one client", .min = 1, .max = 100000),
	SKYMON_OPT(struct limits, checks_at_once, "64", "checks of one plugin that are out at once", .min = 1,
		   .max = 10000),
	SKYMON_OPT(struct limits, checks_per_address, "16", "… of one server, by its host and port", .min = 1,
		   .max = 10000),
	SKYMON_OPT(struct limits, series, "10000", "series of metrics that a component may report", .min = 1,
		   .max = 1000000),
	SKYMON_OPT(struct limits, header_timeout, "10s", "until a request's head is there", .min = 100,
		   .max = 600000),
	SKYMON_OPT(struct limits, idle_timeout, "75s", "an idle connection is kept", .min = 100,
		   .max = 3600000),
	{0}};

struct log_options {
	struct skymon_choice level, format;
};
static const char *const formats[] = {"logfmt", "json", NULL}; /* as enum log_format */
static const struct skymon_option log_table[] = {
	SKYMON_OPT(struct log_options, level, "info", "the least that is logged", .words = log_level_words),
	SKYMON_OPT(struct log_options, format, "logfmt", "how lines look", .words = formats),
	{0}};

struct ready {
	struct skymon_choice follow;
};
static const char *const follows[] = {"components", "self", NULL};
static const struct skymon_option ready_table[] = {
	SKYMON_OPT(struct ready, follow, "components", "what /ready depends on", .words = follows), {0}};

struct shutdown {
	struct skymon_duration drain, timeout;
};
static const struct skymon_option shutdown_table[] = {
	SKYMON_OPT(struct shutdown, drain, "0s", "answers not ready before it stops", .min = 0,
		   .max = 3600000),
	SKYMON_OPT(struct shutdown, timeout, "10s", "for open requests and workers", .min = 1,
		   .max = 3600000),
	{0}};

struct access_options {
	struct skymon_secret token;
	struct skymon_texts public;
};
static const struct skymon_option access_table[] = {
	SKYMON_OPT(struct access_options, token, NULL, "the bearer token", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct access_options, public, NULL, "routes that need none"),
	{0}};

static const char *const top_keys[] = {"user",     "isolation",   "listen",  "access",    "limits",
				       "service",  "defaults",    "include", "plugins",   "components",
				       "log",      "plugin_path", "ready",   "state_dir", "server_names",
				       "shutdown", "local_users"};

/* ---- Help for all parts ---- */

void settings_pick_more(struct arena *arena, struct config_node *map, const struct config_node *from,
			const char *const *keys)
{
	struct config_pair *pairs = arena_alloc(arena, (map->count + 16) * sizeof(*pairs));
	if (map->count > 0)
		memcpy(pairs, map->pairs, map->count * sizeof(*pairs));
	map->pairs = pairs;
	for (size_t added = 0; *keys != NULL && added < 16; keys++) {
		const struct config_pair *pair = config_find(from, *keys);
		if (pair == NULL || pair->value->kind == CONFIG_EMPTY || config_find(map, *keys) != NULL)
			continue;
		pairs[map->count++] = *pair;
		added++;
	}
}

struct config_node *settings_pick(struct arena *arena, const struct config_node *map, const char *const *keys)
{
	struct config_node *picked = arena_alloc(arena, sizeof(*picked));
	*picked = (struct config_node){
		.kind = CONFIG_MAP, .file = map->file, .line = map->line, .column = map->column};
	settings_pick_more(arena, picked, map, keys);
	return picked;
}

struct option_values *settings_bind(struct binding *b, const struct skymon_option *table,
				    const struct config_node *section, const char *const *also,
				    const char *what, void *state)
{
	struct err err;
	struct option_binding binding = {
		.table = table, .section = section, .also = also, .what = what, .lookup = b->lookup};
	struct option_values *values = option_bind(&binding, b->errs);
	if (values == NULL || option_store(values, table, sizeof(*table), state, &err))
		return values;
	config_error(b->errs, section, "%s", err.text);
	option_values_free(values);
	return NULL;
}

char **settings_texts(const struct skymon_texts *texts, size_t *count)
{
	char **copy = x_alloc((texts->count + 1) * sizeof(*copy));
	for (*count = 0; *count < texts->count; ++*count)
		copy[*count] = x_strdup(texts->items[*count]);
	return copy;
}

size_t settings_map(struct binding *b, const char *key, const struct config_pair **pairs)
{
	const struct config_node *map = config_value(b->root, key);
	if (map == NULL || map->kind == CONFIG_EMPTY)
		return 0;
	if (map->kind != CONFIG_MAP) {
		config_error(b->errs, map, "`%s` must be a map of names", key);
		return 0;
	}
	*pairs = map->pairs;
	return map->count;
}

/* ---- Parts ---- */

static void read_keys(struct binding *b)
{
	for (size_t i = 0; i < b->root->count; i++) {
		const struct config_pair *pair = &b->root->pairs[i];
		size_t count = sizeof(top_keys) / sizeof(top_keys[0]), j = 0;
		while (j < count && strcmp(top_keys[j], pair->key) != 0)
			j++;
		if (j < count || strncmp(pair->key, "x-", 2) == 0)
			continue;
		config_unknown_key(b->errs, pair, "key", "", top_keys, count);
	}
}

static bool writable(const char *folder)
{
	if (access(folder, W_OK | X_OK) == 0)
		return true;
	/* not there yet, but to be made */
	const char *slash = strrchr(folder, '/');
	if (errno != ENOENT || slash == NULL || slash == folder)
		return false;
	char *parent = x_strndup(folder, (size_t)(slash - folder));
	bool ok = access(parent, W_OK | X_OK) == 0;
	free(parent);
	return ok;
}

static char *default_state_dir(config_lookup *lookup)
{
	const char *given = lookup != NULL ? lookup("STATE_DIRECTORY") : NULL;
	/* systemd joins several by colons */
	char *folder = given != NULL && given[0] != '\0' ? x_strndup(given, strcspn(given, ":"))
							 : x_strdup(SKYMON_STATEDIR);
	if (!writable(folder))
		folder[0] = '\0';
	return folder;
}

static void read_local_users(struct binding *b, const struct skymon_texts *users)
{
	struct settings *s = b->settings;
	struct err err;
	s->local_users = settings_texts(users, &s->local_user_count);
	s->local_uids = x_alloc((users->count + 1) * sizeof(uid_t));
	for (size_t i = 0; i < users->count; i++)
		if (!account_uid(users->items[i], &s->local_uids[i], &err))
			config_error(b->errs, config_value(b->root, "local_users"), "local_users: %s",
				     err.text);
}

static void read_places(struct binding *b)
{
	struct settings *s = b->settings;
	struct places places = {0};
	struct config_node *picked = settings_pick(&b->temporary, b->root, place_keys);
	struct option_values *values = settings_bind(b, places_table, picked, NULL, "the top level", &places);
	bool given = places.state_dir != NULL && places.state_dir[0] != '\0';
	struct err err;
	s->user = places.user != NULL && places.user[0] != '\0' ? x_strdup(places.user) : NULL;
	if (s->user != NULL && !account_uid(s->user, &s->uid, &err))
		config_error(b->errs, config_value(b->root, "user"), "user: %s", err.text);
	s->isolation_strict = places.isolation.index == 1;
	s->state_dir = given ? x_strdup(places.state_dir) : default_state_dir(b->lookup);
	s->server_names = settings_texts(&places.server_names, &s->server_name_count);
	read_local_users(b, &places.local_users);
	s->plugin_paths = settings_texts(&places.plugin_path, &s->plugin_path_count);
	s->plugin_paths = x_realloc(s->plugin_paths, (s->plugin_path_count + 1) * sizeof(*s->plugin_paths));
	s->plugin_paths[s->plugin_path_count++] = x_strdup(SKYMON_PLUGINDIR);
	option_values_free(values);
}

static void read_service(struct binding *b)
{
	static const char *const also[] = {"metrics", NULL};
	struct settings *s = b->settings;
	struct service service = {.name = "", .title = "", .version = "", .environment = ""};
	const struct config_node *section = config_value(b->root, "service");
	struct option_values *values = settings_bind(b, service_table, section, also, "service", &service);
	s->service = x_strdup(service.name);
	s->title = x_strdup(service.title[0] != '\0' ? service.title : service.name);
	s->service_version = x_strdup(service.version);
	s->environment = x_strdup(service.environment);
	option_values_free(values);
	settings_read_sources(b, config_value(section, "metrics"));
}

static void read_limits(struct binding *b)
{
	struct settings *s = b->settings;
	struct limits limits = {0};
	const struct config_node *section = config_value(b->root, "limits");
	struct option_values *values = settings_bind(b, limits_table, section, NULL, "limits", &limits);
	s->worker_memory = limits.worker_memory.count;
	s->request_body = limits.request_body.count;
	s->connections = (uint32_t)limits.connections;
	s->connections_per_address = (uint32_t)limits.connections_per_address;
	s->series = (uint32_t)limits.series;
	s->checks_at_once = (uint32_t)limits.checks_at_once;
	s->checks_per_address = (uint32_t)limits.checks_per_address;
	s->header_timeout_ms = limits.header_timeout.ms;
	s->idle_timeout_ms = limits.idle_timeout.ms;
	if (values != NULL && s->worker_memory > 0 && s->worker_memory < WORKER_MEMORY_MIN)
		config_error(b->errs, config_value(section, "worker_memory"),
			     "option `worker_memory` of limits must be 0 (no limit) or at least 16MiB");
	/* plugins are opened all the same, so that their mistakes are found too: not with a limit that kills
	 * them */
	if (s->worker_memory < WORKER_MEMORY_MIN && s->worker_memory != 0)
		s->worker_memory = WORKER_MEMORY_MIN;
	if (values == NULL)
		s->worker_memory = 0;
	option_values_free(values);
}

static void read_small(struct binding *b)
{
	struct settings *s = b->settings;
	struct log_options log = {0};
	struct ready ready = {0};
	struct shutdown shutdown = {0};
	option_values_free(settings_bind(b, log_table, config_value(b->root, "log"), NULL, "log", &log));
	option_values_free(
		settings_bind(b, ready_table, config_value(b->root, "ready"), NULL, "ready", &ready));
	option_values_free(settings_bind(b, shutdown_table, config_value(b->root, "shutdown"), NULL,
					 "shutdown", &shutdown));
	s->log_level = (enum log_level)log.level.index;
	s->log_format = (enum log_format)log.format.index;
	s->ready_follows_self = ready.follow.index == 1;
	s->drain_ms = shutdown.drain.ms;
	s->shutdown_timeout_ms = shutdown.timeout.ms;
}

const struct option_secret *settings_token(const struct settings *settings)
{
	size_t count = 0;
	const struct option_secret *secrets =
		settings->values != NULL ? option_secrets(settings->values, &count) : NULL;
	return count == 1 ? secrets : NULL;
}

/* One that cannot be read now is no mistake of the config's: http tries again. */
static void check_token(struct binding *b, const struct option_secret *secret)
{
	char *bytes;
	size_t size;
	struct err err;
	if (!option_secret_read(secret, b->lookup, &bytes, &size, &err))
		return;
	wipe_free(bytes, size);
	if (size < SETTINGS_TOKEN_MIN)
		config_error(
			b->errs, secret->place,
			"the token of `access` is shorter than %d bytes, and could be guessed: make one with "
			"`openssl rand -hex 16`",
			SETTINGS_TOKEN_MIN);
}

static void read_access(struct binding *b)
{
	struct settings *s = b->settings;
	struct access_options options = {0};
	const struct config_node *section = config_value(b->root, "access");
	if (section == NULL || section->kind == CONFIG_EMPTY)
		return;
	s->values = settings_bind(b, access_table, section, NULL, "access", &options);
	if (s->values == NULL)
		return;
	const struct option_secret *secret = settings_token(s);
	s->access = true;
	s->public_routes = settings_texts(&options.public, &s->public_count);
	if (secret == NULL) {
		config_error(b->errs, section, "access needs the option `token`");
		return;
	}
	if (secret->kind == OPTION_SECRET_STORE)
		config_error(b->errs, secret->place,
			     "the daemon's own token must be a text, {env: NAME} or {file: PATH}");
	else
		check_token(b, secret);
	if (secret->kind == OPTION_SECRET_FILE)
		s->token_file = x_strdup(secret->text);
}

/* ---- The whole ---- */

struct settings *settings_read(struct config *config, config_lookup *lookup, struct err_list *errs)
{
	struct settings *s = x_alloc(sizeof(*s));
	struct binding b = {.settings = s, .root = config->root, .lookup = lookup, .errs = errs};
	s->references = 1;
	s->config = *config;
	*config = (struct config){0};
	read_keys(&b);
	settings_read_listens(&b);
	settings_read_sections(&b);
	read_places(&b);
	read_service(&b);
	read_limits(&b);
	read_small(&b);
	read_access(&b);
	arena_free(&b.temporary);
	return s;
}

struct settings *settings_new(struct config *config, config_lookup *lookup, struct err_list *errs)
{
	size_t before = errs->count;
	struct settings *settings = settings_read(config, lookup, errs);
	if (errs->count == before)
		return settings;
	settings_free(settings);
	return NULL;
}

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

static void free_sections(struct settings_section *sections, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(sections[i].name);
		free(sections[i].plugin);
		free(sections[i].labels);
	}
	free(sections);
}

struct settings *settings_ref(struct settings *s)
{
	s->references++;
	return s;
}

void settings_free(struct settings *s)
{
	if (s == NULL || --s->references > 0)
		return;
	for (size_t i = 0; i < s->listen_count; i++)
		settings_listen_free(&s->listens[i]);
	free(s->listens);
	for (size_t i = 0; i < s->source_count; i++) {
		free(s->sources[i].key);
		free(s->sources[i].component);
	}
	free(s->sources);
	free_sections(s->plugins, s->plugin_count);
	free_sections(s->components, s->component_count);
	free_texts(s->plugin_paths, s->plugin_path_count);
	free_texts(s->server_names, s->server_name_count);
	free_texts(s->local_users, s->local_user_count);
	free(s->local_uids);
	free_texts(s->public_routes, s->public_count);
	free(s->service);
	free(s->title);
	free(s->service_version);
	free(s->environment);
	free(s->state_dir);
	free(s->user);
	free(s->token_file);
	option_values_free(s->values);
	config_free(&s->config);
	free(s);
}
