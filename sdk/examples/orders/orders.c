/* SPDX-License-Identifier: Apache-2.0 */
/* orders: asks the orders service for its state, {"queue": {"state": "open", "waiting": 3}}, over TLS and with a token. */
#include <skymon/http.h>
#include <skymon/json.h>

struct orders {
	const char *url, *state;
	struct skymon_secret token;
	struct skymon_tls tls;
	struct skymon_http *http; /* skymon_http_check makes it */
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct orders, url, NULL, "URL of the service's state", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct orders, state, "open", "state that the queue must have"),
	SKYMON_OPT(struct orders, token, NULL, "bearer token"),
	SKYMON_OPT(struct orders, tls, NULL, "verification of the service"),
	{0}};

static const struct skymon_number numbers[] = {
	{"waiting", "", "orders that wait in the queue"}, SKYMON_TLS_NUMBERS, {0}};

static void validate(struct skymon *sm, const void *state)
{
	const struct orders *orders = state;
	skymon_http_validate(sm, "url", orders->url, NULL, &orders->tls, orders->token.bytes != NULL);
}

static void stop(struct skymon *sm, void *state)
{
	(void)sm;
	skymon_http_free(((struct orders *)state)->http);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct orders *orders = state;
	const struct skymon_http_request request = {.url = orders->url, .bearer = &orders->token, .tls = &orders->tls};
	struct skymon_http_answer answer;
	enum skymon_status status = skymon_http_check(sm, &orders->http, &request, &answer);
	if (status != SKYMON_HEALTHY)
		return status;
	json_t *json = skymon_json_answer(sm, answer.body, answer.size);
	const json_t *waiting = skymon_json_at(json, "/queue/waiting");
	if (json_is_number(waiting))
		skymon_number(sm, "waiting", json_number_value(waiting));
	status = skymon_json_expect(sm, json, "/queue/state", orders->state);
	json_decref(json);
	skymon_http_answer_free(&answer);
	return status;
}

SKYMON_PLUGIN(orders, "1.0", "The orders service's queue", .state_size = sizeof(struct orders), .options = options,
	      .numbers = numbers, .stop = stop, .check = check, .validate = validate);
