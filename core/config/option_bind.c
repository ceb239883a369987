/* SPDX-License-Identifier: Apache-2.0 */
/* Binds a section of the config to its table, and reports every mistake at its place. Called by settings,
 * plan and component on the daemon's thread; the values that it returns own their texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "base/nearest.h"
#include "option_private.h"

struct binder {
	struct option_values *values;
	struct err_list *errs;
	config_lookup *lookup;
	struct config *trees; /* of fallbacks that are YAML; alive while we bind */
	size_t tree_count, tree_room;
};

struct spot { /* the option that is being bound, for messages */
	const struct skymon_option *option;
	const char *what;   /* "component orders" */
	const char *dotted; /* "tls.ca_file" */
	const struct config_node *place;
};

static bool bind_row(struct binder *b, const struct option_binding *binding, const struct spot *outer,
		     struct row *row);

/* ---- Messages ---- */

static const char *expected(int32_t type)
{
	static const char *const texts[] = {
		[SKYMON_TEXT] = "a text",
		[SKYMON_BOOLEAN] = "true or false",
		[SKYMON_INTEGER] = "a whole number",
		[SKYMON_REAL] = "a number",
		[SKYMON_DURATION] = "a duration such as 30s",
		[SKYMON_BYTES] = "a size such as 64KiB",
		[SKYMON_RATIO] = "a ratio such as 80%",
		[SKYMON_CHOICE] = "one word",
		[SKYMON_SECRET] =
			"a secret: a text, {env: NAME}, {file: PATH} or {COMPONENT: \"path#field\"}",
		[SKYMON_TEXTS] = "a list of texts",
		[SKYMON_MAP] = "a map of texts",
		[SKYMON_LIST] = "a list of maps",
		[SKYMON_TLS] = "a map of ca_file, cert_file, key_file, server_name, insecure",
	};
	return texts[type];
}

static bool wrong(struct binder *b, const struct spot *spot, const char *format, ...) PRINTF(3);
static bool wrong(struct binder *b, const struct spot *spot, const char *format, ...)
{
	struct err err;
	va_list list;
	va_start(list, format);
	vsnprintf(err.text, sizeof(err.text), format, list);
	va_end(list);
	config_error(b->errs, spot->place, "option `%s` of %s %s", spot->dotted, spot->what, err.text);
	return false;
}

static const char *kind_word(const struct config_node *node)
{
	switch (node->kind) {
	case CONFIG_EMPTY:
		return "nothing";
	case CONFIG_LIST:
		return "a list";
	case CONFIG_MAP:
		return "a map";
	case CONFIG_SCALAR:
		break;
	}
	return "a text";
}

static bool wrong_kind(struct binder *b, const struct spot *spot, const struct config_node *node)
{
	return wrong(b, spot, "must be %s, not %s", expected(spot->option->type), kind_word(node));
}

/* Returns a scalar's text, or NULL after reporting that the node has another kind. */
static const char *scalar(struct binder *b, const struct spot *spot, const struct config_node *node)
{
	if (node->kind == CONFIG_SCALAR)
		return node->text;
	wrong_kind(b, spot, node);
	return NULL;
}

/* ---- Numbers ---- */

static bool in_range(struct binder *b, const struct spot *spot, double number, const char *text)
{
	const struct skymon_option *option = spot->option;
	char range[160];
	option_range_text(option, range, sizeof(range));
	if (range[0] == '\0' || (number >= option->min && (option_min_only(option) || number <= option->max)))
		return true;
	return wrong(b, spot, "must be %s, not %.60s", range, text);
}

static bool bind_integer(struct binder *b, const struct spot *spot, const char *text, int64_t *value)
{
	size_t sign = *text == '-' || *text == '+', digits = strspn(text + sign, "0123456789");
	double number = 0;
	if (digits == 0 || text[sign + digits] != '\0')
		return wrong(b, spot, "must be a whole number, not `%.60s`", text);
	if (digits > 18 || !option_number(text, &number))
		return wrong(b, spot, "is too large: `%.60s`", text);
	*value = strtoll(text, NULL, 10);
	return in_range(b, spot, (double)*value, text);
}

static bool bind_quantity(struct binder *b, const struct spot *spot, const char *text, struct value *value)
{
	struct err err = {0};
	bool ok = true;
	double number = 0;
	if (value->type == SKYMON_DURATION)
		ok = option_parse_duration(text, &value->integer, &err);
	else if (value->type == SKYMON_BYTES)
		ok = option_parse_bytes(text, &value->integer, &err);
	else if (value->type == SKYMON_RATIO)
		ok = option_parse_ratio(text, &value->real, &err);
	else if (!option_number(text, &value->real))
		ok = err_set(&err, "`%.60s` is not a number", text);
	if (!ok)
		return wrong(b, spot, "is wrong: %s", err.text);
	number = value->type == SKYMON_DURATION || value->type == SKYMON_BYTES ? (double)value->integer
									       : value->real;
	return in_range(b, spot, number, text);
}

/* ---- Words ---- */

static bool bind_boolean(struct binder *b, const struct spot *spot, const struct config_node *node,
			 bool *value)
{
	static const char *const yes[] = {"yes", "on", "True", "TRUE", "1", "y", "Yes", "On"};
	static const char *const no[] = {"no", "off", "False", "FALSE", "0", "n", "No", "Off"};
	const char *text = scalar(b, spot, node);
	if (text == NULL)
		return false;
	*value = strcmp(text, "true") == 0;
	bool plain = *value || strcmp(text, "false") == 0;
	/* in quotes because of its ${…}: flow maps need them */
	if (plain && (!node->quoted || node->variable != NULL))
		return true;
	if (plain)
		return wrong(b, spot, "must be true or false without quotes");
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0)
			return wrong(b, spot, "must be true or false, not `%s`: write %s", text,
				     strcmp(text, yes[i]) == 0 ? "true" : "false");
	return wrong(b, spot, "must be true or false, not `%.60s`", text);
}

static bool bind_choice(struct binder *b, const struct spot *spot, const char *text, struct value *value)
{
	const char *const *words = spot->option->words;
	struct buf all = {0};
	size_t count = 0;
	for (; words != NULL && words[count] != NULL; count++)
		if (strcmp(words[count], text) == 0) {
			value->choice.index = (int32_t)count;
			value->choice.word = arena_text(&b->values->arena, text);
			buf_free(&all);
			return true;
		} else {
			buf_printf(&all, "%s%s",
				   count == 0                 ? ""
				   : words[count + 1] == NULL ? " or "
							      : ", ",
				   words[count]);
		}
	const char *near = nearest_word(text, words, count);
	wrong(b, spot, "must be %.300s, not `%.60s`%s%s%s", all.data != NULL ? all.data : "a word", text,
	      near != NULL ? " (did you mean `" : "", near != NULL ? near : "", near != NULL ? "`?)" : "");
	buf_free(&all);
	return false;
}

/* ---- Secrets ---- */

static bool bind_reference(struct binder *b, const struct spot *spot, const struct config_node *node,
			   struct option_secret *secret)
{
	if (node->count != 1)
		return wrong(b, spot,
			     "must have exactly one key: env, file, or the name of a component that keeps "
			     "secrets");
	const struct config_pair *pair = &node->pairs[0];
	if (pair->value->kind != CONFIG_SCALAR || pair->value->text[0] == '\0')
		return wrong(b, spot, "needs a text after `%.63s:`", pair->key);
	secret->text = arena_text(&b->values->arena, pair->value->text);
	if (strcmp(pair->key, "env") == 0) {
		secret->kind = OPTION_SECRET_ENV;
		return strpbrk(secret->text, "=${} ") == NULL ||
		       wrong(b, spot, "needs the name of a variable after `env:`");
	}
	secret->kind = OPTION_SECRET_FILE;
	if (strcmp(pair->key, "file") == 0)
		return true;
	if (!name_is_component(pair->key))
		return wrong(b, spot,
			     "has the key `%.63s`: it must be env, file, or the name of a component that "
			     "keeps secrets",
			     pair->key);
	secret->kind = OPTION_SECRET_STORE;
	secret->store = arena_text(&b->values->arena, pair->key);
	const char *mark = strchr(secret->text, '#');
	return (mark != NULL && mark != secret->text && mark[1] != '\0') ||
	       wrong(b, spot, "needs \"path#field\" after `%.63s:`", pair->key);
}

/* *given: false for an empty text, which is like left out. */
static bool bind_secret(struct binder *b, const struct spot *spot, const struct config_node *node,
			struct value *value, bool *given)
{
	struct option_values *values = b->values;
	struct option_secret secret = {.kind = OPTION_SECRET_LITERAL,
				       .place = node->file != NULL ? node : NULL};
	if (node->kind == CONFIG_MAP) {
		if (!bind_reference(b, spot, node, &secret))
			return false;
	} else if (node->kind == CONFIG_SCALAR) {
		secret.text = arena_text(&values->arena, node->text);
		*given = node->text[0] != '\0';
		if (!*given)
			return true;
	} else {
		return wrong_kind(b, spot, node);
	}
	secret.option = arena_text(&values->arena, spot->dotted);
	values->secrets = x_grow(values->secrets, &values->secret_room, values->secret_count + 1,
				 sizeof(*values->secrets));
	value->secret.index = values->secret_count;
	values->secrets[values->secret_count++] = secret;
	return true;
}

/* ---- Lists and maps ---- */

static bool bind_texts(struct binder *b, const struct spot *spot, const struct config_node *node,
		       struct skymon_texts *texts)
{
	const struct config_node *const *from = node->items;
	size_t count = node->count;
	if (node->kind == CONFIG_SCALAR) {
		from = &node;
		count = node->text[0] != '\0';
	} else if (node->kind != CONFIG_LIST) {
		return wrong_kind(b, spot, node);
	}
	if (count > OPTION_ITEMS_MAX)
		return wrong(b, spot, "has more than %u entries", OPTION_ITEMS_MAX);
	const char **items = arena_alloc(&b->values->arena, count * sizeof(*items));
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		struct spot at = *spot;
		at.place = from[i]->file != NULL ? from[i] : spot->place;
		if (from[i]->kind == CONFIG_SCALAR)
			items[i] = arena_text(&b->values->arena, from[i]->text);
		else
			ok = wrong(b, &at, "must be a list of texts: entry %zu is %s", i + 1,
				   kind_word(from[i]));
	}
	*texts = (struct skymon_texts){.items = items, .count = count};
	return ok;
}

static bool bind_map(struct binder *b, const struct spot *spot, const struct config_node *node,
		     struct skymon_map *map)
{
	if (node->kind != CONFIG_MAP)
		return wrong_kind(b, spot, node);
	if (node->count > OPTION_ITEMS_MAX)
		return wrong(b, spot, "has more than %u entries", OPTION_ITEMS_MAX);
	struct skymon_label *items = arena_alloc(&b->values->arena, node->count * sizeof(*items));
	bool ok = true;
	for (size_t i = 0; i < node->count; i++) {
		const struct config_node *text = node->pairs[i].value;
		struct spot at = *spot;
		at.place = text->file != NULL ? text : spot->place;
		if (text->kind == CONFIG_LIST || text->kind == CONFIG_MAP)
			ok = wrong(b, &at, "must be a map of texts: `%.63s` is %s", node->pairs[i].key,
				   kind_word(text));
		items[i].name = arena_text(&b->values->arena, node->pairs[i].key);
		items[i].value = arena_text(&b->values->arena, text->kind == CONFIG_SCALAR ? text->text : "");
	}
	*map = (struct skymon_map){.items = items, .count = node->count};
	return ok;
}

static bool bind_item(struct binder *b, const struct spot *spot, const struct config_node *node,
		      const char *dotted, struct row *row)
{
	size_t size = 0;
	struct spot at = *spot;
	at.place = node->file != NULL ? node : spot->place;
	at.dotted = dotted;
	if (node->kind != CONFIG_MAP && node->kind != CONFIG_EMPTY)
		return wrong(b, &at, "must be a map, not %s", kind_word(node));
	char *what = x_printf("`%s` of %s", dotted, spot->what);
	struct option_binding binding = {
		.table = option_items(spot->option, &size), .section = node, .what = what};
	bool ok = bind_row(b, &binding, &at, row);
	free(what);
	return ok;
}

static bool bind_list(struct binder *b, const struct spot *spot, const struct config_node *node,
		      struct value *value)
{
	bool tls = value->type == SKYMON_TLS, ok = true;
	if (node->kind != (tls ? CONFIG_MAP : CONFIG_LIST))
		return wrong_kind(b, spot, node);
	size_t count = tls ? 1 : node->count;
	if (count > OPTION_ITEMS_MAX)
		return wrong(b, spot, "has more than %u entries", OPTION_ITEMS_MAX);
	value->list.rows = arena_alloc(&b->values->arena, count * sizeof(struct row));
	value->list.count = count;
	for (size_t i = 0; i < count; i++) {
		char *dotted = tls ? x_strdup(spot->dotted) : x_printf("%s[%zu]", spot->dotted, i + 1);
		ok &= bind_item(b, spot, tls ? node : node->items[i], dotted, &value->list.rows[i]);
		free(dotted);
	}
	return ok;
}

/* ---- One option ---- */

static bool bind_node(struct binder *b, const struct spot *spot, const struct config_node *node,
		      struct value *value, bool *given)
{
	const char *text = NULL;
	*given = true;
	switch ((enum skymon_type)value->type) {
	case SKYMON_TEXT:
		text = scalar(b, spot, node);
		value->text = arena_text(&b->values->arena, text);
		return text != NULL;
	case SKYMON_BOOLEAN:
		return bind_boolean(b, spot, node, &value->boolean);
	case SKYMON_INTEGER:
		text = scalar(b, spot, node);
		return text != NULL && bind_integer(b, spot, text, &value->integer);
	case SKYMON_REAL:
	case SKYMON_DURATION:
	case SKYMON_BYTES:
	case SKYMON_RATIO:
		text = scalar(b, spot, node);
		return text != NULL && bind_quantity(b, spot, text, value);
	case SKYMON_CHOICE:
		text = scalar(b, spot, node);
		return text != NULL && bind_choice(b, spot, text, value);
	case SKYMON_SECRET:
		return bind_secret(b, spot, node, value, given);
	case SKYMON_TEXTS:
		return bind_texts(b, spot, node, &value->texts);
	case SKYMON_MAP:
		return bind_map(b, spot, node, &value->map);
	case SKYMON_LIST:
	case SKYMON_TLS:
		return bind_list(b, spot, node, value);
	}
	return wrong(b, spot, "has no type");
}

/* Returns the declared default as a node, as if it were in the file. NULL if it is wrong, which was reported.
 */
static const struct config_node *fallback_node(struct binder *b, const struct spot *spot,
					       struct config_node *plain)
{
	const char *fallback = spot->option->fallback;
	char *text = NULL, *variable = NULL;
	struct err err;
	if (fallback[0] == '{' || fallback[0] == '[') {
		struct err_list errs = {0};
		struct buf yaml = {0};
		buf_printf(&yaml, "value: %s\n", fallback);
		b->trees = x_grow(b->trees, &b->tree_room, b->tree_count + 1, sizeof(*b->trees));
		struct config *tree = &b->trees[b->tree_count++];
		if (!config_parse(NULL, yaml.data, yaml.size, b->lookup, tree, &errs))
			wrong(b, spot, "has a default that is wrong: %.300s", errs.texts[0]);
		const struct config_node *node = errs.count == 0 ? config_value(tree->root, "value") : NULL;
		err_list_free(&errs);
		buf_free(&yaml);
		return node;
	}
	if (!config_expand(fallback, b->lookup, &text, &variable, &err)) {
		wrong(b, spot, "has a default that is wrong: %s", err.text);
		return NULL;
	}
	*plain = (struct config_node){.kind = CONFIG_SCALAR,
				      .text = arena_text(&b->values->arena, text),
				      .variable = arena_text(&b->values->arena, variable)};
	wipe_free(text, strlen(text));
	free(variable);
	return plain;
}

static bool empty_text(const struct config_node *node)
{
	return node->kind == CONFIG_SCALAR && node->text[0] == '\0';
}

/* Returns the section's value, else the default section's; NULL if both leave the option out. */
static const struct config_node *given_node(const struct option_binding *binding, const char *name)
{
	const struct config_node *node = config_value(binding->section, name);
	if (node == NULL || node->kind == CONFIG_EMPTY)
		node = config_value(binding->defaults, name);
	return node != NULL && node->kind != CONFIG_EMPTY ? node : NULL;
}

static void not_configured(struct binder *b, const struct spot *spot, const struct config_node *node)
{
	struct arena *arena = &b->values->arena;
	const char *variable = node != NULL ? node->variable : NULL;
	b->values->empty_target = arena_text(arena, spot->dotted);
	b->values->not_configured =
		variable != NULL ? arena_printf(arena, "set %s, or the option `%s`", variable, spot->dotted)
				 : arena_printf(arena, "set the option `%s`", spot->dotted);
}

/* Sets *given if the option has a value. */
static bool bind_option(struct binder *b, const struct option_binding *binding, struct spot *spot,
			struct value *value, bool *given)
{
	const struct skymon_option *option = spot->option;
	struct config_node plain;
	const struct config_node *node = given_node(binding, option->name);
	bool target = (option->flags & SKYMON_TARGET) != 0, list = option->type == SKYMON_TEXTS;
	*given = false;
	/* an empty text for a number, say, as after "${PORT:-}", is like left out; for a text or the target
	 * it counts */
	bool takes_empty = target || option->type == SKYMON_TEXT || list || option->type == SKYMON_SECRET;
	if (node != NULL && empty_text(node) && !takes_empty)
		node = NULL;
	if (node != NULL && node->file != NULL)
		spot->place = node;
	if (node == NULL && option->fallback != NULL) {
		node = fallback_node(b, spot, &plain);
		if (node == NULL)
			return false;
	}
	bool empty = node == NULL || empty_text(node) || (node->kind == CONFIG_LIST && node->count == 0);
	if (empty && (option->flags & SKYMON_REQUIRED) != 0) {
		config_error(b->errs, spot->place, "%s needs the option `%s`", spot->what, spot->dotted);
		return false;
	}
	if (empty && target)
		not_configured(b, spot, node);
	if (node == NULL || (empty_text(node) && !takes_empty) ||
	    (empty && target && option->type != SKYMON_TEXT))
		return true;
	value->name = arena_text(&b->values->arena, option->name);
	value->type = option->type;
	value->named = node != &plain && given_node(binding, option->name) != NULL;
	return bind_node(b, spot, node, value, given);
}

/* ---- A table ---- */

static size_t known_names(const struct option_binding *binding, const char **names, size_t room)
{
	size_t count = 0;
	for (const struct skymon_option *option = binding->table; option->name != NULL && count < room;
	     option++)
		names[count++] = option->name;
	for (size_t i = 0; binding->also != NULL && binding->also[i] != NULL && count < room; i++)
		names[count++] = binding->also[i];
	return count;
}

static bool reject_unknown(struct binder *b, const struct option_binding *binding,
			   const struct config_node *map)
{
	const char *names[OPTION_TABLE_MAX + 64];
	size_t count = known_names(binding, names, sizeof(names) / sizeof(names[0]) - 1);
	bool ok = true;
	for (size_t i = 0; map != NULL && map->kind == CONFIG_MAP && i < map->count; i++) {
		const struct config_pair *pair = &map->pairs[i];
		size_t j = 0;
		while (j < count && strcmp(names[j], pair->key) != 0)
			j++;
		if (j < count)
			continue;
		char what[160];
		snprintf(what, sizeof(what), " of %s", binding->what);
		names[count] = binding->only_suggested;
		config_unknown_key(b->errs, pair, "option", what, names,
				   count + (binding->only_suggested != NULL));
		ok = false;
	}
	return ok;
}

/* outer: the list's or tls block's spot; NULL for the component itself. */
static bool bind_row(struct binder *b, const struct option_binding *binding, const struct spot *outer,
		     struct row *row)
{
	size_t count = option_table_size(binding->table, sizeof(*binding->table));
	struct value *given_values = x_alloc((count + 1) * sizeof(*given_values));
	bool ok = reject_unknown(b, binding, binding->section);
	ok = reject_unknown(b, binding, binding->defaults) && ok;
	for (size_t i = 0; i < count; i++) {
		const struct skymon_option *option = &binding->table[i];
		const struct config_node *section = binding->section;
		char *dotted = outer != NULL ? x_printf("%s.%s", outer->dotted, option->name)
					     : x_strdup(option->name);
		struct value value = {0};
		bool given = false;
		struct spot spot = {.option = option, .what = binding->what, .dotted = dotted};
		spot.place = section != NULL && section->file != NULL ? section : NULL;
		if (outer != NULL) {
			spot.what = outer->what;
			spot.place = outer->place;
		}
		ok &= bind_option(b, binding, &spot, &value, &given);
		if (given)
			given_values[row->count++] = value;
		free(dotted);
	}
	row->values = arena_alloc(&b->values->arena, row->count * sizeof(*row->values));
	if (row->count > 0)
		memcpy(row->values, given_values, row->count * sizeof(*row->values));
	free(given_values);
	return ok;
}

struct option_values *option_bind(const struct option_binding *binding, struct err_list *errs)
{
	struct binder b = {.errs = errs, .lookup = binding->lookup, .values = x_alloc(sizeof(*b.values))};
	const struct config_node *section = binding->section;
	bool ok = true;
	if (section != NULL && section->kind != CONFIG_MAP && section->kind != CONFIG_EMPTY) {
		config_error(errs, section, "%s must be a map of options, not %s", binding->what,
			     kind_word(section));
		ok = false;
	} else {
		ok = bind_row(&b, binding, NULL, &b.values->row);
	}
	for (size_t i = 0; i < b.tree_count; i++)
		config_free(&b.trees[i]);
	free(b.trees);
	if (ok)
		return b.values;
	option_values_free(b.values);
	return NULL;
}

/* ---- Defaults of a table ---- */

static const char *no_variable(const char *variable)
{
	(void)variable;
	return NULL;
}

/* A default must bind as it would from a config file, unless the variable that it asks for decides. */
static bool check_default(const struct skymon_option *option, struct err *err)
{
	if (strstr(option->fallback, "${") != NULL && strstr(option->fallback, ":-") == NULL)
		return true;
	struct skymon_option alone[2] = {*option, {0}};
	alone[0].flags = 0;
	struct err_list errs = {0};
	struct option_values *values = option_bind(
		&(struct option_binding){.table = alone, .what = "the table", .lookup = no_variable}, &errs);
	if (values == NULL)
		err_set(err, "its default is wrong: %s", errs.count > 0 ? errs.texts[0] : "it does not bind");
	option_values_free(values);
	err_list_free(&errs);
	return values != NULL;
}

bool option_defaults_check(const struct skymon_option *table, struct err *err)
{
	for (const struct skymon_option *option = table; option != NULL && option->name != NULL; option++) {
		bool ok = option->type != SKYMON_LIST || option_defaults_check(option->item, err) ||
			  err_prefix(err, "its items: ");
		if (!ok || (option->fallback != NULL && !check_default(option, err)))
			return err_prefix(err, "option `%.63s`: ", option->name);
	}
	return true;
}
