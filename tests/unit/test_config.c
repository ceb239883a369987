/* SPDX-License-Identifier: Apache-2.0 */
/* config: accepted YAML, the errors for all other input, variables and includes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nearest.h"
#include "config/config.h"
#include "unit.h"

static const char *lookup(const char *variable)
{
	static const char *const set[][2] = {
		{"USER_NAME", "ann"}, {"EMPTY", ""}, {"YES", "true"}, {"LATIN", "caf\xE9"}, {NULL, NULL}};
	for (size_t i = 0; set[i][0] != NULL; i++)
		if (strcmp(set[i][0], variable) == 0)
			return set[i][1];
	return NULL;
}

/* Returns all errors, one per line. */
static char *joined(struct err_list *errs)
{
	struct buf all = {0};
	buf_text(&all, "");
	for (size_t i = 0; i < errs->count; i++)
		buf_printf(&all, "%s%s", i > 0 ? "\n" : "", errs->texts[i]);
	err_list_free(errs);
	return all.data;
}

static char *errors_of(const char *text, size_t size)
{
	struct config config;
	struct err_list errs = {0};
	bool ok = config_parse("f", text, size, lookup, &config, &errs);
	CU_ASSERT_EQUAL(ok, errs.count == 0);
	config_free(&config);
	return joined(&errs);
}

/* Prints a tree as compact text: maps {}, lists [], texts, quoted ones in '', null as ~. */
static void show(const struct config_node *node, struct buf *out)
{
	if (node->kind == CONFIG_EMPTY)
		buf_text(out, "~");
	if (node->kind == CONFIG_SCALAR)
		buf_printf(out, node->quoted ? "'%s'" : "%s", node->text);
	if (node->kind == CONFIG_MAP || node->kind == CONFIG_LIST)
		buf_text(out, node->kind == CONFIG_MAP ? "{" : "[");
	for (size_t i = 0; node->kind == CONFIG_LIST && i < node->count; i++) {
		buf_text(out, i > 0 ? " " : "");
		show(node->items[i], out);
	}
	for (size_t i = 0; node->kind == CONFIG_MAP && i < node->count; i++) {
		buf_printf(out, "%s%s:", i > 0 ? " " : "", node->pairs[i].key);
		show(node->pairs[i].value, out);
	}
	if (node->kind == CONFIG_MAP || node->kind == CONFIG_LIST)
		buf_text(out, node->kind == CONFIG_MAP ? "}" : "]");
}

static void reads(void)
{
	static const struct {
		const char *text, *tree;
	} cases[] = {
		{"", "{}"},
		{"# nothing\n", "{}"},
		{"---\n...\n", "{}"},
		{"\xEF\xBB\xBF"
		 "a: 1\n",
		 "{a:1}"},
		{"a: 1\nb: 'x'\nc: \"y\"\nd:\ne: ~\nf: null\ng: 'null'\nh: ''",
		 "{a:1 b:'x' c:'y' d:~ e:~ f:~ g:'null' h:''}"},
		{"a: [1, {b: c}, [d]]\n", "{a:[1 {b:c} [d]]}"},
		{"a: |\n  two\n  lines\n", "{a:'two\nlines\n'}"},
		{"a: !!str 5\nb: !!int 5\n", "{a:'5' b:5}"},
		{"a: &x {k: v}\nb: *x\n", "{a:{k:v} b:{k:v}}"},
		{"a: &x 1\nb: &x 2\nc: *x\n", "{a:1 b:2 c:2}"},
		{"a: &x {k: v, l: 1}\nb: {<<: *x, l: 2}\n", "{a:{k:v l:1} b:{l:2 k:v}}"},
		{"b: {<<: {l: 1}, l: 2, m: 3}\n", "{b:{l:2 m:3}}"},
		{"p: &p {a: 1}\nq: &q {a: 2, b: 2}\nr: {<<: [*p, *q], c: 3}\n",
		 "{p:{a:1} q:{a:2 b:2} r:{c:3 a:1 b:2}}"},
		{"r: {'<<': 1}\n", "{r:{<<:1}}"},
		{"a: ${USER_NAME}\nb: \"${NO:-x}-${EMPTY:-y}-${EMPTY}\"\nc: $$5 $x $\nd: $${A}\n",
		 "{a:ann b:'x-y-' c:$5 $x $ d:${A}}"},
		{"a: ${NO:-${USER_NAME}}\nb: \"${NO:-<${EMPTY:-${NO:-z}}>}\"\nc: ${USER_NAME:-${NO}}\nd: "
		 "${NO:-$$5}\n",
		 "{a:ann b:'<z>' c:ann d:$5}"},
		{"x-a: ${NOT_SET}\nb: 1\n", "{x-a:${NOT_SET} b:1}"},
		{"${NOT_SET}: 1\n", "{${NOT_SET}:1}"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config config;
		struct err_list errs = {0};
		struct buf out = {0};
		CU_ASSERT(config_parse("f", cases[i].text, strlen(cases[i].text), lookup, &config, &errs));
		show(config.root, &out);
		UNIT_TEXT(out.data, cases[i].tree);
		char *none = joined(&errs);
		UNIT_TEXT(none, "");
		free(none);
		buf_free(&out);
		config_free(&config);
	}
}

static void refuses(void)
{
	static const struct {
		const char *text, *errors;
	} cases[] = {
		{"a: 1\nb: 2\na: 3\n", "f:3:1: `a` is here a second time; the first is at f:1:1"},
		{"a: {b: 1, b: 2, b: 3}\n", "f:1:11: `b` is here a second time; the first is at f:1:5\n"
					    "f:1:17: `b` is here a second time; the first is at f:1:5"},
		{"a: {<<: {b: 1}, <<: {c: 1}}\n",
		 "f:1:17: `<<` is here a second time; the first is at f:1:5"},
		{"a: {<<: 1}\n", "f:1:9: << needs a map, or a list of maps"},
		{"a: {<<: [{}, x]}\n", "f:1:14: << needs a map, or a list of maps"},
		{"a: &x [1, *x]\n", "f:1:11: the alias *x is within the value that it repeats"},
		{"a: &x {b: *x}\n", "f:1:11: the alias *x is within the value that it repeats"},
		{"a: &x {<<: *x}\n", "f:1:12: the alias *x is within the value that it repeats"},
		{"a: *x\n", "f:1:4: the alias *x has no anchor &x before it"},
		{"? [a]\n: 1\n", "f:1:3: a key must be a plain word"},
		{"? {a: b}\n: 1\n", "f:1:3: a key must be a plain word"},
		{"a: &x b\n*x : 1\n", "f:2:1: a key must be a plain word"},
		{": 1\n", "f:1:1: did not find expected key, while parsing a block mapping"},
		{"{? : 1}\n", "f:1:4: a key is missing before the colon"},
		{"~: 1\n", "f:1:1: a key is missing before the colon"},
		{"a: 1\n---\nb: 1\n", "f:2:1: a second document begins here; a config file has one"},
		{"- a\n", "f:1:1: the file must be a map: lines of `key: value`"},
		{"just text\n", "f:1:1: the file must be a map: lines of `key: value`"},
		{"a: !secret b\n", "f:1:4: the tag !secret is not known here"},
		{"a: \"\\0\"\n", "f:1:4: a text cannot hold the character NUL"},
		{"a:\n\tb: 1\n",
		 "f:2:1: found character that cannot start any token, while scanning for the next token (a "
		 "tab: YAML is indented with spaces)"},
		{"a: [1, 2\nb: 3\n",
		 "f:2:2: did not find expected ',' or ']', while parsing a flow sequence that begins at 1:4"},
		{"a: \"x\n",
		 "f:2:1: found unexpected end of stream, while scanning a quoted scalar that begins at 1:4"},
		{"a: b: c\n", "f:1:5: mapping values are not allowed in this context"},
		{"a: {b: ${X}}\n",
		 "f:1:9: did not find expected ',' or '}', while parsing a flow mapping that begins at 1:4 "
		 "(inside of { } and [ ] a ${NAME} needs quotes: \"${NAME}\")"},
		{"a: @b\n",
		 "f:1:4: found character that cannot start any token, while scanning for the next token"},
		{"a: caf\xE9\n", "f:1:7: the byte 0xE9: invalid UTF-8"},
		{"a: \xC3\xA9 \xFF\n", "f:1:6: the byte 0xFF: invalid UTF-8"},
		{"a: x\x01\n", "f:1:5: the byte 0x01: a control character cannot stand here"},
		{"a: 1\nb: ${NOPE}\n",
		 "f:2:4: the variable NOPE is not set: set it, or write ${NOPE:-default}"},
		{"a: ${NOPE:?say why}\n", "f:1:4: the variable NOPE is not set: say why"},
		{"a: ${EMPTY:?say why}\n", "f:1:4: the variable EMPTY is not set: say why"},
		{"a: ${X-y}\n",
		 "f:1:4: `${X-y}` is not understood: write ${NAME}, ${NAME:-default} or ${NAME:?message}, "
		 "and $$ for a dollar sign"},
		{"a: ${}\n", "f:1:4: `${}` is not understood: write ${NAME}, ${NAME:-default} or "
			     "${NAME:?message}, and $$ "
			     "for a dollar sign"},
		{"a: ${X:-${Y\n", "f:1:4: `${X:-${Y` has no }: write ${NAME}, and $$ for a dollar sign"},
		{"a: ${X:-${Y}}\n", "f:1:4: the variable Y is not set: set it, or write ${Y:-default}"},
		{"a: ${A0:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-x}}}}}}}}}}\n",
		 "f:1:4: more than 8 defaults within each other"},
		{"a: ${X\n", "f:1:4: `${X` has no }: write ${NAME}, and $$ for a dollar sign"},
		{"a: ${LATIN}\n", "f:1:4: the variable LATIN holds invalid UTF-8"},
		{"x-a: &v ${NOPE}\nb: *v\n",
		 "f:1:6: the variable NOPE is not set: set it, or write ${NOPE:-default}"},
		{"a: ${N1}\nb: [\"${N2}\"]\n",
		 "f:1:4: the variable N1 is not set: set it, or write ${N1:-default}\n"
		 "f:2:5: the variable N2 is not set: set it, or write ${N2:-default}"},
		{"include: [a.yaml]\n", "f:1:1: only a config file can include others"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *errors = errors_of(cases[i].text, strlen(cases[i].text));
		UNIT_TEXT(errors, cases[i].errors);
		free(errors);
	}
	char *errors = errors_of("a: \0b\n", 7);
	UNIT_TEXT(errors, "f:1:4: the byte 0x00: a control character cannot stand here");
	free(errors);
}

/* ---- Bounds ---- */

static void expect_error(struct buf *text, const char *expected)
{
	char *errors = errors_of(text->data, text->size);
	UNIT_TEXT(errors, expected);
	free(errors);
	buf_free(text);
}

static void nested(struct buf *text, int levels)
{
	for (int i = 0; i < levels; i++)
		buf_text(text, "[");
	for (int i = 0; i < levels; i++)
		buf_text(text, "]");
}

static void bounds(void)
{
	struct buf text = {0};
	buf_text(&text, "a: ");
	nested(&text, 63);
	expect_error(&text, "");
	buf_text(&text, "a: ");
	nested(&text, 64);
	expect_error(&text, "f:1:67: nested deeper than 64 levels");
	/* through aliases: each list contains the previous one */
	buf_text(&text, "a0: &a0 []\n");
	for (int i = 1; i < 70; i++)
		buf_printf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	expect_error(&text, "f:65:12: nested deeper than 64 levels");
	/* the alias bomb: ten times ten times ten … */
	buf_text(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++) {
		buf_printf(&text, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			buf_printf(&text, "*a%d%s", i - 1, j < 9 ? "," : "]\n");
	}
	expect_error(&text, "f:5:46: more than 100,000 values, counting each alias: that is too many");
	buf_text(&text, "a: [");
	for (int i = 0; i < 100001; i++)
		buf_text(&text, "1,");
	buf_text(&text, "]");
	char *errors = errors_of(text.data, text.size);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors, "more than 100,000 values"));
	free(errors);
	buf_free(&text);
	for (int i = 0; i < 1100; i++)
		buf_printf(&text, "k%d: &k%d x\n", i, i);
	expect_error(&text, "f:1001:8: more than 1,000 anchors: that is too many");
	for (int i = 0; i < 110000; i++)
		buf_text(&text, "# padding\n");
	expect_error(&text, "f: larger than 1 MiB, the limit of a config file");
	/* more errors than are reported */
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "k%d: ${N%d}\n", i, i);
	errors = errors_of(text.data, text.size);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors, "N199"));
	CU_ASSERT_PTR_NULL(strstr(errors, "N201"));
	CU_ASSERT_PTR_NOT_NULL(strstr(errors, "there are more errors than these"));
	free(errors);
	buf_free(&text);
}

static void places(void)
{
	struct config config;
	struct err_list errs = {0};
	const char *text = "a: 1\n\xC3\xA9: {b: \"${NO:-}${USER_NAME}\"}\n";
	CU_ASSERT(config_parse("f", text, strlen(text), lookup, &config, &errs));
	const struct config_pair *pair = config_find(config.root, "\xC3\xA9");
	CU_ASSERT_EQUAL(pair->line, 2);
	CU_ASSERT_EQUAL(pair->column, 1);
	const struct config_node *b = config_value(pair->value, "b");
	UNIT_TEXT(b->file, "f");
	CU_ASSERT_EQUAL(b->line, 2);
	CU_ASSERT_EQUAL(b->column, 8); /* characters, not bytes */
	UNIT_TEXT(b->variable, "NO");
	UNIT_TEXT(b->text, "ann");
	CU_ASSERT_PTR_NULL(config_find(config.root, "c"));
	CU_ASSERT_PTR_NULL(config_value(b, "c"));
	CU_ASSERT_PTR_NULL(config_value(NULL, "c"));
	config_free(&config);
}

static void nearest(void)
{
	static const char *const words[] = {"address", "token", "login", "url", "interval"};
	static const struct {
		const char *word, *near;
	} cases[] = {{"adress", "address"},
		     {"adderss", "address"},
		     {"tokn", "token"},
		     {"toekn", "token"},
		     {"ulr", "url"},
		     {"uri", "url"},
		     {"zzz", NULL},
		     {"", NULL},
		     {"intervall", "interval"},
		     {"intrvl", "interval"},
		     {"x", NULL}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		UNIT_TEXT(nearest_word(cases[i].word, words, 5), cases[i].near);
}

/* ---- Files ---- */

static char folder[64];

static void put(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
	fclose(file);
}

static char *load(struct buf *tree)
{
	char path[128];
	struct err_list errs = {0};
	snprintf(path, sizeof(path), "%s/main.yaml", folder);
	struct config config;
	bool ok = config_load(path, lookup, &config, &errs);
	CU_ASSERT_EQUAL(ok, errs.count == 0);
	if (tree != NULL)
		show(config.root, tree);
	config_free(&config);
	char *errors = joined(&errs);
	/* the folder's name differs in each run */
	for (char *at; (at = strstr(errors, folder)) != NULL;)
		memmove(at, at + strlen(folder), strlen(at + strlen(folder)) + 1);
	return errors;
}

static void expect_load(const char *main, const char *tree, const char *expected)
{
	struct buf shown = {0};
	put("main.yaml", main);
	char *errors = load(&shown);
	UNIT_TEXT(errors, expected);
	if (tree != NULL)
		UNIT_TEXT(shown.data, tree);
	free(errors);
	buf_free(&shown);
}

static void includes(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(strcpy(folder, "/tmp/test_config_XXXXXX")));
	char inner[128];
	snprintf(inner, sizeof(inner), "%s/d", folder);
	CU_ASSERT_EQUAL(mkdir(inner, 0700), 0);
	put("d/b.yaml", "components: {b: {plugin: p}}\n");
	put("d/a.yaml", "x-h: &h {plugin: p}\ncomponents:\n  a: *h\nplugins: {q: {}}\n");
	put("wrong.yaml", "listen: 1\ninclude: []\ncomponents: [a]\n");
	put("broken.yaml", "a: [\n");
	expect_load("include: [d/*.yaml]\ncomponents: {z: 1}\n",
		    "{include:[d/*.yaml] components:{z:1 a:{plugin:p} b:{plugin:p}} plugins:{q:{}}}", "");
	expect_load("include: d/b.yaml\n", "{include:d/b.yaml components:{b:{plugin:p}}}", "");
	expect_load("include: [main.yaml]\n", NULL, "/main.yaml:1:11: the file includes itself");
	expect_load("include: [d/b.yaml, d/*.yaml, m*n.yaml]\n",
		    "{include:[d/b.yaml d/*.yaml m*n.yaml] components:{b:{plugin:p} a:{plugin:p}} "
		    "plugins:{q:{}}}",
		    "");
	expect_load("include: [none/*.yaml]\n", "{include:[none/*.yaml]}", "");
	expect_load("include: [none.yaml]\n", NULL,
		    "/main.yaml:1:11: cannot open /none.yaml: No such file or directory");
	expect_load("include: [d]\n", NULL, "/main.yaml:1:11: /d is not a regular file");
	expect_load("include: {a: b}\n", NULL, "/main.yaml:1:10: `include` must be a list of file patterns");
	expect_load("include: [[a], '']\n", NULL,
		    "/main.yaml:1:11: `include` must be a list of file patterns\n"
		    "/main.yaml:1:16: `include` must be a list of file patterns");
	expect_load("include: [wrong.yaml, broken.yaml]\n", NULL,
		    "/wrong.yaml:1:1: `listen` belongs in the main file: an included one may hold "
		    "`components` and `plugins` "
		    "only\n"
		    "/wrong.yaml:2:1: `include` belongs in the main file: an included one may hold "
		    "`components` and "
		    "`plugins` only\n"
		    "/wrong.yaml:3:13: `components` must be a map of names\n"
		    "/broken.yaml:2:1: did not find expected node content, while parsing a flow node");
	expect_load("components:\n  b: {}\nplugins: {q: {}}\ninclude: [d/*.yaml]\n", NULL,
		    "/d/b.yaml:1:14: `b` is here a second time; the first is at /main.yaml:2:3\n"
		    "/d/a.yaml:4:11: `q` is here a second time; the first is at /main.yaml:3:11");
	put("d/b.yaml", "components: {a: {plugin: p}}\n");
	expect_load("include: [d/*.yaml]\n", NULL,
		    "/d/b.yaml:1:14: `a` is here a second time; the first is at /d/a.yaml:3:3");
	expect_load("include: [\"${NOPE}\"]\n", NULL,
		    "/main.yaml:1:11: the variable NOPE is not set: set it, or write ${NOPE:-default}");
	static const char *const names[] = {
		"main.yaml", "wrong.yaml", "broken.yaml", "d/a.yaml", "d/b.yaml", "d", ""};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		CU_ASSERT_EQUAL(remove(path), 0);
	}
	char *errors = load(NULL);
	UNIT_TEXT(errors, "cannot open /main.yaml: No such file or directory");
	free(errors);
}

#define EACH "components:\n  s: {plugin: p, a: 1, each: "

/* Loads a section s with this `each`. */
static void expect_each(const char *each, const char *tree, const char *expected)
{
	char main[1024];
	snprintf(main, sizeof(main), EACH "%s}\n", each);
	char whole[1024];
	snprintf(whole, sizeof(whole), "{components:{%s}}", tree != NULL ? tree : "");
	expect_load(main, tree != NULL ? whole : NULL, expected);
}

static void each(void)
{
	static const struct {
		const char *each, *tree, *errors;
	} cases[] = {
		{"{x: {b: 2}, y: {b: 3}}", "s-x:{plugin:p a:1 b:2} s-y:{plugin:p a:1 b:3}", ""},
		/* an item's value is the whole value, also of a map, and the plugin too; an empty one is none
		 */
		{"{x: {a: {c: 1}}, y: {plugin: q, a: }, z: , w: {a: ''}}",
		 "s-x:{plugin:p a:{c:1}} s-y:{plugin:q a:1} s-z:{plugin:p a:1} s-w:{plugin:p a:''}", ""},
		{"{x: {b: \"${USER_NAME}\"}}", "s-x:{plugin:p a:1 b:'ann'}", ""},
		/* an item may be called file */
		{"{file: {b: 1}, x: }", "s-file:{plugin:p a:1 b:1} s-x:{plugin:p a:1}", ""},
		{"{file: t.yaml}", "s-de:{plugin:p a:1 b:'ann'} s-x-fr:{plugin:p a:5}", ""},
		{"{file: d/up.yaml}", "s-de:{plugin:p a:1}", ""},
		/* mistakes */
		{"{}", "", "/main.yaml:2:30: `each` of component s has no items"},
		{"", "", "/main.yaml:2:30: `each` of component s has no items"},
		{"[x, y]", "",
		 "/main.yaml:2:30: `each` of component s must be a map of items, as in {de: {url: …}, fr: "
		 "{url: …}}, "
		 "or {file: PATH}"},
		{"t.yaml", "",
		 "/main.yaml:2:30: `each` of component s must be a map of items, as in {de: {url: …}, fr: "
		 "{url: …}}, "
		 "or {file: PATH}"},
		{"{file: t.yaml, x: }", "",
		 "/main.yaml:2:31: `each` of component s has either `file` or items, not both"},
		{"{file: }", "", "/main.yaml:2:31: `file` of `each` of component s needs the path of a file"},
		{"{file: ''}", "",
		 "/main.yaml:2:31: `file` of `each` of component s needs the path of a file"},
		{"{file: [t.yaml]}", "",
		 "/main.yaml:2:31: `file` of `each` of component s needs the path of a file"},
		{"{file: none.yaml}", "",
		 "/main.yaml:2:37: cannot open /none.yaml: No such file or directory"},
		{"{file: open.yaml}", NULL,
		 "/main.yaml:2:37: /open.yaml may be written by others: chmod go-w /open.yaml"},
		{"{file: empty.yaml}", "", "/empty.yaml:1:1: `each` of component s has no items"},
		{"{file: list.yaml}", "", "/list.yaml:1:1: the file must be a map: lines of `key: value`"},
		{"{file: twice.yaml}", "s-de:{plugin:p a:1}",
		 "/twice.yaml:2:1: `de` is here a second time; the first is at /twice.yaml:1:1"},
		{"{file: unset.yaml}", "s-de:{plugin:p a:1 b:${NOPE}}",
		 "/unset.yaml:2:6: the variable NOPE is not set: set it, or write ${NOPE:-default}"},
		{"{x: 5, y: {b: 1}, z: [1]}", "s-y:{plugin:p a:1 b:1}",
		 "/main.yaml:2:34: the item `x` of `each` of component s must be a map of options\n"
		 "/main.yaml:2:51: the item `z` of `each` of component s must be a map of options"},
		{"{x: {each: {y: }}, z: }", "s-z:{plugin:p a:1}",
		 "/main.yaml:2:35: an item of `each` cannot have an `each` of its own"},
	};
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(strcpy(folder, "/tmp/test_config_XXXXXX")));
	char inner[128];
	snprintf(inner, sizeof(inner), "%s/d", folder);
	CU_ASSERT_EQUAL(mkdir(inner, 0700), 0);
	put("t.yaml", "de: {b: \"${USER_NAME}\"}\nx-fr: {a: 5}\n");
	put("d/up.yaml", "de:\n");
	put("open.yaml", "de:\n");
	put("empty.yaml", "# later\n");
	put("list.yaml", "- de\n");
	put("twice.yaml", "de:\nde: {b: 1}\n");
	put("unset.yaml", "de:\n  b: ${NOPE}\n");
	snprintf(inner, sizeof(inner), "%s/open.yaml", folder);
	CU_ASSERT_EQUAL(chmod(inner, 0666), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_each(cases[i].each, cases[i].tree, cases[i].errors);

	/* names */
	expect_load(EACH "{x: , y: }}\n  s-y: {plugin: q}\n",
		    "{components:{s-x:{plugin:p a:1} s-y:{plugin:p a:1}}}",
		    "/main.yaml:3:3: `s-y` is here a second time; the first is at /main.yaml:2:36");
	expect_load("components:\n  S: {each: {x: , y: }}\n", "{components:{}}",
		    "/main.yaml:2:3: `S` is not a valid component name: a-z and 0-9, with _ and - between, "
		    "at most "
		    "63");
	/* relative to the file that has it; two sections of one file; beside sections without; plugins have
	 * none */
	put("d/part.yaml",
	    "components:\n  u: {each: {file: up.yaml}, c: 1}\n  v: {each: {file: up.yaml}}\n  w: {}\n");
	expect_load("include: [d/part.yaml]\nplugins: {q: {each: {x: }}}\n",
		    "{include:[d/part.yaml] plugins:{q:{each:{x:~}}} components:{u-de:{c:1} v-de:{} w:{}}}",
		    "");
	static const char *const names[] = {
		"main.yaml",  "t.yaml",    "open.yaml",   "empty.yaml", "list.yaml", "twice.yaml",
		"unset.yaml", "d/up.yaml", "d/part.yaml", "d",          ""};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(inner, sizeof(inner), "%s/%s", folder, names[i]);
		CU_ASSERT_EQUAL(remove(inner), 0);
	}
}

static void each_bounds(void)
{
	struct buf items = {0};
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(strcpy(folder, "/tmp/test_config_XXXXXX")));
	/* the bound of one file is 100,000 values, so each item is one value */
	for (int i = 0; i <= 10000; i++)
		buf_printf(&items, "i%d:\n", i);
	put("items.yaml", items.data);
	expect_load("components: {s: {each: {file: items.yaml}}}\n", NULL,
		    "/items.yaml:10001:1: more than 10,000 components in all sections with `each`: that is "
		    "too many");
	items.size = 0;
	buf_text(&items, "x-a: &a [");
	for (int i = 0; i < 200; i++)
		buf_text(&items, "1,");
	buf_text(&items, "]\ncomponents:\n  s: {each: {file: items.yaml}, a: *a}\n");
	expect_load(items.data, NULL,
		    "/items.yaml:4927:1: more than 1,000,000 values in all sections with `each`: that is too "
		    "many");
	char main[128];
	for (int i = 0; i < 2; i++) {
		snprintf(main, sizeof(main), "%s/%s", folder, i == 0 ? "items.yaml" : "main.yaml");
		CU_ASSERT_EQUAL(remove(main), 0);
	}
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	buf_free(&items);
}

int main(void)
{
	return unit_run("config", (const struct unit_test[]){{"reads", reads},
							     {"refuses", refuses},
							     {"bounds", bounds},
							     {"places", places},
							     {"nearest", nearest},
							     {"includes", includes},
							     {"each", each},
							     {"each_bounds", each_bounds},
							     {0}});
}
