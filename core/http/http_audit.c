/* SPDX-License-Identifier: Apache-2.0 */
/* http_audit: logs each use of a GUARDED route: which client, what it asked for, what became of it. Handlers
 * add the text (through http_plugin_api.c), http_forward.c that of a worker's, and http_request.c has the line
 * logged at the end of a request. On the loop's thread; owns nothing. */
#include <stdio.h>

#include "http_private.h"

void request_audit(struct skymon_request *rq, const char *text, size_t size)
{
	char line[300];
	snprintf(line, sizeof(line), "%.*s", (int)size, text);
	rq->audit = request_copy(rq, line);
}

void request_log_audit(struct skymon_request *rq, int code)
{
	const struct route_entry *entry = rq->entry;
	if (entry == NULL || !(entry->route->flags & SKYMON_ROUTE_GUARDED) ||
	    (rq->as_options && !(entry->route->flags & SKYMON_ROUTE_OPTIONS_AS_GET)))
		return;
	const struct skymon_caller *caller = request_caller(rq);
	const struct owner *owner = rq->peer != NULL ? &rq->peer->owner : NULL;
	bool known = owner != NULL && owner->known;
	char word[16], uid[16], path[256];
	snprintf(word, sizeof(word), "%d", code);
	snprintf(uid, sizeof(uid), "%u", known ? (unsigned)owner->uid : 0);
	snprintf(path, sizeof(path), "%s", rq->path);
	log_audit((const char *[]){"client", caller->address, "uid", known ? uid : "unknown", "user",
				   known && owner->name[0] != '\0' ? owner->name : "unknown", "method",
				   rq->method, "path", path, "code", code != 0 ? word : "none",
				   rq->login != NULL ? "login" : NULL, rq->login, NULL},
		  "%s",
		  rq->audit != NULL ? rq->audit
		  : code == 0       ? "its client left before it was answered"
				    : "");
}
