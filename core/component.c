#include "component.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: only to see that a secret has changed, within one process; it is never shown. */
static uint64_t hash(uint64_t state, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;
	for (size_t i = 0; i < size; i++)
		state = (state ^ at[i]) * 1099511628211u;
	return (state ^ size) * 1099511628211u;
}

/* ---- Thresholds ---- */

static const struct skymon_number response_time = {"response_time", "s", "How long the check took"};

static const struct skymon_number *find_number(const struct plugin_info *info, const char *name)
{
	if (strcmp(name, response_time.name) == 0)
		return &response_time;
	for (size_t i = 0; i < info->number_count; i++)
		if (strcmp(info->numbers[i].name, name) == 0)
			return &info->numbers[i];
	return NULL;
}

static void refuse_number(const struct config_pair *pair, const struct plugin_info *info,
			  struct err_list *errs)
{
	const char **names = x_alloc((info->number_count + 1) * sizeof(*names));
	for (size_t i = 0; i < info->number_count; i++)
		names[i] = info->numbers[i].name;
	names[info->number_count] = response_time.name;
	const char *nearest = config_nearest(pair->key, names, info->number_count + 1);
	if (nearest != NULL)
		config_error_key(errs, pair, "plugin %s reports no number `%s` (did you mean `%s`?)",
				 info->name, pair->key, nearest);
	else
		config_error_key(
			errs, pair,
			"plugin %s reports no number `%s`: `skymon plugins %s` lists those that it does",
			info->name, pair->key, info->name);
	free(names);
}

static void bind_limit(struct component_spec *spec, const struct config_pair *pair, bool critical,
		       const struct plugin_info *info, struct err_list *errs)
{
	const struct skymon_number *number = find_number(info, pair->key);
	if (number == NULL) {
		refuse_number(pair, info, errs);
		return;
	}
	if (pair->value->kind != CONFIG_SCALAR) {
		config_error(errs, pair->value,
			     "a limit of `%s` is one value, such as 200ms, \"<10%%\" or 1..5", pair->key);
		return;
	}
	struct verdict_limit limit = {.critical = critical};
	struct err err;
	if (!verdict_limit_parse(pair->value->text, number->unit, &limit, &err)) {
		config_error(errs, pair->value, "limit of `%s`: %s", pair->key, err.text);
		return;
	}
	limit.name = x_strdup(number->name);
	limit.unit = x_strdup(number->unit);
	limit.text = x_strdup(pair->value->text);
	spec->limits = x_realloc(spec->limits, (spec->limit_count + 1) * sizeof(*spec->limits));
	spec->limits[spec->limit_count++] = limit;
}

static void bind_limits(struct component_spec *spec, const struct config_node *map, bool critical,
			const struct plugin_info *info, struct err_list *errs)
{
	for (size_t i = 0; map != NULL && map->kind == CONFIG_MAP && i < map->count; i++)
		bind_limit(spec, &map->pairs[i], critical, info, errs);
}

/* ---- Secrets ---- */

static bool read_secrets(const struct option_values *values, config_lookup *lookup,
			 struct option_bytes *bytes, struct err *err)
{
	size_t count;
	const struct option_secret *secrets = option_secrets(values, &count);
	for (size_t i = 0; i < count; i++) {
		char *text = NULL;
		size_t size = 0;
		if (secrets[i].kind == OPTION_SECRET_NONE)
			continue;
		if (!option_secret_read(&secrets[i], lookup, &text, &size, err))
			return err_prefix(err, "option `%s`: ", secrets[i].option);
		bytes[i] = (struct option_bytes){text, size};
	}
	return true;
}

static void wipe_secrets(struct option_bytes *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i].bytes == NULL)
			continue;
		explicit_bzero((char *)bytes[i].bytes, bytes[i].size);
		free((char *)bytes[i].bytes);
	}
	free(bytes);
}

static bool hash_secrets(const struct option_values *values, config_lookup *lookup, uint64_t *out,
			 struct err *err)
{
	size_t count;
	option_secrets(values, &count);
	struct option_bytes *bytes = x_alloc((count + 1) * sizeof(*bytes));
	bool done = read_secrets(values, lookup, bytes, err);
	*out = 14695981039346656037u;
	for (size_t i = 0; i < count && done; i++)
		*out = hash(*out, bytes[i].bytes, bytes[i].size);
	wipe_secrets(bytes, count);
	return done;
}

bool component_secrets_changed(struct component_spec *spec, config_lookup *lookup)
{
	uint64_t before = spec->secrets_hash, now;
	if (!hash_secrets(spec->values, lookup, &now, NULL))
		return false;
	spec->secrets_hash = now;
	return now != before;
}

static void judge_secrets(struct component_spec *spec, const struct settings_section *section,
			  config_lookup *lookup, struct err_list *errs)
{
	size_t count;
	const struct option_secret *secrets = option_secrets(spec->values, &count);
	for (size_t i = 0; i < count; i++) {
		if (secrets[i].kind != OPTION_SECRET_STORE)
			continue;
		config_error(
			errs, secrets[i].place != NULL ? secrets[i].place : section->node,
			"option `%s` asks `%s` for a secret, but no component of that name keeps secrets",
			secrets[i].option, secrets[i].store);
		return;
	}
	if (option_not_configured(spec->values) != NULL)
		return; /* its secrets are not read */
	struct err err;
	if (!hash_secrets(spec->values, lookup, &spec->secrets_hash, &err))
		config_error_key(errs, section->place, "component %s: %s", spec->name, err.text);
}

/* ---- The spec ---- */

static struct component_spec *copy_section(const struct settings_section *section,
					   const struct plugin_info *info)
{
	struct component_spec *spec = x_alloc(sizeof(*spec));
	spec->name = x_strdup(section->name);
	spec->plugin = x_strdup(section->plugin);
	spec->labels = x_strdup(section->labels != NULL ? section->labels : "");
	int64_t interval_ms = info->interval_ms > 0 ? info->interval_ms : 30000;
	int64_t timeout_ms = info->timeout_ms > 0 ? info->timeout_ms : 5000;
	spec->interval_ms = section->interval_ms > 0 ? section->interval_ms : interval_ms;
	spec->timeout_ms = section->timeout_ms > 0 ? section->timeout_ms : timeout_ms;
	spec->impact = section->impact;
	spec->unknown_is_unhealthy = section->unknown_is_unhealthy;
	spec->isolation_own = section->isolation_own;
	spec->rise = section->rise;
	spec->fall = section->fall;
	return spec;
}

struct component_spec *component_bind(const struct settings *settings, const struct settings_section *section,
				      const struct plugin_info *info, config_lookup *lookup,
				      struct err_list *errs)
{
	size_t errors = errs->count;
	char what[128];
	snprintf(what, sizeof(what), "component %s", section->name);
	if (!info->has_check) {
		config_error_key(errs, section->place,
				 "plugin %s has no check, so it cannot be a component's; it goes "
				 "under `plugins`",
				 info->name);
		return NULL;
	}
	struct component_spec *spec = copy_section(section, info);
	spec->values = option_bind(
		&(struct option_binding){
			.table = info->options,
			.section = section->node,
			.defaults = config_value(settings->defaults, section->plugin),
			.also = settings_component_keys,
			.what = what,
			.lookup = lookup,
		},
		errs);
	bind_limits(spec, section->warn, false, info, errs);
	bind_limits(spec, section->crit, true, info, errs);
	if (spec->values != NULL)
		judge_secrets(spec, section, lookup, errs);
	if (errs->count == errors)
		return spec;
	component_spec_free(spec);
	return NULL;
}

void component_spec_free(struct component_spec *spec)
{
	if (spec == NULL)
		return;
	for (size_t i = 0; i < spec->limit_count; i++) {
		free(spec->limits[i].name);
		free(spec->limits[i].unit);
		free(spec->limits[i].text);
	}
	free(spec->limits);
	if (spec->values != NULL)
		option_values_free(spec->values);
	free(spec->name);
	free(spec->plugin);
	free(spec->labels);
	free(spec);
}

bool component_same_options(const struct component_spec *a, const struct component_spec *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->plugin, b->plugin) == 0 &&
	       strcmp(a->labels, b->labels) == 0 && a->isolation_own == b->isolation_own &&
	       a->secrets_hash == b->secrets_hash && option_values_equal(a->values, b->values);
}

struct board_traits component_traits(const struct component_spec *spec)
{
	return (struct board_traits){
		.name = spec->name,
		.plugin = spec->plugin,
		.labels = spec->labels,
		.impact = spec->impact,
		.unknown_is_unhealthy = spec->unknown_is_unhealthy,
		.rise = spec->rise,
		.fall = spec->fall,
		.interval_ms = spec->interval_ms,
		.timeout_ms = spec->timeout_ms,
		.not_configured = option_not_configured(spec->values),
	};
}

bool component_encode(const struct component_spec *spec, const char *state_dir, config_lookup *lookup,
		      struct buf *body, struct err *err)
{
	size_t count;
	option_secrets(spec->values, &count);
	struct option_bytes *bytes = x_alloc((count + 1) * sizeof(*bytes));
	bool done = read_secrets(spec->values, lookup, bytes, err);
	if (done) {
		wire_put_text(body, spec->name);
		wire_put_text(body, state_dir);
		wire_put_u32(body, (uint32_t)spec->interval_ms);
		wire_put_text(body, spec->labels);
		option_values_encode(spec->values, bytes, body);
	}
	wipe_secrets(bytes, count);
	return done;
}

void component_wipe(struct buf *body)
{
	if (body->data != NULL)
		explicit_bzero(body->data, body->capacity);
	buf_free(body);
}

static void print_limits(const struct component_spec *spec, bool critical, struct buf *out)
{
	bool first = true;
	for (size_t i = 0; i < spec->limit_count; i++) {
		if (spec->limits[i].critical != critical)
			continue;
		buf_printf(out, "%s%s: \"%s\"", first ? critical ? "    crit: {" : "    warn: {" : ", ",
			   spec->limits[i].name, spec->limits[i].text);
		first = false;
	}
	if (!first)
		buf_text(out, "}\n");
}

void component_print(const struct component_spec *spec, struct buf *out)
{
	static const char *const impacts[] = {"unhealthy", "degraded", "none"};
	buf_printf(out, "  %s:\n    plugin: %s\n    interval: %lldms\n    timeout: %lldms\n", spec->name,
		   spec->plugin, (long long)spec->interval_ms, (long long)spec->timeout_ms);
	buf_printf(out, "    impact: %s\n    unknown_is: %s\n    rise: %u\n    fall: %u\n    isolation: %s\n",
		   impacts[spec->impact], spec->unknown_is_unhealthy ? "unhealthy" : "degraded", spec->rise,
		   spec->fall, spec->isolation_own ? "own" : "shared");
	print_limits(spec, false, out);
	print_limits(spec, true, out);
	option_values_print(spec->values, 4, out);
}
