/* SPDX-License-Identifier: Apache-2.0 */
/* plan_private: shared by plan's files; for no other includer. */
#ifndef PLAN_PRIVATE_H
#define PLAN_PRIVATE_H

#include "plan.h"

/* Checks the files that a component's `tls` options name. */
void plan_check_component_files(const struct settings *settings, const struct settings_section *section,
				const struct component_spec *spec, struct component_errs *errs);
/* Checks those of listeners, and the secrets of `access`. */
void plan_check_own_files(const struct settings *settings, config_lookup *lookup,
			  struct component_errs *errs);

#endif
