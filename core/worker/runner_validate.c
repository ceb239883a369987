/* SPDX-License-Identifier: Apache-2.0 */
/* runner_validate: has the plugin validate options: without a component, for the daemon's plan of a config,
 * and before each start. On the main thread; owns nothing beyond a call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner_private.h"

#define VALIDATE_MS 1000 /* of skymon_ms_left: validate does no I/O */
#define MISTAKES_MAX 64u /* of one component */

struct runner_mistakes {
	struct buf *out; /* as they cross the wire */
	uint32_t count;
};

void runner_invalid(struct skymon *sm, const char *option, const char *text, size_t size)
{
	struct runner_component *component = (struct runner_component *)sm;
	struct runner_mistakes *mistakes = component->mistakes;
	if (mistakes == NULL) {
		runner_log(component, LOG_LEVEL_ERROR, "the plugin calls skymon_invalid outside of validate");
		return;
	}
	if (mistakes->count == MISTAKES_MAX)
		return;
	char *clean = runner_masked(component, text, size);
	clean[strnlen(clean, RESULT_MESSAGE_MAX)] = '\0';
	for (char *at = clean; *at != '\0'; at++)
		if (*at == '\n')
			*at = ' ';
	mistakes->count++;
	message_put_mistake(mistakes->out, option != NULL ? option : "", clean);
	free(clean);
}

/* An empty target is "", whether it was left out or given so. */
static void fill_target(const struct skymon_plugin *plugin, void *state)
{
	static const char *const empty = "";
	for (const struct skymon_option *option = plugin->options; option->name != NULL; option++) {
		char *member = (char *)state + option->offset;
		const char *text;
		if ((option->flags & SKYMON_TARGET) == 0 || option->type != SKYMON_TEXT)
			continue;
		memcpy(&text, member, sizeof(text));
		if (text == NULL)
			memcpy(member, &empty, sizeof(empty));
	}
}

static void call_validate(struct runner_component *component, struct runner_mistakes *mistakes)
{
	component->mistakes = mistakes;
	runner_enter(component, VALIDATE_MS, "validating its options");
	component->runner->plugin->validate(&component->sm, component->state);
	runner_leave();
	component->mistakes = NULL;
}

void runner_validate(struct runner *runner, const struct runner_spec *spec, struct buf *out)
{
	const struct skymon_plugin *plugin = runner->plugin;
	struct runner_component component = runner_aside(&runner->self);
	struct runner_mistakes mistakes = {.out = out};
	struct err err;
	component.id = spec->id; /* the asker's: a crash here must not be blamed on a component */
	component.name = x_strdup(spec->start.name);
	component.state_dir = x_strdup(spec->start.state_dir);
	component.state = x_alloc(plugin->state_size);
	if (!option_store(spec->values, plugin->options, plugin->option_size, component.state, &err)) {
		message_put_mistake(out, "", err.text);
	} else if (plugin->validate != NULL) {
		fill_target(plugin, component.state);
		call_validate(&component, &mistakes);
	}
	option_values_free(spec->values);
	runner_aside_free(&component);
	free(component.name);
	free(component.state_dir);
	free(component.state);
}

bool runner_is_valid(struct runner_component *component, struct err *err)
{
	struct buf out = {0};
	const char *option, *text;
	if (component->runner->plugin->validate == NULL)
		return true;
	call_validate(component, &(struct runner_mistakes){.out = &out});
	struct wire_reader in = wire_reader(out.data, out.size);
	struct buf all = {0};
	while (message_get_mistake(&in, &option, &text))
		buf_printf(&all, "%soption `%s` %s", all.size > 0 ? "; " : "", option, text);
	bool valid = all.size == 0;
	if (!valid)
		err_set(err, "%s", all.data);
	buf_free(&all);
	buf_free(&out);
	return valid;
}
