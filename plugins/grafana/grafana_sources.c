/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_sources: data sources. One of type T that is posted without a uid gets the uid T if that is free,
 * because alert rules name it so, and is the default if the organization has none, because panels that name
 * none ask that one. */
#include <stdio.h>
#include <string.h>

#include "grafana.h"
#include "json_read.h"

static const struct grafana_name names[] = {{"is_default", "isDefault"},
					    {"json_data", "jsonData"},
					    {"secure_json_data", "secureJsonData"},
					    {"basic_auth", "basicAuth"},
					    {"basic_auth_user", "basicAuthUser"},
					    {"with_credentials", "withCredentials"},
					    {"org_id", "orgId"},
					    {"read_only", "readOnly"},
					    {NULL, NULL}};

/* Grafana's "bad request data" would not say which. */
static bool judge_secrets(const struct grafana_spot *spot)
{
	struct grafana_spot inner = {grafana_field(spot, "secureJsonData"), NULL, NULL, spot->fault};
	char pointer[40];
	const char *key;
	json_t *value;

	snprintf(pointer, sizeof(pointer), "/%s", grafana_sent_name(spot, "secureJsonData"));
	inner.pointer = pointer;
	json_object_foreach((json_t *)(uintptr_t)inner.sent, key,
			    value) if (!grafana_is(&inner, key, GRAFANA_TEXT)) return false;
	return true;
}

static bool judge(const struct grafana_spot *spot)
{
	const char *access;

	if (!grafana_needs(spot, "name", GRAFANA_TEXT) || !grafana_needs(spot, "type", GRAFANA_TEXT) ||
	    !grafana_is(spot, "url", GRAFANA_TEXT) || !grafana_is(spot, "access", GRAFANA_TEXT) ||
	    !grafana_is_uid(spot, "uid") || !grafana_is(spot, "isDefault", GRAFANA_BOOLEAN) ||
	    !grafana_is(spot, "basicAuth", GRAFANA_BOOLEAN) ||
	    !grafana_is(spot, "basicAuthUser", GRAFANA_TEXT) ||
	    !grafana_is(spot, "withCredentials", GRAFANA_BOOLEAN) ||
	    !grafana_is(spot, "jsonData", GRAFANA_OBJECT) ||
	    !grafana_is(spot, "secureJsonData", GRAFANA_OBJECT))
		return false;
	if (!judge_secrets(spot))
		return false;
	access = json_string_value(grafana_field(spot, "access"));
	return access == NULL || access[0] == '\0' || strcmp(access, "proxy") == 0 ||
	       strcmp(access, "direct") == 0 ||
	       grafana_wrong_field(spot, "access", "must be proxy or direct");
}

/* The one whose member has this text; NULL: none. */
static const json_t *find(const json_t *list, const char *member, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *its = json_read_text(item, member);

		if (its != NULL && strcmp(its, text) == 0)
			return item;
	}
	return NULL;
}

static bool has_default(const json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) if (json_is_true(json_object_get(item, "isDefault"))) return true;
	return false;
}

/* Fills in what the caller left out. Pure. */
static void complete(json_t *source, const json_t *list)
{
	const char *type = json_read_text(source, "type"), *uid = json_read_text(source, "uid"),
		   *access = json_read_text(source, "access");

	if (uid == NULL || uid[0] == '\0') {
		if (grafana_uid_fault(type) == NULL && find(list, "uid", type) == NULL)
			json_object_set_new(source, "uid", json_string(type));
		else
			json_object_del(source, "uid");
	}
	if (access == NULL || access[0] == '\0')
		json_object_set_new(source, "access", json_string("proxy"));
	if (!json_is_boolean(json_object_get(source, "isDefault")))
		json_object_set_new(source, "isDefault", json_boolean(!has_default(list)));
}

/* 409 with what is there. Its url is left out: it may hold a password. */
static bool refuse(struct grafana_ctx *ctx, const json_t *there, const char *what)
{
	grafana_mean(ctx, 409, "", "a data source with this %s is there already", what);
	grafana_copy_member(&ctx->fault, there, "uid");
	grafana_copy_member(&ctx->fault, there, "name");
	return false;
}

/* Of the name, or of the uid, in the list. */
static bool is_free(struct grafana_ctx *ctx, const json_t *source, const json_t *list)
{
	const char *uid = json_read_text(source, "uid");
	const json_t *there = find(list, "name", json_read_text(source, "name"));

	if (there != NULL)
		return refuse(ctx, there, "name");
	there = uid != NULL && uid[0] != '\0' ? find(list, "uid", uid) : NULL;
	return there == NULL || refuse(ctx, there, "uid");
}

static bool get_list(struct grafana_ctx *ctx, struct grafana_answer *list)
{
	if (!grafana_ask(ctx, "GET", "/api/datasources", NULL, list))
		return false;
	if (json_is_array(list->json))
		return true;
	grafana_answer_free(list);
	return grafana_fail(ctx, 502, "Grafana answered something that is not a list of data sources");
}

/* Grafana has refused, or not shown whether it was done: what is there now? */
static bool explain(struct grafana_ctx *ctx, const json_t *source)
{
	struct grafana_fault was;
	struct grafana_answer list;
	const json_t *there;
	bool seen;

	if (ctx->fault.upstream_status == 400 &&
	    strcasestr(ctx->fault.upstream_message, "invalid URL") != NULL)
		return grafana_mean(ctx, 422, "/url", "is not a URL that Grafana takes for this type");
	if (ctx->fault.code != 409 && !grafana_is_open(&ctx->fault))
		return false;
	was = grafana_set_aside(&ctx->fault);
	seen = get_list(ctx, &list);
	grafana_put_back(&ctx->fault, &was);
	there = seen ? find(list.json, "name", json_read_text(source, "name")) : NULL;
	if (was.code == 409 && seen)
		is_free(ctx, source, list.json);
	else if (was.code != 409) /* it was free when it was looked for: this is the one */
		grafana_say_done(&ctx->fault,
				 there != NULL                        ? GRAFANA_DONE
				 : seen && was.upstream_status != 504 ? GRAFANA_NOT_DONE
								      : GRAFANA_MAYBE_DONE,
				 "made");
	if (was.code != 409)
		grafana_copy_member(&ctx->fault, there, "uid");
	grafana_answer_free(&list);
	return false;
}

static bool save(struct grafana_ctx *ctx, const json_t *source, struct grafana_text *answer)
{
	char *body = grafana_print(source);
	bool done = grafana_ask_text(ctx, "POST", "/api/datasources",
				     (struct grafana_span){body, strlen(body)}, 0, answer);

	grafana_free_text(body);
	return done || explain(ctx, source);
}

/* Grafana's own bytes, unless something has to be said of them. */
static void reply(struct grafana_ctx *ctx, const struct grafana_spot *spot, const struct grafana_text *answer)
{
	static const char *const skip[] = {"secureJsonData", "orgId", "id", NULL};
	json_t *body = json_read(answer->bytes, answer->size),
	       *warnings = grafana_dropped(spot, json_object_get(body, "datasource"), skip);

	if (warnings != NULL && json_is_object(json_object_get(body, "datasource"))) {
		json_object_set(body, "warnings", warnings);
		grafana_reply(ctx, answer->code, body);
	} else {
		grafana_reply_text(ctx, answer);
	}
	json_decref(warnings);
	json_decref(body);
}

static bool create(struct grafana_ctx *ctx, json_t *source, struct grafana_text *answer)
{
	struct grafana_answer list;
	bool done;

	/* one turn for all: who is the default, and who gets the uid of the type, is decided among all */
	if (!grafana_take_turn(ctx, "source", "", ""))
		return grafana_fail(ctx, 504,
				    "others who create data sources in Grafana at this moment took too long");
	if (!get_list(ctx, &list))
		return false;
	done = is_free(ctx, source, list.json);
	if (done) {
		complete(source, list.json);
		done = save(ctx, source, answer);
	}
	grafana_answer_free(&list);
	return done;
}

void grafana_post_source(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_spot spot = {NULL, names, "", &ctx.fault};
	struct grafana_text answer = {0};
	json_t *source = NULL, *sent;
	bool done = false;
	char result[60];

	if (!grafana_enter(&ctx, true))
		return;
	spot.sent = sent = grafana_body(&ctx);
	if (sent != NULL && judge(&spot))
		source = grafana_rename(&spot);
	if (source != NULL) {
		done = create(&ctx, source, &answer);
		grafana_give_turn(&ctx);
	}
	grafana_audit(&ctx, "data source", json_read_text(source, "uid"), json_read_text(source, "name"),
		      grafana_result(&ctx.fault, done, "made", result));
	if (done)
		reply(&ctx, &spot, &answer);
	else
		grafana_tell(&ctx);
	grafana_text_free(&answer);
	json_decref(source);
	json_decref(sent);
}
