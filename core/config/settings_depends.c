/* SPDX-License-Identifier: Apache-2.0 */
/* depends_on of components: the names must be of components, and no component may depend on itself. Called by
 * settings.c on the daemon's thread; owns nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "settings_private.h"

#define NOT_FOUND SIZE_MAX
#define CYCLE_SHOWN 12 /* components of a cycle that its error names */

size_t settings_parent_count(const struct settings_section *section)
{
	const struct config_node *node = section->depends_on;
	if (node == NULL || node->kind == CONFIG_EMPTY)
		return 0;
	return node->kind == CONFIG_LIST ? node->count : 1;
}

static const struct config_node *parent_node(const struct settings_section *section, size_t index)
{
	const struct config_node *node = section->depends_on;
	return node->kind == CONFIG_LIST ? node->items[index] : node;
}

const char *settings_parent(const struct settings_section *section, size_t index)
{
	const struct config_node *node = parent_node(section, index);
	return node->kind == CONFIG_SCALAR ? node->text : NULL;
}

/* likely: where the last name was; sections of one `each` name the same parents. */
static size_t find(const struct settings *s, const char *name, size_t likely)
{
	if (likely < s->component_count && strcmp(s->components[likely].name, name) == 0)
		return likely;
	for (size_t i = 0; i < s->component_count; i++)
		if (strcmp(s->components[i].name, name) == 0)
			return i;
	return NOT_FOUND;
}

static void report_unknown(struct binding *b, const struct settings_section *section, size_t index)
{
	const struct settings *s = b->settings;
	const char **names = x_alloc((s->component_count + 1) * sizeof(*names));
	for (size_t i = 0; i < s->component_count; i++)
		names[i] = s->components[i].name;
	const char *name = settings_parent(section, index);
	const char *near = nearest_word(name, names, s->component_count);
	config_error(b->errs, parent_node(section, index),
		     "option `depends_on` of %s %s names `%.63s`, which is not a component%s%s%s",
		     section->serves ? "plugin" : "component", section->name, name,
		     near != NULL ? " (did you mean `" : "", near != NULL ? near : "",
		     near != NULL ? "`?)" : "");
	free(names);
}

/* One walk along depends_on, depth first, without recursion: a chain may be as long as the config. */
struct walk {
	struct binding *b;
	size_t *parents, *first; /* parents of component i: parents[first[i]] up to first[i + 1] */
	size_t *path, *next;     /* the components on the way, and the parent that each goes on with */
	size_t depth;
	enum { NEW, ON_THE_WAY, DONE } * state;
};

static void report_cycle(const struct walk *w, size_t again, size_t parent)
{
	const struct settings *s = w->b->settings;
	const struct settings_section *last = &s->components[w->path[w->depth - 1]];
	struct buf names = {0};
	size_t from = 0, shown = 0;
	while (w->path[from] != again)
		from++;
	for (size_t i = from; i < w->depth && shown < CYCLE_SHOWN; i++, shown++)
		buf_printf(&names, "%s, ", s->components[w->path[i]].name);
	if (from + shown < w->depth)
		buf_text(&names, "…, ");
	config_error(w->b->errs, parent_node(last, parent),
		     "option `depends_on` of component %s: a component cannot depend on itself (%s%s)",
		     last->name, names.data, s->components[again].name);
	buf_free(&names);
}

static void enter(struct walk *w, size_t component)
{
	w->state[component] = ON_THE_WAY;
	w->path[w->depth] = component;
	w->next[w->depth++] = w->first[component];
}

static void walk_from(struct walk *w, size_t start)
{
	if (w->state[start] == NEW)
		enter(w, start);
	while (w->depth > 0) {
		size_t component = w->path[w->depth - 1], at = w->next[w->depth - 1]++;
		if (at == w->first[component + 1]) {
			w->state[component] = DONE;
			w->depth--;
			continue;
		}
		size_t parent = w->parents[at];
		if (parent == NOT_FOUND || w->state[parent] == DONE)
			continue;
		if (w->state[parent] == ON_THE_WAY)
			report_cycle(w, parent, at - w->first[component]);
		else
			enter(w, parent);
	}
}

/* Resolves the names of one section; out: room for all of them, or NULL for a section that has no children. */
static void resolve(struct binding *b, const struct settings_section *section, size_t *out)
{
	size_t likely = NOT_FOUND;
	for (size_t i = 0; i < settings_parent_count(section); i++) {
		const char *name = settings_parent(section, i);
		size_t found = name != NULL ? find(b->settings, name, likely) : NOT_FOUND;
		if (name != NULL && found == NOT_FOUND)
			report_unknown(b, section, i);
		likely = found;
		if (out != NULL)
			out[i] = found;
	}
}

void settings_check_depends(struct binding *b)
{
	const struct settings *s = b->settings;
	size_t count = s->component_count, total = 0;
	struct walk w = {.b = b,
			 .first = x_alloc((count + 1) * sizeof(*w.first)),
			 .path = x_alloc((count + 1) * sizeof(*w.path)),
			 .next = x_alloc((count + 1) * sizeof(*w.next)),
			 .state = x_alloc((count + 1) * sizeof(*w.state))};
	for (size_t i = 0; i < count; i++) {
		w.first[i] = total;
		total += settings_parent_count(&s->components[i]);
	}
	w.first[count] = total;
	w.parents = x_alloc((total + 1) * sizeof(*w.parents));
	for (size_t i = 0; i < count; i++)
		resolve(b, &s->components[i], w.parents + w.first[i]);
	for (size_t i = 0; i < s->plugin_count; i++)
		resolve(b, &s->plugins[i], NULL);
	for (size_t i = 0; i < count; i++)
		walk_from(&w, i);
	free(w.parents);
	free(w.first);
	free(w.path);
	free(w.next);
	free(w.state);
}
