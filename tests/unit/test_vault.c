/* SPDX-License-Identifier: Apache-2.0 */
/* vault: the pure parts, and what `start` accepts. With a server: tests/live/test_vault.py. */
#include "fake_host.h"
#include "unit.h"

#include "../../sdk/lib/http.c"
#include "../../sdk/lib/http_fault.c"
#include "../../sdk/lib/json_loose.c"
#include "../../sdk/lib/http_sink.c"
#include "../../sdk/lib/http_tls.c"
#include "../../sdk/lib/http_url.c"
#include "../../sdk/lib/net_race.c"
#include "../../sdk/lib/tls_authorities.c"
#include "../../plugins/vault/vault_api.c"
#include "../../plugins/vault/vault.c"
#include "../../plugins/vault/vault_parse.c"
#include "../../plugins/vault/vault_secret.c"

#define BODY                                                                                                 \
	"{\"initialized\":true,\"sealed\":false,\"standby\":false,\"server_time_utc\":1795364633,"           \
	"\"version\":\"2.7.2\","                                                                             \
	"\"cluster_name\":\"vault-cluster-fe3f9518\"}"

static void health(void)
{
	struct vault_health is;
	char why[VAULT_WHY];
	static const struct {
		const char *body, *why;
	} none[] = {
		{"", "is empty"},
		{"{}", "has no `initialized`"},
		{"[]", "is JSON, and not an object"},
		{"null", "is JSON, and not an object"},
		{"<html>", "is HTML or XML, not JSON"},
		{"{\"sealed\":false}", "has no `initialized`"},
		{"{\"initialized\":true}", "has no `sealed`"},
		{"{\"initialized\":1,\"sealed\":0}", "has a `initialized` that is neither true nor false"},
		{BODY "x", "is not JSON (line 1, column 139)"},
		{"{\"sealed\":false,\"sealed\":true,\"initialized\":true}",
		 "cannot be used: `sealed` is there twice, with different values"},
	};
	/* members that the check does not use are ignored */
	static const char odd[] =
		"{\"initialized\":true,\"sealed\":true,\"x\":1,\"x\":2,\"y\":\"\\u0000\",\"z\":NaN,"
		"\"version\":\"1\\n\\u001b[31m\\u00e4\"}";
	CU_ASSERT(vault_parse_health(BODY, strlen(BODY), &is, why));
	CU_ASSERT(is.initialized && !is.sealed && !is.standby && is.server_time == 1795364633);
	UNIT_TEXT(is.version, "2.7.2");
	UNIT_TEXT(is.cluster, "vault-cluster-fe3f9518");
	CU_ASSERT(vault_parse_health(odd, strlen(odd), &is, why));
	CU_ASSERT(is.sealed && is.server_time == -1);
	UNIT_TEXT(is.version, "1[31m");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		CU_ASSERT_FALSE(vault_parse_health(none[i].body, strlen(none[i].body), &is, why));
		UNIT_TEXT(why, none[i].why);
	}
}

static void evaluate_health(void)
{
	static const struct {
		int code;
		enum skymon_status status;
		enum skymon_reason reason;
		bool serves;
	} rows[] = {
		{200, SKYMON_HEALTHY, SKYMON_OK, true},
		{429, SKYMON_HEALTHY, SKYMON_STANDBY, true},
		{472, SKYMON_HEALTHY, SKYMON_STANDBY, false},
		{473, SKYMON_HEALTHY, SKYMON_STANDBY, true},
		{474, SKYMON_DEGRADED, SKYMON_STANDBY, false},
		{501, SKYMON_UNHEALTHY, SKYMON_OTHER, false},
		{503, SKYMON_UNHEALTHY, SKYMON_SEALED, false},
		{530, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, false},
		{204, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, false},
		{404, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, false},
		{500, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, false},
	};
	struct vault_health is = {.initialized = true};
	struct vault_verdict verdict;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vault_evaluate(rows[i].code, &is, &verdict);
		if (verdict.status != rows[i].status || verdict.reason != rows[i].reason ||
		    verdict.serves != rows[i].serves) {
			fprintf(stderr, "\n%d: %s\n", rows[i].code, verdict.text);
			CU_FAIL();
		}
		/* the same code from something that is not Vault: a balancer, a rate limiter, a web server */
		vault_evaluate(rows[i].code, NULL, &verdict);
		CU_ASSERT(verdict.status == (rows[i].code == 429 ? SKYMON_UNKNOWN : SKYMON_UNHEALTHY) &&
			  !verdict.serves && !verdict.accessible);
		CU_ASSERT(verdict.reason == (rows[i].code == 200   ? SKYMON_PROTOCOL
					     : rows[i].code == 429 ? SKYMON_RESOURCE
								   : SKYMON_HTTP_STATUS));
	}
	/* a code that a proxy has changed */
	is.sealed = true;
	vault_evaluate(200, &is, &verdict);
	CU_ASSERT(verdict.status == SKYMON_UNHEALTHY && verdict.reason == SKYMON_SEALED);
	is.initialized = false;
	vault_evaluate(200, &is, &verdict);
	CU_ASSERT(verdict.status == SKYMON_UNHEALTHY && verdict.reason == SKYMON_OTHER);
}

static void skew(void)
{
	CU_ASSERT(vault_skew(1000, 1000.0) == 0);
	CU_ASSERT(vault_skew(1000, 1000.9) == 0);
	CU_ASSERT(vault_skew(1000, 999.5) == 0.5);
	CU_ASSERT(vault_skew(1000, 1003.5) == -2.5);
	CU_ASSERT(vault_skew(4600, 1000) == 3600);
}

static bool token_of(const char *text, struct vault_token *token)
{
	json_t *answer = json_loads(text, 0, NULL);
	bool good = vault_parse_token(answer, token);
	json_decref(answer);
	return good;
}

static void tokens(void)
{
	struct vault_token is;
	CU_ASSERT(token_of(
		"{\"data\":{\"ttl\":0,\"creation_ttl\":0,\"expire_time\":null,\"renewable\":false}}", &is));
	CU_ASSERT(is.forever && !is.renewable && !vault_is_due(&is));
	CU_ASSERT(token_of(
		"{\"data\":{\"ttl\":9,\"creation_ttl\":20,\"expire_time\":\"x\",\"renewable\":true}}", &is));
	CU_ASSERT(!is.forever && is.ttl == 9 && vault_is_due(&is));
	CU_ASSERT(token_of(
		"{\"data\":{\"ttl\":11,\"creation_ttl\":20,\"expire_time\":\"x\",\"renewable\":true}}", &is));
	CU_ASSERT_FALSE(vault_is_due(&is));
	CU_ASSERT(token_of(
		"{\"data\":{\"ttl\":9,\"creation_ttl\":20,\"expire_time\":\"x\",\"renewable\":false}}", &is));
	CU_ASSERT_FALSE(vault_is_due(&is));
	/* a periodic token: a renewal gives the period, independent of the first life */
	CU_ASSERT(token_of("{\"data\":{\"ttl\":30,\"creation_ttl\":40,\"period\":100,\"expire_time\":\"x\","
			   "\"renewable\":true}}",
			   &is));
	CU_ASSERT(vault_is_due(&is));
	CU_ASSERT_FALSE(token_of("{\"data\":{\"ttl\":-1}}", &is));
	CU_ASSERT_FALSE(token_of("{\"data\":{\"ttl\":\"9\"}}", &is));
	CU_ASSERT_FALSE(token_of("{\"data\":null}", &is));
	CU_ASSERT_FALSE(token_of("{}", &is));
}

static void errors(void)
{
	static const struct {
		int code;
		const char *body;
		enum skymon_reason reason;
		bool invalid, outage;
		const char *words;
	} rows[] = {
		{403, "{\"errors\":[\"permission denied\"]}", SKYMON_AUTH_FAILED, true, false,
		 "refuses the token"},
		{403,
		 "{\"errors\":[\"2 errors occurred:\\n\\t* permission denied\\n\\t* invalid token\\n\\n\"]}",
		 SKYMON_AUTH_FAILED, true, false, "refuses the token"},
		{403, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}",
		 SKYMON_AUTH_FAILED, false, false, "denies the token access"},
		{404, "{\"errors\":[]}", SKYMON_BODY_MISMATCH, false, false, "no such path"},
		{404, "{\"errors\":[\"namespace not found\"]}", SKYMON_BODY_MISMATCH, false, false,
		 "no such namespace"},
		{503, "{\"errors\":[\"Vault is sealed\"]}", SKYMON_SEALED, false, true, "is sealed"},
		{503, "<html>", SKYMON_HTTP_STATUS, false, true, "error (HTTP 503)"},
		{500, NULL, SKYMON_HTTP_STATUS, false, true, "error (HTTP 500)"},
		{429, "", SKYMON_RESOURCE, false, true, "limits"},
		{307, "", SKYMON_HTTP_STATUS, false, false, "redirects"},
		{400, "{\"errors\":[\"geheim\"]}", SKYMON_HTTP_STATUS, false, false, "rejects the request"},
	};
	struct vault_fault fault;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vault_explain(rows[i].code, rows[i].body, "v:1", "a/b", &fault);
		if (fault.is.reason != rows[i].reason || fault.invalid != rows[i].invalid ||
		    fault.outage != rows[i].outage || fault.code != rows[i].code ||
		    strstr(fault.is.text, rows[i].words) == NULL) {
			fprintf(stderr, "\n%d: %s\n", rows[i].code, fault.is.text);
			CU_FAIL();
		}
		CU_ASSERT(strstr(fault.is.text, "geheim") == NULL && strncmp(fault.is.text, "v:1 ", 4) == 0 &&
			  (strstr(fault.is.text, "a/b") != NULL) == !fault.outage);
	}
}

static void paths(void)
{
	static const struct {
		const char *mount, *path, *full; /* NULL if refused */
		size_t guess;
	} rows[] = {
		{"secret", "grafana/api_key", "secret/grafana/api_key", 6},
		{"secret", "secret/grafana/api_key", "secret/grafana/api_key", 6},
		{"secret/", "grafana", "secret/grafana", 6},
		{"secret", "grafana/", "secret/grafana", 6},
		{"secret", "secret", "secret/secret", 6},
		{"secret", "secrets/x", "secret/secrets/x", 6},
		{"team/kv", "a", "team/kv/a", 7},
		{"team/kv", "team/kv/a", "team/kv/a", 7},
		{"team/kv", "team/a", "team/kv/team/a", 7},
		{"secret", "/database/creds/x", "database/creds/x", 8},
		{"", "/kv/x", "kv/x", 2},
		{"secret", "", NULL, 0},
		{"secret", "/", NULL, 0},
		{"", "a", NULL, 0},
		{"secret", "a//b", NULL, 0},
		{"secret", "a/../b", NULL, 0},
		{"secret", "./a", NULL, 0},
		{"secret", "..", NULL, 0},
		{"secret", "a/...", "secret/a/...", 6},
		{"..", "a", NULL, 0},
	};
	char full[40];
	size_t guess;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool good = vault_full_path(rows[i].mount, rows[i].path, full, sizeof(full), &guess);
		CU_ASSERT(good == (rows[i].full != NULL));
		if (good) {
			UNIT_TEXT(full, rows[i].full);
			CU_ASSERT(guess == rows[i].guess && full[guess] == '/');
		}
	}
	CU_ASSERT_FALSE(vault_full_path("secret", "0123456789012345678901234567890123456789", full,
					sizeof(full), &guess));
	char encoded[40];
	CU_ASSERT(vault_encode("a/b-c_d.e~f", encoded, sizeof(encoded)));
	UNIT_TEXT(encoded, "a/b-c_d.e~f");
	CU_ASSERT(vault_encode("a b%2F?\xc3\xa4#", encoded, sizeof(encoded)));
	UNIT_TEXT(encoded, "a%20b%252F%3F%C3%A4%23");
	CU_ASSERT_FALSE(vault_encode("", encoded, sizeof(encoded)));
	CU_ASSERT_FALSE(vault_encode("                    ", encoded, sizeof(encoded)));
}

static size_t print_real(double value, char *text, size_t size)
{
	return (size_t)snprintf(text, size, "%.17g", value);
}

static void fields(void)
{
	struct skymon_host host = {.print = print_real};
	struct skymon sm = {&host};
	json_t *data = json_loads("{\"s\":\"a\\u00e4\\n\",\"e\":\"\",\"i\":-5,\"r\":0.5,\"t\":true,\"f\":"
				  "false,\"n\":null,\"o\":{},"
				  "\"l\":[\"a\"]}",
				  0, NULL);
	static const struct {
		const char *field, *value;
		enum vault_found found;
	} rows[] = {
		{"s", "a\xc3\xa4\n", VAULT_FOUND}, {"e", "", VAULT_FOUND},     {"i", "-5", VAULT_FOUND},
		{"r", "0.5", VAULT_FOUND},         {"t", "true", VAULT_FOUND}, {"f", "false", VAULT_FOUND},
		{"n", NULL, VAULT_NO_TEXT},        {"o", NULL, VAULT_NO_TEXT}, {"l", NULL, VAULT_NO_TEXT},
		{"x", NULL, VAULT_NO_FIELD},       {"", NULL, VAULT_NO_FIELD}};
	char room[64];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *bytes = NULL;
		size_t size = 0;
		CU_ASSERT(vault_field(&sm, data, rows[i].field, room, &bytes, &size) == rows[i].found);
		CU_ASSERT(rows[i].value == NULL ||
			  (size == strlen(rows[i].value) && memcmp(bytes, rows[i].value, size) == 0));
	}
	json_decref(data);
}

static struct skymon_secret secret(const char *text)
{
	return (struct skymon_secret){text, strlen(text)};
}

static void starts(void)
{
	struct {
		struct vault with;
		const char *words; /* NULL if it starts */
	} rows[] = {
		{{.address = "http://v:8200/"}, NULL},
		{{.address = "https://v/base/", .token = secret("t"), .read = "a#b"}, NULL},
		{{.address = "https://v", .role_id = "r", .secret_id = secret("s")}, NULL},
		{{.address = "https://v", .role_id = "r"}, NULL},
		{{.address = "v:8200"}, "address must be a URL"},
		{{.address = "https://v", .proxy = "v:1"}, "proxy"},
		{{.address = "https://v", .role_id = "r", .token = secret("geheim")},
		 "token must not be given together with role_id"},
		{{.address = "https://v", .token = secret("")}, "token is empty"},
		{{.address = "https://v", .secret_id = secret("geheim")}, "secret_id needs role_id"},
		{{.address = "https://v", .token = secret("t"), .read = "a"}, "path#field"},
		{{.address = "https://v", .token = secret("t"), .read = "#a"}, "path#field"},
		{{.address = "https://v", .token = secret("t"), .read = "a#"}, "path#field"},
		{{.address = "https://v", .read = "a#b"}, "needs a token"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = fake_new_run();
		rows[i].with.login = "approle";
		rows[i].with.mount = "secret";
		bool good = fake_start(&skymon_plugin, sm, &rows[i].with);
		CU_ASSERT(good == (rows[i].words == NULL));
		CU_ASSERT(good || strstr(fake.message, rows[i].words) != NULL);
		CU_ASSERT_PTR_NULL(strstr(fake.message, "geheim"));
		if (good)
			CU_ASSERT(rows[i].with.own->base[strlen(rows[i].with.own->base) - 1] != '/');
		stop(sm, &rows[i].with);
		CU_ASSERT_PTR_NULL(rows[i].with.own);
	}
}

int main(void)
{
	struct skymon *sm = fake_new_run();
	if (!load(sm, NULL))
		return 2;
	int failed = unit_run("vault", (const struct unit_test[]){{"health", health},
								  {"evaluate health", evaluate_health},
								  {"skew", skew},
								  {"tokens", tokens},
								  {"errors", errors},
								  {"paths", paths},
								  {"fields", fields},
								  {"starts", starts},
								  {0}});
	unload(sm, NULL);
	return failed;
}
