/* SPDX-License-Identifier: Apache-2.0 */
/* option: binds a section of the config to a declared table of options. Pure: no clock, no socket; ${VAR} of
 * declared defaults goes through the lookup that the caller gives.
 *
 * The same tables (struct skymon_option) serve plugins and the core's own settings. In the daemon a plugin's
 * table is a copy that came over the wire (option_table_decode); values go back over the wire and are stored
 * into the plugin's struct there. */
#ifndef OPTION_H
#define OPTION_H

#include <skymon/plugin.h>

#include "config.h"
#include "wire/wire.h"

/* ---- Tables ---- */
const char *option_type_word(int32_t type); /* "text", "duration", "list of texts" … */
size_t option_table_size(const struct skymon_option *table, size_t stride); /* entries before {0} */
/* Validates the table itself: names, types, ranges, words, one target at most, offsets within state_size. */
bool option_table_check(const struct skymon_option *table, size_t stride, size_t state_size,
			struct err *err) MUST_CHECK;
/* Validates the defaults of a table that was decoded: each must bind. Not part of option_table_check, which
 * the worker uses too: the worker binds nothing, and links no YAML parser for it. */
bool option_defaults_check(const struct skymon_option *table, struct err *err) MUST_CHECK;
void option_table_encode(const struct skymon_option *table, size_t stride, struct buf *body);
/* A copy with today's stride, owned by the caller; NULL with err when the wire lies. */
struct skymon_option *option_table_decode(struct wire_reader *in, struct err *err) MUST_CHECK;
void option_table_free(struct skymon_option *table);

/* ---- Values ---- */
enum option_secret_kind {
	OPTION_SECRET_NONE,
	OPTION_SECRET_LITERAL,
	OPTION_SECRET_ENV,
	OPTION_SECRET_FILE,
	OPTION_SECRET_STORE
};
struct option_secret {
	enum option_secret_kind kind;
	const char *option;              /* dotted name for messages: "password", "tls.key" */
	const char *store;               /* STORE: the component that keeps it */
	const char *text;                /* the literal, the variable's name, the path, or path#field */
	const struct config_node *place; /* valid only while the config tree is */
};

struct option_values; /* immutable; owns all its texts */

struct option_binding {
	const struct skymon_option *table;
	const struct config_node *section;  /* a MAP, EMPTY or NULL */
	const struct config_node *defaults; /* a MAP of the same options, weaker than section; or NULL */
	const char *only_suggested; /* a key that was read before, offered for a misspelt one; or NULL */
	const char *const *also; /* keys of the section that somebody else binds; ends with NULL; or NULL */
	const char *what;        /* for messages: "component orders" */
	config_lookup *lookup;
};
/* Adds every error (unknown key with the nearest name, type, range, missing) to errs; NULL when there was
 * one. */
struct option_values *option_bind(const struct option_binding *binding, struct err_list *errs) MUST_CHECK;
void option_values_free(struct option_values *values);
bool option_values_equal(const struct option_values *a, const struct option_values *b);
/* Have both the same value of one option, or none? Either may be NULL, which has none. */
bool option_values_same(const struct option_values *a, const struct option_values *b, const char *name);

/* NULL when configured; else one sentence naming the variable or the option to set: "set VAULT_ADDR, or
 * `address` of the component". */
const char *option_not_configured(const struct option_values *values);
/* A text option's value; NULL when it has none, or is not a text. */
const char *option_values_text(const struct option_values *values, const char *name);
const char *option_empty_target(const struct option_values *values); /* its name; NULL when configured */
/* Where the value of an option is written ("url", "tls.ca_file", "queries[1].sql"): in the section, else in
 * the defaults; the innermost place that is there when the option itself is not. NULL: in neither. */
const struct config_node *option_location(const struct config_node *section,
					  const struct config_node *defaults, const char *dotted);
/* The files that `tls` options name, in their order; `option` is the dotted name. The texts are of values.
 * Returns how many there are; out holds at most room of them. */
struct option_tls_files {
	const char *option;                         /* "tls" */
	const char *ca_file, *cert_file, *key_file; /* NULL if not given */
};
size_t option_tls_files(const struct option_values *values, struct option_tls_files *out, size_t room);
const struct option_secret *option_secrets(const struct option_values *values, size_t *count);

/* The bytes of a secret that is a literal, env or file. File: a trailing newline is cut, symlinks are
 * followed, refused when it cannot be trusted (file_trust.h), is not a regular file or above 64 KiB. The
 * caller frees *bytes (after wiping). */
bool option_secret_read(const struct option_secret *secret, config_lookup *lookup, char **bytes, size_t *size,
			struct err *err) MUST_CHECK;

/* May others read the file of a secret? Then err has the text of a warning. */
bool option_secret_is_open(const struct option_secret *secret, struct err *err);

/* Over the wire: bytes[i] belongs to secret i of option_secrets (NULL if left out). */
struct option_bytes {
	const char *bytes;
	size_t size;
};
void option_bytes_free(struct option_bytes *bytes, size_t count); /* wipes them, and frees the array too */
void option_values_encode(const struct option_values *values, const struct option_bytes *secrets,
			  struct buf *body);
/* As for the worker that only validates them: of each secret whether it is given, not what it is. */
void option_values_encode_blank(const struct option_values *values, struct buf *body);
struct option_values *option_values_decode(struct wire_reader *in, struct err *err) MUST_CHECK;
/* Stores each value at its offset in state, by name and type; pointers live as long as values. A value that
 * the table does not have, or has with another type, is an error. */
bool option_store(struct option_values *values, const struct skymon_option *table, size_t stride, void *state,
		  struct err *err) MUST_CHECK;

/* Does an option of it name files that are written? Relative ones lie in state_dir itself then. */
bool option_table_writes(const struct skymon_option *table);
/* Each path that the config names by an option flagged SKYMON_PATH_… or in a tls block, and each text of
 * another option that looks like an absolute path (GUESSED). table: at today's stride. */
enum option_path_use { OPTION_PATH_GUESSED, OPTION_PATH_READ, OPTION_PATH_WRITE };
typedef void option_path(void *arg, const char *path, enum option_path_use use);
void option_paths(const struct option_values *values, const struct skymon_option *table, option_path *found,
		  void *arg);
/* Is there an option of that name? Those in lists do not count. */
bool option_values_has(const struct option_values *values, const char *name);
/* As YAML below `indent` spaces, secrets masked, user info of URLs masked: --print-config. */
void option_values_print(const struct option_values *values, int indent, struct buf *out);
/* One text as a YAML scalar that reads back the same; user info and passwords of URLs masked. */
void option_text_print(const char *text, struct buf *out);
/* name, type, default, range, help: a line or two each, for `skymon plugins NAME`. */
void option_table_print(const struct skymon_option *table, struct buf *out);

/* ---- JSON Schema: for --config-schema ---- */
#define SCHEMA_COMPONENT "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$" /* as name_is_component */
void schema_next(struct buf *out); /* separates the next member or item from the one before */
void schema_member(const char *name, struct buf *out); /* begins `"name": {`; the caller ends it */
void option_schema_define(struct buf *out);            /* the types, as members of $defs */
/* The options as members of `properties`. None is required, as defaults may give it. */
void option_schema_members(const struct skymon_option *table, struct buf *out);
/* The keywords of a map with these options and no others. Between begin and end, more members of `properties`
 * may follow. */
void option_schema_object(const struct skymon_option *table, struct buf *out);
void option_schema_begin(const struct skymon_option *table, struct buf *out);
void option_schema_end(const struct skymon_option *table, struct buf *out);

/* ---- Quantities: texts with units, also for thresholds ---- */
bool option_parse_duration(const char *text, int64_t *ms, struct err *err) MUST_CHECK;
bool option_parse_bytes(const char *text, int64_t *count, struct err *err) MUST_CHECK;
bool option_parse_ratio(const char *text, double *of_one, struct err *err) MUST_CHECK;
/* By a declared number's unit: "s" takes durations, "bytes" sizes, "ratio" percentages; a plain number always
 * goes. */
bool option_parse_quantity(const char *text, const char *unit, double *value, struct err *err) MUST_CHECK;
/* For people: "250 ms", "1.5 GiB", "80 %", "12". */
void option_print_quantity(double value, const char *unit, char *text, size_t size);
/* As the config file writes it: "1h30m", "64KiB", "80%". type: enum skymon_type. */
void option_number_text(int32_t type, double value, char text[64]);

#endif
