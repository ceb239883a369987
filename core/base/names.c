/* SPDX-License-Identifier: Apache-2.0 */
/* Names of plugins and components: the config, the options that name a store, and plugins' own tables are
 * held to the same rule. Called on any thread; owns nothing. */
#include "names.h"

#include <string.h>

#define NAME_MAX_BYTES 63u

bool name_is_plugin(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
	return size > 0 && size <= NAME_MAX_BYTES && name[size] == '\0';
}

bool name_is_component(const char *name)
{
	return name_is_plugin(name) && strchr("-_", name[0]) == NULL &&
	       strchr("-_", name[strlen(name) - 1]) == NULL;
}
