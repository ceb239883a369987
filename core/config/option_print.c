/* SPDX-License-Identifier: Apache-2.0 */
/* Prints values and tables: for --print-config, whose output reads back as the same config but for secrets,
 * and for `skymon plugins NAME`. Called on the daemon's thread and by the tool; owns nothing. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "option_private.h"

/* ---- Masking ---- */

/* Where the user info of a URL ends (at its @), or NULL. A password may hold a raw slash: the text before it
 * is not a port then. */
static const char *user_info_end(const char *authority)
{
	const char *end = authority + strcspn(authority, "/?# \t\n\"'"), *at = NULL;
	for (const char *p = authority; p < end; p++)
		if (*p == '@')
			at = p;
	if (at != NULL)
		return at;
	const char *colon = memchr(authority, ':', (size_t)(end - authority));
	if (colon == NULL || authority[0] == '[' ||
	    strspn(colon + 1, "0123456789") == (size_t)(end - colon - 1))
		return NULL;
	return strrchr(end, '@');
}

/* Where `password=` or `sslpassword=` begins its value in text: of a URL's query or a DSN. */
static const char *password_value(const char *text)
{
	const char *found = strcasestr(text, "password=");
	return found != NULL ? found + strlen("password=") : NULL;
}

static void mask(const char *text, struct buf *out)
{
	const char *scheme, *value;
	while ((scheme = strstr(text, "://")) != NULL) {
		buf_add(out, text, (size_t)(scheme + 3 - text));
		text = scheme + 3;
		const char *end = user_info_end(text);
		if (end != NULL) {
			buf_text(out, OPTION_MASK);
			text = end;
		}
	}
	while ((value = password_value(text)) != NULL) {
		buf_add(out, text, (size_t)(value - text));
		text = value + strcspn(value, "& \t\n;");
		if (*value == '\'' && strchr(value + 1, '\'') != NULL)
			text = strchr(value + 1, '\'') + 1;
		buf_text(out, OPTION_MASK);
	}
	buf_text(out, text);
}

/* ---- Texts ---- */

static bool plain_word(const char *text)
{
	static const char *const taken[] = {"true", "false", "null", "yes", "no", "on", "off"};
	double number = 0;
	size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-");
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strcasecmp(text, taken[i]) == 0)
			return false;
	return size > 0 && text[size] == '\0' && (isalpha((unsigned char)text[0]) || text[0] == '/') &&
	       !option_number(text, &number);
}

/* As a YAML scalar that reads back the same. */
void option_text_print(const char *text, struct buf *out)
{
	struct buf shown = {0}, doubled = {0};
	mask(text, &shown);
	for (const char *at = shown.data; *at != '\0'; at++)
		buf_add(&doubled, *at == '$' ? "$$" : at, *at == '$' ? 2 : 1);
	buf_add(&doubled, "", 0);
	if (plain_word(doubled.data))
		buf_text(out, doubled.data);
	else
		buf_json(out, doubled.data);
	buf_free(&shown);
	buf_free(&doubled);
}

static void print_key(const char *name, struct buf *out)
{
	/* keys are not expanded: a dollar stays one */
	if (plain_word(name))
		buf_text(out, name);
	else
		buf_json(out, name);
}

/* ---- Values ---- */

static void print_secret(const struct option_values *values, const struct value *value, struct buf *out)
{
	const struct option_secret *secret = values->secrets != NULL ? &values->secrets[value->secret.index]
								     : &(const struct option_secret){0};
	const char *key = secret->kind == OPTION_SECRET_ENV     ? "env"
			  : secret->kind == OPTION_SECRET_FILE  ? "file"
			  : secret->kind == OPTION_SECRET_STORE ? secret->store
								: NULL;
	if (key == NULL) {
		buf_text(out, "\"" OPTION_MASK "\"");
		return;
	}
	buf_printf(out, "{%s: ", key);
	option_text_print(secret->text, out);
	buf_text(out, "}");
}

static void print_texts(const struct skymon_texts *texts, struct buf *out)
{
	buf_text(out, "[");
	for (size_t i = 0; i < texts->count; i++) {
		buf_text(out, i > 0 ? ", " : "");
		option_text_print(texts->items[i], out);
	}
	buf_text(out, "]");
}

static void print_map(const struct skymon_map *map, struct buf *out)
{
	buf_text(out, "{");
	for (size_t i = 0; i < map->count; i++) {
		buf_text(out, i > 0 ? ", " : "");
		print_key(map->items[i].name, out);
		buf_text(out, ": ");
		option_text_print(map->items[i].value, out);
	}
	buf_text(out, "}");
}

static void print_number(const struct value *value, struct buf *out)
{
	char text[64];
	bool real = value->type == SKYMON_REAL || value->type == SKYMON_RATIO;
	option_number_text(value->type, real ? value->real : (double)value->integer, text);
	if (value->type == SKYMON_INTEGER)
		buf_printf(out, "%lld", (long long)value->integer);
	else
		buf_text(out, text);
}

static void print_row(const struct option_values *values, const struct row *row, struct buf *out);

static void print_value(const struct option_values *values, const struct value *value, struct buf *out)
{
	bool list = value->type == SKYMON_LIST;
	switch ((enum skymon_type)value->type) {
	case SKYMON_TEXT:
		option_text_print(value->text, out);
		break;
	case SKYMON_BOOLEAN:
		buf_text(out, value->boolean ? "true" : "false");
		break;
	case SKYMON_INTEGER:
	case SKYMON_REAL:
	case SKYMON_DURATION:
	case SKYMON_BYTES:
	case SKYMON_RATIO:
		print_number(value, out);
		break;
	case SKYMON_CHOICE:
		buf_text(out, value->choice.word != NULL ? value->choice.word : "?");
		break;
	case SKYMON_SECRET:
		print_secret(values, value, out);
		break;
	case SKYMON_TEXTS:
		print_texts(&value->texts, out);
		break;
	case SKYMON_MAP:
		print_map(&value->map, out);
		break;
	case SKYMON_LIST:
	case SKYMON_TLS:
		buf_text(out, list ? "[" : "");
		for (size_t i = 0; i < value->list.count; i++) {
			buf_text(out, i > 0 ? ", " : "");
			print_row(values, &value->list.rows[i], out);
		}
		buf_text(out, list ? "]" : "");
		break;
	}
}

static void print_row(const struct option_values *values, const struct row *row, struct buf *out)
{
	buf_text(out, "{");
	for (size_t i = 0; i < row->count; i++) {
		buf_printf(out, "%s%s: ", i > 0 ? ", " : "", row->values[i].name);
		print_value(values, &row->values[i], out);
	}
	buf_text(out, "}");
}

void option_values_print(const struct option_values *values, int indent, struct buf *out)
{
	for (size_t i = 0; i < values->row.count; i++) {
		const struct value *value = &values->row.values[i];
		buf_printf(out, "%*s%s: ", indent, "", value->name);
		print_value(values, value, out);
		buf_text(out, "\n");
	}
}

/* ---- Tables ---- */

static void print_range(const struct skymon_option *option, struct buf *out)
{
	char range[160];
	option_range_text(option, range, sizeof(range));
	if (range[0] != '\0')
		buf_printf(out, ", %s", range);
}

static void print_table(const struct skymon_option *table, int indent, struct buf *out)
{
	for (const struct skymon_option *option = table; option != NULL && option->name != NULL; option++) {
		buf_printf(out, "%*s%s: %s", indent, "", option->name, option_type_word(option->type));
		for (size_t i = 0; option->type == SKYMON_CHOICE && option->words[i] != NULL; i++)
			buf_printf(out, "%s%s", i == 0 ? " of " : " | ", option->words[i]);
		print_range(option, out);
		if ((option->flags & SKYMON_REQUIRED) != 0)
			buf_text(out, ", required");
		if ((option->flags & (SKYMON_PATH_READ | SKYMON_PATH_WRITE | SKYMON_PATH_FOLLOW)) != 0)
			buf_text(out, (option->flags & SKYMON_PATH_WRITE) != 0
					      ? ", names a file or folder to be written"
					      : ", names a file or folder to be read");
		if ((option->flags & SKYMON_TARGET) != 0)
			buf_text(out, ", not configured while empty");
		if (option->fallback != NULL)
			buf_printf(out, ", default %s",
				   option->fallback[0] != '\0' ? option->fallback : "\"\"");
		buf_printf(out, "\n%*s    %s\n", indent, "", option->help != NULL ? option->help : "");
		if (option->type == SKYMON_LIST)
			print_table(option->item, indent + 8, out);
	}
}

void option_table_print(const struct skymon_option *table, struct buf *out)
{
	print_table(table, 2, out);
}
