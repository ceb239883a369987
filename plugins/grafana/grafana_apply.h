/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply: what the files of apply and diff share. The shipped content is one list of items; each is
 * looked up in Grafana by its uid, compared, and written where it differs. A list belongs to one request. */
#ifndef GRAFANA_APPLY_H
#define GRAFANA_APPLY_H

#include "grafana.h"

#define APPLY_ITEMS_MAX 256
#define APPLY_DIFFERENCES_MAX 1000

enum apply_kind { APPLY_IS_FOLDER, APPLY_IS_SOURCE, APPLY_IS_DASHBOARD, APPLY_IS_RULE };

struct apply_item {
	enum apply_kind kind;
	json_t *shipped;         /* NULL: its file is bad, and the item has failed */
	const char *uid, *title; /* in `shipped`; of a bad file: "", and its name */
	char file[300];          /* relative to the content's folder; "": not from a file */
	char shown[300];         /* the name of a bad file, as text */
	const char *result;      /* "created" …; NULL: not yet tried */
	int code;                /* when failed: what the answer would be, had only this been asked for */
	char message[600];
	json_t *differences; /* an array of JSON pointers, or NULL */
};

struct apply_list {
	struct apply_item
		*items;      /* the folder, the data source, dashboards, rules: each needs those before it */
	size_t count, bytes; /* bytes: of the files */
};

/* ---- grafana_apply_content.c: the folder of files ---- */

/* Reads DIR/datasource.json, all .json of DIR/dashboards and of DIR/rules. A bad file is an item that has
 * failed; false: nothing can be read, why says what is wrong. To be freed in either case. */
bool apply_read(const char *folder, const char *prometheus_url, struct apply_list *list, char *why,
		size_t size);
void apply_list_free(struct apply_list *list);
/* The item has failed, with the code that the answer would have and one sentence. */
void apply_failed(struct apply_item *item, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- grafana_apply_compare.c: pure ---- */

/* What apply would write: ours over theirs (which may be NULL), where what only they have stays. Items of
 * arrays are merged with those of the same id, name or refId, else of the same place; what is empty in ours
 * may be absent. choices: a data source that a dashboard asks stays theirs. For json_decref; shares values
 * with both. */
json_t *apply_merge(const json_t *ours, json_t *theirs, bool choices);
/* Adds a JSON pointer to `pointers`, an array, for each place where the two differ, up to
 * APPLY_DIFFERENCES_MAX in all. Numbers are compared by value, and what is empty (null, "", [], {}) is the
 * same as absent. */
void apply_compare(const json_t *wanted, const json_t *there, json_t *pointers);

/* ---- grafana_apply_items.c: one item and Grafana ---- */

struct apply_run {
	struct grafana_ctx *ctx;
	bool writes;                      /* false: only looks (diff) */
	bool force;                       /* as shipped, whatever people have added */
	char folder[GRAFANA_UID_MAX + 1]; /* the uid of the folder to use */
	struct grafana_text rules;        /* Grafana's list of all rules */
	bool has_rules, no_list;          /* it was read; it cannot be had, and each rule is asked for */
	json_t *sources;                  /* Grafana's list of them, for the rules; NULL: not yet asked for */
	json_int_t org;                   /* 0: not yet asked for */
};

/* Sets the item's result: created, updated, unchanged; missing, different, unchanged when it only looks.
 * false: it has failed; ctx->fault says why. */
bool apply_item(struct apply_run *run, struct apply_item *item);

#endif
