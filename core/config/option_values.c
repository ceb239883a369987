/* SPDX-License-Identifier: Apache-2.0 */
/* Bound values: encodes, decodes and compares them, and stores them into the struct of their table. Called by
 * the daemon and by skymon-worker; values own their texts. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option_private.h"

void option_values_free(struct option_values *values)
{
	if (values == NULL)
		return;
	free(values->secrets);
	arena_free(&values->arena);
	free(values);
}

const char *option_not_configured(const struct option_values *values)
{
	return values->not_configured;
}

bool option_values_has(const struct option_values *values, const char *name)
{
	for (size_t i = 0; i < values->row.count; i++)
		if (strcmp(values->row.values[i].name, name) == 0)
			return true;
	return false;
}

const char *option_values_text(const struct option_values *values, const char *name)
{
	for (size_t i = 0; i < values->row.count; i++)
		if (strcmp(values->row.values[i].name, name) == 0)
			return values->row.values[i].type == SKYMON_TEXT ? values->row.values[i].text : NULL;
	return NULL;
}

const struct option_secret *option_secrets(const struct option_values *values, size_t *count)
{
	*count = values->secret_count;
	return values->secrets;
}

const char *option_empty_target(const struct option_values *values)
{
	return values->empty_target;
}

size_t option_tls_files(const struct option_values *values, struct option_tls_files *out, size_t room)
{
	size_t count = 0;
	for (size_t i = 0; i < values->row.count; i++) {
		const struct value *value = &values->row.values[i];
		if (value->type != SKYMON_TLS || value->list.count == 0)
			continue;
		struct option_tls_files files = {.option = value->name};
		const struct row *row = &value->list.rows[0];
		for (size_t j = 0; j < row->count; j++) {
			const struct value *file = &row->values[j];
			if (file->type != SKYMON_TEXT || file->text[0] == '\0')
				continue;
			if (strcmp(file->name, "ca_file") == 0)
				files.ca_file = file->text;
			else if (strcmp(file->name, "cert_file") == 0)
				files.cert_file = file->text;
			else if (strcmp(file->name, "key_file") == 0)
				files.key_file = file->text;
		}
		if (count < room)
			out[count] = files;
		count++;
	}
	return count;
}

/* ---- Encoding; the same bytes serve to compare ---- */

static void encode_texts(const struct skymon_texts *texts, struct buf *body)
{
	wire_put_u32(body, (uint32_t)texts->count);
	for (size_t i = 0; i < texts->count; i++)
		wire_put_text(body, texts->items[i]);
}

static void encode_map(const struct skymon_map *map, struct buf *body)
{
	wire_put_u32(body, (uint32_t)map->count);
	for (size_t i = 0; i < map->count; i++) {
		wire_put_text(body, map->items[i].name);
		wire_put_text(body, map->items[i].value);
	}
}

/* Encodes the reference instead of the secret if bytes is NULL. */
static void encode_secret(const struct option_secret *secret, const struct option_bytes *bytes,
			  struct buf *body)
{
	if (bytes == NULL) {
		wire_put_u8(body, (uint8_t)secret->kind);
		wire_put_text(body, secret->store);
		wire_put_text(body, secret->text);
		return;
	}
	wire_put_u8(body, bytes->bytes != NULL);
	if (bytes->bytes != NULL)
		wire_put_bytes(body, bytes->bytes, bytes->size);
}

static void encode_row(const struct option_values *values, const struct row *row,
		       const struct option_bytes *bytes, struct buf *body);

static void encode_value(const struct option_values *values, const struct value *value,
			 const struct option_bytes *bytes, struct buf *body)
{
	switch ((enum skymon_type)value->type) {
	case SKYMON_TEXT:
		wire_put_text(body, value->text);
		break;
	case SKYMON_BOOLEAN:
		wire_put_u8(body, value->boolean);
		break;
	case SKYMON_INTEGER:
	case SKYMON_DURATION:
	case SKYMON_BYTES:
		wire_put_u64(body, (uint64_t)value->integer);
		break;
	case SKYMON_REAL:
	case SKYMON_RATIO:
		wire_put_f64(body, value->real);
		break;
	case SKYMON_CHOICE:
		wire_put_u32(body, (uint32_t)value->choice.index);
		break;
	case SKYMON_SECRET:
		encode_secret(&values->secrets[value->secret.index],
			      bytes != NULL ? &bytes[value->secret.index] : NULL, body);
		break;
	case SKYMON_TEXTS:
		encode_texts(&value->texts, body);
		break;
	case SKYMON_MAP:
		encode_map(&value->map, body);
		break;
	case SKYMON_LIST:
	case SKYMON_TLS:
		wire_put_u32(body, (uint32_t)value->list.count);
		for (size_t i = 0; i < value->list.count; i++)
			encode_row(values, &value->list.rows[i], bytes, body);
		break;
	}
}

static void encode_row(const struct option_values *values, const struct row *row,
		       const struct option_bytes *bytes, struct buf *body)
{
	wire_put_u32(body, (uint32_t)row->count);
	for (size_t i = 0; i < row->count; i++) {
		wire_put_text(body, row->values[i].name);
		wire_put_u8(body, (uint8_t)row->values[i].type);
		encode_value(values, &row->values[i], bytes, body);
	}
}

void option_values_encode(const struct option_values *values, const struct option_bytes *secrets,
			  struct buf *body)
{
	/* without the bytes of secrets they are all left out, never their references */
	struct option_bytes *none =
		secrets == NULL ? x_alloc((values->secret_count + 1) * sizeof(*none)) : NULL;
	encode_row(values, &values->row, secrets != NULL ? secrets : none, body);
	free(none);
}

void option_values_encode_blank(const struct option_values *values, struct buf *body)
{
	struct option_bytes *blank = x_alloc((values->secret_count + 1) * sizeof(*blank));
	for (size_t i = 0; i < values->secret_count; i++)
		if (values->secrets[i].kind != OPTION_SECRET_NONE)
			blank[i].bytes = "";
	encode_row(values, &values->row, blank, body);
	free(blank);
}

bool option_values_equal(const struct option_values *a, const struct option_values *b)
{
	struct buf left = {0}, right = {0};
	wire_put_text(&left, a->not_configured);
	wire_put_text(&right, b->not_configured);
	encode_row(a, &a->row, NULL, &left);
	encode_row(b, &b->row, NULL, &right);
	bool equal = left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
	wipe_free(left.data, left.capacity);
	wipe_free(right.data, right.capacity);
	return equal;
}

static void encode_named(const struct option_values *values, const char *name, struct buf *out)
{
	for (size_t i = 0; values != NULL && i < values->row.count; i++)
		if (strcmp(values->row.values[i].name, name) == 0)
			encode_value(values, &values->row.values[i], NULL, out);
}

bool option_values_same(const struct option_values *a, const struct option_values *b, const char *name)
{
	struct buf left = {0}, right = {0};
	encode_named(a, name, &left);
	encode_named(b, name, &right);
	bool same =
		left.size == right.size && (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
	wipe_free(left.data, left.capacity);
	wipe_free(right.data, right.capacity);
	return same;
}

/* ---- Decoding ---- */

static void decode_row(struct wire_reader *in, struct arena *arena, unsigned depth, struct row *row);

static uint32_t decode_count(struct wire_reader *in, size_t item_size)
{
	uint32_t count = wire_get_count(in, item_size);
	if (count > OPTION_ITEMS_MAX)
		in->bad = true;
	return in->bad ? 0 : count;
}

static void decode_texts(struct wire_reader *in, struct arena *arena, struct skymon_texts *texts)
{
	uint32_t count = decode_count(in, 4);
	const char **items = arena_alloc(arena, count * sizeof(*items));
	for (uint32_t i = 0; i < count; i++)
		items[i] = arena_text(arena, wire_get_text_or_empty(in));
	texts->items = items;
	texts->count = count;
}

static void decode_map(struct wire_reader *in, struct arena *arena, struct skymon_map *map)
{
	uint32_t count = decode_count(in, 8);
	struct skymon_label *items = arena_alloc(arena, count * sizeof(*items));
	for (uint32_t i = 0; i < count; i++) {
		items[i].name = arena_text(arena, wire_get_text_or_empty(in));
		items[i].value = arena_text(arena, wire_get_text_or_empty(in));
	}
	map->items = items;
	map->count = count;
}

static void decode_secret(struct wire_reader *in, struct arena *arena, struct skymon_secret *secret)
{
	if (wire_get_u8(in) == 0)
		return;
	size_t size = 0;
	const void *bytes = wire_get_bytes(in, &size);
	if (in->bad)
		return;
	secret->bytes = arena_secret(arena, bytes, size);
	secret->size = size;
}

static void decode_value(struct wire_reader *in, struct arena *arena, unsigned depth, struct value *value)
{
	switch ((enum skymon_type)value->type) {
	case SKYMON_TEXT:
		value->text = arena_text(arena, wire_get_text_or_empty(in));
		return;
	case SKYMON_BOOLEAN:
		value->boolean = wire_get_u8(in) != 0;
		return;
	case SKYMON_INTEGER:
	case SKYMON_DURATION:
	case SKYMON_BYTES:
		value->integer = (int64_t)wire_get_u64(in);
		return;
	case SKYMON_REAL:
	case SKYMON_RATIO:
		value->real = wire_get_f64(in);
		return;
	case SKYMON_CHOICE:
		value->choice.index = (int32_t)wire_get_u32(in);
		return;
	case SKYMON_SECRET:
		decode_secret(in, arena, &value->secret.bytes);
		return;
	case SKYMON_TEXTS:
		decode_texts(in, arena, &value->texts);
		return;
	case SKYMON_MAP:
		decode_map(in, arena, &value->map);
		return;
	case SKYMON_LIST:
	case SKYMON_TLS:
		value->list.count = decode_count(in, 4);
		value->list.rows = arena_alloc(arena, value->list.count * sizeof(struct row));
		for (size_t i = 0; i < value->list.count && !in->bad; i++)
			decode_row(in, arena, depth + 1, &value->list.rows[i]);
		return;
	}
	in->bad = true;
}

static void decode_row(struct wire_reader *in, struct arena *arena, unsigned depth, struct row *row)
{
	uint32_t count = wire_get_count(in, 5);
	if (count > OPTION_TABLE_MAX || depth > OPTION_DEPTH_MAX)
		in->bad = true;
	if (in->bad)
		return;
	row->values = arena_alloc(arena, count * sizeof(struct value));
	for (row->count = 0; row->count < count && !in->bad; row->count++) {
		struct value *value = &row->values[row->count];
		value->name = arena_text(arena, wire_get_text_or_empty(in));
		value->type = wire_get_u8(in);
		decode_value(in, arena, depth, value);
	}
}

struct option_values *option_values_decode(struct wire_reader *in, struct err *err)
{
	struct option_values *values = x_alloc(sizeof(*values));
	decode_row(in, &values->arena, 0, &values->row);
	if (!in->bad)
		return values;
	err_set(err, "the values of the options are malformed");
	option_values_free(values);
	return NULL;
}

/* ---- Storing ---- */

static bool store_row(struct option_values *values, const struct row *row, const struct skymon_option *table,
		      size_t stride, void *state, struct err *err);

/* The items of a list become an array of structs; those of a tls block go straight into the member. */
static bool store_list(struct option_values *values, const struct value *value,
		       const struct skymon_option *option, size_t stride, void *member, struct err *err)
{
	size_t size = 0;
	const struct skymon_option *table = option_items(option, &size);
	if (option->type == SKYMON_TLS)
		return value->list.count == 0 ||
		       store_row(values, &value->list.rows[0], table, sizeof(*table), member, err);
	char *items = arena_alloc(&values->arena, value->list.count * size);
	for (size_t i = 0; i < value->list.count; i++)
		if (!store_row(values, &value->list.rows[i], table, stride, items + i * size, err))
			return err_prefix(err, "%s[%zu].", option->name, i + 1);
	struct skymon_list list = {.items = items, .count = value->list.count};
	memcpy(member, &list, sizeof(list));
	return true;
}

static bool store_choice(const struct value *value, const struct skymon_option *option, void *member,
			 struct err *err)
{
	int32_t count = 0;
	while (option->words != NULL && option->words[count] != NULL)
		count++;
	if (value->choice.index < 0 || value->choice.index >= count)
		return err_set(err, "option `%s`: no such choice: %d", option->name,
			       (int)value->choice.index);
	memcpy(member, &value->choice.index, sizeof(value->choice.index));
	return true;
}

static bool store_value(struct option_values *values, const struct value *value,
			const struct skymon_option *option, size_t stride, void *member, struct err *err)
{
	switch ((enum skymon_type)value->type) {
	case SKYMON_TEXT:
		memcpy(member, &value->text, sizeof(value->text));
		return true;
	case SKYMON_BOOLEAN:
		memcpy(member, &value->boolean, sizeof(value->boolean));
		return true;
	case SKYMON_INTEGER:
	case SKYMON_DURATION:
	case SKYMON_BYTES:
		memcpy(member, &value->integer, sizeof(value->integer));
		return true;
	case SKYMON_REAL:
	case SKYMON_RATIO:
		memcpy(member, &value->real, sizeof(value->real));
		return true;
	case SKYMON_CHOICE:
		return store_choice(value, option, member, err);
	case SKYMON_SECRET:
		memcpy(member, &value->secret.bytes, sizeof(value->secret.bytes));
		return true;
	case SKYMON_TEXTS:
		memcpy(member, &value->texts, sizeof(value->texts));
		return true;
	case SKYMON_MAP:
		memcpy(member, &value->map, sizeof(value->map));
		return true;
	case SKYMON_LIST:
	case SKYMON_TLS:
		return store_list(values, value, option, stride, member, err);
	}
	return err_set(err, "option `%s` has no type", option->name);
}

static bool store_row(struct option_values *values, const struct row *row, const struct skymon_option *table,
		      size_t stride, void *state, struct err *err)
{
	size_t count = option_table_size(table, stride);
	for (size_t i = 0; i < row->count; i++) {
		const struct value *value = &row->values[i];
		struct skymon_option option = {0};
		for (size_t j = 0; j < count && option.name == NULL; j++) {
			option = option_entry(table, stride, j);
			if (strcmp(option.name, value->name) != 0)
				option.name = NULL;
		}
		if (option.name == NULL)
			return err_set(err, "option `%s` is not declared", value->name);
		if (option.type != value->type)
			return err_set(err, "option `%s` is a %s here and a %s there", value->name,
				       option_type_word(option.type), option_type_word(value->type));
		if (!store_value(values, value, &option, stride, (char *)state + option.offset, err))
			return false;
	}
	return true;
}

bool option_store(struct option_values *values, const struct skymon_option *table, size_t stride, void *state,
		  struct err *err)
{
	return store_row(values, &values->row, table, stride, state, err);
}
