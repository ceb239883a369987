/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_schema: what skymond --config-schema prints. */
#ifndef DAEMON_SCHEMA_H
#define DAEMON_SCHEMA_H

#include <stdbool.h>

/* False if no event loop can be made. config_path: of its plugin_path alone, and only if it can be read. */
bool daemon_print_schema(const char *config_path, const char *worker_program);

#endif
