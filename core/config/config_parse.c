/* SPDX-License-Identifier: Apache-2.0 */
/* Builds nodes from libyaml's events, and validates duplicate keys, depth, size, aliases, merge keys and the
 * kinds of keys. Called by config_load and by option_bind for defaults, on the daemon's thread; the caller's
 * arena owns the nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config_private.h"
#include "base/utf8.h"

struct built { /* a node and what only the building knows of it */
	struct config_node node;
	size_t weight;  /* nodes below and including it, each alias counted */
	size_t height;  /* levels below and including it, through aliases too */
	bool open;      /* its end has not come yet */
	bool visited;   /* by config_expand_tree */
	bool merge_key; /* a plain << */
	bool anchored;
};

struct anchor {
	const char *name;
	struct built *node;
};

struct builder {
	struct arena *arena;
	const char *file;
	const char *text; /* for the hint about tabs */
	size_t size;
	yaml_parser_t parser;
	struct err_list *errs;
	struct anchor anchors[CONFIG_ANCHORS_MAX];
	size_t anchor_count;
	struct built *spare; /* of a key, whose node is not needed any more; or NULL */
	size_t total;        /* nodes made and pairs merged */
	bool failed;         /* stop: what follows cannot be read, or is too much */
};

struct pairs { /* a map or list that grows */
	struct config_pair *items;
	size_t count, room;
};

/* ---- Errors ---- */

static struct config_node place(const struct builder *b, yaml_mark_t mark)
{
	return (struct config_node){
		.file = b->file, .line = (int)mark.line + 1, .column = (int)mark.column + 1};
}

/* Ends the reading of this file. */
static void fail(struct builder *b, yaml_mark_t mark, const char *sentence)
{
	struct config_node at = place(b, mark);
	if (!b->failed)
		config_error(b->errs, &at, "%s", sentence);
	b->failed = true;
}

/* Returns a hint at the most common mistakes, where libyaml's message does not name them. libyaml counts
 * characters, so the text is walked to the column. */
static const char *hint(const struct builder *b, const struct config_node *at)
{
	size_t line = (size_t)at->line - 1, column = (size_t)at->column - 1, i = 0;
	for (; line > 0 && i < b->size; i++)
		line -= b->text[i] == '\n';
	size_t begin = i;
	for (; column > 0 && i < b->size; i++)
		column -= (b->text[i] & 0xC0) != 0x80;
	if (i < b->size && b->text[i] == '\t')
		return " (a tab: YAML is indented with spaces)";
	for (; begin + 1 <= i && i < b->size; begin++)
		if (b->text[begin] == '$' && b->text[begin + 1] == '{')
			return " (inside of { } and [ ] a ${NAME} needs quotes: \"${NAME}\")";
	return "";
}

static void syntax_error(struct builder *b)
{
	const yaml_parser_t *parser = &b->parser;
	/* the reader gives no mark of its own */
	struct config_node at =
		place(b, parser->error == YAML_READER_ERROR ? parser->mark : parser->problem_mark);
	const char *problem = parser->problem != NULL ? parser->problem : "not valid YAML";
	const char *context = parser->context;
	/* where what is not ended begins: a quote, a list, a map */
	yaml_mark_t from = parser->context_mark;
	char begins[64] = "";
	if (context != NULL && b->file != NULL &&
	    (from.line != parser->problem_mark.line || from.column != parser->problem_mark.column))
		snprintf(begins, sizeof(begins), " that begins at %zu:%zu", from.line + 1, from.column + 1);
	if (!b->failed)
		config_error(b->errs, &at, "%s%s%s%s%s", problem, context != NULL ? ", " : "",
			     context != NULL ? context : "", begins, hint(b, &at));
	b->failed = true;
}

static bool next(struct builder *b, yaml_event_t *event)
{
	memset(event, 0, sizeof(*event));
	if (!b->failed && !yaml_parser_parse(&b->parser, event))
		syntax_error(b);
	return !b->failed;
}

/* ---- Nodes ---- */

static struct built *new_node(struct builder *b, enum config_kind kind, const yaml_event_t *event)
{
	struct built *built = b->spare != NULL ? b->spare : arena_alloc(b->arena, sizeof(*built));
	b->spare = NULL;
	*built = (struct built){.node = place(b, event->start_mark)};
	built->node.kind = kind;
	built->weight = built->height = 1;
	if (++b->total > CONFIG_NODES_MAX)
		fail(b, event->start_mark, "more than 100,000 values, counting each alias: that is too many");
	return built;
}

static void add_weight(struct builder *b, struct built *into, const struct built *part, yaml_mark_t mark)
{
	into->weight += part->weight;
	if (part->height >= into->height)
		into->height = part->height + 1;
	if (into->height > CONFIG_DEPTH_MAX)
		fail(b, mark, "nested deeper than 64 levels");
	if (into->weight > CONFIG_NODES_MAX)
		fail(b, mark, "more than 100,000 values, counting each alias: that is too many");
}

static void set_anchor(struct builder *b, const yaml_char_t *name, struct built *built, yaml_mark_t mark)
{
	if (name == NULL)
		return;
	built->anchored = true;
	for (size_t i = 0; i < b->anchor_count; i++)
		if (strcmp(b->anchors[i].name, (const char *)name) == 0) {
			b->anchors[i].node = built;
			return;
		}
	if (b->anchor_count == CONFIG_ANCHORS_MAX) {
		fail(b, mark, "more than 1,000 anchors: that is too many");
		return;
	}
	b->anchors[b->anchor_count++] =
		(struct anchor){.name = arena_text(b->arena, (const char *)name), .node = built};
}

static struct built *alias(struct builder *b, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct config_node at = place(b, event->start_mark);
	for (size_t i = 0; i < b->anchor_count; i++) {
		if (strcmp(b->anchors[i].name, name) != 0)
			continue;
		if (!b->anchors[i].node->open)
			return b->anchors[i].node;
		if (!b->failed)
			config_error(b->errs, &at, "the alias *%.100s is within the value that it repeats",
				     name);
		b->failed = true;
		return NULL;
	}
	if (!b->failed)
		config_error(b->errs, &at, "the alias *%.100s has no anchor &%.100s before it", name, name);
	b->failed = true;
	return NULL;
}

/* Accepts only tags that change nothing. Sets *text for !!str and !. */
static void check_tag(struct builder *b, const yaml_char_t *tag, yaml_mark_t mark, bool *text)
{
	static const char *const known[] = {"int", "float", "bool", "null", "map", "seq"};
	static const char prefix[] = "tag:yaml.org,2002:";
	*text = false;
	if (tag == NULL)
		return;
	const char *word = (const char *)tag;
	word += strncmp(word, prefix, sizeof(prefix) - 1) == 0 ? sizeof(prefix) - 1 : 0;
	*text = strcmp(word, "!") == 0 || strcmp(word, "str") == 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(word, known[i]) == 0)
			return;
	struct config_node at = place(b, mark);
	if (!*text)
		config_error(b->errs, &at, "the tag %.100s is not known here", (const char *)tag);
}

static bool is_null(const char *text)
{
	return *text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
	       strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

static struct built *scalar(struct builder *b, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t size = event->data.scalar.length;
	bool tagged = false;
	check_tag(b, event->data.scalar.tag, event->start_mark, &tagged);
	bool quoted = tagged || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	struct built *built = new_node(b, CONFIG_SCALAR, event);
	if (memchr(text, '\0', size) != NULL)
		fail(b, event->start_mark, "a text cannot hold the character NUL");
	if (!quoted && is_null(text))
		built->node.kind = CONFIG_EMPTY;
	else
		built->node.text = arena_text_size(b->arena, text, size);
	built->node.quoted = quoted;
	built->merge_key = !quoted && strcmp(text, "<<") == 0;
	set_anchor(b, event->data.scalar.anchor, built, event->start_mark);
	return built;
}

static struct built *value(struct builder *b, const yaml_event_t *event, unsigned depth);

static struct built *list(struct builder *b, const yaml_event_t *start, unsigned depth)
{
	struct built *built = new_node(b, CONFIG_LIST, start);
	const struct config_node **items = NULL;
	size_t room = 0;
	bool text = false, end = false;
	yaml_event_t event;
	check_tag(b, start->data.sequence_start.tag, start->start_mark, &text);
	set_anchor(b, start->data.sequence_start.anchor, built, start->start_mark);
	built->open = true;
	while (!end && next(b, &event)) {
		end = event.type == YAML_SEQUENCE_END_EVENT;
		struct built *item = end ? NULL : value(b, &event, depth + 1);
		if (item != NULL) {
			items = x_grow(items, &room, built->node.count + 1, sizeof(struct config_node *));
			items[built->node.count++] = &item->node;
			add_weight(b, built, item, event.start_mark);
		}
		yaml_event_delete(&event);
	}
	const struct config_node **kept = arena_alloc(b->arena, built->node.count * sizeof(*kept));
	if (built->node.count > 0)
		memcpy(kept, items, built->node.count * sizeof(*kept));
	free(items);
	built->node.items = kept;
	built->open = false;
	return built;
}

/* ---- Maps ---- */

static void add_pair(struct pairs *pairs, const struct config_pair *pair)
{
	pairs->items = x_grow(pairs->items, &pairs->room, pairs->count + 1, sizeof(*pair));
	pairs->items[pairs->count++] = *pair;
}

/* The key of the next pair, or NULL at the map's end or for a key that cannot be one. */
static struct built *key(struct builder *b, const yaml_event_t *event)
{
	if (event->type != YAML_SCALAR_EVENT) {
		fail(b, event->start_mark, "a key must be a plain word");
		return NULL;
	}
	struct built *built = scalar(b, event);
	if (built->node.kind == CONFIG_EMPTY)
		fail(b, event->start_mark, "a key is missing before the colon");
	return built->node.kind == CONFIG_EMPTY ? NULL : built;
}

/* One source of a merge: its pairs after those that are there; config_merge drops what is covered. */
static void merge_map(struct builder *b, struct pairs *merged, const struct config_node *from)
{
	if (from->kind != CONFIG_MAP) {
		config_error(b->errs, from, "<< needs a map, or a list of maps");
		return;
	}
	b->total += from->count;
	yaml_mark_t mark = {.line = (size_t)from->line - 1, .column = (size_t)from->column - 1};
	if (b->total > CONFIG_NODES_MAX) {
		fail(b, mark, "more than 100,000 values, counting each alias: that is too many");
		return;
	}
	for (size_t i = 0; i < from->count; i++)
		add_pair(merged, &from->pairs[i]);
}

static void merge(struct builder *b, struct pairs *merged, const struct config_node *source)
{
	if (source->kind != CONFIG_LIST) {
		merge_map(b, merged, source);
		return;
	}
	for (size_t i = 0; i < source->count && !b->failed; i++)
		merge_map(b, merged, source->items[i]);
}

static int by_key(const void *a, const void *b)
{
	const struct config_pair *const *left = a, *const *right = b;
	int order = strcmp((*left)->key, (*right)->key);
	return order != 0 ? order : (*left > *right) - (*left < *right);
}

/* Removes every pair whose key an earlier pair has. Reports none if errs is NULL. */
static size_t drop_repeated(struct config_pair *pairs, size_t count, struct err_list *errs)
{
	const struct config_pair **sorted = x_alloc((count + 1) * sizeof(*sorted));
	bool *drop = x_alloc(count + 1);
	for (size_t i = 0; i < count; i++)
		sorted[i] = &pairs[i];
	qsort(sorted, count, sizeof(*sorted), by_key);
	const struct config_pair *first = count > 0 ? sorted[0] : NULL;
	for (size_t i = 1; i < count; i++) {
		if (strcmp(sorted[i]->key, first->key) != 0) {
			first = sorted[i];
			continue;
		}
		drop[sorted[i] - pairs] = true;
		if (errs != NULL)
			config_error_key(errs, sorted[i],
					 "`%.100s` is here a second time; the first is at %.150s:%d:%d",
					 first->key, first->file != NULL ? first->file : "the default",
					 first->line, first->column);
	}
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (!drop[i])
			pairs[kept++] = pairs[i];
	free(sorted);
	free(drop);
	return kept;
}

void config_unique(struct arena *arena, struct config_node *map, struct err_list *errs)
{
	struct config_pair *copy = arena_alloc(arena, map->count * sizeof(*copy));
	if (map->count > 0)
		memcpy(copy, map->pairs, map->count * sizeof(*copy));
	map->count = drop_repeated(copy, map->count, errs);
	map->pairs = copy;
}

/* Explicit pairs first, so that they win; of merged ones the earlier. */
static void finish_map(struct builder *b, struct built *built, struct pairs *own, struct pairs *merged,
		       yaml_mark_t mark)
{
	own->count = drop_repeated(own->items, own->count, b->errs);
	for (size_t i = 0; i < merged->count; i++)
		add_pair(own, &merged->items[i]);
	own->count = drop_repeated(own->items, own->count, NULL);
	for (size_t i = 0; i < own->count && !b->failed; i++)
		add_weight(b, built, (const struct built *)own->items[i].value, mark);
	struct config_pair *kept = arena_alloc(b->arena, own->count * sizeof(*kept));
	if (own->count > 0)
		memcpy(kept, own->items, own->count * sizeof(*kept));
	built->node.pairs = kept;
	built->node.count = own->count;
	free(own->items);
	free(merged->items);
}

/* The value after a key. */
static void pair(struct builder *b, const struct built *key_node, unsigned depth, struct pairs *own,
		 struct pairs *merged, const struct config_node **merge_place)
{
	yaml_event_t event;
	if (!next(b, &event))
		return;
	struct built *built = value(b, &event, depth + 1);
	yaml_event_delete(&event);
	if (built == NULL || b->failed)
		return;
	if (!key_node->merge_key) {
		add_pair(own, &(struct config_pair){.key = key_node->node.text,
						    .file = b->file,
						    .line = key_node->node.line,
						    .column = key_node->node.column,
						    .value = &built->node});
	} else if (*merge_place != NULL) {
		config_error(b->errs, &key_node->node,
			     "`<<` is here a second time; the first is at %.150s:%d:%d", b->file,
			     (*merge_place)->line, (*merge_place)->column);
	} else {
		*merge_place = &key_node->node;
		merge(b, merged, &built->node);
	}
}

static struct built *map(struct builder *b, const yaml_event_t *start, unsigned depth)
{
	struct built *built = new_node(b, CONFIG_MAP, start);
	struct pairs own = {0}, merged = {0};
	const struct config_node *merge_place = NULL;
	bool text = false, end = false;
	yaml_event_t event;
	check_tag(b, start->data.mapping_start.tag, start->start_mark, &text);
	set_anchor(b, start->data.mapping_start.anchor, built, start->start_mark);
	built->open = true;
	while (!end && next(b, &event)) {
		end = event.type == YAML_MAPPING_END_EVENT;
		struct built *key_node = end ? NULL : key(b, &event);
		yaml_event_delete(&event);
		if (key_node != NULL)
			pair(b, key_node, depth, &own, &merged, &merge_place);
		if (key_node != NULL && !key_node->anchored && !key_node->merge_key)
			b->spare = key_node; /* the pair has its text and place */
	}
	finish_map(b, built, &own, &merged, start->start_mark);
	built->open = false;
	return built;
}

static struct built *value(struct builder *b, const yaml_event_t *event, unsigned depth)
{
	if (depth > CONFIG_DEPTH_MAX) {
		fail(b, event->start_mark, "nested deeper than 64 levels");
		return NULL;
	}
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return scalar(b, event);
	case YAML_ALIAS_EVENT:
		return alias(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return list(b, event, depth);
	case YAML_MAPPING_START_EVENT:
		return map(b, event, depth);
	default:
		fail(b, event->start_mark, "a value was expected here");
		return NULL;
	}
}

/* ---- Documents ---- */

static struct config_node *documents(struct builder *b)
{
	struct built *root = NULL;
	bool end = false;
	yaml_event_t event;
	while (!end && next(b, &event)) {
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT && root != NULL)
			fail(b, event.start_mark, "a second document begins here; a config file has one");
		bool marks = end || event.type == YAML_STREAM_START_EVENT ||
			     event.type == YAML_DOCUMENT_START_EVENT || event.type == YAML_DOCUMENT_END_EVENT;
		if (!marks)
			root = value(b, &event, 1);
		yaml_event_delete(&event);
	}
	if (b->failed)
		return NULL;
	if (root == NULL || root->node.kind == CONFIG_EMPTY) {
		root = arena_alloc(b->arena, sizeof(*root));
		root->node =
			(struct config_node){.kind = CONFIG_MAP, .file = b->file, .line = 1, .column = 1};
	}
	if (root->node.kind != CONFIG_MAP) {
		config_error(b->errs, &root->node, "the file must be a map: lines of `key: value`");
		return NULL;
	}
	return &root->node;
}

static bool text_ok(struct builder *b)
{
	struct config_node at = {.file = b->file, .line = 1, .column = 1};
	for (size_t i = 0; i < b->size;) {
		const unsigned char *here = (const unsigned char *)b->text + i;
		size_t length = utf8_length(here, b->size - i);
		bool control =
			(*here < 0x20 && strchr("\t\n\r", *here) == NULL) || *here == 0 || *here == 0x7F;
		if (length == 0 || control) {
			config_error(b->errs, &at, "the byte 0x%02X: %s", *here,
				     control ? "a control character cannot stand here" : "invalid UTF-8");
			return false;
		}
		i += length;
		at.column++;
		if (*here == '\n') {
			at.line++;
			at.column = 1;
		}
	}
	return true;
}

struct config_node *config_build(struct arena *arena, const char *file, const char *text, size_t size,
				 struct err_list *errs)
{
	struct builder *b = x_alloc(sizeof(*b));
	struct config_node *root = NULL;
	if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3;
		size -= 3;
	}
	*b = (struct builder){.arena = arena, .file = file, .text = text, .size = size, .errs = errs};
	if (size > CONFIG_FILE_MAX) {
		err_add(errs, "%s: larger than 1 MiB, the limit of a config file",
			file != NULL ? file : "the default");
	} else if (text_ok(b)) {
		if (!yaml_parser_initialize(&b->parser))
			abort();
		yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&b->parser, (const unsigned char *)text, size);
		root = documents(b);
		yaml_parser_delete(&b->parser);
	}
	free(b);
	return root;
}

/* ---- ${VAR} in the whole tree ---- */

struct expansion {
	struct arena *arena;
	config_lookup *lookup;
	struct err_list *errs;
};

static void expand_scalar(const struct expansion *e, struct config_node *node)
{
	char *text = NULL, *variable = NULL;
	struct err err;
	if (strchr(node->text, '$') == NULL)
		return;
	if (!config_expand(node->text, e->lookup, &text, &variable, &err)) {
		config_error(e->errs, node, "%s", err.text);
		node->unset = true;
		return;
	}
	size_t size = strlen(text);
	for (size_t i = 0, length = 0; i < size; i += length) {
		length = utf8_length((const unsigned char *)text + i, size - i);
		if (length == 0) {
			config_error(e->errs, node, "the variable %s holds invalid UTF-8",
				     variable != NULL ? variable : "here");
			break;
		}
	}
	node->text = arena_text(e->arena, text);
	node->variable = arena_text(e->arena, variable);
	wipe_free(text, size);
	free(variable);
}

static bool is_unset(const struct config_node *node)
{
	return node->kind == CONFIG_SCALAR && node->unset;
}

/* Nodes that aliases share are visited once. The tree is not shared until config_load returns, so const is
 * cast away here only. */
static void expand_node(const struct expansion *e, const struct config_node *shared, bool top)
{
	struct built *built = (struct built *)(uintptr_t)shared;
	if (built->visited)
		return;
	built->visited = true;
	if (shared->kind == CONFIG_SCALAR)
		expand_scalar(e, &built->node);
	for (size_t i = 0; shared->kind == CONFIG_LIST && i < shared->count; i++) {
		expand_node(e, shared->items[i], false);
		built->node.unset |= is_unset(shared->items[i]);
	}
	for (size_t i = 0; shared->kind == CONFIG_MAP && i < shared->count; i++)
		if (!top || strncmp(shared->pairs[i].key, "x-", 2) != 0) {
			expand_node(e, shared->pairs[i].value, false);
			built->node.unset |= shared->count == 1 && is_unset(shared->pairs[i].value);
		}
}

void config_expand_tree(struct arena *arena, struct config_node *root, config_lookup *lookup, bool ignore_x,
			struct err_list *errs)
{
	struct expansion e = {.arena = arena, .lookup = lookup, .errs = errs};
	expand_node(&e, root, ignore_x);
}
