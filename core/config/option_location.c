/* SPDX-License-Identifier: Apache-2.0 */
/* Finds where the value of an option is written, for messages about it that come after binding. Called by
 * plan and component on the daemon's thread; owns nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option_private.h"

/* Takes one step of a dotted name: into a map by a key, or into a list by [N]. NULL if it leads nowhere. */
static const struct config_node *step_into(const struct config_node *node, const char **dotted)
{
	char key[64];
	if (**dotted == '[') {
		size_t index = strtoul(*dotted + 1, (char **)(uintptr_t)dotted, 10);
		*dotted += **dotted == ']';
		return node->kind == CONFIG_LIST && index >= 1 && index <= node->count
			       ? node->items[index - 1]
			       : NULL;
	}
	*dotted += **dotted == '.';
	size_t size = strcspn(*dotted, ".[");
	snprintf(key, sizeof(key), "%.*s", size < sizeof(key) ? (int)size : (int)sizeof(key) - 1, *dotted);
	*dotted += size;
	const struct config_node *value = config_value(node, key);
	return value != NULL && value->kind != CONFIG_EMPTY ? value : NULL;
}

const struct config_node *option_location(const struct config_node *section,
					  const struct config_node *defaults, const char *dotted)
{
	const struct config_node *const roots[] = {section, defaults};
	for (size_t i = 0; i < 2; i++) {
		const char *at = dotted;
		const struct config_node *found = NULL;
		for (const struct config_node *node = roots[i]; node != NULL && *at != '\0';) {
			node = step_into(node, &at);
			found = node != NULL ? node : found;
		}
		if (found != NULL)
			return found;
	}
	return NULL;
}
