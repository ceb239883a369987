/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_access: decides whether a caller may use a route, and writes audit lines. The broker spends a
 * privileged key on the caller's behalf, so each handler calls grafana_authorize first, on the thread of its
 * request. Owns nothing. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "grafana.h"

/* Constant time: a wrong byte at the start takes as long as one at the end. */
static bool is_same_token(const char *given, const struct skymon_secret *token)
{
	size_t size = strlen(given);
	volatile unsigned char differs = size != token->size;
	for (size_t i = 0; i < size; i++)
		differs |= (unsigned char)given[i] ^
			   (unsigned char)token->bytes[token->size > 0 ? i % token->size : 0];
	return differs == 0;
}

enum grafana_verdict grafana_evaluate_access(enum grafana_access access, bool local,
					     const char *authorization, const struct skymon_secret *token)
{
	if (access == GRAFANA_ANY)
		return GRAFANA_ALLOWED;
	if (access == GRAFANA_LOOPBACK)
		return local ? GRAFANA_ALLOWED : GRAFANA_NOT_LOCAL;
	if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
		return GRAFANA_NO_TOKEN;
	authorization += 7 + strspn(authorization + 7, " ");
	return token->bytes != NULL && token->size > 0 && is_same_token(authorization, token)
		       ? GRAFANA_ALLOWED
		       : GRAFANA_WRONG_TOKEN;
}

static enum grafana_access access_of(const struct grafana *grafana, bool write)
{
	return (enum grafana_access)(write ? grafana->write_access : grafana->read_access).index;
}

static const char *const by[] = {"a local caller", "the access token",
				 "any caller"}; /* as enum grafana_access */

bool grafana_authorize(struct grafana_ctx *ctx, bool write)
{
	const struct skymon_caller *caller = skymon_caller(ctx->sm, ctx->rq);
	const char *option = write ? "write_access" : "read_access";
	enum grafana_verdict verdict = grafana_evaluate_access(
		access_of(ctx->grafana, write), caller != NULL && caller->local,
		skymon_header(ctx->sm, ctx->rq, "Authorization"), &ctx->grafana->access_token);
	ctx->writes = write;
	switch (verdict) {
	case GRAFANA_ALLOWED:
		if (!write)
			skymon_audit(ctx->sm, ctx->rq, "read, allowed as %s",
				     by[access_of(ctx->grafana, false)]);
		return true;
	case GRAFANA_NOT_LOCAL:
		grafana_fail(
			ctx, 403,
			"Grafana may be %s through skymon only by root, skymond's own user and `local_users` "
			"on this machine, without a proxy; this caller is not local: %s. To allow it, list "
			"the "
			"user in `local_users`, or set `%s: token` and `access_token` (or `%s: any`) for the "
			"plugin grafana",
			write ? "changed" : "read", caller != NULL ? caller->why_not_local : "", option,
			option);
		break;
	case GRAFANA_NO_TOKEN:
		skymon_reply_header(ctx->sm, ctx->rq, "WWW-Authenticate", "Bearer realm=\"skymon grafana\"");
		grafana_fail(ctx, 401,
			     "this route needs `Authorization: Bearer` with the access_token of the plugin "
			     "grafana");
		break;
	case GRAFANA_WRONG_TOKEN:
		skymon_reply_header(ctx->sm, ctx->rq, "WWW-Authenticate",
				    "Bearer realm=\"skymon grafana\", error=\"invalid_token\"");
		grafana_fail(ctx, 401, "this token is not the access_token of the plugin grafana");
		break;
	}
	ctx->refused = true;
	grafana_reply_fault(ctx);
	return false;
}

void grafana_audit(struct grafana_ctx *ctx, const char *kind, const char *uid, const char *title,
		   const char *result)
{
	char its_uid[GRAFANA_UID_MAX + 2] = "", its_title[70] = "", titled[75] = "", why[120] = "";
	ctx->audited = true;
	if (uid != NULL && uid[0] != '\0') {
		its_uid[0] = ' ';
		grafana_clean(uid, its_uid + 1, sizeof(its_uid) - 1);
	}
	if (title != NULL) {
		grafana_clean(title, its_title, sizeof(its_title));
		snprintf(titled, sizeof(titled), " \"%s\"", its_title);
	}
	grafana_clean(ctx->fault.code != 0 ? ctx->fault.detail : "", why, sizeof(why));
	skymon_audit(ctx->sm, ctx->rq, "%s%s%s %s%s%s%s%s", kind, its_uid, titled, result,
		     why[0] != '\0' ? ": " : "", why, ctx->refused ? "" : ", allowed as ",
		     ctx->refused ? "" : by[access_of(ctx->grafana, ctx->writes)]);
}
