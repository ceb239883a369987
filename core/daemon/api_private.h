/* SPDX-License-Identifier: Apache-2.0 */
/* api_private: shared by api's two files: printing of a status, a component and a time. */
#ifndef API_PRIVATE_H
#define API_PRIVATE_H

#include <skymon/routes.h>

#include "base/buf.h"

/* Adds {"name","status","message",…}; message and details are empty unless the caller is trusted. */
void api_add_component(struct buf *out, const struct skymon_component *component, bool trusted);
/* Answers with the buffer's bytes, and frees it. */
void api_reply(struct skymon *sm, struct skymon_request *rq, int code, const char *type, struct buf *body);

void api_handle_status(struct skymon *sm, void *state, struct skymon_request *rq);
/* In maintenance_routes.c, which needs more than the SDK. */
void api_handle_maintenance(struct skymon *sm, void *state, struct skymon_request *rq);
void api_handle_silence(struct skymon *sm, void *state, struct skymon_request *rq);
void api_handle_silence_end(struct skymon *sm, void *state, struct skymon_request *rq);
void api_handle_index(struct skymon *sm, void *state, struct skymon_request *rq);
void api_handle_openapi(struct skymon *sm, void *state, struct skymon_request *rq);
void api_handle_prometheus(struct skymon *sm, void *state, struct skymon_request *rq);

#endif
