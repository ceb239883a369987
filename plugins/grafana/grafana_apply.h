/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply: shared by the files of apply and diff. The shipped content is one list of items; each is
 * looked up in Grafana by its uid, compared, and written if it differs. A list belongs to one request. */
#ifndef GRAFANA_APPLY_H
#define GRAFANA_APPLY_H

#include "grafana.h"

#define APPLY_ITEMS_MAX 256
#define APPLY_DIFFERENCES_MAX 1000

enum apply_kind { APPLY_IS_FOLDER, APPLY_IS_SOURCE, APPLY_IS_DASHBOARD, APPLY_IS_RULE };

struct apply_item {
	enum apply_kind kind;
	json_t *shipped;         /* NULL: its file is bad, and the item has failed */
	const char *uid, *title; /* in `shipped`; for a bad file "" and the file's name */
	char file[300];          /* relative to the content's folder; "" if the item is not from a file */
	char shown[300];         /* the name of a bad file, as printable text */
	const char *result;      /* "created" …; NULL: not yet tried */
	int code;                /* of a failed item: the code of a reply about this item alone */
	char message[600];
	json_t *differences; /* an array of JSON pointers, or NULL */
};

struct apply_list {
	struct apply_item
		*items; /* the folder, the data source, dashboards, rules: each may need those before it */
	size_t count, bytes; /* bytes: of the files */
};

/* ---- grafana_apply_content.c: the folder of files ---- */

/* Reads DIR/datasource.json and all .json of DIR/dashboards and DIR/rules. A bad file becomes a failed item.
 * Returns false with a sentence in `why` if nothing can be read. The list must be freed in either case. */
bool apply_read(const char *folder, const char *prometheus_url, struct apply_list *list, char *why,
		size_t size);
void apply_list_free(struct apply_list *list);
/* Marks the item as failed, with the code of the reply and one sentence. */
void apply_failed(struct apply_item *item, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- grafana_apply_compare.c: pure ---- */

/* Returns the value that apply writes: ours over theirs (which may be NULL), keeping members that only they
 * have. Items of arrays are merged with those of the same id, name or refId, else of the same index; an empty
 * value of ours may be absent in theirs. choices: a dashboard's data source stays theirs. For json_decref;
 * shares values with both. */
json_t *apply_merge(const json_t *ours, json_t *theirs, bool choices);
/* Adds a JSON pointer to `pointers`, an array, for each difference, up to APPLY_DIFFERENCES_MAX in all.
 * Numbers are compared by value, and an empty value (null, "", [], {}) equals an absent one. */
void apply_compare(const json_t *wanted, const json_t *there, json_t *pointers);

/* ---- grafana_apply_items.c: one item and Grafana ---- */

struct apply_run {
	struct grafana_ctx *ctx;
	bool writes;                      /* false: only compares (diff) */
	bool force;                       /* as shipped, without people's additions */
	char folder[GRAFANA_UID_MAX + 1]; /* uid of the folder to use */
	struct grafana_text rules;        /* Grafana's list of all rules */
	bool has_rules,
		no_list; /* the list was read; the list is not available, and each rule is requested */
	json_t *sources; /* Grafana's list of data sources, for the rules; NULL until requested */
	json_int_t org;  /* 0 until requested */
};

/* Sets the item's result: created, updated, unchanged; or, for diff: missing, different, unchanged. Returns
 * false with ctx->fault if it has failed. */
bool apply_item(struct apply_run *run, struct apply_item *item);

#endif
