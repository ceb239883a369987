/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of options: their types, validation, and their form on the wire. Called by the daemon, which decodes
 * plugins' tables, and by skymon-worker, which validates and encodes them; a decoded table owns its texts. */
#include "option.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "option_private.h"

/* The tls block is a table like any other. */
static const struct skymon_option tls_block[] = {
	SKYMON_OPT(struct skymon_tls, ca_file, NULL, "certificates to trust (PEM), instead of the system's",
		   .flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct skymon_tls, cert_file, NULL, "our certificate (PEM)", .flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct skymon_tls, key_file, NULL, "the key of our certificate (PEM)",
		   .flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct skymon_tls, server_name, NULL, "name to expect in the server's certificate"),
	SKYMON_OPT(struct skymon_tls, insecure, NULL, "accept any certificate"),
	{0}};

#define SIZE_OF(type) sizeof(type), _Alignof(type)
static const struct {
	const char *word;
	size_t size, alignment;
} types[] = {
	[SKYMON_TEXT] = {"text", SIZE_OF(char *)},
	[SKYMON_BOOLEAN] = {"true or false", SIZE_OF(bool)},
	[SKYMON_INTEGER] = {"whole number", SIZE_OF(int64_t)},
	[SKYMON_REAL] = {"number", SIZE_OF(double)},
	[SKYMON_DURATION] = {"duration", SIZE_OF(struct skymon_duration)},
	[SKYMON_BYTES] = {"size", SIZE_OF(struct skymon_bytes)},
	[SKYMON_RATIO] = {"share", SIZE_OF(struct skymon_ratio)},
	[SKYMON_CHOICE] = {"choice", SIZE_OF(struct skymon_choice)},
	[SKYMON_SECRET] = {"secret", SIZE_OF(struct skymon_secret)},
	[SKYMON_TEXTS] = {"list of texts", SIZE_OF(struct skymon_texts)},
	[SKYMON_MAP] = {"map of texts", SIZE_OF(struct skymon_map)},
	[SKYMON_LIST] = {"list", SIZE_OF(struct skymon_list)},
	[SKYMON_TLS] = {"tls block", SIZE_OF(struct skymon_tls)},
};

static bool known_type(int32_t type)
{
	return type >= SKYMON_TEXT && type <= SKYMON_TLS;
}

const char *option_type_word(int32_t type)
{
	return known_type(type) ? types[type].word : "unknown type";
}

struct skymon_option option_entry(const struct skymon_option *table, size_t stride, size_t i)
{
	struct skymon_option option = {0};
	memcpy(&option, (const char *)table + i * stride, stride < sizeof(option) ? stride : sizeof(option));
	return option;
}

const struct skymon_option *option_items(const struct skymon_option *option, size_t *size)
{
	bool tls = option->type == SKYMON_TLS;
	*size = tls ? sizeof(struct skymon_tls) : option->item_size;
	return tls ? tls_block : option->item;
}

size_t option_table_size(const struct skymon_option *table, size_t stride)
{
	size_t count = 0;
	while (table != NULL && count <= OPTION_TABLE_MAX && option_entry(table, stride, count).name != NULL)
		count++;
	return count;
}

bool option_min_only(const struct skymon_option *option)
{
	return option->max == 0 && option->min > 0;
}

/* ---- Validation ---- */

static bool name_ok(const char *name)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return name[0] >= 'a' && name[0] <= 'z' && name[length] == '\0' && length <= 63;
}

/* items: of a list. */
static bool check_table(const struct skymon_option *table, size_t stride, size_t state_size, bool items,
			struct err *err);

static bool check_words(const struct skymon_option *option, struct err *err)
{
	size_t count = 0;
	while (option->words != NULL && option->words[count] != NULL && count <= OPTION_ITEMS_MAX)
		count++;
	return count > 0 || err_set(err, "a choice needs .words");
}

/* state_size: of the state, or of a list's item. */
static bool check_member(const struct skymon_option *option, size_t state_size, bool items, struct err *err)
{
	size_t size = types[option->type].size, alignment = types[option->type].alignment;
	if (option->size != size)
		return err_set(err, "its member has %u bytes, a %s has %zu: SKYMON_OPT fills in .size",
			       option->size, types[option->type].word, size);
	if (size > state_size || option->offset > state_size - size)
		return err_set(err, "offset %u with its %zu bytes is outside of the %zu bytes of the %s",
			       option->offset, size, state_size, items ? "item" : "state");
	if (option->offset % alignment != 0)
		return err_set(err, "offset %u of a %s is not a multiple of %zu", option->offset,
			       types[option->type].word, alignment);
	return !items || state_size % alignment == 0 ||
	       err_set(err, "item_size %zu is not a multiple of %zu, as a %s in an array needs", state_size,
		       alignment, types[option->type].word);
}

static bool check_range(const struct skymon_option *option, struct err *err)
{
	bool open = option_min_only(option);
	return (!isnan(option->min) && !isnan(option->max) && (open || option->max >= option->min)) ||
	       err_set(err, "its range ends before it begins");
}

static bool check_option(const struct skymon_option *option, size_t stride, size_t state_size, bool items,
			 struct err *err)
{
	if (!name_ok(option->name))
		return err_set(err, "the name must be [a-z][a-z0-9_]*, at most 63 characters");
	if (!known_type(option->type))
		return err_set(err, "type %d is not known", (int)option->type);
	if (!check_member(option, state_size, items, err) || !check_range(option, err))
		return false;
	if (option->type == SKYMON_CHOICE && !check_words(option, err))
		return false;
	if (option->type == SKYMON_LIST) {
		if (items)
			return err_set(err, "an item of a list cannot have a list");
		if (option->item == NULL || option->item_size == 0)
			return err_set(err, "a list needs .item and .item_size");
		if (!check_table(option->item, stride, option->item_size, true, err))
			return err_prefix(err, "its items: ");
	}
	return true;
}

/* Refuses two options of one name, and two that share bytes of the state. */
static bool check_pair(const struct skymon_option *before, const struct skymon_option *option,
		       struct err *err)
{
	if (strcmp(before->name, option->name) == 0)
		return err_set(err, "option `%s` is declared twice", option->name);
	return before->offset + before->size <= option->offset ||
	       option->offset + option->size <= before->offset ||
	       err_set(err, "options `%s` and `%s` overlap: offsets %u and %u", before->name, option->name,
		       before->offset, option->offset);
}

static bool check_table(const struct skymon_option *table, size_t stride, size_t state_size, bool items,
			struct err *err)
{
	size_t count = option_table_size(table, stride), targets = 0;
	if (count > OPTION_TABLE_MAX)
		return err_set(err, "more than %u options: does the table end with {0}?", OPTION_TABLE_MAX);
	for (size_t i = 0; i < count; i++) {
		struct skymon_option option = option_entry(table, stride, i);
		if (!check_option(&option, stride, state_size, items, err))
			return err_prefix(err, "option `%.63s`: ", option.name);
		if ((option.flags & ~(SKYMON_TARGET | SKYMON_REQUIRED | SKYMON_PATH_READ | SKYMON_PATH_WRITE |
				      SKYMON_PATH_FOLLOW)) != 0)
			return err_set(err, "option `%s` has flags that this skymon does not know: %#x",
				       option.name, option.flags);
		if ((option.flags & SKYMON_TARGET) != 0 && (++targets > 1 || items))
			return err_set(
				err,
				"option `%s`: a table has one SKYMON_TARGET, and items of a list have none",
				option.name);
		for (size_t j = 0; j < i; j++) {
			struct skymon_option before = option_entry(table, stride, j);
			if (!check_pair(&before, &option, err))
				return false;
		}
	}
	return true;
}

bool option_table_check(const struct skymon_option *table, size_t stride, size_t state_size, struct err *err)
{
	return check_table(table, stride, state_size, false, err);
}

/* ---- Over the wire ---- */

static void encode_words(const char *const *words, struct buf *body)
{
	uint32_t count = 0;
	while (words != NULL && words[count] != NULL)
		count++;
	wire_put_u32(body, count);
	for (uint32_t i = 0; i < count; i++)
		wire_put_text(body, words[i]);
}

void option_table_encode(const struct skymon_option *table, size_t stride, struct buf *body)
{
	size_t count = option_table_size(table, stride);
	wire_put_u32(body, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		struct skymon_option option = option_entry(table, stride, i);
		wire_put_text(body, option.name);
		wire_put_text(body, option.fallback);
		wire_put_u32(body, (uint32_t)option.type);
		wire_put_u32(body, option.offset);
		wire_put_u32(body, option.size);
		wire_put_text(body, option.help != NULL ? option.help : "");
		wire_put_u32(body, option.flags);
		wire_put_f64(body, option.min);
		wire_put_f64(body, option.max);
		encode_words(option.type == SKYMON_CHOICE ? option.words : NULL, body);
		wire_put_u32(body, option.item_size);
		option_table_encode(option.type == SKYMON_LIST ? option.item : NULL, stride, body);
	}
}

/* The arena of a decoded table is before its first entry, so that a table is one pointer. */
struct table_head {
	_Alignas(max_align_t) struct arena arena;
};

static const char *const *decode_words(struct wire_reader *in, struct arena *arena)
{
	uint32_t count = wire_get_count(in, 4);
	if (count > OPTION_ITEMS_MAX)
		in->bad = true;
	if (count == 0 || in->bad)
		return NULL;
	const char **words = arena_alloc(arena, (count + 1) * sizeof(*words));
	for (uint32_t i = 0; i < count; i++)
		words[i] = arena_text(arena, wire_get_text_or_empty(in));
	return words;
}

static void decode_table(struct wire_reader *in, struct arena *arena, bool items, struct skymon_option *table,
			 uint32_t count);

static void decode_option(struct wire_reader *in, struct arena *arena, bool items,
			  struct skymon_option *option)
{
	option->name = arena_text(arena, wire_get_text_or_empty(in));
	option->fallback = arena_text(arena, wire_get_text(in));
	option->type = (int32_t)wire_get_u32(in);
	option->offset = wire_get_u32(in);
	option->size = wire_get_u32(in);
	option->help = arena_text(arena, wire_get_text_or_empty(in));
	option->flags = wire_get_u32(in);
	option->min = wire_get_f64(in);
	option->max = wire_get_f64(in);
	option->words = decode_words(in, arena);
	option->item_size = wire_get_u32(in);
	uint32_t count = wire_get_count(in, 8);
	if (count > OPTION_TABLE_MAX || (count > 0 && items))
		in->bad = true;
	if (option->type != SKYMON_LIST || in->bad)
		return;
	struct skymon_option *table = arena_alloc(arena, (count + 1) * sizeof(*table));
	decode_table(in, arena, true, table, count);
	option->item = table;
}

static void decode_table(struct wire_reader *in, struct arena *arena, bool items, struct skymon_option *table,
			 uint32_t count)
{
	for (uint32_t i = 0; i < count && !in->bad; i++)
		decode_option(in, arena, items, &table[i]);
}

struct skymon_option *option_table_decode(struct wire_reader *in, struct err *err)
{
	uint32_t count = wire_get_count(in, 8);
	if (count > OPTION_TABLE_MAX)
		in->bad = true;
	if (in->bad)
		count = 0;
	struct table_head *head = x_alloc(sizeof(*head) + (count + 1) * sizeof(struct skymon_option));
	struct skymon_option *table = (struct skymon_option *)(head + 1);
	decode_table(in, &head->arena, false, table, count);
	bool ok = in->bad ? err_set(err, "the table of options is malformed")
			  : option_table_check(table, sizeof(*table), UINT32_MAX, err);
	if (ok)
		return table;
	option_table_free(table);
	return NULL;
}

void option_table_free(struct skymon_option *table)
{
	if (table == NULL)
		return;
	struct table_head *head = (struct table_head *)table - 1;
	arena_free(&head->arena);
	free(head);
}
