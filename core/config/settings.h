/* SPDX-License-Identifier: Apache-2.0 */
/* settings: the config tree's top level, bound: everything that the daemon itself reads. What plugins declare
 * is bound later (option), because their tables are known only after their workers said hello. Owns its
 * texts; nodes point into the config tree, which it takes over. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <skymon/routes.h>

#include "base/account.h"
#include "base/log.h"
#include "option.h"

struct settings_listen {
	char *text; /* as written, for messages and for comparing on reload */
	char *host; /* "0.0.0.0", "::", "*" (both); NULL for a Unix socket */
	uint16_t port;
	char *unix_path;                             /* NULL for TCP */
	char *cert_file, *key_file, *client_ca_file; /* NULL: plain HTTP */
	char *client_crl_file;                       /* NULL: none */
	char **client_names; /* of which a client's certificate must have one; none: any */
	size_t client_name_count;
	char **routes; /* route or plugin names served here (health ready alive prometheus …); NULL: all */
	size_t route_count;
	const struct config_node *place; /* the entry, a MAP; NULL: one address alone */
};

struct settings_source {
	char *key, *component;
	struct config_node const *place;
}; /* component "self" too */

struct settings_section {    /* one entry of `plugins` or `components` */
	char *name, *plugin; /* plugins: both the same */
	const struct config_pair *place;
	const struct config_node *node;
	/* the common options, of a plugin that runs in the daemon too, where they mean nothing (defaults
	 * applied; 0: the plugin's own default, then 30 s and 5 s) */
	int64_t interval_ms, timeout_ms;
	enum skymon_impact impact;
	bool unknown_is_unhealthy, isolation_own;
	bool serves; /* an entry of `plugins` */
	uint32_t rise, fall;
	char *labels;                          /* as labels_print */
	const struct config_node *warn, *crit; /* MAPs or NULL; judged against the plugin's numbers later */
};

struct settings {
	unsigned references; /* plans of the same config share it */
	struct config config;
	struct settings_listen *listens;
	size_t listen_count;
	char *service, *title, *service_version, *environment;
	struct settings_source *sources;
	size_t source_count; /* all eight keys of the seed, in its order; component NULL: none */
	const struct config_node *defaults; /* MAP or NULL: defaults.<plugin> are a plugin's own */
	struct settings_section *plugins;
	size_t plugin_count;
	struct settings_section *components;
	size_t component_count;
	char **plugin_paths;
	size_t plugin_path_count; /* the added folders first, the installed one last */
	char *state_dir;          /* "" when it is not writable and was not given: read-only */
	char *user;               /* as written; NULL: left out */
	uid_t uid;                /* its number */
	char **server_names;
	size_t server_name_count;
	char **local_users; /* as written, and their numbers */
	uid_t *local_uids;
	size_t local_user_count;
	char *token_file;
	char **public_routes;
	size_t public_count;
	bool access;                  /* access: {token, public}; NULL and false: all public */
	struct option_values *values; /* what holds the texts of the above that came by tables, and the access
					 token's secret */
	bool ready_follows_self, isolation_strict;
	int64_t drain_ms, shutdown_timeout_ms;
	int64_t worker_memory; /* bytes; 0: none */
	uint32_t checks_at_once, checks_per_address;
	uint32_t series; /* of a component */
	uint32_t connections, connections_per_address;
	int64_t request_body; /* bytes */
	int64_t header_timeout_ms, idle_timeout_ms;
	enum log_level log_level;
	enum log_format log_format;
};

#define SETTINGS_TOKEN_MIN 16 /* bytes of the access token */

/* The access token's secret; NULL if none is asked for. */
const struct option_secret *settings_token(const struct settings *settings);
extern const char
	*const settings_source_keys[8]; /* the seed's metrics without prefix and _total, in its order */
/* Keys of a component's section that settings bind; for option_binding.also. Ends with NULL. */
extern const char *const settings_component_keys[];

/* Binds a tree (taken over), and gives what it could bind even when errs has got errors: fit only to be
 * judged further, so that all errors come at once. A section's plugin is NULL when it could not be told. */
struct settings *settings_read(struct config *config, config_lookup *lookup,
			       struct err_list *errs) MUST_CHECK;
/* Binds a tree (taken over, also on failure). Every error goes to errs; NULL when there was one. */
struct settings *settings_new(struct config *config, config_lookup *lookup, struct err_list *errs) MUST_CHECK;
/* A listen text: "0.0.0.0:8080", "[::]:8443", ":8080", "unix:/path". For --listen too. */
bool settings_listen_parse(const char *text, struct settings_listen *out, struct err *err) MUST_CHECK;
void settings_listen_free(struct settings_listen *listen);
struct settings *settings_ref(struct settings *settings);
void settings_free(struct settings *settings); /* when nobody else holds it */
/* The effective top level as YAML, masked; components and plugins are printed by who knows their options
 * (before/after hooks in main). */
void settings_print(const struct settings *settings, struct buf *out);

#endif
