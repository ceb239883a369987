/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus: what the files of this plugin share.
 *
 * What lives how long: a *record* is one component, as long as the config has it. A *chunk* is the text of
 * one result's families: made when the result is first seen by a scrape, gone with the last plan that uses
 * it. A *plan* says which text goes where, for one generation of the board; replies on their way hold it.
 * Only the daemon's own numbers are printed at each scrape, into the reply's own buffer; all else is sent
 * from where it is kept. One thread; out of memory aborts. */
#ifndef PROMETHEUS_H
#define PROMETHEUS_H

#include <skymon/routes.h>

enum format { FORMAT_TEXT, FORMAT_OPENMETRICS, FORMAT_COUNT };
enum { TYPE_HISTOGRAM = 3 }; /* beside SKYMON_GAUGE and SKYMON_COUNTER */

/* ---- prometheus_text.c ---- */
struct text {
	char *data; /* not ended by '\0' */
	size_t size, room;
};
void *grow(void *old, size_t *room, size_t need,
	   size_t size); /* room for `need` items, in steps that double */
void *make(size_t size); /* zeroed */
char *copy(const char *text);
void text_add(struct text *out, const void *bytes, size_t size);
void text_put(struct text *out, const char *text);
void text_escaped(struct text *out, const char *value); /* of a label */
void text_unsigned(struct text *out, uint64_t value);
void text_seconds_of_ms(struct text *out, int64_t ms); /* 1700000000123 -> 1700000000.123; never negative */
void text_seconds_of_us(struct text *out, int64_t us);
void text_number(struct text *out, struct skymon *sm, double value);
/* The HELP and TYPE lines. The name of a counter ends in _total. */
void text_head(struct text *out, enum format format, const char *name, int type, const char *help);

/* ---- prometheus_accept.c: the format that the client likes best; text when it says nothing of use ---- */
enum format accept_format(const char *accept); /* NULL: no header */
const char *format_content_type(enum format format);

/* ---- prometheus_own.c: the families that are not reported by checks ---- */
struct live { /* what is read at each scrape */
	struct skymon *sm;
	const struct skymon_self *self;
	int status; /* the whole */
	uint64_t dropped_total;
	double scrape_seconds; /* of the scrape before; negative: there was none */
};
struct own {
	const char *name;
	int type;
	const char *help;
	/* One of the two. From memory, at each scrape; or for each component, when its view changed. */
	void (*print)(struct text *out, const char *name, const struct live *live);
	void (*print_component)(struct text *out, const char *name, const struct skymon_component *component);
	bool open; /* a check may report samples of it, too: told apart by their label `component` */
};
enum { OWN_SEED = 8, OWN_COMPONENT = 12 };
extern const struct own own_families[]; /* the seed's eight in its order, then ours by name */
extern const size_t own_count;
const struct own *own_find(const char *name);
/* Is it the name of a sample or of a family of ours, in either format? */
bool own_claims(const char *name);

/* ---- prometheus_kept.c: the texts of components ---- */
struct chunk_family {
	const char *name, *help; /* in the chunk's own memory */
	int type;
	size_t offset, size; /* of its samples in the chunk's text */
	bool dropped, told;  /* left out of the present plan; the log has said so */
};
struct chunk {
	uint32_t references;
	uint64_t result_id;
	struct chunk_family *families;
	size_t family_count;
	char *names, *text;
};
struct record {
	char *name, *labels, *plugin;
	bool seen;
	/* what the texts below were printed from */
	struct skymon_component last;
	uint64_t last_latest_id, last_shown_id;
	struct text own; /* the samples of own families by component, one after the other */
	size_t own_end[OWN_COMPONENT];
	struct chunk *chunk; /* NULL: reports no families */
};
struct records {
	struct record **list; /* in config order */
	size_t count, room;
};
/* Makes the records those of the snapshot; prints anew only what changed. */
void records_update(struct records *records, const struct skymon_snapshot *snapshot);
void records_free(struct records *records);
void chunk_unref(struct chunk *chunk); /* NULL is fine */

/* ---- prometheus_plan.c: which families are served, in which order ---- */
struct member { /* one component's part of a family */
	struct record *record;
	struct chunk *chunk; /* counted */
	struct chunk_family *family;
	size_t order; /* first come in config order, first served */
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
	struct text kept; /* heads, and all that is too small for a part of its own */
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
void plan_unref(struct plan *plan); /* NULL is fine */
/* The layout of a format, made when first asked for. A live piece stands for own family `offset`. */
struct layout *plan_layout(struct plan *plan, enum format format);

/* The parts of one exposition; live_ends[i]: end of own family i in the live text, which begins at live_text.
 */
size_t layout_parts(struct layout *layout, const char *live_text, const size_t *live_ends);

#endif
