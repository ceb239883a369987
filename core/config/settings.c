/* SPDX-License-Identifier: Apache-2.0 */
/* The top level of the config: bound by tables into the structs of settings.h, as a plugin's options are into
 * its own, and compared by the same tables. Called by plan and daemon on the daemon's thread. */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "settings_private.h"

/* ---- Tables ---- */

static const char *const isolations[] = {"available", "strict", NULL}; /* as enum settings_isolation */
static const char *const reloads[] = {"manual", "watch", NULL};        /* as enum settings_reloads */
static const struct skymon_option places_table[] = {
	SKYMON_OPT(struct settings_places, isolation, "available",
		   "strict: workers that the kernel cannot confine do not run", .flags = SETTINGS_NOW,
		   .words = isolations),
	SKYMON_OPT(struct settings_places, reload, "manual",
		   "watch: a changed file of the config is taken over by itself", .flags = SETTINGS_NOW,
		   .words = reloads),
	SKYMON_OPT(struct settings_places, state_dir, NULL,
		   "folder for everything that skymon writes by itself", .flags = SETTINGS_RESTART),
	SKYMON_OPT(struct settings_places, user, NULL, "user that skymond becomes when it is started as root",
		   .flags = SETTINGS_RESTART),
	SKYMON_OPT(struct settings_places, plugin_path, NULL, "folders of plugins beside the installed one",
		   .flags = SETTINGS_NOW),
	SKYMON_OPT(struct settings_places, server_names, NULL, "names that clients may call us by",
		   .flags = SETTINGS_NOW),
	SKYMON_OPT(struct settings_places, local_users, NULL,
		   "users, by name or number, that count as local callers", .flags = SETTINGS_NOW),
	SKYMON_OPT(struct settings_places, aliases, NULL, "short paths of probes: healthz, livez, readyz",
		   .flags = SETTINGS_NOW),
	{0}};

static const struct skymon_option service_table[] = {
	SKYMON_OPT(struct settings_service, name, "api", "the label `service` of the service's metrics",
		   .flags = SKYMON_REQUIRED | SETTINGS_NOW),
	SKYMON_OPT(struct settings_service, title, "", "for people; left out: the name",
		   .flags = SETTINGS_NOW),
	SKYMON_OPT(struct settings_service, version, "", "the service's version", .flags = SETTINGS_NOW),
	SKYMON_OPT(struct settings_service, environment, "production", "where it runs",
		   .flags = SETTINGS_NOW),
	{0}};

#define GIB 1073741824.0
#define WORKER_MEMORY_MIN 16777216
static const struct skymon_option limits_table[] = {
	SKYMON_OPT(struct settings_limits, worker_memory, "256MiB", "memory of a worker; 0: no limit",
		   .flags = SETTINGS_NEW_WORKERS, .min = 0, .max = 1024 * GIB),
	SKYMON_OPT(struct settings_limits, request_body, "1MiB", "body of a request", .flags = SETTINGS_NOW,
		   .min = 1024, .max = GIB),
	SKYMON_OPT(struct settings_limits, connections, "2000", "open connections", .flags = SETTINGS_RESTART,
		   .min = 1, .max = 100000),
	SKYMON_OPT(struct settings_limits, connections_per_address, "1000", "open connections of one client",
		   .flags = SETTINGS_RESTART, .min = 1, .max = 100000),
	SKYMON_OPT(struct settings_limits, checks_at_once, "64", "checks of one plugin that run at once",
		   .flags = SETTINGS_NOW, .min = 1, .max = 10000),
	SKYMON_OPT(struct settings_limits, checks_per_address, "16",
		   "checks of one server, by its host and port, that run at once", .flags = SETTINGS_NOW,
		   .min = 1, .max = 10000),
	SKYMON_OPT(struct settings_limits, series, "10000", "series of metrics that a component may report",
		   .flags = SETTINGS_NEW_WORKERS, .min = 1, .max = 1000000),
	SKYMON_OPT(struct settings_limits, header_timeout, "10s", "time in which a request's head must come",
		   .flags = SETTINGS_NOW, .min = 100, .max = 600000),
	SKYMON_OPT(struct settings_limits, idle_timeout, "75s", "time that an idle connection is kept",
		   .flags = SETTINGS_RESTART, .min = 100, .max = 3600000),
	{0}};

static const char *const formats[] = {"logfmt", "json", NULL}; /* as enum log_format */
static const struct skymon_option log_table[] = {
	SKYMON_OPT(struct settings_log, level, "info", "the least that is logged", .flags = SETTINGS_NOW,
		   .words = log_level_words),
	SKYMON_OPT(struct settings_log, format, "logfmt", "how lines look", .flags = SETTINGS_NOW,
		   .words = formats),
	{0}};

static const char *const follows[] = {"components", "self", NULL}; /* as enum settings_follow */
static const struct skymon_option ready_table[] = {SKYMON_OPT(struct settings_ready, follow, "components",
							      "what /ready depends on", .flags = SETTINGS_NOW,
							      .words = follows),
						   {0}};

static const struct skymon_option shutdown_table[] = {
	SKYMON_OPT(struct settings_shutdown, drain, "0s",
		   "time in which /ready answers not ready before skymond stops", .flags = SETTINGS_NOW,
		   .min = 0, .max = 3600000),
	SKYMON_OPT(struct settings_shutdown, timeout, "10s", "time for open requests and workers to end",
		   .flags = SETTINGS_NOW, .min = 1, .max = 3600000),
	{0}};

static const struct skymon_option access_table[] = {
	SKYMON_OPT(struct settings_access, token, NULL, "the bearer token", .flags = SETTINGS_NOW),
	SKYMON_OPT(struct settings_access, public, NULL, "routes that need none", .flags = SETTINGS_NOW),
	{0}};

const struct settings_part_table settings_parts[SETTINGS_PARTS] = {
	[SETTINGS_PLACES] = {NULL, places_table, offsetof(struct settings, places)},
	[SETTINGS_SERVICE] = {"service", service_table, offsetof(struct settings, service)},
	[SETTINGS_LIMITS] = {"limits", limits_table, offsetof(struct settings, limits)},
	[SETTINGS_LOG] = {"log", log_table, offsetof(struct settings, log)},
	[SETTINGS_READY] = {"ready", ready_table, offsetof(struct settings, ready)},
	[SETTINGS_SHUTDOWN] = {"shutdown", shutdown_table, offsetof(struct settings, shutdown)},
	[SETTINGS_ACCESS] = {"access", access_table, offsetof(struct settings, access)},
};

/* Keys of the top level that have no table. */
static const char *const other_keys[] = {"listen",  "defaults",   "include",
					 "plugins", "components", "maintenance"};

/* ---- Help for all parts ---- */

/* An empty text, as after "${USER:-}", is like a key that is left out. */
static bool is_empty(const struct config_node *node)
{
	return node->kind == CONFIG_EMPTY || (node->kind == CONFIG_SCALAR && node->text[0] == '\0');
}

void settings_pick_more(struct arena *arena, struct config_node *map, const struct config_node *from,
			const char *const *keys)
{
	struct config_pair *pairs = arena_alloc(arena, (map->count + 16) * sizeof(*pairs));
	if (map->count > 0)
		memcpy(pairs, map->pairs, map->count * sizeof(*pairs));
	map->pairs = pairs;
	for (size_t added = 0; *keys != NULL && added < 16; keys++) {
		const struct config_pair *pair = config_find(from, *keys);
		if (pair == NULL || is_empty(pair->value) || config_find(map, *keys) != NULL)
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

static size_t table_names(const struct skymon_option *table, const char **names)
{
	size_t count = 0;
	for (; table[count].name != NULL; count++)
		names[count] = table[count].name;
	return count;
}

static void read_keys(struct binding *b)
{
	const char *known[64];
	size_t count = table_names(places_table, known);
	for (size_t i = 0; i < SETTINGS_PARTS; i++)
		if (settings_parts[i].key != NULL)
			known[count++] = settings_parts[i].key;
	for (size_t i = 0; i < sizeof(other_keys) / sizeof(other_keys[0]); i++)
		known[count++] = other_keys[i];
	for (size_t i = 0; i < b->root->count; i++) {
		const struct config_pair *pair = &b->root->pairs[i];
		size_t j = 0;
		while (j < count && strcmp(known[j], pair->key) != 0)
			j++;
		if (j == count && strncmp(pair->key, "x-", 2) != 0)
			config_unknown_key(b->errs, pair, "key", "", known, count);
	}
}

static bool read_part(struct binding *b, enum settings_part part, const struct config_node *section,
		      const char *const *also)
{
	const struct settings_part_table *of = &settings_parts[part];
	b->settings->values[part] =
		settings_bind(b, of->table, section, also, of->key != NULL ? of->key : "the top level",
			      (char *)b->settings + of->offset);
	return b->settings->values[part] != NULL;
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

/* As if it were in the file, when it is not there: what is printed and compared is the folder in use. */
static const struct config_pair *default_state_dir(struct binding *b)
{
	const char *given = b->lookup != NULL ? b->lookup("STATE_DIRECTORY") : NULL;
	/* systemd joins several by colons */
	char *folder = given != NULL && given[0] != '\0'
			       ? arena_text_size(&b->temporary, given, strcspn(given, ":"))
			       : arena_text(&b->temporary, SKYMON_STATEDIR);
	struct config_node *value = arena_alloc(&b->temporary, sizeof(*value));
	struct config_pair *pair = arena_alloc(&b->temporary, sizeof(*pair));
	*value = (struct config_node){.kind = CONFIG_SCALAR, .text = folder};
	*pair = (struct config_pair){.key = "state_dir", .value = value};
	return writable(folder) ? pair : NULL;
}

static uid_t read_user(struct binding *b, const char *key, const char *user)
{
	struct err err;
	uid_t uid = 0;
	if (!passwd_uid(user, &uid, &err))
		config_error(b->errs, config_value(b->root, key), "%s: %s", key, err.text);
	return uid;
}

static void read_places(struct binding *b)
{
	struct settings *s = b->settings;
	const char *names[sizeof(places_table) / sizeof(places_table[0])] = {NULL};
	table_names(places_table, names);
	struct config_node *picked = settings_pick(&b->temporary, b->root, names);
	const struct config_pair *state_dir = default_state_dir(b);
	if (state_dir != NULL) {
		const struct config_node standard = {.kind = CONFIG_MAP, .count = 1, .pairs = state_dir};
		settings_pick_more(&b->temporary, picked, &standard, names);
	}
	s->places.state_dir = "";
	(void)read_part(b, SETTINGS_PLACES, picked, NULL);
	const struct skymon_texts *folders = &s->places.plugin_path, *users = &s->places.local_users;
	if (s->places.user != NULL)
		s->uid = read_user(b, "user", s->places.user);
	s->local_uids = x_alloc((users->count + 1) * sizeof(uid_t));
	for (size_t i = 0; i < users->count; i++)
		s->local_uids[i] = read_user(b, "local_users", users->items[i]);
	s->plugin_folders = x_alloc((folders->count + 1) * sizeof(*s->plugin_folders));
	for (size_t i = 0; i < folders->count; i++)
		s->plugin_folders[s->plugin_folder_count++] = folders->items[i];
	s->plugin_folders[s->plugin_folder_count++] = SKYMON_PLUGINDIR;
}

static void read_service(struct binding *b)
{
	static const char *const also[] = {"metrics", NULL};
	struct settings_service *service = &b->settings->service;
	const struct config_node *section = config_value(b->root, "service");
	*service = (struct settings_service){.name = "", .title = "", .version = "", .environment = ""};
	(void)read_part(b, SETTINGS_SERVICE, section, also);
	if (service->title[0] == '\0')
		service->title = service->name;
	settings_read_sources(b, config_value(section, "metrics"));
}

static void read_limits(struct binding *b)
{
	int64_t *worker_memory = &b->settings->limits.worker_memory.count;
	const struct config_node *section = config_value(b->root, "limits");
	if (!read_part(b, SETTINGS_LIMITS, section, NULL) || *worker_memory == 0 ||
	    *worker_memory >= WORKER_MEMORY_MIN)
		return;
	config_error(b->errs, config_value(section, "worker_memory"),
		     "option `worker_memory` of limits must be 0 (no limit) or at least 16MiB");
	/* plugins are opened all the same, so that their mistakes are found too: not with a limit that kills
	 * them */
	*worker_memory = WORKER_MEMORY_MIN;
}

const struct option_secret *settings_token(const struct settings *settings)
{
	size_t count = 0;
	const struct option_values *values = settings->values[SETTINGS_ACCESS];
	const struct option_secret *secrets = values != NULL ? option_secrets(values, &count) : NULL;
	return count == 1 && secrets->kind != OPTION_SECRET_NONE ? secrets : NULL;
}

/* A token that cannot be read now is not an error of the config: http tries again. */
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
	const struct config_node *section = config_value(b->root, "access");
	static const char *const also[] = {"users", NULL};
	if (section == NULL || section->kind == CONFIG_EMPTY || !read_part(b, SETTINGS_ACCESS, section, also))
		return;
	const struct option_secret *secret = settings_token(b->settings);
	const struct config_node *users = config_value(section, "users");
	settings_read_users(b, users);
	if (secret == NULL && (users == NULL || users->kind == CONFIG_EMPTY || users->count == 0))
		config_error(b->errs, section, "access needs the option `token` or `users`");
	else if (secret == NULL)
		return;
	else if (secret->kind == OPTION_SECRET_STORE)
		config_error(b->errs, secret->place,
			     "the daemon's own token must be a text, {env: NAME} or {file: PATH}");
	else
		check_token(b, secret);
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
	settings_check_depends(&b);
	settings_read_maintenance(&b);
	read_places(&b);
	read_service(&b);
	read_limits(&b);
	(void)read_part(&b, SETTINGS_LOG, config_value(b.root, "log"), NULL);
	(void)read_part(&b, SETTINGS_READY, config_value(b.root, "ready"), NULL);
	(void)read_part(&b, SETTINGS_SHUTDOWN, config_value(b.root, "shutdown"), NULL);
	read_access(&b);
	arena_free(&b.temporary);
	return s;
}

struct settings *settings_new(struct config *config, config_lookup *lookup, struct err_list *errs)
{
	size_t before = errs->met;
	struct settings *settings = settings_read(config, lookup, errs);
	if (errs->met == before)
		return settings;
	settings_free(settings);
	return NULL;
}

/* ---- Compared ---- */

void settings_compare_values(const char *prefix, const struct skymon_option *table,
			     const struct option_values *old, const struct option_values *new,
			     settings_change *found, void *arg)
{
	for (const struct skymon_option *option = table; option->name != NULL; option++) {
		if ((option->flags & SETTINGS_NOW) != 0 || option_values_same(old, new, option->name))
			continue;
		char *key = x_printf("%s%s", prefix, option->name);
		found(arg, key,
		      (option->flags & SETTINGS_RESTART) != 0 ? SETTINGS_RESTART : SETTINGS_NEW_WORKERS);
		free(key);
	}
}

void settings_compare(const struct settings *old, const struct settings *new, settings_change *found,
		      void *arg)
{
	for (size_t i = 0; i < SETTINGS_PARTS; i++) {
		const struct settings_part_table *part = &settings_parts[i];
		char *prefix = part->key != NULL ? x_printf("%s.", part->key) : x_strdup("");
		settings_compare_values(prefix, part->table, old->values[i], new->values[i], found, arg);
		free(prefix);
	}
	settings_compare_listens(old, new, found, arg);
}

/* ---- JSON Schema ---- */

void settings_schema_members(struct buf *out)
{
	for (size_t i = 0; i < SETTINGS_PARTS; i++) {
		const struct settings_part_table *part = &settings_parts[i];
		if (part->key == NULL) {
			option_schema_members(part->table, out);
			continue;
		}
		schema_member(part->key, out);
		option_schema_begin(part->table, out);
		if (i == SETTINGS_SERVICE)
			settings_sources_schema(out);
		if (i == SETTINGS_ACCESS)
			settings_users_schema(out);
		option_schema_end(part->table, out);
		if (i == SETTINGS_ACCESS)
			settings_access_schema_end(out);
		buf_text(out, "}");
	}
	buf_text(
		out,
		",\n\"listen\": {\"anyOf\": [{\"$ref\": \"#/$defs/listen\"},\n{\"type\": \"array\", \"items\": "
		"{\"$ref\": \"#/$defs/listen\"}}], \"description\": \"where to listen\", \"default\": \":8080\"}");
	buf_text(
		out,
		",\n\"include\": {\"$ref\": \"#/$defs/texts\", \"description\": \"files, or patterns of files, "
		"that hold more components and plugins\"}");
	settings_maintenance_schema(out);
}

/* ---- The end ---- */

static void free_sections(struct settings_section *sections, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(sections[i].labels);
		free(sections[i].group);
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
		settings_listen_free(s->listens[i]);
	free(s->listens);
	free_sections(s->plugins, s->plugin_count);
	free_sections(s->components, s->component_count);
	for (size_t i = 0; i < SETTINGS_PARTS; i++)
		option_values_free(s->values[i]);
	settings_free_maintenance(s);
	for (size_t i = 0; i < s->user_count; i++)
		option_values_free(s->users[i].values);
	free(s->users);
	free(s->plugin_folders);
	free(s->local_uids);
	config_free(&s->config);
	free(s);
}
