/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus: shared by the files of this plugin.
 *
 * Lifetimes: a *record* is one component, and lives as long as the config has it. A *chunk* is the text of
 * one result's families: made when a scrape first meets the result, freed with the last plan that uses it. A
 * *plan* is the order of all texts for one generation of the board; replies in flight hold a reference. Only
 * the daemon's own numbers are printed at each scrape, into the reply's own buffer; all other text is sent
 * from where it is kept. One thread; out of memory aborts. */
#ifndef PROMETHEUS_H
#define PROMETHEUS_H

#include <skymon/routes.h>

enum format { FORMAT_TEXT, FORMAT_OPENMETRICS, FORMAT_COUNT };
enum { TYPE_HISTOGRAM = 3 }; /* in addition to SKYMON_GAUGE and SKYMON_COUNTER */

/* ---- prometheus_text.c ---- */
struct text {
	char *data; /* not ended by '\0' */
	size_t size, room;
};
void *grow(void *old, size_t *room, size_t need,
	   size_t size); /* makes room for `need` items; the capacity doubles */
void *make(size_t size); /* zeroed */
char *copy(const char *text);
void text_add(struct text *out, const void *bytes, size_t size);
void text_put(struct text *out, const char *text);
void text_escaped(struct text *out, const char *value); /* as a label's value */
void text_label(struct text *out, const char *before,
		const char *value); /* before, the value escaped, a quote */
void text_unsigned(struct text *out, uint64_t value);
void text_seconds_of_ms(struct text *out, int64_t ms); /* 1700000000123 -> 1700000000.123; never negative */
void text_seconds_of_us(struct text *out, int64_t us);
void text_number(struct text *out, struct skymon *sm, double value);
/* Prints the HELP and TYPE lines. The name of a counter ends in _total. */
void text_head(struct text *out, enum format format, const char *name, int type, const char *help);

/* ---- prometheus_accept.c: the format that the client prefers; text by default ---- */
enum format accept_format(const char *accept); /* NULL without the header */
const char *format_content_type(enum format format);

/* ---- prometheus_own.c: the families that are not reported by checks ---- */
struct live { /* values that are read at each scrape */
	struct skymon *sm;
	const struct skymon_self *self;
	int status; /* of the service */
	uint64_t dropped_total;
	double scrape_seconds; /* of the previous scrape; negative before the first */
};
struct own {
	const char *name;
	int type;
	const char *help;
	/* One of the two is set: printed at each scrape, or for each component whose view has changed. */
	void (*print)(struct text *out, const char *name, const struct live *live);
	void (*print_component)(struct text *out, const char *name, const struct skymon_component *component);
	bool open; /* checks may report samples of it too, with a different label `component` */
};
enum { OWN_SEED = 8, OWN_COMPONENT = 16 };
extern const struct own own_families[]; /* the seed's eight in its order, then skymon's own by name */
extern const size_t own_count;
const struct own *own_find(const char *name);
/* Returns whether the name is that of an own family or of one of its samples, in either format. */
bool own_claims(const char *name);
/* ---- prometheus_http.c: of its table, the families about requests ---- */
void own_print_requests(struct text *out, const char *name, const struct live *live);
void own_print_durations(struct text *out, const char *name, const struct live *live);

/* ---- prometheus_kept.c: the texts of components ---- */
struct chunk_family {
	const char *name, *help; /* in the chunk's own memory */
	int type;
	size_t offset, size;    /* position of its samples in the chunk's text */
	bool dropped, reported; /* left out of the present plan; logged */
};
struct chunk {
	uint32_t references;
	uint64_t result_id;
	struct chunk_family *families;
	size_t family_count;
	char *names, *text;
};
struct record {
	char *name, *labels, *plugin, *group, *because_of;
	bool seen;
	/* the state that the texts below were printed from */
	struct skymon_component last;
	uint64_t last_latest_id, last_shown_id;
	struct text own; /* the component's samples of own families */
	size_t own_end[OWN_COMPONENT];
	struct chunk *chunk; /* NULL if it reports no families */
};
struct records {
	struct record **list; /* in config order */
	size_t count, room;
};
/* Updates the records to the snapshot, and prints only what has changed. */
void records_update(struct records *records, const struct skymon_snapshot *snapshot);
void records_free(struct records *records);
void chunk_unref(struct chunk *chunk); /* NULL is allowed */

/* ---- prometheus_plan.c: which families are served, in which order ---- */
struct member { /* one component's part of a family */
	struct record *record;
	struct chunk *chunk; /* a reference */
	struct chunk_family *family;
	size_t order; /* on a conflict the first in config order wins */
};
struct group { /* one family */
	const char *name;
	size_t first, count; /* members */
	size_t order;
	bool accepted;
};
struct piece {
	enum { PIECE_KEPT, PIECE_CHUNK, PIECE_LIVE } kind;
	const char *bytes;
	size_t offset, size;
};
struct layout {
	bool made;
	struct text kept; /* heads, and texts too small for a part of their own */
	struct piece *pieces;
	size_t count, room;
	struct skymon_part *parts; /* as many as pieces; filled at each scrape */
};
struct plan {
	uint32_t references;
	uint64_t generation;
	int status;
	struct member *members;
	size_t member_count, member_room;
	struct group *groups;
	size_t group_count;
	struct text own[OWN_COMPONENT]; /* samples of own families by component */
	struct layout layouts[FORMAT_COUNT];
};
struct plan *plan_new(struct skymon *sm, struct records *records, const struct skymon_snapshot *snapshot,
		      uint64_t *dropped_total);
void plan_unref(struct plan *plan); /* NULL is allowed */
/* Returns the layout of a format, made on first use. A live piece is a placeholder for own family `offset`.
 */
struct layout *plan_layout(struct plan *plan, enum format format);

/* Fills in the parts of one exposition. live_ends[i] is the end of own family i in the live text, which
 * begins at live_text. */
size_t layout_parts(struct layout *layout, const char *live_text, const size_t *live_ends);

#endif
