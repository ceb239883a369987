/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_wish: a dashboard that is to be saved, as the caller has sent it. */
#ifndef GRAFANA_WISH_H
#define GRAFANA_WISH_H

#include "grafana_search.h"

/* The tree of what was sent is gone once this is read. What may change from one attempt to the next is apart;
 * all the rest is in `text` as it was sent. */
struct grafana_wish {
	struct grafana_ctx *ctx;
	char *title, *text; /* text: room for the head, then the rest; owned */
	size_t text_size;
	const char *folder_pointer; /* to the folder, as it was sent; "": none was */
	struct look_place place;    /* folder_uid is one of ours: */
	char folder_uid[GRAFANA_UID_MAX + 1], uid[GRAFANA_UID_MAX + 1]; /* "": none */
	json_int_t id, version;
	bool has_folder, keeps_folder, has_version, overwrite, replaces;
	json_int_t before; /* the version that was there; 0: none */
};

/* Reads the request's body. replaces: a PUT; `overwrite` counts as sent then. false: ctx->fault. To be freed
 * in either case. */
bool grafana_read_wish(struct grafana_ctx *ctx, bool replaces, struct grafana_wish *wish);
/* The body of a request to Grafana, in the wish's own memory: with its uid, version and folder. */
struct grafana_span grafana_print_wish(struct grafana_wish *wish);
void grafana_free_wish(struct grafana_wish *wish);

#endif
