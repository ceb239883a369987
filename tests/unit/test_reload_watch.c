/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/reload_watch.c on real files: a table of ways in which a configuration changes, each in a folder of its
 * own and all in one loop, which takes four seconds. After a call each case reads its configuration as a reload
 * does. */
#include "daemon/reload_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define STEP_MS 200
#define FIRST                                                                                                \
	6 /* step in which all change: the first second, in which each looks at its files anyway, is over */
#define WRITES 7 /* steps in which the last one changes */
#define WAIT_MS 30000

/* Both are run by sh in the case's folder, which has a main.yaml that includes d/[a-z]*.yaml. */
static const struct way {
	const char *name, *before, *change;
	unsigned calls;
} ways[] = {
	{"edited in place", "", "echo 'x-a: 1' >>main.yaml", 1},
	{"renamed over", "echo 'x-a: 1' >new; cat main.yaml >>new", "mv new main.yaml", 1},
	{"an included file is edited", "", "echo 'x-a: 1' >>d/a.yaml", 1},
	{"the glob gains a file", "", "echo 'x-a: 1' >d/b.yaml", 1},
	{"the glob gains a link", "echo 'x-a: 1' >elsewhere", "ln -s ../elsewhere d/b.yaml", 1},
	{"the glob loses a file", "", "rm d/a.yaml", 1},
	{"the glob's folder vanishes", "", "rm -r d", 1},
	{"the glob's folder appears", "mv d later", "mv later d", 1},
	{"the glob's folder is made", "rm -r d", "mkdir d; sleep 0.1; echo 'x-a: 1' >d/b.yaml", 1},
	{"a folder of a pattern appears", "echo 'include: [\"e/*/*.yaml\"]' >main.yaml; mkdir e",
	 "mkdir e/f; echo 'x-a: 1' >e/f/a.yaml", 1},
	{"the file vanishes", "", "rm main.yaml", 1},
	{"the file appears", "mv main.yaml other", "mv other main.yaml", 1},
	{"items of each", "echo 'components: {c: {each: {file: items}}}' >main.yaml; echo 'a: {}' >items",
	 "echo 'b: {}' >>items", 1},
	{"a ConfigMap",
	 "mkdir ..1 ..2; mv main.yaml ..1; cp ..1/main.yaml ..2; echo 'x-a: 1' >>..2/main.yaml;"
	 "ln -s ..1 ..data; ln -s ..data/main.yaml main.yaml",
	 "ln -s ..2 ..tmp; mv -T ..tmp ..data; rm -r ..1", 1},
	{"a ConfigMap's folder",
	 "mkdir ..1; mv d ..1; cp -r ..1 ..2; echo 'x-a: 1' >..2/d/b.yaml; ln -s ..1 ..data;"
	 "ln -s ..data/d d",
	 "ln -s ..2 ..tmp; mv -T ..tmp ..data; rm -r ..1", 1},
	{"a folder of links elsewhere",
	 "mkdir r r/1 r/2 c; mv main.yaml r/1; cp r/1/main.yaml r/2; echo 'x-a: 1' >>r/2/main.yaml;"
	 "ln -s 1 r/now; ln -s r/now/main.yaml main.yaml",
	 "ln -s 2 r/new; mv -T r/new r/now", 1},
	{"a thousand writes", "", "for i in $(seq 1000); do echo \"x-a: $i\" >d/a.yaml; done", 1},
	{"the same contents", "", "cp main.yaml new; mv new main.yaml; touch d/a.yaml; chmod 600 d/a.yaml",
	 0},
	{"another file", "", "echo 'x-a: 1' >other.yaml; echo >d/README; mkdir d/sub", 0},
	{"there and back", "", "echo 'x-a: 1' >d/b.yaml; rm d/b.yaml", 0},
	{"written again and again", "", "", 1},
};

static struct state {
	const struct way *way;
	struct reload_watch *watch;
	char folder[64], path[96];
	unsigned calls;
} states[COUNT(ways)];
static struct loop *loop;
static struct timer step;
static unsigned steps;

static void run(const struct state *state, const char *script)
{
	char *command = x_printf("set -e; cd %s; %s", state->folder, script);
	CU_ASSERT_EQUAL(system(command), 0);
	free(command);
}

static void read_config(struct state *state)
{
	struct config config;
	struct err_list errs = {0};
	(void)!config_load(state->path, config_environment, &config, &errs);
	reload_watch_set_sources(state->watch, &config);
	config_free(&config);
	err_list_free(&errs);
}

static void on_change(void *arg)
{
	struct state *state = arg;
	state->calls++;
	read_config(state);
}

/* Changes all, then the last one again and again; at last waits until all that is to come has come. */
static void on_step(struct timer *timer, int64_t now_ms)
{
	struct state *last = &states[COUNT(ways) - 1];
	bool done = steps > FIRST + 2 * WRITES;
	for (size_t i = 0; steps == FIRST && i < COUNT(ways); i++)
		run(&states[i], ways[i].change);
	if (steps >= FIRST && steps < FIRST + WRITES) {
		char script[64];
		snprintf(script, sizeof(script), "echo 'x-a: %u' >d/a.yaml", steps);
		CU_ASSERT_EQUAL(last->calls, 0);
		run(last, script);
	}
	for (size_t i = 0; i < COUNT(ways); i++)
		done = done && states[i].calls >= ways[i].calls;
	if (done || ++steps > WAIT_MS / STEP_MS)
		loop_stop(loop);
	else
		loop_set_timer(loop, timer, now_ms + STEP_MS);
}

static void each_way(void)
{
	loop = loop_new();
	for (size_t i = 0; i < COUNT(ways); i++) {
		struct state *state = &states[i];
		state->way = &ways[i];
		CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(strcpy(state->folder, "/tmp/test_reload_watch_XXXXXX")));
		snprintf(state->path, sizeof(state->path), "%s/main.yaml", state->folder);
		run(state,
		    "echo 'include: [\"d/[a-z]*.yaml\"]' >main.yaml; mkdir d; echo 'x-b: 1' >d/a.yaml");
		run(state, state->way->before);
		state->watch = reload_watch_new(loop, on_change, state);
		read_config(state);
		reload_watch_enable(state->watch, true);
	}
	step.fire = on_step;
	loop_set_timer(loop, &step, loop_clock_ms());
	loop_run(loop);
	for (size_t i = 0; i < COUNT(ways); i++) {
		if (states[i].calls != ways[i].calls)
			fprintf(stderr, "\n%s: %u calls\n", ways[i].name, states[i].calls);
		CU_ASSERT_EQUAL(states[i].calls, ways[i].calls);
		reload_watch_free(states[i].watch);
		run(&states[i], "rm -r \"$PWD\"");
	}
	loop_free(loop);
}

int main(void)
{
	return unit_run("reload_watch",
			(const struct unit_test[]){{"each way to change", each_way}, {NULL, NULL}});
}
