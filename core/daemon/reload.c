/* SPDX-License-Identifier: Apache-2.0 */
/* reload: the steps from the file to a plan. Called by daemon, on the loop's thread; owns the plan until it
 * is good, and its errors. See reload.h. */
#include "reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define AGAIN_MIN_MS 1000
#define AGAIN_MAX_MS 60000

struct reload {
	struct loop *loop;
	struct pool *pool;
	char *path;
	const struct reload_events *events;
	void *arg;
	struct plan *plan; /* in progress; NULL if there is none */
	struct component_errs errs;
	bool lenient, wanted; /* wanted: another reload was requested meanwhile */
	uint64_t turn;
	const struct plan *in_force;
	bool again;         /* the plan in progress has the settings in force */
	bool again_refused; /* … and had mistakes, which were logged */
	struct timer again_due;
	int64_t again_ms;
};

/* ---- Errors ---- */

struct found {
	const char *text;
	size_t file; /* length of the file's name; 0 without a location */
	unsigned line, column;
	size_t index, file_index; /* file_index: of the first error in the same file */
};

/* "file:line:column: sentence" */
static struct found find_place(const char *text, size_t index)
{
	struct found found = {.text = text, .index = index};
	const char *end = strstr(text, ": ");
	for (const char *at = text; end != NULL && at < end; at++) {
		int size = 0;
		if (*at == ':' && sscanf(at, ":%u:%u%n", &found.line, &found.column, &size) == 2 &&
		    at + size == end) {
			found.file = (size_t)(at - text);
			return found;
		}
	}
	found.line = found.column = 0;
	return found;
}

static int by_place(const void *a, const void *b)
{
	const struct found *left = a, *right = b;
	if (left->file_index != right->file_index)
		return left->file_index < right->file_index ? -1 : 1;
	if (left->line != right->line)
		return left->line < right->line ? -1 : 1;
	if (left->column != right->column)
		return left->column < right->column ? -1 : 1;
	return left->index < right->index ? -1 : 1;
}

static size_t first_of_file(const struct found *found, size_t count)
{
	const struct found *last = &found[count];
	for (size_t i = 0; last->file > 0 && i < count; i++)
		if (found[i].file == last->file && strncmp(found[i].text, last->text, last->file) == 0)
			return i;
	return count;
}

/* Lists all errors in the order of the file, and not of the checks that found them. */
static void sort_errors(const struct component_errs *errs, struct err_list *out)
{
	const struct err_list *const lists[] = {&errs->mistakes, &errs->around};
	size_t count = 0;
	struct found *found = x_alloc((lists[0]->count + lists[1]->count + 1) * sizeof(*found));
	for (size_t list = 0; list < 2; list++)
		for (size_t i = 0; i < lists[list]->count; i++, count++) {
			found[count] = find_place(lists[list]->texts[i], count);
			found[count].file_index = first_of_file(found, count);
		}
	qsort(found, count, sizeof(*found), by_place);
	for (size_t i = 0; i < count; i++)
		err_add(out, "%s", found[i].text);
	free(found);
}

static void log_all(const struct component_errs *errs, const struct err_list *sorted)
{
	for (size_t i = 0; i < sorted->count; i++)
		log_line(LOG_LEVEL_ERROR, (const char *[]){"area", "config", NULL}, "%s", sorted->texts[i]);
	for (size_t i = 0; i < errs->warnings.count; i++)
		log_line(LOG_LEVEL_WARN, (const char *[]){"area", "config", NULL}, "%s",
			 errs->warnings.texts[i]);
}

static void forget_errors(struct reload *reload)
{
	err_list_free(&reload->errs.mistakes);
	err_list_free(&reload->errs.around);
	err_list_free(&reload->errs.warnings);
}

/* ---- Retry ---- */

static void plan_next_try(struct reload *reload)
{
	loop_clear_timer(reload->loop, &reload->again_due);
	if (reload->in_force == NULL || reload->in_force->unusable == 0)
		return;
	loop_set_timer(reload->loop, &reload->again_due, loop_now_ms(reload->loop) + reload->again_ms);
	reload->again_ms = reload->again_ms * 2 < AGAIN_MAX_MS ? reload->again_ms * 2 : AGAIN_MAX_MS;
}

/* Ends a retry with the settings in force: no plugin has become usable, or options turn out to be wrong, or
 * the plan is good. */
static void end_again(struct reload *reload, struct plan *plan)
{
	bool good = reload->errs.mistakes.count == 0 && plan->unusable < reload->in_force->unusable;
	if (reload->errs.mistakes.count > 0 && !reload->again_refused) {
		err_list_free(&reload->errs.warnings);
		err_list_free(&reload->errs.around); /* these were logged when the plan in force was made */
		struct err_list sorted = {0};
		sort_errors(&reload->errs, &sorted);
		log_all(&reload->errs, &sorted);
		err_list_free(&sorted);
		reload->again_refused = true;
	}
	forget_errors(reload);
	if (good) {
		reload->events->good(reload->arg, plan, true);
		return;
	}
	plan_free(plan);
	pool_tidy(reload->pool, false);
	plan_next_try(reload);
}

/* ---- The steps ---- */

static void go_on(struct reload *reload)
{
	if (!reload->wanted || reload->plan != NULL)
		return;
	reload->wanted = false;
	reload_begin(reload, false);
}

static void end(struct reload *reload)
{
	struct plan *plan = reload->plan;
	const struct plan *old = reload->in_force;
	if (old != NULL && old->settings->component_count > 0 && plan->settings->component_count == 0 &&
	    reload->errs.mistakes.count == 0)
		config_error(
			&reload->errs.mistakes, plan->settings->config.root,
			"the new config would drop all %zu components: if that is meant, restart skymond",
			old->settings->component_count);
	size_t mistakes = reload->errs.mistakes.count + (reload->lenient ? 0 : reload->errs.around.count);
	reload->plan = NULL;
	if (reload->again) {
		end_again(reload, plan);
		go_on(reload);
		return;
	}
	struct err_list sorted = {0};
	sort_errors(&reload->errs, &sorted);
	log_all(&reload->errs, &sorted);
	forget_errors(reload);
	if (mistakes == 0) {
		reload->events->good(reload->arg, plan, false);
	} else {
		plan_free(plan);
		pool_tidy(reload->pool, false);
		plan_next_try(reload);
		reload->events->bad(reload->arg, &sorted);
	}
	err_list_free(&sorted);
	go_on(reload);
}

static void validated(void *arg)
{
	end(arg);
}

static void mistake(void *arg, const struct component_spec *spec, const char *option, const char *text)
{
	struct reload *reload = arg;
	plan_mistake(reload->plan, spec, option, text, &reload->errs);
}

static void opened(void *arg)
{
	struct reload *reload = arg;
	struct plan *plan = reload->plan;
	/* continue in spite of mistakes: they are reported together with those that the plugins find */
	(void)!plan_bind(plan, reload->pool, config_environment, &reload->errs);
	pool_validate(reload->pool, plan->specs, plan->spec_count, mistake, validated, reload);
}

/* A retry opens only the plugins that could not be opened: running ones are not touched. */
static void keep_failed(struct reload *reload, struct plan *plan)
{
	size_t kept = 0;
	for (size_t i = 0; i < plan->name_count; i++) {
		const char *why;
		if (pool_info(reload->pool, plan->names[i], &why) == NULL)
			plan->names[kept++] = plan->names[i];
		else
			free(plan->names[i]);
	}
	plan->name_count = kept;
}

static void prepare(struct reload *reload, struct plan *plan)
{
	const struct settings *settings = plan->settings;
	reload->plan = plan;
	pool_prepare(reload->pool, plan->names, plan->name_count, settings->plugin_folders,
		     settings->plugin_folder_count, opened, reload);
}

void reload_begin(struct reload *reload, bool lenient)
{
	if (reload->plan != NULL) {
		reload->wanted = true;
		return;
	}
	loop_clear_timer(reload->loop, &reload->again_due);
	reload->lenient = lenient;
	reload->turn++;
	reload->again = false;
	struct plan *plan = plan_read(reload->path, config_environment, &reload->errs.mistakes);
	reload->events->read(reload->arg, plan->settings);
	prepare(reload, plan);
}

static void try_again(struct timer *timer, int64_t now_ms)
{
	struct reload *reload = container_of(timer, struct reload, again_due);
	(void)now_ms;
	if (reload->plan != NULL || reload->in_force == NULL)
		return;
	struct plan *plan = plan_again(reload->in_force);
	keep_failed(reload, plan);
	reload->again = true;
	prepare(reload, plan);
}

uint64_t reload_turn(const struct reload *reload)
{
	return reload->turn;
}

bool reload_is_busy(const struct reload *reload)
{
	return reload->plan != NULL;
}

void reload_in_force(struct reload *reload, const struct plan *plan)
{
	reload->in_force = plan;
	reload->again_refused = false;
	reload->again_ms = AGAIN_MIN_MS;
	plan_next_try(reload);
}

struct reload *reload_new(struct loop *loop, struct pool *pool, const char *path,
			  const struct reload_events *events, void *arg)
{
	struct reload *reload = x_alloc(sizeof(*reload));
	reload->loop = loop;
	reload->pool = pool;
	reload->path = x_strdup(path);
	reload->events = events;
	reload->arg = arg;
	reload->again_due.fire = try_again;
	return reload;
}

void reload_free(struct reload *reload)
{
	loop_clear_timer(reload->loop, &reload->again_due);
	plan_free(reload->plan);
	forget_errors(reload);
	free(reload->path);
	free(reload);
}

/* ---- What a reload changes ---- */

#define NAMES_SHOWN 10u

static const struct component_summary *find(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->summary_count; i++)
		if (strcmp(plan->summaries[i].name, name) == 0)
			return &plan->summaries[i];
	return NULL;
}

void reload_compare(const struct plan *old, const struct plan *new, struct reload_changes *out)
{
	for (size_t i = 0; i < new->summary_count; i++) {
		const struct component_summary *before = find(old, new->summaries[i].name);
		if (before == NULL)
			err_add(&out->added, "%s", new->summaries[i].name);
		else if (before->fingerprint != new->summaries[i].fingerprint)
			err_add(&out->changed, "%s", new->summaries[i].name);
	}
	for (size_t i = 0; i < old->summary_count; i++)
		if (find(new, old->summaries[i].name) == NULL)
			err_add(&out->removed, "%s", old->summaries[i].name);
}

static void print_names(const struct err_list *names, const char *word, struct buf *out)
{
	if (names->count == 0)
		return;
	buf_printf(out, "%s%zu %s (", out->size > 0 ? ", " : "", names->count, word);
	for (size_t i = 0; i < names->count && i < NAMES_SHOWN; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", names->texts[i]);
	buf_text(out, names->count > NAMES_SHOWN ? ", …)" : ")");
}

void reload_changes_print(const struct reload_changes *changes, struct buf *out)
{
	print_names(&changes->added, "added", out);
	print_names(&changes->removed, "removed", out);
	print_names(&changes->changed, "changed", out);
	if (out->size == 0)
		buf_text(out, "no component changed");
}

void reload_changes_free(struct reload_changes *changes)
{
	err_list_free(&changes->added);
	err_list_free(&changes->removed);
	err_list_free(&changes->changed);
}
