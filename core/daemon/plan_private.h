/* SPDX-License-Identifier: Apache-2.0 */
/* plan's own: what its files share. Nobody else includes this. */
#ifndef PLAN_PRIVATE_H
#define PLAN_PRIVATE_H

#include "plan.h"

/* The files that a component's `tls` options name. */
void plan_check_component_files(const struct settings *settings, const struct settings_section *section,
				const struct component_spec *spec, struct component_errs *errs);
/* Those of listeners, and the secrets of `access`. */
void plan_check_own_files(const struct settings *settings, config_lookup *lookup,
			  struct component_errs *errs);

#endif
