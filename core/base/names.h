/* SPDX-License-Identifier: Apache-2.0 */
/* names: what the name of a plugin, a route or a component may look like. Pure. */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>

bool name_is_plugin(const char *name);    /* [a-z0-9_-]+, at most 63; of a route too */
bool name_is_component(const char *name); /* the same, with [a-z0-9] first and last */

#endif
