/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance_routes: the routes that list, make and end silences. Handlers of the api plugin, on the loop's thread;
 * owns nothing.
 *
 * A silence hides a failure from balancers and alerts, so that the routes that change one are GUARDED, and serve
 * local callers and those with the token of `access` alone. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api_private.h"
#include "maintenance.h"
#include "plugin_api.h"

#define JSON "application/json"

static void reply_json(struct skymon *sm, struct skymon_request *rq, int code, struct buf *body)
{
	skymon_reply(sm, rq, code, JSON, body->data, body->size);
	buf_free(body);
}

void api_handle_maintenance(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	struct buf body = {0};
	maintenance_json(plugin_api_maintenance(sm), &body);
	reply_json(sm, rq, 200, &body);
}

/* Returns false after refusing the request. */
static bool may_change(struct skymon *sm, struct skymon_request *rq)
{
	const struct skymon_caller *caller = skymon_caller(sm, rq);
	if (caller->local || (skymon_config_public(sm)->has_access_token && skymon_is_trusted(sm, rq)))
		return true;
	skymon_problem(
		sm, rq, 403,
		"this route is for root, skymond's own user and `local_users` on its machine, and for callers with the "
		"token of `access`; this request is neither: %s",
		caller->why_not_local);
	return false;
}

/* ---- Making one ---- */

struct wish {
	const char *why;
	int64_t length_ms;
	char **components, **groups;
};

static bool is_plain(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7F)
			return false;
	return true;
}

static bool read_names(struct skymon *sm, struct skymon_request *rq, const json_t *body, const char *key,
		       bool group, char ***out)
{
	const json_t *list = json_object_get(body, key);
	size_t count = json_array_size(list);
	*out = x_alloc((count + 1) * sizeof(**out));
	if (list != NULL && (!json_is_array(list) || count > SILENCE_NAMES_MAX)) {
		skymon_problem(sm, rq, 422, "`%s` must be a list of at most %d names", key,
			       SILENCE_NAMES_MAX);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(list, i));
		if (name == NULL || name[0] == '\0' ||
		    !maintenance_knows(plugin_api_maintenance(sm), name, group)) {
			skymon_problem(sm, rq, 422, "`%s`: no %s of the name \"%.64s\"", key,
				       group ? "group" : "component", name != NULL ? name : "");
			return false;
		}
		(*out)[i] = x_strdup(name);
	}
	return true;
}

static bool read_length(struct skymon *sm, struct skymon_request *rq, const json_t *body, struct wish *wish)
{
	const char *text = json_string_value(json_object_get(body, "for"));
	struct err err = {"it must be a text such as \"2h\""};
	bool ok = text != NULL && option_parse_duration(text, &wish->length_ms, &err);
	if (ok && wish->length_ms >= SILENCE_MIN_MS && wish->length_ms <= SILENCE_MAX_MS)
		return true;
	skymon_problem(sm, rq, 422, "`for`: %s", ok ? "a silence lasts from 1s to 30d" : err.text);
	return false;
}

static bool read_why(struct skymon *sm, struct skymon_request *rq, const json_t *body, struct wish *wish)
{
	wish->why = json_string_value(json_object_get(body, "why"));
	if (wish->why != NULL && wish->why[0] != '\0' && strlen(wish->why) <= SILENCE_TEXT_MAX &&
	    is_plain(wish->why))
		return true;
	skymon_problem(sm, rq, 422, "`why` must be the reason, a text of one line and at most %d bytes",
		       SILENCE_TEXT_MAX);
	return false;
}

/* Reads and validates a body. Returns false after answering. */
static bool read_wish(struct skymon *sm, struct skymon_request *rq, const json_t *body, struct wish *wish)
{
	static const char *const keys[] = {"components", "groups", "for", "why"};
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)body, key, value) {
		size_t i = 0;
		while (i < 4 && strcmp(keys[i], key) != 0)
			i++;
		if (i == 4) {
			skymon_problem(
				sm, rq, 422,
				"no such key: \"%.64s\"; a silence has components, groups, for and why", key);
			return false;
		}
	}
	if (!read_names(sm, rq, body, "components", false, &wish->components) ||
	    !read_names(sm, rq, body, "groups", true, &wish->groups))
		return false;
	if (wish->components[0] == NULL && wish->groups[0] == NULL) {
		skymon_problem(sm, rq, 422, "a silence needs `components` or `groups`");
		return false;
	}
	return read_length(sm, rq, body, wish) && read_why(sm, rq, body, wish);
}

static void make_silence(struct skymon *sm, struct skymon_request *rq, struct wish *wish)
{
	const struct skymon_caller *caller = skymon_caller(sm, rq);
	char *by = caller->login[0] != '\0' ? x_printf("%s", caller->login)
		   : caller->local ? x_printf("%s", caller->user[0] != '\0' ? caller->user : "a local user")
				   : x_printf("token from %s", caller->address);
	const struct silence *made = maintenance_add(plugin_api_maintenance(sm), wish->components,
						     wish->groups, wish->length_ms, wish->why, by);
	free(by);
	if (made == NULL) {
		skymon_problem(sm, rq, 422, "there are %d silences already: end one first", SILENCES_MAX);
		return;
	}
	wish->components = wish->groups = NULL;
	struct buf body = {0};
	silence_json(made, &body);
	skymon_audit(sm, rq, "silence made: %s", body.data);
	reply_json(sm, rq, 201, &body);
}

void api_handle_silence(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	size_t size;
	json_error_t error;
	if (!may_change(sm, rq))
		return;
	const char *text = skymon_body(sm, rq, &size);
	json_t *body = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	struct wish wish = {0};
	if (body == NULL)
		skymon_problem(sm, rq, 400, "the body is not JSON: %.100s at line %d, column %d", error.text,
			       error.line, error.column);
	else if (!json_is_object(body))
		skymon_problem(
			sm, rq, 422,
			"the body must be an object: {\"components\": [\"db\"], \"for\": \"2h\", \"why\": \"…\"}");
	else if (read_wish(sm, rq, body, &wish))
		make_silence(sm, rq, &wish);
	names_free(wish.components);
	names_free(wish.groups);
	json_decref(body);
}

void api_handle_silence_end(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *id = skymon_param(sm, rq, "id");
	if (!may_change(sm, rq))
		return;
	if (!maintenance_end(plugin_api_maintenance(sm), id)) {
		skymon_problem(
			sm, rq, 404,
			"no such silence: \"%.16s\" (GET /api/v1/maintenance lists them; a window ends with the configuration)",
			id);
		return;
	}
	skymon_audit(sm, rq, "silence %.16s ended", id);
	skymon_reply(sm, rq, 204, NULL, NULL, 0);
}
