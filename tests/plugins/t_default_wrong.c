/* SPDX-License-Identifier: Apache-2.0 */
/* An option of a list's items whose default does not bind: the daemon and `skymon plugins` refuse the plugin.
 */
#include <skymon/plugin.h>

struct item {
	struct skymon_duration wait;
};
struct state {
	struct skymon_list items;
};
static const struct skymon_option item_options[] = {
	SKYMON_OPT(struct item, wait, "5", "a time without a unit"), {0}};
static const struct skymon_option options[] = {SKYMON_OPT(struct state, items, NULL, "items",
							  .item = item_options,
							  .item_size = sizeof(struct item)),
					       {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never");
}

SKYMON_PLUGIN(t_default_wrong, "1.0", "Wrong", .state_size = sizeof(struct state), .options = options,
	      .check = check);
