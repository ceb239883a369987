/* SPDX-License-Identifier: Apache-2.0 */
/* What everybody does with a tree: find, complain, expand. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_private.h"

const char *config_environment(const char *variable)
{
	return getenv(variable);
}

const struct config_pair *config_find(const struct config_node *map, const char *key)
{
	if (map == NULL || map->kind != CONFIG_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->pairs[i].key, key) == 0)
			return &map->pairs[i];
	return NULL;
}

const struct config_node *config_value(const struct config_node *map, const char *key)
{
	const struct config_pair *pair = config_find(map, key);
	return pair != NULL ? pair->value : NULL;
}

/* ---- Errors ---- */

/* The same mistake, met again through an alias or a default, is said once. */
static void add_once(struct err_list *errs, const struct err *err)
{
	if (errs->count >= CONFIG_ERRORS_MAX)
		return;
	for (size_t i = 0; i < errs->count; i++)
		if (strcmp(errs->texts[i], err->text) == 0)
			return;
	err_add(errs, "%s", err->text);
	if (errs->count == CONFIG_ERRORS_MAX)
		err_add(errs, "there are more errors than these");
}

static void add_at(struct err_list *errs, const char *file, int line, int column, const char *format,
		   va_list list)
{
	struct err err, sentence;
	vsnprintf(sentence.text, sizeof(sentence.text), format, list);
	if (file != NULL)
		err_set(&err, "%s:%d:%d: %s", file, line, column, sentence.text);
	else
		err_set(&err, "%s", sentence.text);
	add_once(errs, &err);
}

void config_error(struct err_list *errs, const struct config_node *node, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	add_at(errs, node != NULL ? node->file : NULL, node != NULL ? node->line : 0,
	       node != NULL ? node->column : 0, format, list);
	va_end(list);
}

void config_error_key(struct err_list *errs, const struct config_pair *pair, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	add_at(errs, pair->file, pair->line, pair->column, format, list);
	va_end(list);
}

/* ---- The nearest word ---- */

#define WORD_MAX 63

/* Edits from a to b: a letter added, left out, changed, or two neighbours swapped. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];
	for (size_t j = 0; j <= b_size; j++)
		last[j] = before[j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		size_t *free_row = before;
		before = last;
		last = row;
		row = free_row;
	}
	return last[b_size];
}

const char *config_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t size = strlen(word), best = size / 3 > 0 ? size / 3 : 1;
	const char *nearest = NULL;
	if (size > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(candidates[i]);
		if (length == 0 || length > WORD_MAX)
			continue;
		size_t edits = distance(word, size, candidates[i], length);
		if (edits < best + (nearest == NULL) && edits < length) {
			best = edits;
			nearest = candidates[i];
		}
	}
	return nearest;
}

/* ---- ${VAR} ---- */

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define NAME_REST NAME_LETTERS "0123456789"

/* What stands between ${ and }. */
static bool expand_one(const char *inside, size_t size, config_lookup *lookup, struct buf *out,
		       char **variable, struct err *err)
{
	size_t length = size > 0 && strchr(NAME_LETTERS, inside[0]) != NULL ? strspn(inside, NAME_REST) : 0;
	const char *rest = inside + length;
	size_t rest_size = size - length;
	bool with_default = rest_size >= 2 && rest[0] == ':' && rest[1] == '-';
	bool with_message = rest_size >= 2 && rest[0] == ':' && rest[1] == '?';
	if (length == 0 || (rest_size > 0 && !with_default && !with_message))
		return err_set(err,
			       "`${%.*s}` is not understood: write ${NAME}, ${NAME:-default} or "
			       "${NAME:?message}, and "
			       "$$ for a dollar sign",
			       size < 60 ? (int)size : 60, inside);
	char *name = x_strndup(inside, length);
	const char *value = lookup != NULL ? lookup(name) : NULL;
	bool ok = true;
	if (with_message && (value == NULL || value[0] == '\0'))
		ok = err_set(err, "the variable %s is not set: %.*s", name, (int)(rest_size - 2), rest + 2);
	else if (with_default && (value == NULL || value[0] == '\0'))
		buf_add(out, rest + 2, rest_size - 2);
	else if (value == NULL)
		ok = err_set(err, "the variable %s is not set: set it, or write ${%s:-default}", name, name);
	else if (strlen(value) > CONFIG_FILE_MAX || out->size > CONFIG_FILE_MAX)
		ok = err_set(err, "the variable %s makes this text longer than 1 MiB", name);
	else
		buf_text(out, value);
	if (*variable == NULL)
		*variable = name;
	else
		free(name);
	return ok;
}

bool config_expand(const char *text, config_lookup *lookup, char **out, char **variable, struct err *err)
{
	struct buf buf = {0};
	bool ok = true;
	*variable = NULL;
	buf_text(&buf, "");
	while (*text != '\0' && ok) {
		size_t plain = strcspn(text, "$");
		buf_add(&buf, text, plain);
		text += plain;
		if (text[0] == '$' && text[1] == '{') {
			const char *end = strchr(text, '}');
			if (end == NULL) {
				ok = err_set(err, "`%.40s` has no }: write ${NAME}, and $$ for a dollar sign",
					     text);
				break;
			}
			ok = expand_one(text + 2, (size_t)(end - text) - 2, lookup, &buf, variable, err);
			text = end + 1;
		} else if (text[0] == '$') {
			buf_add(&buf, "$", 1);
			text += text[1] == '$' ? 2 : 1;
		}
	}
	*out = buf.data;
	if (!ok) {
		wipe_free(buf.data, buf.capacity);
		free(*variable);
		*out = *variable = NULL;
	}
	return ok;
}
