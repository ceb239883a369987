/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_request: a dashboard to be saved, as the caller sent it. */
#ifndef GRAFANA_REQUEST_H
#define GRAFANA_REQUEST_H

#include "grafana_search.h"

/* The tree of the body is freed once it is read. The parts that may change between attempts are members; the
 * rest is in `text` as it was sent. */
struct grafana_request {
	struct grafana_ctx *ctx;
	char *title, *text; /* text: space for the head, then the rest; owned */
	size_t text_size;
	const char *folder_pointer;      /* to the folder, as it was sent, or "" */
	struct search_location location; /* its folder_uid is the next member */
	char folder_uid[GRAFANA_UID_MAX + 1], uid[GRAFANA_UID_MAX + 1]; /* or "" */
	json_int_t id, version;
	bool has_folder, keeps_folder, has_version, overwrite, replaces;
	json_int_t before; /* the version that was in Grafana, or 0 */
};

/* Reads the request's body. replaces: a PUT, where `overwrite` defaults to true. Returns false with
 * ctx->fault. The request must be freed in either case. */
bool grafana_read_request(struct grafana_ctx *ctx, bool replaces, struct grafana_request *request);
/* Returns the body of a request to Grafana, with uid, version and folder, in the memory of this request. */
struct grafana_span grafana_print_request(struct grafana_request *request);
void grafana_free_request(struct grafana_request *request);

#endif
