/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_json: validates and scans JSON as text, estimates its tree, finds repeated names; and the memory
 * budget that large trees wait for. */
#include "fake_host.h"
#include "unit.h"

#include <malloc.h>

#include "../../plugins/grafana/grafana.h"

/* ---- JSON as text ---- */

static struct grafana_span span(const char *text)
{
	return (struct grafana_span){text, strlen(text)};
}

static void json_is_recognized(void)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"{}", true},
		{" [ ] ", true},
		{"0", true},
		{"-0.5e+10", true},
		{"1E9", true},
		{"\"\"", true},
		{"null", true},
		{"[true,false,null,\"a\\u00e9\\n\\\\\\\"\",{\"a\":[1,{}]}]", true},
		{"{\"a\":1,\"b\":[ 1 , 2 ] }", true},
		{"[\"é\"]", true},
		{"123456789012345678901234567890", true},
		{"\"\\u0000\"", true},
		{"", false},
		{" ", false},
		{"[", false},
		{"]", false},
		{"{", false},
		{"[1", false},
		{"[1,", false},
		{"[1,]", false},
		{"[,1]", false},
		{"{\"a\"}", false},
		{"{\"a\":}", false},
		{"{\"a\":1,}", false},
		{"{a:1}", false},
		{"{\"a\":1", false},
		{"{\"a\"", false},
		{"[1}", false},
		{"{\"a\":1]", false},
		{"{} {}", false},
		{"[1 2]", false},
		{"01", false},
		{"-", false},
		{"1.", false},
		{".5", false},
		{"1e", false},
		{"+1", false},
		{"nul", false},
		{"truex", false},
		{"\"", false},
		{"\"\\", false},
		{"\"\\\"", false},
		{"\"\\x\"", false},
		{"\"\\u12g4\"", false},
		{"\"\\u12", false},
		{"\"\n\"", false},
		{"\"\xff\"", false},
		{"\"\xc3\"", false},
		{"\"\xe2\x82", false},
		{"NaN", false},
		{"'a'", false},
		{"<html>", false},
	};
	size_t cost;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *exact = malloc(strlen(rows[i].text) + 1); /* ASan reports a read of one byte beyond */
		memcpy(exact, rows[i].text, strlen(rows[i].text));
		if (grafana_scan((struct grafana_span){exact, strlen(rows[i].text)}, &cost) != rows[i].good) {
			fprintf(stderr, "\n%s\n", rows[i].text);
			CU_FAIL();
		}
		free(exact);
	}
}

static void nesting_is_bounded(void)
{
	static char deep[20002];
	size_t cost;
	for (size_t depth = 9999; depth <= 10001; depth++) {
		memset(deep, '[', depth);
		memset(deep + depth, ']', depth);
		CU_ASSERT_EQUAL(grafana_scan((struct grafana_span){deep, 2 * depth}, &cost), depth <= 10000);
	}
}

static void parts_are_found(void)
{
	const char *text = " {\"a\\u0062\" : [1, {\"x\":[]} ,\"y\"], \"c\":null,\"big\":99999999999999999999 "
			   ", \"d\":{}}";
	size_t count = 0;
	json_t *loaded = grafana_pick(span(text), "ab");
	CU_ASSERT_EQUAL(json_array_size(loaded), 3);
	json_decref(loaded);
	struct grafana_span value = grafana_find(span(text), "big");
	CU_ASSERT(value.size == 20 && memcmp(value.text, "99999999999999999999", 20) == 0);
	CU_ASSERT_PTR_NULL(grafana_pick(span(text), "big")); /* not parsed, but can be passed on */
	CU_ASSERT_PTR_NULL(grafana_find(span(text), "x").text);
	CU_ASSERT_PTR_NULL(grafana_find(span("[1]"), "x").text);
	CU_ASSERT_PTR_NULL(grafana_find((struct grafana_span){NULL, 0}, "x").text);
	CU_ASSERT_PTR_NULL(grafana_find(span("{}"), "x").text);
	struct grafana_span rest;
	for (rest = grafana_find(span(text), "ab"); grafana_walk(&rest, NULL, &value);)
		count++;
	CU_ASSERT_EQUAL(count, 3);
	struct grafana_span key;
	for (rest = span(text), count = 0; grafana_walk(&rest, &key, &value);)
		count++;
	CU_ASSERT_EQUAL(count, 4);
	rest = span(" [ ] ");
	CU_ASSERT_FALSE(grafana_walk(&rest, NULL, &value));
}

/* Returns `count` copies of the part. */
__attribute__((format(printf, 1, 0))) static char *many(const char *part, size_t count)
{
	char *text = malloc(count * (strlen(part) + 12) + 3), *at = text;
	for (size_t i = 0; i < count; i++) {
		*at++ = i == 0 ? '[' : ',';
		at += sprintf(at, part, (int)i);
	}
	*at++ = ']';
	*at = '\0';
	return text;
}

static size_t taken; /* heap bytes that jansson used */
static void *counting_malloc(size_t size)
{
	void *memory = malloc(size);
	taken += malloc_usable_size(memory) + 8;
	return memory;
}
static void counting_free(void *memory)
{
	if (memory != NULL)
		taken -= malloc_usable_size(memory) + 8;
	free(memory);
}

/* The estimate is never less than the memory used, nor much more. */
static void trees_are_estimated(void)
{
	static const char *const parts[] = {
		"[]",
		"{}",
		"[[[[[[]]]]]]",
		"{\"\":{\"\":{}}}",
		"1",
		"1.5",
		"\"\"",
		"\"abcdefghijklmnopqrstuvwxyz\"",
		"true",
		"{\"a\":1,\"b\":2,\"c\":3}",
		"{\"a%d\":\"x\"}",
		"{\"a\":1,\"b\":2,\"c\":3,\"d\":1,\"e\":2,\"f\":3,\"g\":4,\"h\":5,\"i\":9}",
		"{\"title\":\"p\",\"type\":\"stat\",\"targets\":[{\"expr\":\"up\"}]}"};
	json_set_alloc_funcs(counting_malloc, counting_free);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *text = many(parts[i], 10000);
		size_t cost = 0;
		CU_ASSERT_FATAL(grafana_scan(span(text), &cost));
		taken = 0;
		json_t *json = json_loads(text, 0, NULL);
		CU_ASSERT_PTR_NOT_NULL_FATAL(json);
		if (cost < taken || cost > 5 * taken + strlen(text)) {
			fprintf(stderr, "\n%s: %zu counted, %zu taken of %zu\n", parts[i], cost, taken,
				strlen(text));
			CU_FAIL();
		}
		json_decref(json);
		free(text);
	}
	json_set_alloc_funcs(malloc, free);
}

static void names_are_given_twice(void)
{
	static const struct grafana_name two[] = {{"a_b", "aB"}, {"is_c", "isC"}, {NULL, NULL}};
	static const char *const skip[] = {"x", NULL};
	static const struct {
		const char *sent, *renamed /* NULL if refused */, *copied;
	} rows[] = {
		{"{\"a_b\":1,\"z\": [ 1.50 ],\"x\":2}", "{\"aB\":1,\"z\":[1.5],\"x\":2}",
		 ",\"aB\":1,\"z\":[ 1.50 ]"},
		{"{\"a_b\":null,\"aB\":\"\"}", "{\"aB\":\"\"}", ",\"aB\":\"\""},
		{"{\"aB\":null,\"a_b\":\"\"}", "{\"aB\":\"\"}", ",\"aB\":\"\""},
		{"{\"a_b\":7,\"aB\":7}", "{\"aB\":7}", ",\"aB\":7"},
		{"{\"a_b\":7,\"aB\":8}", NULL, NULL},
		{"{\"a_b\":null,\"aB\":null}", "{\"aB\":null}", ",\"aB\":null"},
		{"{\"is_c\":true, \"\\u0078\":3,\"\\u0061B\":4}", "{\"isC\":true,\"x\":3,\"aB\":4}",
		 ",\"isC\":true,\"\\u0061B\":4"},
		{"{}", "{}", ""},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grafana_fault fault = {0};
		json_t *sent = json_loads(rows[i].sent, 0, NULL);
		struct grafana_fields fields = {sent, two, "", &fault};
		json_t *renamed = grafana_rename(&fields);
		CU_ASSERT_EQUAL(renamed != NULL, rows[i].renamed != NULL);
		CU_ASSERT_EQUAL(fault.code, rows[i].renamed != NULL ? 0 : 422);
		char out[200];
		if (rows[i].renamed != NULL) {
			json_t *wanted = json_loads(rows[i].renamed, 0, NULL);
			CU_ASSERT(json_equal(renamed, wanted));
			json_decref(wanted);
			out[grafana_copy_members(&fields, span(rows[i].sent), skip, out)] = '\0';
			UNIT_TEXT(out, rows[i].copied);
		}
		json_decref(renamed);
		json_decref(sent);
	}
}

/* Texts are cut between characters. */
static void cuts_are_whole(void)
{
	struct grafana_fault fault = {0};
	char pointer[400] = "/labels/", text[] = "aé\xc3", good[] = "aé";
	for (size_t i = 8; i + 2 < sizeof(pointer); i += 2)
		memcpy(pointer + i, "é", 3);
	for (size_t i = 0; i < 2; i++) {
		grafana_invalid(&fault, pointer + i, "is wrong");
		json_t *cut = json_string(fault.pointer);
		CU_ASSERT(cut != NULL && strlen(fault.pointer) > 100);
		json_decref(cut);
		cut = json_string(fault.detail);
		CU_ASSERT_PTR_NOT_NULL(cut);
		json_decref(cut);
	}
	grafana_trim_cut(text);
	UNIT_TEXT(text, "aé");
	grafana_trim_cut(good);
	UNIT_TEXT(good, "aé");
}

/* ---- The memory budget ---- */

static struct grafana_budget budget;

static void *fake_shared(struct skymon *sm)
{
	(void)sm;
	return &budget;
}

/* Another request, on its own thread. */
struct taker {
	struct grafana_ctx ctx;
	pthread_t thread;
	size_t bytes, taken;
	bool good;
};

static void *take(void *arg)
{
	struct taker *taker = arg;
	taker->good = grafana_reserve(&taker->ctx, taker->bytes, 413, &taker->taken);
	grafana_release_all();
	return NULL;
}

static void budget_is_shared(void)
{
	struct skymon_host host = *fake_new_run()->host;
	struct skymon sm = {&host};
	struct grafana_ctx ctx = {.sm = &sm};
	struct taker other = {.bytes = 300000};
	host.shared = fake_shared;
	other.ctx = ctx;
	CU_ASSERT_FATAL(grafana_budget_init(&budget));
	budget.all = 600000;
	size_t first;
	CU_ASSERT(grafana_reserve(&ctx, GRAFANA_SMALL, 413, &first) && first == 0 && budget.used == 0);
	CU_ASSERT_FALSE(grafana_reserve(&ctx, 600001, 413, &first));
	CU_ASSERT(ctx.fault.code == 413 && strstr(ctx.fault.detail, "limits.worker_memory") != NULL &&
		  budget.used == 0);
	/* a single request may have all of it, and another waits until its deadline */
	CU_ASSERT(grafana_reserve(&ctx, 550000, 413, &first) && budget.used == 550000);
	fake.ms_left = 0;
	pthread_create(&other.thread, NULL, take, &other);
	pthread_join(other.thread, NULL);
	CU_ASSERT(!other.good && other.ctx.fault.code == 503 && other.taken == 0 && budget.used == 550000);
	UNIT_TEXT(other.ctx.fault.retry_after, "2");
	fake.ms_left = 20000;
	pthread_create(&other.thread, NULL, take, &other);
	grafana_release(&first);
	pthread_join(other.thread, NULL);
	CU_ASSERT(other.good && other.taken == 300000 && first == 0 && budget.used == 0);
	/* the last part is for requests that hold a reservation already */
	CU_ASSERT(grafana_reserve(&ctx, 250000, 413, &first));
	fake.ms_left = 0;
	pthread_create(&other.thread, NULL, take, &other);
	pthread_join(other.thread, NULL);
	CU_ASSERT_FALSE(other.good);
	size_t second;
	CU_ASSERT(grafana_reserve(&ctx, 350000, 413, &second) && budget.used == 600000);
	grafana_release(&second);
	/* memory that is in use already is counted beyond the budget */
	grafana_count(&ctx, 500000);
	CU_ASSERT_EQUAL(budget.used, 750000);
	grafana_release_all();
	CU_ASSERT_EQUAL(budget.used, 0);
	grafana_budget_end(&budget);
}

int main(void)
{
	return unit_run("grafana_json", (const struct unit_test[]){
						{"JSON is distinguished from other text", json_is_recognized},
						{"nesting is bounded", nesting_is_bounded},
						{"parts of a text are found", parts_are_found},
						{"trees are estimated", trees_are_estimated},
						{"names are given twice", names_are_given_twice},
						{"cuts are whole", cuts_are_whole},
						{"the budget is shared", budget_is_shared},
						{0}});
}
