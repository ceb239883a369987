/* SPDX-License-Identifier: Apache-2.0 */
/* Expands ${VAR}, ${VAR:-default} and ${VAR:?message} in a text. Called by config_parse for the values of a
 * file, and by option_bind for defaults of options, on the daemon's thread; owns nothing. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "config_private.h"

const char *config_environment(const char *variable)
{
	return getenv(variable);
}

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define NAME_REST NAME_LETTERS "0123456789"

#define NESTED_MAX 8 /* defaults in defaults */

static bool expand(const char *text, config_lookup *lookup, unsigned depth, struct buf *out, char **variable,
		   struct err *err);

/* A default may hold variables of its own: ${A:-${B:-c}}. */
static bool expand_default(const char *text, size_t size, config_lookup *lookup, unsigned depth,
			   struct buf *out, struct err *err)
{
	char *inner = x_strndup(text, size), *variable = NULL;
	bool ok = expand(inner, lookup, depth + 1, out, &variable, err);
	free(variable);
	wipe_free(inner, size);
	return ok;
}

/* Expands the text between ${ and }. */
static bool expand_one(const char *inside, size_t size, config_lookup *lookup, unsigned depth,
		       struct buf *out, char **variable, struct err *err)
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
		ok = expand_default(rest + 2, rest_size - 2, lookup, depth, out, err);
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

/* Returns the } that ends the ${ at text, past those of variables within it; NULL if it is missing. */
static const char *find_end(const char *text)
{
	unsigned open = 0;
	for (; *text != '\0'; text++) {
		if (text[0] == '$' && text[1] == '$')
			text++;
		else if (text[0] == '$' && text[1] == '{')
			open++;
		else if (text[0] == '}' && --open == 0)
			return text;
	}
	return NULL;
}

static bool expand(const char *text, config_lookup *lookup, unsigned depth, struct buf *out, char **variable,
		   struct err *err)
{
	bool ok = true;
	if (depth > NESTED_MAX)
		return err_set(err, "more than %d defaults within each other", NESTED_MAX);
	while (*text != '\0' && ok) {
		size_t plain = strcspn(text, "$");
		buf_add(out, text, plain);
		text += plain;
		if (text[0] == '$' && text[1] == '{') {
			const char *end = find_end(text);
			if (end == NULL)
				return err_set(err,
					       "`%.40s` has no }: write ${NAME}, and $$ for a dollar sign",
					       text);
			ok = expand_one(text + 2, (size_t)(end - text) - 2, lookup, depth, out, variable,
					err);
			text = end + 1;
		} else if (text[0] == '$') {
			buf_add(out, "$", 1);
			text += text[1] == '$' ? 2 : 1;
		}
	}
	return ok;
}

bool config_expand(const char *text, config_lookup *lookup, char **out, char **variable, struct err *err)
{
	struct buf buf = {0};
	*variable = NULL;
	buf_text(&buf, "");
	bool ok = expand(text, lookup, 0, &buf, variable, err);
	*out = buf.data;
	if (!ok) {
		wipe_free(buf.data, buf.capacity);
		free(*variable);
		*out = *variable = NULL;
	}
	return ok;
}
