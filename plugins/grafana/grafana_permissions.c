/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_permissions: GET /api/v1/grafana/check: reports whether Grafana answers, whether the key is valid,
 * which permissions it lacks, and whether the data source exists. The handler runs on the thread of its
 * request, which owns the lines. A check that could not be made has no line. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "grafana_rule.h"
#include <skymon/json.h>

#define SOURCE_UID "prometheus" /* of the shipped data source */

/* The permissions that the routes need; and, for a Grafana that does not list a key's permissions, a path
 * that answers 403 to a key without this one. */
static const struct {
	const char *name, *probe;
} permissions[] = {
	{"dashboards:create", NULL},
	{"dashboards:write", NULL},
	{"dashboards:read", "/api/dashboards/uid/" GRAFANA_FOLDER "-none"},
	{"dashboards:delete", NULL},
	{"folders:create", NULL},
	{"folders:read", "/api/folders/" GRAFANA_FOLDER},
	{"datasources:create", NULL},
	{"datasources:read", "/api/datasources"},
	{"datasources:write", NULL},
	{"alert.provisioning:read", "/api/v1/provisioning/alert-rules/" GRAFANA_FOLDER "-none"},
	{"alert.provisioning:write", NULL},
};
#define PERMISSION_COUNT (sizeof(permissions) / sizeof(permissions[0]))

struct checks {
	struct grafana_ctx *ctx;
	json_t *lines;
	bool all_ok;
};

__attribute__((format(printf, 4, 5))) static bool add_line(struct checks *checks, const char *name, bool ok,
							   const char *format, ...)
{
	va_list list;
	va_start(list, format);
	char text[900];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	char clean[900];
	grafana_clean(text, clean, sizeof(clean));
	json_array_append_new(checks->lines,
			      json_pack("{s:s, s:b, s:s}", "name", name, "ok", ok, "message", clean));
	checks->all_ok &= ok;
	return ok;
}

/* Adds a line with ctx->fault. */
static bool add_fault(struct checks *checks, const char *name)
{
	return add_line(checks, name, false, "%s", checks->ctx->fault.detail);
}

static bool check_reachable(struct checks *checks)
{
	struct grafana_answer answer;
	if (!grafana_ask(checks->ctx, "GET", "/api/health", NULL, &answer))
		return add_fault(checks, "reachable");
	const char *version = skymon_json_text(answer.json, "version"),
		   *place = checks->ctx->grafana->own->place;
	bool ok = version != NULL ? add_line(checks, "reachable", true, "%s is a Grafana %s", place, version)
				  : add_line(checks, "reachable", false,
					     "%s did not answer as Grafana does: is `url` right?", place);
	grafana_answer_free(&answer);
	return ok;
}

static bool check_key(struct checks *checks)
{
	struct grafana_answer answer;
	if (!grafana_ask(checks->ctx, "GET", "/api/org", NULL, &answer))
		return add_fault(checks, "key");
	const char *name = skymon_json_text(answer.json, "name");
	add_line(checks, "key", true, "valid in the organisation %s", name != NULL ? name : "?");
	grafana_answer_free(&answer);
	return true;
}

/* ---- Permissions ---- */

static void check_listed(struct checks *checks, const json_t *listed)
{
	for (size_t i = 0; i < PERMISSION_COUNT; i++) {
		char name[80];
		bool ok = json_object_get(listed, permissions[i].name) != NULL;
		snprintf(name, sizeof(name), "permission %s", permissions[i].name);
		add_line(
			checks, name, ok, "%s",
			ok ? "the key has it"
			   : "the key lacks it: give its service account the role Admin, or this permission");
	}
}

/* Tries what the key may read; what it may write is not known before it writes. */
static bool check_by_reading(struct checks *checks)
{
	add_line(checks, "permissions", true,
		 "this Grafana does not list a key's permissions (HTTP 404): only what the key may read "
		 "was tried; what it may write is not known");
	for (size_t i = 0; i < PERMISSION_COUNT; i++) {
		struct grafana_fault *fault = &checks->ctx->fault;
		if (permissions[i].probe == NULL)
			continue;
		char name[80];
		snprintf(name, sizeof(name), "permission %s", permissions[i].name);
		struct grafana_answer answer;
		if (grafana_ask(checks->ctx, "GET", permissions[i].probe, NULL, &answer))
			grafana_answer_free(&answer);
		else if (!grafana_rule_is_missing(fault)) /* a 404 shows that the key may read */
			add_fault(checks, name);
		if (fault->key_refused)
			return false;
		if (fault->code == 0 || grafana_rule_is_missing(fault))
			add_line(checks, name, true, "the key may read it");
	}
	return true;
}

static bool check_permissions(struct checks *checks)
{
	struct grafana_answer answer;
	if (grafana_ask(checks->ctx, "GET", "/api/access-control/user/permissions", NULL, &answer)) {
		check_listed(checks, answer.json);
		grafana_answer_free(&answer);
		return true;
	}
	return checks->ctx->fault.upstream_status == 404 ? check_by_reading(checks)
							 : add_fault(checks, "permissions");
}

static void check_source(struct checks *checks)
{
	struct grafana_answer answer;
	if (grafana_ask(checks->ctx, "GET", "/api/datasources/uid/" SOURCE_UID, NULL, &answer)) {
		const char *name = skymon_json_text(answer.json, "name"),
			   *url = skymon_json_text(answer.json, "url");
		char place[200] = "";
		if (url != NULL)
			skymon_http_place(url, place, sizeof(place)); /* a URL may hold a password */
		add_line(checks, "datasource", true, "%s asks %s", name != NULL ? name : "?",
			 place[0] != '\0' ? place : "no URL");
		grafana_answer_free(&answer);
	} else if (checks->ctx->fault.code == 404) {
		add_line(checks, "datasource", false,
			 "Grafana has no data source with the uid " SOURCE_UID
			 ", which rules and panels use: `skymon grafana apply` creates it");
	} else {
		add_fault(checks, "datasource");
	}
}

void grafana_get_check(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct checks checks = {.ctx = &ctx, .all_ok = true};
	if (!grafana_authorize(&ctx, false))
		return;
	checks.lines = json_array();
	if (check_reachable(&checks) && check_key(&checks) && check_permissions(&checks))
		check_source(&checks);
	/* A refused key may have been replaced: then the request is repeated with the new one. */
	if (!ctx.fault.key_refused || !skymon_again(sm, rq)) {
		json_t *body = json_pack("{s:b, s:O}", "ok", checks.all_ok, "checks", checks.lines);
		grafana_reply(&ctx, 200, body);
		json_decref(body);
	}
	json_decref(checks.lines);
	grafana_forget(&ctx.fault);
}
