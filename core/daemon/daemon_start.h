/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_start: steps of the start that keep nothing. Called by daemon.c. */
#ifndef DAEMON_START_H
#define DAEMON_START_H

#include "plan.h"
#include "plugin_api.h"

void daemon_print_plan(const struct plan *plan);
/* Returns the exit code. */
int daemon_print_routes(struct plan *plan, struct plugin_api *api);
/* Logs what this kernel cannot confine of workers. */
void daemon_warn_of_isolation(void);
/* Raises the limit of descriptors as far as the system allows. Returns limits.connections, or as many as it
 * allows. */
uint32_t daemon_fit_descriptors(const struct settings *settings);
/* Makes the folder if it is missing, and locks it until this process ends. Returns false if another skymond has
 * it; a folder that cannot be made or written is logged and does not matter. Called before the first worker,
 * whose sandbox is built from existing folders. */
bool daemon_take_state_dir(const char *folder, struct err *err) MUST_CHECK;

#endif
