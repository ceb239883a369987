/* SPDX-License-Identifier: Apache-2.0 */
/* settings: the config tree's top level, bound: everything that the daemon itself reads. What plugins declare
 * is bound later (option), because their tables are known only after their workers said hello. Owns its
 * texts; nodes point into the config tree, which it takes over. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <netinet/in.h>
#include <skymon/routes.h>

#include "base/passwd.h"
#include "base/log.h"
#include "option.h"
#include "window.h"

/* The effect of a reload on a key of the daemon's own tables. Each option of these tables has one of them
 * among its flags (bits that plugins' flags do not use). */
enum settings_reload {
	SETTINGS_NOW = 1 << 28,         /* the new value applies at once */
	SETTINGS_NEW_WORKERS = 1 << 29, /* … to workers that start from now on */
	SETTINGS_RESTART = 1 << 30      /* … after a restart of skymond */
};

/* ---- What the tables are made for: bound in place, compared and printed by their options ---- */

enum settings_reloads { SETTINGS_RELOAD_MANUAL, SETTINGS_RELOAD_WATCH };
enum settings_isolation { SETTINGS_ISOLATION_AVAILABLE, SETTINGS_ISOLATION_STRICT };
struct settings_places {
	const char *state_dir;          /* "": it is not writable and was not given, so nothing is written */
	const char *user;               /* NULL if left out */
	struct skymon_choice isolation; /* enum settings_isolation */
	struct skymon_choice reload;    /* enum settings_reloads */
	struct skymon_texts plugin_path, server_names, local_users, aliases;
};
struct settings_service {
	const char *name, *title, *version, *environment;
};
struct settings_limits {
	struct skymon_bytes worker_memory, request_body; /* worker_memory 0: no limit */
	int64_t connections, connections_per_address, checks_at_once, checks_per_address;
	int64_t series; /* of a component */
	struct skymon_duration header_timeout, idle_timeout;
};
struct settings_log {
	struct skymon_choice level, format; /* enum log_level, enum log_format */
};
enum settings_follow { SETTINGS_FOLLOW_COMPONENTS, SETTINGS_FOLLOW_SELF };
struct settings_ready {
	struct skymon_choice follow; /* enum settings_follow */
};
struct settings_shutdown {
	struct skymon_duration drain, timeout;
};
struct settings_access {
	struct skymon_secret token; /* settings_token has it */
	struct skymon_texts public;
};
struct settings_user { /* of access.users */
	const char *name;
	const struct option_secret *hash; /* of the values below */
	struct option_values *values;
};
struct settings_entry {      /* of listen */
	const char *address; /* as written */
	struct skymon_texts
		routes; /* routes or plugins served here (health ready alive prometheus …); none: all */
	const char *mode, *owner, *group; /* of a Unix socket; NULL if left out */
};
struct settings_tls {
	const char *cert_file, *key_file; /* NULL for plain HTTP */
	const char *client_ca_file, *client_crl_file;
	struct skymon_texts client_names; /* of which a client's certificate needs one; none: any */
};

/* Shared by references, because a listener lives longer than the settings that it was made of. */
struct settings_listen {
	unsigned references;
	struct settings_entry entry;
	struct settings_tls tls;
	struct option_values *entry_values,
		*tls_values;         /* hold the texts; tls_values is NULL without `tls` */
	char host[INET6_ADDRSTRLEN]; /* "0.0.0.0", "::", "*" (both); "" for a Unix socket */
	uint16_t port;
	const char *unix_path; /* NULL for TCP */
	const char *passed;    /* the name of sockets that systemd passes; otherwise NULL */
	int mode;              /* of the Unix socket; -1: what the umask leaves */
	uid_t owner;           /* (uid_t)-1: unchanged */
	gid_t group;
	const struct config_node *place; /* the entry; valid as long as the settings are */
};

struct settings_source {
	const char *key, *component; /* component: "self" too; NULL if none */
	const struct config_node *place;
};

struct settings_section {          /* one entry of `plugins` or `components` */
	const char *name, *plugin; /* plugins: both the same */
	const struct config_pair *place;
	const struct config_node *node;
	/* the common options, of a plugin that runs in the daemon too, where they mean nothing (defaults
	 * applied; 0: the plugin's own default, then 30 s and 5 s) */
	int64_t interval_ms, timeout_ms;
	enum skymon_impact impact;
	bool unknown_is_unhealthy, isolation_own;
	bool serves; /* an entry of `plugins` */
	uint32_t rise, fall;
	char *labels;                         /* as labels_print */
	char *group;                          /* NULL if it is in none */
	const struct config_node *depends_on; /* names of components; see settings_parent; or NULL */
	const struct config_node *warn,
		*crit; /* MAPs or NULL; validated against the plugin's numbers later */
};

/* The parts of the top level that have a table. */
enum settings_part {
	SETTINGS_PLACES,
	SETTINGS_SERVICE,
	SETTINGS_LIMITS,
	SETTINGS_LOG,
	SETTINGS_READY,
	SETTINGS_SHUTDOWN,
	SETTINGS_ACCESS,
	SETTINGS_PARTS
};

struct settings_window_options {
	struct skymon_texts components, groups;
	const char *every, *zone, *why;
	struct skymon_duration length;
};
struct settings_window { /* of maintenance */
	struct settings_window_options options;
	struct option_values *values; /* hold the texts */
	struct window window;
};

#define SETTINGS_SOURCES 8
struct settings {
	unsigned references; /* plans of the same config share it */
	struct config config;
	struct settings_places places;
	struct settings_service service;
	struct settings_limits limits;
	struct settings_log log;
	struct settings_ready ready;
	struct settings_shutdown shutdown;
	struct settings_access access;
	struct option_values *
		values[SETTINGS_PARTS]; /* hold the texts of these; that of access is NULL if all is public */
	struct settings_user *users;
	size_t user_count;
	struct settings_listen **listens;
	size_t listen_count;
	struct settings_source sources[SETTINGS_SOURCES]; /* the seed's eight metrics, in its order */
	const struct config_node *defaults; /* MAP or NULL: defaults.<plugin> are a plugin's own */
	struct settings_section *plugins;
	size_t plugin_count;
	struct settings_section *components;
	size_t component_count;
	struct settings_window *windows;
	size_t window_count;
	const char **plugin_folders; /* plugin_path, and the installed one last */
	size_t plugin_folder_count;
	uid_t uid;         /* of places.user */
	uid_t *local_uids; /* of places.local_users */
};

#define SETTINGS_TOKEN_MIN 16 /* bytes of the access token */
#define SETTINGS_USER_MAX 64  /* bytes of a user's name */
#define SETTINGS_HASH_SIZE 60 /* bytes of a bcrypt hash */
#define SETTINGS_COST_MAX 15  /* of a bcrypt hash: 2 s for a login */
/* Is a text a bcrypt hash that a login may take the time for? */
bool settings_hash_ok(const char *hash, struct err *err) MUST_CHECK;

/* The access token's secret; NULL if none is asked for. */
const struct option_secret *settings_token(const struct settings *settings);
/* Keys of a component's section that settings bind; for option_binding.also. Ends with NULL. */
extern const char *const settings_component_keys[];

/* The names in depends_on of a section. A name is NULL if it is not a text, which was reported. */
size_t settings_parent_count(const struct settings_section *section);
const char *settings_parent(const struct settings_section *section, size_t index);

/* Binds a tree (taken over), and returns what it could bind even when it added errors: for further validation
 * alone, so that all errors are reported at once. A section's plugin is NULL if it is not known. */
struct settings *settings_read(struct config *config, config_lookup *lookup,
			       struct err_list *errs) MUST_CHECK;
/* Binds a tree (taken over, also on failure). Every error goes to errs; NULL when there was one. */
struct settings *settings_new(struct config *config, config_lookup *lookup, struct err_list *errs) MUST_CHECK;
/* A listen text: "0.0.0.0:8080", "[::]:8443", ":8080", "unix:/path". For --listen. NULL and the error. */
struct settings_listen *settings_listen_new(const char *text, struct err *err) MUST_CHECK;
struct settings_listen *settings_listen_ref(struct settings_listen *listen);
void settings_listen_free(struct settings_listen *listen); /* drops one reference */
/* Calls found for each key whose value differs and that does not apply at once: "limits.idle_timeout",
 * "listen[2].tls.key_file"; "listen" when their number differs. */
typedef void settings_change(void *arg, const char *key, enum settings_reload reload);
void settings_compare(const struct settings *old, const struct settings *new, settings_change *found,
		      void *arg);
struct settings *settings_ref(struct settings *settings);
void settings_free(struct settings *settings); /* drops one reference */
/* Prints the effective top level as YAML, secrets masked. plan_print adds components and plugins, whose
 * options are not known here. */
void settings_print(const struct settings *settings, struct buf *out);

/* For the JSON Schema of the config: members of $defs; members of `properties` of the top level, without
 * those of sections; and the options that the core gives to each section (component: with `plugin`). */
void settings_listen_define(struct buf *out);
void settings_schema_members(struct buf *out);
void settings_schema_common(bool component, struct buf *out);

#endif
