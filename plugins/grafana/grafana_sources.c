/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_sources: the handler of POST for data sources, on the thread of its request, which owns the trees.
 * A data source of type T without a uid gets the uid T if that is unused, because alert rules use the type as
 * a uid; and it becomes the default if the organization has none, because panels without a data source use
 * the default. */
#include <stdio.h>
#include <string.h>

#include "grafana.h"
#include <skymon/json.h>

static const struct grafana_name names[] = {{"is_default", "isDefault"},
					    {"json_data", "jsonData"},
					    {"secure_json_data", "secureJsonData"},
					    {"basic_auth", "basicAuth"},
					    {"basic_auth_user", "basicAuthUser"},
					    {"with_credentials", "withCredentials"},
					    {"org_id", "orgId"},
					    {"read_only", "readOnly"},
					    {NULL, NULL}};

/* Grafana's "bad request data" would not name the field. */
static bool validate_secrets(const struct grafana_fields *fields)
{
	struct grafana_fields inner = {grafana_field(fields, "secureJsonData"), NULL, NULL, fields->fault};
	char pointer[40];
	snprintf(pointer, sizeof(pointer), "/%s", grafana_sent_name(fields, "secureJsonData"));
	inner.pointer = pointer;
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)inner.sent, key, value) {
		if (!grafana_is(&inner, key, GRAFANA_TEXT))
			return false;
	}
	return true;
}

static bool validate_source(const struct grafana_fields *fields)
{
	if (!grafana_needs(fields, "name", GRAFANA_TEXT) || !grafana_needs(fields, "type", GRAFANA_TEXT) ||
	    !grafana_is(fields, "url", GRAFANA_TEXT) || !grafana_is(fields, "access", GRAFANA_TEXT) ||
	    !grafana_is_uid(fields, "uid") || !grafana_is(fields, "isDefault", GRAFANA_BOOLEAN) ||
	    !grafana_is(fields, "basicAuth", GRAFANA_BOOLEAN) ||
	    !grafana_is(fields, "basicAuthUser", GRAFANA_TEXT) ||
	    !grafana_is(fields, "withCredentials", GRAFANA_BOOLEAN) ||
	    !grafana_is(fields, "jsonData", GRAFANA_OBJECT) ||
	    !grafana_is(fields, "secureJsonData", GRAFANA_OBJECT))
		return false;
	if (!validate_secrets(fields))
		return false;
	const char *access = json_string_value(grafana_field(fields, "access"));
	return access == NULL || access[0] == '\0' || strcmp(access, "proxy") == 0 ||
	       strcmp(access, "direct") == 0 ||
	       grafana_invalid_field(fields, "access", "must be proxy or direct");
}

/* Returns the item whose member has this text, or NULL. */
static const json_t *find_source_by(const json_t *list, const char *member, const char *text)
{
	json_t *item;
	size_t i;
	json_array_foreach(list, i, item) {
		const char *its = skymon_json_text(item, member);
		if (its != NULL && strcmp(its, text) == 0)
			return item;
	}
	return NULL;
}

static bool has_default(const json_t *list)
{
	json_t *item;
	size_t i;
	json_array_foreach(list, i, item) {
		if (json_is_true(json_object_get(item, "isDefault")))
			return true;
	}
	return false;
}

/* Fills in the fields that the caller left out. Pure. */
static void fill_defaults(json_t *source, const json_t *list)
{
	const char *type = skymon_json_text(source, "type"), *uid = skymon_json_text(source, "uid"),
		   *access = skymon_json_text(source, "access");
	if (uid == NULL || uid[0] == '\0') {
		if (grafana_uid_fault(type) == NULL && find_source_by(list, "uid", type) == NULL)
			json_object_set_new(source, "uid", json_string(type));
		else
			json_object_del(source, "uid");
	}
	if (access == NULL || access[0] == '\0')
		json_object_set_new(source, "access", json_string("proxy"));
	if (!json_is_boolean(json_object_get(source, "isDefault")))
		json_object_set_new(source, "isDefault", json_boolean(!has_default(list)));
}

/* 409 with the existing one. Its url is left out: it may contain a password. */
static bool refuse_duplicate_source(struct grafana_ctx *ctx, const json_t *there, const char *what)
{
	grafana_reword(ctx, 409, "", "a data source with this %s exists already", what);
	grafana_copy_member(&ctx->fault, there, "uid");
	grafana_copy_member(&ctx->fault, there, "name");
	return false;
}

static bool is_unused(struct grafana_ctx *ctx, const json_t *source, const json_t *list)
{
	const char *uid = skymon_json_text(source, "uid");
	const json_t *there = find_source_by(list, "name", skymon_json_text(source, "name"));
	if (there != NULL)
		return refuse_duplicate_source(ctx, there, "name");
	there = uid != NULL && uid[0] != '\0' ? find_source_by(list, "uid", uid) : NULL;
	return there == NULL || refuse_duplicate_source(ctx, there, "uid");
}

static bool get_list(struct grafana_ctx *ctx, struct grafana_answer *list)
{
	if (!grafana_ask(ctx, "GET", "/api/datasources", NULL, list))
		return false;
	if (json_is_array(list->json))
		return true;
	grafana_answer_free(list);
	return grafana_fail(ctx, 502, "Grafana's answer is not a list of data sources");
}

/* Grafana has refused it, or its answer does not show whether it acted: reads the list again. */
static bool explain_source_refusal(struct grafana_ctx *ctx, const json_t *source)
{
	if (ctx->fault.upstream_status == 400 &&
	    strcasestr(ctx->fault.upstream_message, "invalid URL") != NULL)
		return grafana_reword(ctx, 422, "/url", "is not a URL that Grafana accepts for this type");
	if (ctx->fault.code != 409 && !grafana_is_open(&ctx->fault))
		return false;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	struct grafana_answer list;
	bool seen = get_list(ctx, &list);
	grafana_put_back(&ctx->fault, &was);
	const json_t *there =
		seen ? find_source_by(list.json, "name", skymon_json_text(source, "name")) : NULL;
	if (was.code == 409 && seen)
		is_unused(ctx, source, list.json);
	else if (was.code != 409) /* the name was unused before, so this is the new one */
		grafana_add_outcome(&ctx->fault,
				    there != NULL                        ? GRAFANA_DONE
				    : seen && was.upstream_status != 504 ? GRAFANA_NOT_DONE
									 : GRAFANA_MAYBE_DONE,
				    "created");
	if (was.code != 409)
		grafana_copy_member(&ctx->fault, there, "uid");
	grafana_answer_free(&list);
	return false;
}

static bool send_source(struct grafana_ctx *ctx, const json_t *source, struct grafana_text *answer)
{
	char *body = grafana_print(source);
	bool done = grafana_ask_text(ctx, "POST", "/api/datasources",
				     (struct grafana_span){body, strlen(body)}, 0, answer);
	grafana_free_text(body);
	return done || explain_source_refusal(ctx, source);
}

/* Replies with Grafana's own bytes, unless there are warnings to add. */
static void reply_with_warnings(struct grafana_ctx *ctx, const struct grafana_fields *fields,
				const struct grafana_text *answer)
{
	static const char *const skip[] = {"secureJsonData", "orgId", "id", NULL};
	json_t *body = skymon_json_read(answer->bytes, answer->size),
	       *warnings = grafana_dropped(fields, json_object_get(body, "datasource"), skip);
	if (warnings != NULL && json_is_object(json_object_get(body, "datasource"))) {
		json_object_set(body, "warnings", warnings);
		grafana_reply(ctx, answer->code, body);
	} else {
		grafana_reply_text(ctx, answer);
	}
	json_decref(warnings);
	json_decref(body);
}

static bool create_source(struct grafana_ctx *ctx, json_t *source, struct grafana_text *answer)
{
	/* one lock for all: the default, and the uid of the type, are chosen among all data sources */
	if (!grafana_take_lock(ctx, "source", "", ""))
		return grafana_fail(
			ctx, 504,
			"timeout: other requests that create data sources in Grafana at the moment take too "
			"long");
	struct grafana_answer list;
	if (!get_list(ctx, &list))
		return false;
	bool done = is_unused(ctx, source, list.json);
	if (done) {
		fill_defaults(source, list.json);
		done = send_source(ctx, source, answer);
	}
	grafana_answer_free(&list);
	return done;
}

void grafana_post_source(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_fields fields = {NULL, names, "", &ctx.fault};
	struct grafana_text answer = {0};
	json_t *source = NULL;
	bool done = false;
	if (!grafana_authorize(&ctx, true))
		return;
	json_t *sent;
	fields.sent = sent = grafana_body(&ctx);
	if (sent != NULL && validate_source(&fields))
		source = grafana_rename(&fields);
	if (source != NULL) {
		done = create_source(&ctx, source, &answer);
		grafana_release_lock(&ctx);
	}
	char result[60];
	grafana_audit(&ctx, "data source", skymon_json_text(source, "uid"), skymon_json_text(source, "name"),
		      grafana_result(&ctx.fault, done, "created", result));
	if (done)
		reply_with_warnings(&ctx, &fields, &answer);
	else
		grafana_reply_fault(&ctx);
	grafana_text_free(&answer);
	json_decref(source);
	json_decref(sent);
}
