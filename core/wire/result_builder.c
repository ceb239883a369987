/* SPDX-License-Identifier: Apache-2.0 */
/* Results in a worker: collects what a check reports, validates it, and encodes it. Used by the runner on the
 * thread of the check that owns the builder. */
#include "result.h"
#include "base/hash.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRIC_NAME_MAX 200
#define SERIES_BYTES_MAX (WIRE_RESULT_MAX - (2u << 20)) /* the rest is for everything else */

struct detail {
	char *key, *json;
};

struct number {
	char *name;
	double value;
};

struct family {
	char *name, *help;
	int type;
	uint32_t count;
	struct buf series; /* records as in skymon/routes.h */
};

/* An open-addressing set of what `families` hold: a family by its name, a series by its family and labels. */
struct slot {
	uint64_t hash;
	uint32_t family; /* index + 1; 0: free */
	uint32_t record; /* offset in the family's series + 1; 0: the family itself */
};

struct result_builder {
	int reason;
	char *message;                        /* NULL if there is none */
	bool reason_of_name, message_of_name; /* set by result_unresolved */
	struct detail *details;
	size_t detail_count, detail_room, detail_bytes;
	struct number *numbers;
	size_t number_count, number_room;
	struct family *families;
	size_t family_count, family_room, series_bytes;
	struct slot *slots;
	size_t slot_count, slot_room; /* room: a power of two */
	uint32_t series_max, series_count, dropped;
	char *dropped_name; /* of the first that was dropped; or NULL */
	struct buf labels;  /* of the series that is being added */
};

struct result_builder *result_builder_new(void)
{
	return x_alloc(sizeof(struct result_builder));
}

void result_builder_reset(struct result_builder *b)
{
	for (size_t i = 0; i < b->detail_count; i++) {
		free(b->details[i].key);
		free(b->details[i].json);
	}
	for (size_t i = 0; i < b->number_count; i++)
		free(b->numbers[i].name);
	for (size_t i = 0; i < b->family_count; i++) {
		free(b->families[i].name);
		free(b->families[i].help);
		buf_free(&b->families[i].series);
	}
	free(b->message);
	free(b->dropped_name);
	free(b->details);
	free(b->numbers);
	free(b->families);
	free(b->slots);
	buf_free(&b->labels);
	*b = (struct result_builder){.series_max = b->series_max};
}

void result_builder_limit(struct result_builder *b, uint32_t series_max)
{
	b->series_max = series_max;
}

void result_builder_free(struct result_builder *b)
{
	if (b == NULL)
		return;
	result_builder_reset(b);
	free(b);
}

/* ---- Message, reason, details, numbers ---- */

void result_say(struct result_builder *b, const char *text)
{
	struct buf clean = {0};
	wire_put_text(&clean, text);
	const char *from = clean.data + sizeof(uint32_t);
	size_t size = strlen(from);
	if (size > RESULT_MESSAGE_MAX) {
		size = RESULT_MESSAGE_MAX;
		while (size > 0 && ((unsigned char)from[size] & 0xC0) == 0x80)
			size--;
	}
	free(b->message);
	b->message = x_alloc(size + 1);
	for (size_t i = 0; i < size; i++)
		b->message[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7F ? ' ' : from[i];
	while (size > 0 && b->message[size - 1] == ' ')
		size--;
	b->message[size] = '\0';
	buf_free(&clean);
	b->message_of_name = false;
}

void result_reason(struct result_builder *b, int reason)
{
	b->reason_of_name = false;
	b->reason = reason > 0 && reason < SKYMON_REASON_COUNT ? reason : SKYMON_NONE;
}

void result_unresolved(struct result_builder *b)
{
	b->reason_of_name = b->message_of_name = true;
}

const char *result_builder_message(const struct result_builder *b)
{
	return b->message != NULL ? b->message : "";
}

int result_builder_reason(const struct result_builder *b)
{
	return b->reason;
}

static struct detail *find_detail(struct result_builder *b, const char *key)
{
	for (size_t i = 0; i < b->detail_count; i++)
		if (strcmp(b->details[i].key, key) == 0)
			return &b->details[i];
	b->details = x_grow(b->details, &b->detail_room, b->detail_count + 1, sizeof(*b->details));
	b->details[b->detail_count] = (struct detail){.key = x_strdup(key)};
	return &b->details[b->detail_count++];
}

/* Parsed inside a list, as deep as it will be in the details. */
static bool json_ok(const char *key, const char *json, struct err *err)
{
	json_error_t why = {0};
	char *list = x_printf("[%s]", json);
	json_t *value = json_loads(list, JSON_REJECT_DUPLICATES, &why);
	bool ok = json_array_size(value) == 1;
	json_decref(value);
	free(list);
	return ok || err_set(err, "detail %s is not a JSON value: %s", key, why.text);
}

bool result_detail(struct result_builder *b, const char *key, const char *json, struct err *err)
{
	size_t key_size = key != NULL ? strlen(key) : 0, size = json != NULL ? strlen(json) : 0;
	if (key_size == 0 || key_size > 200 || !wire_text_ok(key, key_size))
		return err_set(err, "a detail's key is empty, longer than 200 bytes or invalid UTF-8");
	if (b->detail_bytes + size + 6 * key_size + 8 > RESULT_DETAILS_MAX)
		return err_set(err, "detail %s does not fit: the details may have %u bytes", key,
			       RESULT_DETAILS_MAX);
	if (!json_ok(key, json != NULL ? json : "", err))
		return false;
	struct detail *detail = find_detail(b, key);
	if (detail->json != NULL) {
		b->detail_bytes -= strlen(detail->json) + 6 * key_size + 8;
		free(detail->json);
	}
	detail->json = x_strdup(json);
	b->detail_bytes += size + 6 * key_size + 8;
	return true;
}

bool result_set_number(struct result_builder *b, const char *name, double value, struct err *err)
{
	if (!isfinite(value))
		return true;
	size_t i = 0;
	while (i < b->number_count && strcmp(b->numbers[i].name, name) != 0)
		i++;
	if (i == b->number_count) {
		if (i >= RESULT_NUMBERS_MAX)
			return err_set(err, "number %.100s is one too many: a result may have %u", name,
				       RESULT_NUMBERS_MAX);
		b->numbers = x_grow(b->numbers, &b->number_room, i + 1, sizeof(*b->numbers));
		b->numbers[b->number_count++].name = x_strdup(name);
	}
	b->numbers[i].value = value;
	return true;
}

/* ---- Series ---- */

static uint64_t hash_of(uint64_t seed, const void *bytes, size_t size)
{
	uint64_t hash = hash_add(seed ^ HASH_START, bytes, size);
	return hash ^ hash >> 29;
}

static bool slot_is(const struct result_builder *b, const struct slot *slot, uint32_t family,
		    const void *bytes, size_t size)
{
	if (family == 0) {
		const char *name = b->families[slot->family - 1].name;
		return slot->record == 0 && strlen(name) == size && memcmp(name, bytes, size) == 0;
	}
	if (slot->family != family || slot->record == 0)
		return false;
	const unsigned char *record =
		(const unsigned char *)b->families[family - 1].series.data + slot->record - 1;
	return (size_t)(record[0] | record[1] << 8) == size && memcmp(record + 3, bytes, size) == 0;
}

/* Returns the slot of a family by name (family 0), or of a series of the family by labels; else the free slot
 * for it. */
static struct slot *find_slot(struct result_builder *b, uint64_t hash, uint32_t family, const void *bytes,
			      size_t size)
{
	size_t at = hash & (b->slot_room - 1);
	while (b->slots[at].family != 0) {
		if (b->slots[at].hash == hash && slot_is(b, &b->slots[at], family, bytes, size))
			break;
		at = (at + 1) & (b->slot_room - 1);
	}
	return &b->slots[at];
}

static void make_room(struct result_builder *b)
{
	if (b->slot_room > 0 && b->slot_count * 2 < b->slot_room)
		return;
	struct slot *old = b->slots;
	size_t old_room = b->slot_room;
	b->slot_room = old_room > 0 ? old_room * 2 : 64;
	b->slots = x_alloc(b->slot_room * sizeof(*b->slots));
	for (size_t i = 0; i < old_room; i++) {
		if (old[i].family == 0)
			continue;
		size_t at = old[i].hash & (b->slot_room - 1);
		while (b->slots[at].family != 0)
			at = (at + 1) & (b->slot_room - 1);
		b->slots[at] = old[i];
	}
	free(old);
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);
	return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Returns the index + 1 of the family, new or known; 0 with err. */
static uint32_t find_family(struct result_builder *b, int type, const char *name, const char *help,
			    struct err *err)
{
	if (type != SKYMON_GAUGE && type != SKYMON_COUNTER)
		return err_set(err, "metric %s is neither gauge nor counter", name);
	make_room(b);
	uint64_t hash = hash_of(0, name, strlen(name));
	struct slot *slot = find_slot(b, hash, 0, name, strlen(name));
	if (slot->family != 0) {
		if (b->families[slot->family - 1].type != type)
			return err_set(err, "metric %s is a gauge and a counter at once", name);
		return slot->family;
	}
	if (strlen(name) > METRIC_NAME_MAX)
		return err_set(err, "metric name \"%.40s...\" is longer than %d bytes", name,
			       METRIC_NAME_MAX);
	if (!metric_name_ok(name))
		return err_set(err, "metric name \"%.200s\" is not of the form [a-zA-Z_:][a-zA-Z0-9_:]*",
			       name);
	if (metric_name_reserved(name))
		return err_set(
			err,
			"metric %s has a reserved name: up, scrape_*, process_* and __* are not for plugins",
			name);
	if (type == SKYMON_COUNTER && !ends_with(name, "_total"))
		return err_set(err, "counter %s must be named %s_total", name, name);
	if (b->family_count >= RESULT_FAMILIES_MAX)
		return err_set(err, "metric %s is one too many: a result may have %u", name,
			       RESULT_FAMILIES_MAX);
	b->families = x_grow(b->families, &b->family_room, b->family_count + 1, sizeof(*b->families));
	b->families[b->family_count++] = (struct family){
		.name = x_strdup(name), .help = x_strdup(help != NULL ? help : ""), .type = type};
	*slot = (struct slot){.hash = hash, .family = (uint32_t)b->family_count};
	b->slot_count++;
	return (uint32_t)b->family_count;
}

/* Replaces invalid UTF-8, which the daemon would refuse. */
static void clean_labels(struct buf *labels)
{
	if (labels->size == 0 || wire_text_ok(labels->data, labels->size))
		return;
	struct buf clean = {0};
	wire_put_text(&clean, labels->data);
	labels->size = 0;
	buf_text(labels, clean.data + sizeof(uint32_t));
	buf_free(&clean);
}

/* Prints the labels, sorted by name, into b->labels. */
static bool print_labels(struct result_builder *b, const char *name, const struct skymon_label *labels,
			 size_t count, struct err *err)
{
	struct skymon_label sorted[RESULT_LABELS_MAX];
	if (count > RESULT_LABELS_MAX)
		return err_set(err, "metric %s has %zu labels; %u are allowed", name, count,
			       RESULT_LABELS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (labels[i].name == NULL || !label_name_ok(labels[i].name))
			return err_set(err, "metric %s has a label with the wrong name \"%.100s\"", name,
				       labels[i].name != NULL ? labels[i].name : "");
		if (label_name_reserved(labels[i].name))
			return err_set(err, "metric %s has the label %s, which is reserved: scrapers set it",
				       name, labels[i].name);
		if (strcmp(labels[i].name, "component") == 0)
			return err_set(err, "metric %s has the label component, which skymon adds itself",
				       name);
		size_t at = i;
		for (; at > 0 && strcmp(sorted[at - 1].name, labels[i].name) > 0; at--)
			sorted[at] = sorted[at - 1];
		if (at > 0 && strcmp(sorted[at - 1].name, labels[i].name) == 0)
			return err_set(err, "metric %s has the label %s twice", name, labels[i].name);
		sorted[at] = labels[i];
	}
	b->labels.size = 0;
	buf_room(&b->labels, 1)[0] = '\0';
	labels_print(&b->labels, sorted, count);
	clean_labels(&b->labels);
	return b->labels.size <= UINT16_MAX || err_set(err, "metric %s has labels above 64 KiB", name);
}

bool result_metric(struct result_builder *b, int type, const char *name, const char *help, double value,
		   const struct skymon_label *labels, size_t count, struct err *err)
{
	if (name == NULL)
		return err_set(err, "a metric without a name");
	if (b->series_max > 0 && b->series_count >= b->series_max) { /* the daemon reports it */
		if (b->dropped++ == 0)
			b->dropped_name = x_printf("%.*s", METRIC_NAME_MAX, name);
		return true;
	}
	if (!print_labels(b, name, labels, count, err))
		return false;
	if (type == SKYMON_COUNTER && !(value >= 0))
		return err_set(err, "counter %s is negative or not a number", name);
	uint32_t index = find_family(b, type, name, help, err);
	if (index == 0)
		return false;
	make_room(b);
	uint64_t hash = hash_of(index, b->labels.data, b->labels.size);
	struct slot *slot = find_slot(b, hash, index, b->labels.data, b->labels.size);
	if (slot->family != 0)
		return err_set(err, "metric %s{%.200s} is reported twice", name, b->labels.data);
	char text[32];
	size_t size = number_print(value, text, sizeof(text));
	size_t labels_size = b->labels.size, record_size = 3 + labels_size + size;
	if (b->series_bytes + record_size > SERIES_BYTES_MAX)
		return err_set(err, "metric %s is one too many: a result may have 64 MiB", name);
	struct family *family = &b->families[index - 1];
	*slot = (struct slot){.hash = hash, .family = index, .record = (uint32_t)family->series.size + 1};
	b->slot_count++;
	unsigned char head[3] = {(unsigned char)labels_size, (unsigned char)(labels_size >> 8),
				 (unsigned char)size};
	buf_add(&family->series, head, sizeof(head));
	buf_add(&family->series, b->labels.data, labels_size);
	buf_add(&family->series, text, size);
	family->count++;
	b->series_count++;
	b->series_bytes += record_size;
	return true;
}

/* ---- The wire ---- */

static void encode_details(const struct result_builder *b, struct buf *body)
{
	struct buf json = {0};
	buf_text(&json, "{");
	for (size_t i = 0; i < b->detail_count; i++) {
		buf_text(&json, i > 0 ? "," : "");
		buf_json(&json, b->details[i].key);
		buf_text(&json, ":");
		buf_text(&json, b->details[i].json);
	}
	buf_text(&json, "}");
	wire_put_text(body, json.data);
	buf_free(&json);
}

static void encode_numbers(const struct result_builder *b, struct buf *body)
{
	for (size_t i = 0; i < b->number_count; i++) {
		char text[32];
		number_print(b->numbers[i].value, text, sizeof(text));
		wire_put_text(body, b->numbers[i].name);
		wire_put_text(body, text);
		wire_put_f64(body, b->numbers[i].value);
	}
}

void result_encode(struct result_builder *b, enum skymon_status status, int64_t duration_us, struct buf *body)
{
	int known = status >= SKYMON_UNKNOWN && status <= SKYMON_UNHEALTHY ? (int)status : SKYMON_UNKNOWN;
	/* A name that does not resolve explains a failure, and means nothing otherwise. */
	bool failed = known == SKYMON_UNHEALTHY || known == SKYMON_UNKNOWN;
	int reason = result_claim(known, b->reason_of_name && !failed ? SKYMON_NONE : b->reason);
	if (b->message_of_name && !failed && b->message != NULL)
		b->message[0] = '\0';
	wire_put_u8(body, (uint8_t)known);
	wire_put_u8(body, (uint8_t)reason);
	wire_put_u64(body, (uint64_t)(duration_us > 0 ? duration_us : 0));
	const char *message = result_builder_message(b);
	wire_put_text(body, message[0] != '\0' ? message : skymon_reason_word(reason));
	encode_details(b, body);
	wire_put_u32(body, (uint32_t)b->number_count);
	wire_put_u32(body, (uint32_t)b->family_count);
	encode_numbers(b, body);
	for (size_t i = 0; i < b->family_count; i++) {
		const struct family *family = &b->families[i];
		wire_put_u8(body, (uint8_t)family->type);
		wire_put_text(body, family->name);
		wire_put_text(body, family->help);
		wire_put_u32(body, family->count);
		wire_put_bytes(body, family->series.data, family->series.size);
	}
	wire_put_u32(body, b->dropped);
	wire_put_text(body, b->dropped_name != NULL ? b->dropped_name : "");
}
