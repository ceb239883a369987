/* SPDX-License-Identifier: Apache-2.0 */
/* page: shared by the files of this plugin. Everything is printed on the HTTP thread, from one snapshot, into
 * the reply's own text; nothing is kept between requests. Out of memory aborts. */
#ifndef PAGE_H
#define PAGE_H

#include <skymon/routes.h>

/* ---- page_text.c: a growing text ---- */
struct text {
	char *data; /* not ended by '\0' */
	size_t size, room;
};
void text_put(struct text *out, const char *markup);
void text_format(struct text *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Escapes a foreign text for HTML or XML, for content and quoted attributes. Control characters, which XML
 * forbids, become spaces. */
void text_escape(struct text *out, const char *foreign);
/* Prints a length of time in its largest unit: "14 min". */
void text_duration(struct text *out, int64_t ms);
/* Prints <time> with the moment as its attribute and the distance from now as its text; a dash for 0. */
void text_time(struct text *out, int64_t ms, int64_t now_ms);
/* Prints <time> with the moment in UTC. */
void text_clock(struct text *out, int64_t ms);

/* ---- page_html.c ---- */
struct view {
	struct skymon *sm;
	const struct skymon_self *self;
	const struct skymon_snapshot *snapshot;
	bool trusted; /* the caller may see messages */
	bool routes;  /* with links to the API, and its list */
};
void page_print(struct text *out, const struct view *view);
extern const char page_policy[]; /* its Content-Security-Policy */

/* ---- page_badge.c ---- */
/* Prints an SVG of label and word, coloured by the status; -1 for a name that is unknown. */
void badge_print(struct text *out, const char *label, const char *word, int status);

#endif
