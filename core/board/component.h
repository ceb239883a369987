/* SPDX-License-Identifier: Apache-2.0 */
/* component: one configured thing that is watched. `struct component_spec` is what config says of it, bound
 * and judged, immutable; `struct component` is its life in the daemon, which pool (where it runs) and sched
 * (when it runs) share. Made and freed by sched. */
#ifndef COMPONENT_H
#define COMPONENT_H

#include "supervisor/admission.h"
#include "board.h"
#include "base/loop.h"
#include "plugin/plugin.h"
#include "config/settings.h"

struct component_spec {
	char *name, *plugin, *labels;
	char *address; /* of the server that it asks, as admission_address; NULL: none */
	struct option_values *values;
	struct verdict_limit *limits;
	size_t limit_count;
	int64_t interval_ms, timeout_ms;
	enum skymon_impact impact;
	bool unknown_is_unhealthy, isolation_own;
	bool serves;    /* it stands under `plugins`: its plugin's routes are served */
	char *unusable; /* why its plugin cannot be used, in one sentence; NULL: it can. Then nothing is bound
			 */
	uint32_t rise, fall;
	uint64_t code;         /* of its plugin (plugin.h) */
	uint64_t secrets_hash; /* of the bytes of its secrets when it was bound: a changed file counts as a
				  changed option */
};

/* What is wrong in the config, and what is wrong around it: a plugin that cannot be opened, a secret file
 * that cannot be read. The latter does not keep skymond from starting; a warning keeps it from nothing. */
struct component_errs {
	struct err_list mistakes, around, warnings;
};

/* Does a component of that name keep secrets? */
struct component_stores {
	bool (*keeps)(void *arg, const char *component);
	void *arg;
};

/* Binds one section of `components` to its plugin's declarations, and reads its secrets (env, file) once to
 * see that they can be read. Mistakes of the config go to errs->mistakes; NULL when there was one. A secret
 * file that cannot be read goes to errs->around: the component is bound all the same. */
struct component_spec *component_bind(const struct settings *settings, const struct settings_section *section,
				      const struct plugin_info *info, const struct component_stores *stores,
				      config_lookup *lookup, struct component_errs *errs) MUST_CHECK;
/* A section whose plugin cannot be used: it is unknown with that sentence until it can. */
struct component_spec *component_unusable(const struct settings_section *section, const char *why);
void component_spec_free(struct component_spec *spec);
/* Would its worker be told the same? (name, plugin and its code, options, secrets, isolation; not interval,
 * thresholds, impact …) */
bool component_same_options(const struct component_spec *a, const struct component_spec *b);
struct board_traits component_traits(const struct component_spec *spec);
/* The body of WIRE_START; secrets: the bytes of each of option_secrets (NULL: left out). To be wiped after
 * use (component_wipe). */
void component_encode(const struct component_spec *spec, const char *state_dir, uint32_t series_max,
		      const struct option_bytes *secrets, struct buf *body);
/* To see that secrets have changed, within one process; never shown. */
uint64_t component_hash(const struct option_bytes *secrets, size_t count);
/* Differs when anything of it does, its secrets too. */
uint64_t component_fingerprint(const struct component_spec *spec);
void component_print(const struct component_spec *spec, struct buf *out); /* as YAML, secrets masked */
void component_wipe(struct buf *body);

enum component_state {
	COMPONENT_DOWN,     /* its worker does not know it */
	COMPONENT_STARTING, /* told, not answered */
	COMPONENT_UP,       /* may run */
	COMPONENT_FAILED,   /* its start failed, or a secret could not be had: tried again later */
	COMPONENT_WAITING,  /* for a secret, or for the component that keeps it */
};

#define COMPONENT_STEP_MAX 100

struct component {
	struct component_spec *spec;
	struct board_item *item;
	uint32_t id; /* on the wire; new when its options change, so that what is late speaks of nobody */
	/* pool's */
	struct slot *slot; /* where it runs; NULL when it is not configured */
	enum component_state state;
	bool isolated;      /* it killed a shared worker once: it has its own now */
	struct timer retry; /* of a failed start; also how long a start may take */
	int64_t retry_ms;
	struct pool_secrets *secrets; /* being gathered; NULL: not now */
	struct timer lease;           /* of the secret that ends first */
	char blank_secret[64];        /* option whose secret ends with a line break or a blank; "": none */
	struct timer again;           /* a request waits until its refused secret may be read anew */
	bool leased;                  /* they hold for a time only */
	uint64_t secrets_hash;        /* of those that it was started with */
	unsigned patience;            /* how often it has waited for a store that is only starting */
	/* sched's */
	struct sched *sched;
	struct timer due, deadline, stale;
	struct permit permit; /* to run: held while a run is out and within its deadline */
	uint64_t run;         /* the run that is out; 0: none */
	int64_t run_began_ms;
	char step[COMPONENT_STEP_MAX]; /* what the run was doing when its worker last said so */
	unsigned hangs;     /* how often its worker was ended for it since a run of it last ended */
	bool refresh;       /* its secrets are to be read again once its run has ended */
	bool refused;       /* … because its server refused them */
	int64_t refused_ms; /* when that was last asked for by a refusal */
	bool expired;       /* its deadline has passed, and the daemon has said so */
	bool wanted;        /* its time came while it could not run: run it as soon as it can */
	bool series_cut;    /* its last result had more series than it may: the log has said so */
	bool gone;          /* taken out of the config while a run was out; freed when that has ended */
	char failure[256];  /* why it cannot run now ("" : it can, as far as we know) */
	enum skymon_reason failure_reason;
};

#endif
