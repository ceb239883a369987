/* SPDX-License-Identifier: Apache-2.0 */
/* The files that bound options name: those of options flagged SKYMON_PATH_READ or _WRITE, and of tls blocks.
 * Called by the pool for the sandbox of a worker. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "option_private.h"

struct walk {
	option_path *found;
	void *arg;
};

/* `%2F` and its like, in place. */
static void decode(char *text)
{
	char *to = text;
	for (const char *at = text; *at != '\0'; at++) {
		char digits[3] = {at[0] == '%' ? at[1] : '\0', at[0] == '%' && at[1] != '\0' ? at[2] : '\0',
				  '\0'};
		if (isxdigit((unsigned char)digits[0]) && isxdigit((unsigned char)digits[1])) {
			*to++ = (char)strtol(digits, NULL, 16);
			at += 2;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* ?sslrootcert=/etc/ca.pem&…: the values that are absolute paths are read. */
static void tell_parameters(const struct walk *walk, const char *query)
{
	while (query != NULL && *query != '\0') {
		size_t size = strcspn(query, "&");
		char *value = memchr(query, '=', size);
		if (value != NULL) {
			char *path = x_strndup(value + 1, size - (size_t)(value + 1 - query));
			decode(path);
			if (path[0] == '/')
				walk->found(walk->arg, path, OPTION_PATH_READ);
			free(path);
		}
		query += size + (query[size] == '&');
	}
}

/* A path; SCHEME:PATH, such as sqlite:a.db; or SCHEME://HOST…?NAME=PATH. */
static void tell_text(const struct walk *walk, const char *text, enum option_path_use use)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
	const char *path = scheme > 0 && text[scheme] == ':' ? text + scheme + 1 : text;
	if (path != text && strncmp(path, "///", 3) == 0)
		path += 2;
	if (path != text && strncmp(path, "//", 2) == 0)
		tell_parameters(walk, strchr(path, '?') != NULL ? strchr(path, '?') + 1 : NULL);
	else if (path[0] != '\0')
		walk->found(walk->arg, path, use);
}

/* Many plugins flag nothing. The root would be everything. */
static bool looks_like_path(const char *text)
{
	return text[0] == '/' && text[strspn(text, "/")] != '\0';
}

static void tell_value(const struct walk *walk, const struct skymon_option *option, const char *text)
{
	bool write = (option->flags & SKYMON_PATH_WRITE) != 0;
	if (text == NULL)
		return;
	if ((option->flags & SKYMON_PATH_FOLLOW) != 0 && text[0] == '/' && strrchr(text, '/') != text) {
		char *folder = x_strndup(text, (size_t)(strrchr(text, '/') - text));
		walk->found(walk->arg, folder,
			    OPTION_PATH_READ); /* a rule for the file would end with its rotation */
		free(folder);
	}
	if (write || (option->flags & SKYMON_PATH_READ) != 0)
		tell_text(walk, text, write ? OPTION_PATH_WRITE : OPTION_PATH_READ);
	else if (looks_like_path(text))
		walk->found(walk->arg, text, OPTION_PATH_GUESSED);
}

static void tell_row(const struct walk *walk, const struct row *row, const struct skymon_option *table);

static void tell_option(const struct walk *walk, const struct value *value,
			const struct skymon_option *option)
{
	size_t size;
	if (!value->named) /* else a plugin could open any file by a default of its own */
		return;
	if (value->type == SKYMON_TEXT)
		tell_value(walk, option, value->text);
	for (size_t i = 0; value->type == SKYMON_TEXTS && i < value->texts.count; i++)
		tell_value(walk, option, value->texts.items[i]);
	for (size_t i = 0; value->type == SKYMON_MAP && i < value->map.count; i++)
		tell_value(walk, option, value->map.items[i].value);
	if (value->type == SKYMON_LIST || value->type == SKYMON_TLS)
		for (size_t i = 0; i < value->list.count; i++)
			tell_row(walk, &value->list.rows[i], option_items(option, &size));
}

static void tell_row(const struct walk *walk, const struct row *row, const struct skymon_option *table)
{
	for (size_t i = 0; i < row->count; i++)
		for (const struct skymon_option *option = table; option != NULL && option->name != NULL;
		     option++)
			if (strcmp(option->name, row->values[i].name) == 0 &&
			    option->type == row->values[i].type)
				tell_option(walk, &row->values[i], option);
}

bool option_table_writes(const struct skymon_option *table)
{
	for (; table != NULL && table->name != NULL; table++)
		if ((table->flags & SKYMON_PATH_WRITE) != 0)
			return true;
	return false;
}

void option_paths(const struct option_values *values, const struct skymon_option *table, option_path *found,
		  void *arg)
{
	const struct walk walk = {found, arg};
	tell_row(&walk, &values->row, table);
}
