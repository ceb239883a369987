/* SPDX-License-Identifier: Apache-2.0 */
/* grafana: options, start, stop, the check (does Grafana answer and accept the key) and the table of routes.
 * The worker calls start, check and stop on the component's thread, and each handler on a thread of its
 * request. Owns struct grafana_own: the pool of connections and the named locks. */
#include "grafana.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

/* A shorter token can be guessed. Also, tokens are masked in all answers, and a word such as `admin` occurs
 * in many. */
#define TOKEN_MIN 16

static const char *const access_words[] = {"loopback", "token", "any", NULL};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct grafana, url, "${GRAFANA_URL:-https://grafana.skygenesisenterprise.com}",
		   "Grafana's URL; it may have a path", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct grafana, api_key, "{vault: \"${GRAFANA_API_KEY_PATH:-grafana/api_key}#key\"}",
		   "a service account's token; data sources and alert rules need one with the role Admin"),
	SKYMON_OPT(struct grafana, read_access, "loopback",
		   "which callers may read dashboards: loopback: local ones; token: those that send "
		   "access_token; any",
		   .words = access_words),
	SKYMON_OPT(struct grafana, write_access, "loopback",
		   "which callers may change Grafana's content: as read_access", .words = access_words),
	SKYMON_OPT(struct grafana, access_token, NULL,
		   "the token that callers send as Authorization: Bearer"),
	SKYMON_OPT(struct grafana, connect_timeout, "2s", "timeout of a connection to Grafana, including TLS",
		   .min = 10, .max = 3600000),
	SKYMON_OPT(struct grafana, timeout, "10s", "timeout of each request to Grafana, and of a check",
		   .min = 10, .max = 3600000),
	SKYMON_OPT(struct grafana, reconnect, "1m",
		   "age from which a kept connection is replaced by a new one; 0: a new one in each request",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(struct grafana, tls, NULL,
		   "for https; insecure: any certificate, or with http:// the key without TLS to another "
		   "machine"),
	SKYMON_OPT(struct grafana, proxy, NULL, "http://, https:// or socks5h:// URL, or none"),
	SKYMON_OPT(struct grafana, content, GRAFANA_CONTENT,
		   "folder of the dashboards and rules that apply writes", .flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct grafana, prometheus_url, "http://prometheus:9090",
		   "Prometheus' URL as Grafana reaches it, for the data source that apply writes"),
	{0}};

static const struct skymon_number numbers[] = {SKYMON_TLS_NUMBERS, {0}};

/* ---- Once per process ---- */

static bool load(struct skymon *sm, void *shared)
{
	(void)sm;
	/* Out of memory aborts, so that no half-built request is ever sent. Trees are wiped: a data source
	 * has passwords. */
	json_set_alloc_funcs(grafana_alloc, skymon_json_free_wiped);
	/* One arena: the memory of one large tree serves the next one. Large texts are returned to the system
	 * at once. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	return grafana_budget_init(shared);
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm;
	json_set_alloc_funcs(malloc, free);
	grafana_budget_end(shared);
}

/* ---- Start and stop ---- */

/* A header's value: a key with a line end in its middle would become two headers. */
static bool is_clean(const struct skymon_secret *secret)
{
	for (size_t i = 0; i < secret->size; i++)
		if (secret->bytes[i] <= ' ' || secret->bytes[i] == 0x7f)
			return false;
	return true;
}

static bool wants_token(const struct grafana *grafana)
{
	return grafana->read_access.index == GRAFANA_TOKEN || grafana->write_access.index == GRAFANA_TOKEN;
}

static void validate(struct skymon *sm, const void *state)
{
	const struct grafana *grafana = state;
	const char *prometheus =
		grafana->prometheus_url != NULL ? skymon_http_url_fault(grafana->prometheus_url) : NULL;
	skymon_http_validate(sm, "url", grafana->url, grafana->proxy, &grafana->tls,
			     grafana->api_key.bytes != NULL);
	if (strpbrk(grafana->url, "?#") != NULL)
		skymon_invalid(sm, "url", "must end with its path: it has a ? or #");
	if (strlen(grafana->url) >= sizeof(grafana->own->base))
		skymon_invalid(sm, "url", "must not be longer than 500 bytes");
	if (prometheus != NULL)
		skymon_invalid(sm, "prometheus_url", "%s", prometheus);
	if (wants_token(grafana) && grafana->access_token.bytes == NULL)
		skymon_invalid(sm, "access_token", "is missing: read_access or write_access is `token`");
}

/* Checks that need the secrets' bytes, which validate does not have. */
static bool secrets_agree(struct skymon *sm, const struct grafana *grafana)
{
	const char *wrong = NULL;
	if (!is_clean(&grafana->api_key))
		wrong = "api_key has a space, a line end or another byte that is not allowed in a key of "
			"Grafana";
	else if (wants_token(grafana) && grafana->access_token.size == 0)
		wrong = "access_token is empty: read_access or write_access is `token`";
	else if (grafana->access_token.size > 0 && grafana->access_token.size < TOKEN_MIN)
		wrong = "access_token is shorter than 16 bytes: use a longer one, such as from `openssl rand "
			"-hex 16`";
	else if (!is_clean(&grafana->access_token))
		wrong = "access_token has a space, a line end or another byte that is not allowed in a "
			"header";
	if (wrong != NULL)
		skymon_unknown(sm, "%s", wrong);
	return wrong == NULL;
}

static void stop(struct skymon *sm, void *state)
{
	struct grafana *grafana = state;
	struct grafana_own *own = grafana->own;
	(void)sm;
	if (own == NULL)
		return;
	for (size_t i = 0; i < own->idle_count; i++)
		skymon_http_free(own->idle[i]);
	for (size_t i = 0; i < own->lock_count; i++)
		skymon_timed_lock_end(&own->locks[i].lock);
	if (own->has_lock)
		pthread_mutex_destroy(&own->lock);
	free(own);
	grafana->own = NULL;
}

static bool make_own(struct grafana *grafana)
{
	struct grafana_own *own = grafana->own = calloc(1, sizeof(*own));
	if (own == NULL)
		return false;
	own->has_lock = pthread_mutex_init(&own->lock, NULL) == 0;
	while (own->lock_count < GRAFANA_LOCKS && skymon_timed_lock_init(&own->locks[own->lock_count].lock))
		own->lock_count++;
	return own->has_lock && own->lock_count == GRAFANA_LOCKS;
}

static bool start(struct skymon *sm, void *state)
{
	struct grafana *grafana = state;
	if (!secrets_agree(sm, grafana))
		return false;
	if (!make_own(grafana)) {
		stop(sm, state);
		skymon_unknown(sm, "out of memory");
		return false;
	}
	struct grafana_own *own = grafana->own;
	snprintf(own->base, sizeof(own->base), "%s", grafana->url);
	for (size_t length = strlen(own->base); length > 0 && own->base[length - 1] == '/'; length--)
		own->base[length - 1] = '\0';
	if (skymon_http_place(own->base, own->place, sizeof(own->place)))
		return true;
	stop(sm, state);
	skymon_unknown(sm, "invalid url");
	return false;
}

/* ---- The check ---- */

static enum skymon_status report_fault(struct grafana_ctx *ctx)
{
	const struct grafana_fault fault = ctx->fault;
	struct skymon *sm = ctx->sm;
	if (fault.key_refused)
		skymon_secret_refused(sm);
	grafana_forget(&ctx->fault);
	if (fault.reported)
		return fault.status;
	skymon_reason(sm, fault.reason);
	return fault.status == SKYMON_UNKNOWN ? skymon_unknown(sm, "%s", fault.detail)
					      : skymon_unhealthy(sm, "%s", fault.detail);
}

/* Version and database, which Grafana reports without a key. */
static bool ask_health(struct grafana_ctx *ctx, char *version, size_t size)
{
	bool good = true;
	skymon_step(ctx->sm, "requesting Grafana's health");
	struct grafana_answer answer;
	if (!grafana_ask(ctx, "GET", "/api/health", NULL, &answer)) {
		if (ctx->fault.upstream_status == 503)
			grafana_reword(ctx, 503, "", "Grafana reports that its database fails (HTTP 503)");
		return false;
	}
	const char *text = skymon_json_text(answer.json, "version");
	grafana_clean(text != NULL ? text : "", version, size);
	if (version[0] != '\0')
		skymon_detail(ctx->sm, "version", "%s", version);
	const char *database = skymon_json_text(answer.json, "database");
	char shown[60];
	if (database == NULL) {
		good = grafana_fail(ctx, 502, "%.200s did not answer as Grafana does: is `url` right?",
				    ctx->grafana->own->place);
		ctx->fault.status = SKYMON_UNHEALTHY;
		ctx->fault.reason = SKYMON_PROTOCOL;
	} else {
		grafana_clean(database, shown, sizeof(shown));
		skymon_detail(ctx->sm, "database", "%s", shown);
		if (strcmp(database, "ok") != 0) {
			good = grafana_fail(ctx, 503, "Grafana's database is %s", shown);
			ctx->fault.status = SKYMON_UNHEALTHY;
		}
	}
	grafana_answer_free(&answer);
	return good;
}

static enum skymon_status check_grafana(struct skymon *sm, void *state)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state};
	char version[60] = "";
	bool healthy = ask_health(&ctx, version, sizeof(version));
	if (ctx.connected) {
		skymon_tls_report(sm, ctx.trust, ctx.local);
		skymon_tls_report_days(sm, ctx.days);
	}
	if (!healthy)
		return report_fault(&ctx);
	skymon_step(sm, "checking whether Grafana accepts the key");
	struct grafana_answer answer;
	if (!grafana_ask(&ctx, "GET", "/api/org", NULL, &answer))
		return report_fault(&ctx);
	const char *name = skymon_json_text(answer.json, "name");
	char org[100];
	grafana_clean(name != NULL ? name : "", org, sizeof(org));
	skymon_detail(sm, "org", "%s", org);
	grafana_answer_free(&answer);
	return skymon_healthy(sm, "Grafana %s answers and accepts the key (%s)", version, org);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	enum skymon_status status = check_grafana(sm, state);
	grafana_release_all();
	return status;
}

/* ---- Routes ---- */

#define BASE "/api/v1/grafana/"
#define ROUTE(symbol, method_, path_, name_, summary_, handle_)                                              \
	static void symbol##_handler(struct skymon *sm, void *state, struct skymon_request *rq)              \
	{                                                                                                    \
		handle_(sm, state, rq);                                                                      \
		grafana_release_all();                                                                       \
	}                                                                                                    \
	static const struct skymon_route symbol = {.size = sizeof(struct skymon_route),                      \
						   .method = method_,                                        \
						   .path = BASE path_,                                       \
						   .name = name_,                                            \
						   .summary = summary_,                                      \
						   .handle = symbol##_handler,                               \
						   .flags = SKYMON_ROUTE_GUARDED}

static const struct skymon_route health = {.size = sizeof(struct skymon_route),
					   .method = "GET",
					   .path = BASE "health",
					   .name = "grafana_health",
					   .summary = "does Grafana answer and accept the key",
					   .flags = SKYMON_ROUTE_PRIVATE | SKYMON_ROUTE_HEALTH};
ROUTE(list_dashboards, "GET", "dashboards", "grafana_dashboards", "all dashboards", grafana_list_dashboards);
ROUTE(post_dashboard, "POST", "dashboards", "grafana_dashboards", "create a dashboard",
      grafana_post_dashboard);
ROUTE(get_dashboard, "GET", "dashboards/{uid}", "grafana_dashboard", "a dashboard", grafana_get_dashboard);
ROUTE(put_dashboard, "PUT", "dashboards/{uid}", "grafana_dashboard", "replace a dashboard",
      grafana_put_dashboard);
ROUTE(delete_dashboard, "DELETE", "dashboards/{uid}", "grafana_dashboard", "delete a dashboard",
      grafana_delete_dashboard);
ROUTE(post_source, "POST", "datasources", "grafana_datasources", "create a data source", grafana_post_source);
ROUTE(post_rule, "POST", "alerts", "grafana_alerts", "create an alert rule", grafana_post_rule);
ROUTE(post_apply, "POST", "apply", "grafana_apply", "write the shipped dashboards, data source and rules",
      grafana_post_apply);
ROUTE(get_diff, "GET", "diff", "grafana_diff", "the changes that apply would make", grafana_get_diff);
ROUTE(get_check, "GET", "check", "grafana_check", "the key's permissions, and those that it lacks",
      grafana_get_check);

static const struct skymon_route *const routes[] = {
	&health,      &list_dashboards, &post_dashboard, &get_dashboard, &put_dashboard, &delete_dashboard,
	&post_source, &post_rule,       &post_apply,     &get_diff,      &get_check,     NULL};

SKYMON_PLUGIN(grafana, "1.0", "Dashboards, data sources and alert rules of a Grafana",
	      .state_size = sizeof(struct grafana), .shared_size = sizeof(struct grafana_budget),
	      .timeout_ms = 10000, .options = options, .numbers = numbers, .load = load, .unload = unload,
	      .start = start, .stop = stop, .check = check, .routes = routes, .validate = validate);
