/* SPDX-License-Identifier: Apache-2.0 */
/* skymon run: makes a configuration of one component of arguments of the form a.b=VALUE. Called by tool_config.c,
 * which owns the text. Pure. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static const char *no_variable(const char *name)
{
	(void)name;
	return ""; /* only the form is checked here */
}

/* Is the value YAML by itself, of one line? `a: b`, `*` and `[x` are not. What YAML takes for a comment is
 * meant, outside of brackets and quotes. */
static bool is_yaml(const char *value)
{
	struct config config = {0};
	struct err_list errs = {0};
	bool enclosed = value[0] != '\0' && strchr("[{\"'", value[0]) != NULL;
	bool comment =
		!enclosed && (value[0] == '#' || strstr(value, " #") != NULL || strstr(value, "\t#") != NULL);
	if (value[0] == '\0' || comment || strpbrk(value, "\n\r") != NULL)
		return false;
	char *text = x_printf("value: %s\n", value);
	bool ok = config_parse("value", text, strlen(text), no_variable, &config, &errs) &&
		  config_value(config.root, "value") != NULL;
	config_free(&config);
	err_list_free(&errs);
	free(text);
	return ok;
}

static void add_value(struct buf *out, const char *value)
{
	buf_text(out, " ");
	if (is_yaml(value))
		buf_text(out, value);
	else
		buf_json(out, value); /* a JSON text is a YAML text */
	buf_text(out, "\n");
}

/* Is the segment that begins at words[i] + skip the first of its name among the words with the same start? */
static bool seen_before(char *const *words, size_t i, size_t skip, size_t size)
{
	for (size_t j = 0; j < i; j++)
		if (strncmp(words[j], words[i], skip + size) == 0 && words[j][skip + size] == '.')
			return true;
	return false;
}

/* The words that begin with the first `skip` bytes of `start`, as a map. */
static void add_map(struct buf *out, char *const *words, size_t count, const char *start, size_t skip,
		    int depth)
{
	for (size_t i = 0; i < count; i++) {
		if (strncmp(words[i], start, skip) != 0)
			continue;
		const char *segment = words[i] + skip;
		size_t size = strcspn(segment, ".=");
		bool nested = segment[size] == '.';
		if (nested && seen_before(words, i, skip, size))
			continue;
		buf_printf(out, "%*s%.*s:", 2 * depth, "", (int)size, segment);
		if (nested) {
			buf_text(out, "\n");
			add_map(out, words, count, words[i], skip + size + 1, depth + 1);
		} else {
			add_value(out, segment + size + 1);
		}
	}
}

/* a.b.c=…: every name has a letter, digit, _ or - at least. */
static bool form_ok(const char *word)
{
	for (;;) {
		size_t size =
			strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
		if (size == 0 || (word[size] != '.' && word[size] != '='))
			return false;
		if (word[size] == '=')
			return true;
		word += size + 1;
	}
}

char *tool_yaml(const char *plugin, char *const *words, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (!form_ok(words[i])) {
			err_set(err, "\"%s\" is not of the form OPTION=VALUE", words[i]);
			return NULL;
		}
	struct buf out = {0};
	buf_printf(&out, "components:\n  \"%s\":\n    plugin: \"%s\"\n", plugin, plugin);
	add_map(&out, words, count, "", 0, 2);
	return out.data;
}
