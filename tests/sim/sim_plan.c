/* SPDX-License-Identifier: Apache-2.0 */
/* Configs and reloads: draws what the config says of each component, binds it with the core's own
 * component_bind, and takes the steps of daemon/reload.c: plugins are opened, options bound and validated,
 * then all is applied or nothing. Called by sim.c; the pool calls back. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct plan in_force, next;
static bool busy, started;
static uint32_t variables[NAMES]; /* 0: not set */

/* ---- A config ---- */

static void draw_secrets_and_place(struct want *want, int name)
{
	want->own = sim_draw(6) == 0;
	want->file = sim_draw(5) == 0;
	want->env = sim_draw(4) == 0;
	want->store = name != STORE && sim_draw(3) == 0;
	want->configured = sim_draw(12) > 0;
	want->host = (int)sim_draw(3);
}

static void draw_schedule(struct want *want)
{
	want->interval_ms = sim_draw(3) == 0 ? sim_between(1000, 5000) : sim_between(5000, 40000);
	want->timeout_ms = sim_draw(8) == 0 ? sim_between(8000, 15000) : sim_between(500, 5000);
	want->rise = sim_draw(3) == 0 ? (uint32_t)sim_between(1, 4) : 1;
	want->fall = sim_draw(3) == 0 ? (uint32_t)sim_between(1, 4) : 1;
	want->impact = (enum skymon_impact)sim_draw(3);
	want->unknown_is_unhealthy = sim_draw(4) == 0;
}

static void draw_limits(struct plan *plan)
{
	plan->per_plugin = (uint32_t)sim_between(1, 5);
	plan->per_address = (uint32_t)sim_between(1, 4);
}

static void draw_first(struct plan *plan)
{
	draw_limits(plan);
	for (int i = 0; i < NAMES; i++) {
		struct want *want = &plan->wants[i];
		*want = (struct want){.there = sim_draw(3) > 0,
				      .plugin = i == STORE ? 0 : 1 + (int)sim_draw(2),
				      .version = 1};
		draw_secrets_and_place(want, i);
		draw_schedule(want);
	}
}

static void draw_change(struct want *want, int name)
{
	switch (sim_draw(12)) {
	case 0:
	case 1:
		want->there = !want->there;
		break;
	case 2:
		draw_secrets_and_place(want, name);
		break;
	case 3:
		want->version++;
		break;
	case 4:
		draw_schedule(want);
		break;
	case 5:
		if (name != STORE && sim_draw(3) == 0)
			want->plugin = 3 - want->plugin;
		break;
	default:
		break;
	}
}

/* A component needs one of the config, and a store that is in it and configured. */
static void make_valid(struct plan *plan)
{
	bool any = false;
	for (int i = 0; i < NAMES; i++)
		any = any || plan->wants[i].there;
	plan->wants[1].there = plan->wants[1].there || !any;
	for (int i = 0; i < NAMES; i++)
		plan->wants[i].store =
			plan->wants[i].store && plan->wants[STORE].there && plan->wants[STORE].configured;
}

/* ---- Binding: the section is made by hand, as the YAML parser would ---- */

static struct config_node scalar(const char *text)
{
	return (struct config_node){
		.kind = CONFIG_SCALAR, .file = "sim", .line = 1, .column = 1, .text = text};
}

static struct config_node map(const struct config_pair *pairs, size_t count)
{
	return (struct config_node){
		.kind = CONFIG_MAP, .file = "sim", .line = 1, .column = 1, .pairs = pairs, .count = count};
}

static bool keeps(void *arg, const char *component)
{
	(void)arg;
	return strcmp(component, sim_names[STORE]) == 0;
}

static struct component_spec *bind_component(int name, const struct want *want,
					     const struct plugin_info *info, const char *why,
					     struct component_errs *errs)
{
	char url[40];
	snprintf(url, sizeof(url), want->configured ? "http://host%d:80/v%u" : "", want->host, want->version);
	char path[8];
	snprintf(path, sizeof(path), "%d#key", name);
	char variable[8];
	snprintf(variable, sizeof(variable), "SIM_%d", name);
	struct config_node texts[] = {scalar(url), scalar("/file"), scalar(variable), scalar(path)};
	struct config_pair env = {"env", "sim", 1, 1, &texts[2]},
			   store = {sim_names[STORE], "sim", 1, 1, &texts[3]};
	struct config_node maps[] = {map(&env, 1), map(&store, 1)};
	struct config_pair pairs[4] = {{"url", "sim", 1, 1, &texts[0]}};
	size_t count = 1;
	if (want->file)
		pairs[count++] = (struct config_pair){"file", "sim", 1, 1, &texts[1]};
	if (want->env)
		pairs[count++] = (struct config_pair){"password", "sim", 1, 1, &maps[0]};
	if (want->store)
		pairs[count++] = (struct config_pair){"token", "sim", 1, 1, &maps[1]};
	struct config_node node = map(pairs, count);
	struct config_pair place = {sim_names[name], "sim", 1, 1, &node};
	struct settings settings = {0};
	struct settings_section section = {
		.name = (char *)(uintptr_t)sim_names[name],
		.plugin = (char *)(uintptr_t)sim_plugins[want->plugin],
		.place = &place,
		.node = &node,
		.interval_ms = want->interval_ms,
		.timeout_ms = want->timeout_ms,
		.impact = want->impact,
		.unknown_is_unhealthy = want->unknown_is_unhealthy,
		.isolation_own = want->own,
		.rise = want->rise,
		.fall = want->fall,
	};
	if (info == NULL)
		return component_unusable(&section, why);
	return component_bind(&settings, &section, info, &(struct component_stores){keeps, NULL}, plan_lookup,
			      errs);
}

/* ---- The steps of a reload ---- */

static void end_plan(bool taken)
{
	if (!taken) {
		for (size_t i = 0; i < next.count; i++)
			component_spec_free(next.specs[i]);
		pool_tidy(sched_pool(sim.sched), false);
		sim_trace("the config is refused");
	}
	err_list_free(&next.errs.mistakes);
	err_list_free(&next.errs.around);
	err_list_free(&next.errs.warnings);
	next.count = 0;
	busy = false;
}

static void take_plan(void)
{
	static struct settings settings; /* maintenance keeps it */
	settings = (struct settings){.limits = {.checks_at_once = next.per_plugin,
						.checks_per_address = next.per_address,
						.series = 1000}};
	sim_trace("the config is applied, at most %u checks of a plugin and %u of an address at once",
		  next.per_plugin, next.per_address);
	model_apply(&next);
	in_force = next;
	started = true;
	sched_configure(sim.sched, &settings);
	sched_apply(sim.sched, next.specs, next.count);
	silences_configure(&settings);
	pool_tidy(sched_pool(sim.sched), true);
	model_applied();
	end_plan(true);
}

static void validated(void *arg)
{
	(void)arg;
	bool taken = next.errs.mistakes.count == 0;
	if (next.again)
		taken = taken && next.unusable_count < in_force.unusable_count;
	else if (started)
		taken = taken && next.errs.around.count == 0;
	if (taken)
		take_plan();
	else
		end_plan(false);
}

static void mistake(void *arg, const struct component_spec *spec, const char *option, const char *text)
{
	(void)arg;
	err_add(option != NULL ? &next.errs.mistakes : &next.errs.around, "%s: %s", spec->name, text);
}

static void prepared(void *arg)
{
	struct pool *pool = sched_pool(sim.sched);
	(void)arg;
	for (int i = 0; i < NAMES; i++) {
		const char *why = NULL;
		if (!next.wants[i].there)
			continue;
		const struct plugin_info *info = pool_info(pool, sim_plugins[next.wants[i].plugin], &why);
		next.unusable[i] = info == NULL;
		next.variables[i] = variables[i];
		next.unusable_count += info == NULL;
		if (info == NULL && why == NULL)
			sim_fail("plugin %s cannot be used, without a reason",
				 sim_plugins[next.wants[i].plugin]);
		if (info == NULL)
			err_add(&next.errs.around, "%s", why);
		struct component_spec *spec = bind_component(i, &next.wants[i], info, why, &next.errs);
		if (spec != NULL)
			next.specs[next.count++] = spec;
	}
	if (next.errs.mistakes.count > 0)
		end_plan(false);
	else
		pool_validate(pool, next.specs, next.count, mistake, validated, NULL);
}

static void begin(void)
{
	size_t count = 0;
	bool used[PLUGINS] = {false};
	make_valid(&next);
	for (int i = 0; i < NAMES; i++)
		used[next.wants[i].plugin] |= next.wants[i].there;
	char *names[PLUGINS];
	for (int i = 0; i < PLUGINS; i++) {
		next.generations[i] = sim_files[i].generation;
		if (used[i])
			names[count++] = (char *)(uintptr_t)sim_plugins[i];
	}
	busy = true;
	memset(&next.errs, 0, sizeof(next.errs));
	next.count = next.unusable_count = 0;
	memset(next.unusable, 0, sizeof(next.unusable));
	sim_trace("a config is read%s", next.again ? " again" : "");
	pool_prepare(sched_pool(sim.sched), names, count, NULL, 0, prepared, NULL);
}

/* ---- For sim.c ---- */

void plan_begin_schedule(void)
{
	memset(&in_force, 0, sizeof(in_force));
	memset(&next, 0, sizeof(next));
	busy = started = false;
	for (int i = 0; i < NAMES; i++)
		variables[i] = 1;
	draw_first(&next);
	begin();
}

void plan_change(void)
{
	if (busy)
		return;
	struct plan before = started ? in_force : next;
	next = before;
	next.again = false;
	if (sim_draw(4) == 0)
		draw_limits(&next);
	for (int i = 0; i < NAMES && sim_draw(8) > 0; i++)
		draw_change(&next.wants[i], i);
	for (int i = 0; i < PLUGINS; i++)
		if (sim_draw(12) == 0 || (sim_files[i].broken && sim_draw(2) == 0)) {
			sim_files[i].generation++;
			sim_files[i].broken = sim_fault(FILE_BROKEN);
		}
	begin();
}

void plan_repeat(void)
{
	if (busy)
		return;
	if (started)
		next = in_force;
	next.again = started && in_force.unusable_count > 0;
	begin();
}

void plan_mend(void)
{
	for (int i = 0; i < PLUGINS; i++)
		if (sim_files[i].broken)
			sim_files[i] = (struct file){.generation = sim_files[i].generation + 1};
	for (int i = 0; i < NAMES; i++)
		if (variables[i] == 0)
			variables[i] = 1;
}

bool plan_is_busy(void)
{
	return busy;
}

bool plan_is_in_force(void)
{
	return started && in_force.unusable_count == 0;
}

void plan_forget(void)
{
	for (size_t i = 0; busy && i < next.count; i++)
		component_spec_free(next.specs[i]);
	err_list_free(&next.errs.mistakes);
	err_list_free(&next.errs.around);
	err_list_free(&next.errs.warnings);
	busy = false;
}

/* ---- Variables ---- */

const char *plan_lookup(const char *variable)
{
	static char text[SECRET_SIZE];
	int name = variable[strlen(variable) - 1] - '0';
	if (variables[name] == 0)
		return NULL;
	sim_put_secret(text, name, false, variables[name]);
	return text;
}

void plan_change_variable(int name)
{
	variables[name] = sim_draw(4) == 0 ? 0 : 2 + (uint32_t)sim_draw(1000000);
	sim_trace("variable of %s changes", sim_names[name]);
}
