/* SPDX-License-Identifier: Apache-2.0 */
/* A table of options as members of a JSON Schema (2020-12), for editors. Called by settings and component for
 * --config-schema; owns nothing. The schema accepts all that option_bind accepts, in any file that may hold
 * it, and refuses mistakes that the text alone shows. A value that holds a
 * ${VARIABLE} is accepted for every type. */
#include <stdlib.h>
#include <string.h>

#include "option_private.h"

/* Regular expressions, in both ECMAScript and Python. A backslash is doubled for JSON. */
#define NUMBER "([0-9]+([.][0-9]+)?|[.][0-9]+)"
#define EXPONENT "([eE][+-]?[0-9]+)?"
#define DURATION "(?=[0-9.])(" NUMBER "d)?(" NUMBER "h)?(" NUMBER "m)?(" NUMBER "s)?(" NUMBER "ms)?"
#define SIZE NUMBER " ?(TiB|GiB|MiB|KiB|TB|GB|MB|KB|kB)|[0-9]+( ?B)?"
#define REAL "[+-]?" NUMBER EXPONENT
#define POSITIVE "[+]?" NUMBER EXPONENT
#define VARIABLE "[$][{][A-Za-z_][A-Za-z0-9_]*([}]|:[-?])"

void schema_next(struct buf *out)
{
	char last = out->size > 0 ? out->data[out->size - 1] : '{';
	buf_text(out, last == '{' || last == '[' ? "\n" : ",\n");
}

void schema_member(const char *name, struct buf *out)
{
	schema_next(out);
	buf_json(out, name);
	buf_text(out, ": {");
}

/* Adds the definition of a text of that form, of other JSON types too. */
static void define(const char *name, const char *types, const char *pattern, struct buf *out)
{
	schema_member(name, out);
	if (types != NULL)
		buf_printf(out, "\"anyOf\": [{%s}, {\"$ref\": \"#/$defs/variable\"}, ", types);
	buf_printf(out, "%s\"type\": \"string\", \"pattern\": \"%s\"%s", types != NULL ? "{" : "", pattern,
		   types != NULL ? "}]}" : "}");
}

/* A limit of a number: a bare quantity, "<" and one, or two with ".." between them. */
static void define_limit(const char *unit, const char *number, const char *quantity, struct buf *out)
{
	char *name = x_printf("limit-%s", unit);
	char *pattern = x_printf("^[ \\\\t]*(<[ \\\\t]*)?(%s)$|^[ \\\\t]*(%s)[ \\\\t]*[.][.][ \\\\t]*(%s)$",
				 quantity, quantity, quantity);
	define(name, number, pattern, out);
	free(name);
	free(pattern);
}

static void define_secret(struct buf *out)
{
	buf_text(
		out,
		",\n\"secret\": {\"description\": \"the text itself, {env: NAME}, {file: PATH}, or {COMPONENT: "
		"\\\"path#field\\\"} of a component that keeps secrets\", \"anyOf\": [\n"
		"{\"$ref\": \"#/$defs/text\"},\n"
		"{\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": 1, \"properties\": {\n"
		"\"env\": {\"type\": \"string\", \"pattern\": \"^[^=${} ]+$|" VARIABLE "\"},\n"
		"\"file\": {\"type\": \"string\", \"minLength\": 1}},\n"
		"\"propertyNames\": {\"pattern\": \"" SCHEMA_COMPONENT "\"},\n"
		"\"additionalProperties\": {\"type\": \"string\", \"pattern\": \"^[^#]+#.|" VARIABLE
		"\"}}]}");
}

void option_schema_define(struct buf *out)
{
	size_t size;
	const struct skymon_option tls = {.type = SKYMON_TLS};
	/* an empty text counts as left out, as after "${PORT:-}" */
	define("variable", NULL, "^$|" VARIABLE, out);
	buf_text(out, ",\n\"text\": {\"type\": [\"string\", \"number\", \"boolean\", \"null\"]}");
	buf_text(out, ",\n\"boolean\": {\"anyOf\": [{\"type\": [\"boolean\", \"null\"]}, {\"$ref\": "
		      "\"#/$defs/variable\"}]}");
	define("integer-text", "\"type\": \"null\"", "^[+-]?[0-9]{1,18}$", out);
	define("number-text", "\"type\": \"null\"", "^" REAL "$", out);
	define("duration", "\"enum\": [0, null]", "^" DURATION "$|^0+$", out);
	define("size-text", "\"type\": \"null\"", "^(" SIZE ")$", out);
	define("ratio-text", "\"type\": \"null\"", "^" REAL "( ?%)?$", out);
	define_secret(out);
	buf_text(out,
		 ",\n\"texts\": {\"anyOf\": [{\"$ref\": \"#/$defs/text\"},\n{\"type\": \"array\", \"items\": "
		 "{\"type\": [\"string\", \"number\", \"boolean\"]}}]}");
	buf_text(
		out,
		",\n\"map\": {\"anyOf\": [{\"$ref\": \"#/$defs/variable\"},\n{\"type\": [\"object\", \"null\"], "
		"\"additionalProperties\": {\"$ref\": \"#/$defs/text\"}}]}");
	schema_member("tls", out);
	option_schema_object(option_items(&tls, &size), out);
	buf_text(out, "}");
	/* times, sizes and ratios are never negative, and ratios never above 1 */
	define_limit("s", "\"type\": \"number\", \"minimum\": 0", POSITIVE "|" DURATION, out);
	define_limit("bytes", "\"type\": \"number\", \"minimum\": 0", POSITIVE "|" SIZE, out);
	define_limit("ratio", "\"type\": \"number\", \"minimum\": 0, \"maximum\": 1", POSITIVE "( ?%)?", out);
	define_limit("number", "\"type\": \"number\"", REAL, out);
}

/* ---- One option ---- */

static void print_bounds(const struct skymon_option *option, struct buf *out)
{
	bool any = option->min == 0 && option->max == 0;
	if (any && option->type != SKYMON_BYTES) /* a size is never negative */
		return;
	buf_text(out, ", \"minimum\": ");
	buf_json_number(out, option->min);
	if (any || option_min_only(option))
		return;
	buf_text(out, ", \"maximum\": ");
	buf_json_number(out, option->max);
}

/* A number as YAML has it, within its range, or the same in quotes or with a unit. */
static void print_number(const struct skymon_option *option, const char *type, const char *text,
			 struct buf *out)
{
	buf_printf(out, "\"anyOf\": [{\"type\": \"%s\"", type);
	print_bounds(option, out);
	buf_printf(out, "}, {\"$ref\": \"#/$defs/%s\"}]", text);
}

/* A word such as 2 or true is a number or a boolean to a YAML parser. */
static void print_words(const char *const *words, struct buf *out)
{
	double number;
	buf_text(out, "\"anyOf\": [{\"enum\": [");
	for (size_t i = 0; words[i] != NULL; i++) {
		bool boolean = strcmp(words[i], "true") == 0 || strcmp(words[i], "false") == 0;
		buf_json(out, words[i]);
		buf_text(out, ", ");
		if (boolean)
			buf_printf(out, "%s, ", words[i]);
		else if (option_number(words[i], &number)) {
			buf_json_number(out, number);
			buf_text(out, ", ");
		}
	}
	buf_text(out, "null]}, {\"$ref\": \"#/$defs/variable\"}]");
}

static void print_type(const struct skymon_option *option, struct buf *out)
{
	static const char *const refs[] = {
		[SKYMON_TEXT] = "text",     [SKYMON_BOOLEAN] = "boolean", [SKYMON_DURATION] = "duration",
		[SKYMON_SECRET] = "secret", [SKYMON_TEXTS] = "texts",     [SKYMON_MAP] = "map",
		[SKYMON_TLS] = "tls"};
	switch (option->type) {
	case SKYMON_INTEGER:
		print_number(option, "integer", "integer-text", out);
		break;
	case SKYMON_REAL:
		print_number(option, "number", "number-text", out);
		break;
	case SKYMON_BYTES:
		print_number(option, "integer", "size-text", out);
		break;
	case SKYMON_RATIO:
		print_number(option, "number", "ratio-text", out);
		break;
	case SKYMON_CHOICE:
		print_words(option->words, out);
		break;
	case SKYMON_LIST:
		buf_text(out, "\"type\": [\"array\", \"null\"], \"items\": {");
		option_schema_object(option->item, out);
		buf_text(out, "}");
		break;
	default:
		buf_printf(out, "\"$ref\": \"#/$defs/%s\"", refs[option->type]);
	}
}

static void print_help(const struct skymon_option *option, struct buf *out)
{
	char range[160];
	option_range_text(option, range, sizeof(range));
	char *help = x_printf("%s%s%s%s", option->help != NULL ? option->help : "",
			      range[0] != '\0' ? " (" : "", range, range[0] != '\0' ? ")" : "");
	buf_text(out, ", \"description\": ");
	buf_json(out, help);
	free(help);
}

/* The default as it would be written, and as the type that YAML gives it. */
static void print_default(const struct skymon_option *option, struct buf *out)
{
	double number;
	const char *text = option->fallback;
	if (text == NULL || text[0] == '{' || text[0] == '[')
		return;
	buf_text(out, ", \"default\": ");
	if (option->type == SKYMON_BOOLEAN || (option->type != SKYMON_TEXT && option_number(text, &number)))
		buf_text(out, text);
	else
		buf_json(out, text);
}

static bool is_required(const struct skymon_option *option)
{
	return (option->flags & SKYMON_REQUIRED) != 0;
}

/* Whether the map that the option belongs to must have it. */
static bool is_needed(const struct skymon_option *option)
{
	return is_required(option) && option->fallback == NULL;
}

static void print_table(const struct skymon_option *table, bool alone, struct buf *out)
{
	for (const struct skymon_option *option = table; option != NULL && option->name != NULL; option++) {
		schema_member(option->name, out);
		print_type(option, out);
		if (is_required(option)) /* null is like left out: a default is taken then */
			buf_printf(out, ", \"not\": {\"enum\": [\"\", []%s]}",
				   alone && is_needed(option) ? ", null" : "");
		print_help(option, out);
		print_default(option, out);
		buf_text(out, "}");
	}
}

void option_schema_members(const struct skymon_option *table, struct buf *out)
{
	print_table(table, false, out);
}

void option_schema_begin(const struct skymon_option *table, struct buf *out)
{
	buf_text(out, "\"type\": [\"object\", \"null\"], \"additionalProperties\": false, \"properties\": {");
	print_table(table, true, out);
}

void option_schema_end(const struct skymon_option *table, struct buf *out)
{
	size_t needed = 0;
	buf_text(out, "}");
	for (const struct skymon_option *option = table; option->name != NULL; option++)
		if (is_needed(option))
			buf_printf(out, "%s\"%s\"", needed++ == 0 ? ", \"required\": [" : ", ", option->name);
	buf_text(out, needed > 0 ? "]" : "");
}

void option_schema_object(const struct skymon_option *table, struct buf *out)
{
	option_schema_begin(table, out);
	option_schema_end(table, out);
}
