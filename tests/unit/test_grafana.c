/* SPDX-License-Identifier: Apache-2.0 */
/* grafana: the pure parts except the rules (test_grafana_rule.c): access, the meaning of answers, texts, and
 * what `start` accepts. Requests to a Grafana: tests/live/test_grafana.py. */
#include "fake_host.h"
#include "unit.h"

#include "../../plugins/grafana/grafana.h"

extern const struct skymon_plugin skymon_plugin;

/* ---- The host, for one request ---- */

static struct {
	const char *body, *authorization, *address;
	bool local, again, answered;
	int code, agains;
	char detail[800], members[2000], headers[400], audit[400];
} asked;

static const char *fake_body(struct skymon_request *rq, size_t *size)
{
	(void)rq;
	*size = asked.body != NULL ? strlen(asked.body) : 0;
	return asked.body;
}
static const char *fake_header(struct skymon_request *rq, const char *name)
{
	(void)rq;
	return strcmp(name, "Authorization") == 0 ? asked.authorization : NULL;
}
static const struct skymon_caller *fake_caller(struct skymon_request *rq)
{
	static struct skymon_caller caller = {.size = sizeof(caller)};
	(void)rq;
	caller.local = asked.local;
	caller.address = "127.0.0.1";
	return &caller;
}
static bool fake_again(struct skymon_request *rq)
{
	(void)rq;
	asked.agains++;
	return asked.again;
}
static void fake_reply_header(struct skymon_request *rq, const char *name, const char *value)
{
	size_t used = strlen(asked.headers);
	(void)rq;
	snprintf(asked.headers + used, sizeof(asked.headers) - used, "%s: %s\n", name, value);
}
static void fake_problem_json(struct skymon_request *rq, const char *key, const char *json)
{
	size_t used = strlen(asked.members);
	(void)rq;
	snprintf(asked.members + used, sizeof(asked.members) - used, "%s=%s\n", key, json);
}
static void fake_problem(struct skymon_request *rq, int code, const char *text, size_t size)
{
	(void)rq;
	CU_ASSERT_FALSE(asked.answered);
	asked.answered = true;
	asked.code = code;
	snprintf(asked.detail, sizeof(asked.detail), "%.*s", (int)size, text);
}
static void fake_audit(struct skymon_request *rq, const char *text, size_t size)
{
	(void)rq;
	snprintf(asked.audit, sizeof(asked.audit), "%.*s", (int)size, text);
}

static struct skymon *new_run(void)
{
	static struct skymon_host host;
	static struct skymon sm = {&host};
	host = *fake_new_run()->host;
	host.request_body = fake_body;
	host.request_header = fake_header;
	host.request_caller = fake_caller;
	host.request_again = fake_again;
	host.reply_header = fake_reply_header;
	host.problem_json = fake_problem_json;
	host.reply_problem = fake_problem;
	host.request_audit = fake_audit;
	memset(&asked, 0, sizeof(asked));
	return &sm;
}

static struct grafana grafana;

static struct grafana_ctx new_ctx(void)
{
	return (struct grafana_ctx){
		.sm = new_run(), .grafana = &grafana, .rq = (struct skymon_request *)&asked};
}

/* ---- Access ---- */

static void access_is_evaluated(void)
{
	const struct skymon_secret token = {"s3cret", 6}, none = {NULL, 0}, empty = {"", 0};
	static const struct {
		const char *header;
		enum grafana_verdict verdict;
	} rows[] = {{NULL, GRAFANA_NO_TOKEN},
		    {"", GRAFANA_NO_TOKEN},
		    {"Basic s3cret", GRAFANA_NO_TOKEN},
		    {"s3cret", GRAFANA_NO_TOKEN},
		    {"Bearer", GRAFANA_NO_TOKEN},
		    {"Bearer ", GRAFANA_WRONG_TOKEN},
		    {"Bearer s3cre", GRAFANA_WRONG_TOKEN},
		    {"Bearer s3cret ", GRAFANA_WRONG_TOKEN},
		    {"Bearer s3crets3cret", GRAFANA_WRONG_TOKEN},
		    {"Bearer S3cret", GRAFANA_WRONG_TOKEN},
		    {"Bearer s3cret", GRAFANA_ALLOWED},
		    {"bearer  s3cret", GRAFANA_ALLOWED}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int local = 0; local < 2; local++) /* a local caller needs the token too */
			CU_ASSERT_EQUAL(grafana_evaluate_access(GRAFANA_TOKEN, local, rows[i].header, &token),
					rows[i].verdict);
		CU_ASSERT_NOT_EQUAL(grafana_evaluate_access(GRAFANA_TOKEN, true, rows[i].header, &none),
				    GRAFANA_ALLOWED);
		CU_ASSERT_NOT_EQUAL(grafana_evaluate_access(GRAFANA_TOKEN, true, rows[i].header, &empty),
				    GRAFANA_ALLOWED);
		CU_ASSERT_EQUAL(grafana_evaluate_access(GRAFANA_ANY, false, rows[i].header, &none),
				GRAFANA_ALLOWED);
		CU_ASSERT_EQUAL(grafana_evaluate_access(GRAFANA_LOOPBACK, true, rows[i].header, &token),
				GRAFANA_ALLOWED);
		/* a token has no effect where none is required */
		CU_ASSERT_EQUAL(grafana_evaluate_access(GRAFANA_LOOPBACK, false, rows[i].header, &token),
				GRAFANA_NOT_LOCAL);
	}
}

static void enter(void)
{
	struct grafana_ctx ctx = new_ctx();
	grafana = (struct grafana){.read_access = {GRAFANA_ANY}, .access_token = {"s3cret", 6}};
	CU_ASSERT(grafana_authorize(&ctx, false) && !asked.answered);
	CU_ASSERT_FALSE(grafana_authorize(&ctx, true));
	CU_ASSERT(asked.code == 403 && strstr(asked.detail, "`write_access: token`") != NULL);
	ctx = new_ctx();
	grafana.write_access.index = GRAFANA_TOKEN;
	CU_ASSERT_FALSE(grafana_authorize(&ctx, true));
	CU_ASSERT(asked.code == 401 && strstr(asked.headers, "WWW-Authenticate: Bearer realm=") != NULL);
	UNIT_TEXT(asked.audit, "nothing written: this route needs `Authorization: Bearer` with the "
			       "access_token of the plugin "
			       "grafana");
	ctx = new_ctx();
	asked.authorization = "Bearer x";
	CU_ASSERT_FALSE(grafana_authorize(&ctx, true));
	CU_ASSERT(asked.code == 401 && strstr(asked.headers, "invalid_token") != NULL);
	CU_ASSERT_PTR_NULL(strstr(asked.detail, "s3cret"));
	ctx = new_ctx();
	asked.authorization = "Bearer s3cret";
	CU_ASSERT(grafana_authorize(&ctx, true) && !asked.answered);
	grafana_audit(&ctx, "dashboard", "a\nb",
		      "x\r\nlevel=error \x1b[31m\xff\xc2\x9b"
		      "é",
		      "saved");
	UNIT_TEXT(asked.audit, "dashboard a b \"x level=error [31m é\" saved, allowed as the access token");
	grafana_fail(&ctx, 502, "Grafana\nis away");
	grafana_audit(&ctx, "dashboard", "", NULL, "not saved");
	UNIT_TEXT(asked.audit, "dashboard not saved: Grafana is away, allowed as the access token");
}

/* ---- Grafana's answers ---- */

static void answers_are_explained(void)
{
	static const struct {
		int upstream;
		const char *message;
		int code;
		const char *words;
	} rows[] = {
		{400, "bad request data", 422, "HTTP 400: bad request data"},
		{401, "invalid API key", 502, "does not accept the key"},
		{403,
		 "You'll need additional permissions to perform this action. Permissions needed: "
		 "datasources:create",
		 403,
		 "lacks a permission: datasources:create; data sources and alert rules need a key with the "
		 "role Admin"},
		{403, NULL, 403, "may not do this (HTTP 403)"},
		{404, "Dashboard not found", 404, "HTTP 404: Dashboard not found"},
		{409, "same name", 409, "HTTP 409: same name"},
		{412, "changed by someone else", 409, "HTTP 412: changed by someone else"},
		{413, NULL, 413, "HTTP 413"},
		{403, "Quota reached", 403, "Grafana's quota is reached (Quota reached)"},
		{403, "quota has been exceeded", 403,
		 "raise the quota in Grafana's configuration, under [quota]"},
		{403,
		 "You'll need additional permissions to perform this action. Permissions needed: orgs:read",
		 403, "while its database is locked"},
		{500, "invalid API key", 502,
		 "does not accept the key (HTTP 500), invalid API key: put a valid one"},
		{500, "Unable to link API key to service account", 502, "does not accept the key (HTTP 500)"},
		{403, "Service account is disabled", 502, "does not accept the key (HTTP 403)"},
		{500, "failed to execute query A: invalid API key", 502, "HTTP 500: failed to execute"},
		{500, "cannot changed provenance from 'api' to ''", 409,
		 "change it there, or delete it there first"},
		{400, "Cannot save provisioned dashboard", 409, "from a file of Grafana"},
		{403, "Cannot update read-only data source", 409, "from a file of Grafana"},
		{422, "x", 422, "HTTP 422: x"},
		{429, NULL, 503, "limits requests"},
		{500, "Internal\nServer\tError", 502, "HTTP 500: Internal Server Error"},
		{503, NULL, 502, "HTTP 503"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grafana_fault fault = {.key_refused = true, .pointer = "/x"};
		grafana_explain(rows[i].upstream, rows[i].message, "word", "7", "g:3000", &fault);
		if (fault.code != rows[i].code || strstr(fault.detail, rows[i].words) == NULL) {
			fprintf(stderr, "\n%d: %d %s\n", rows[i].upstream, fault.code, fault.detail);
			CU_FAIL();
		}
		CU_ASSERT(fault.upstream_status == rows[i].upstream && fault.status == SKYMON_UNHEALTHY);
		CU_ASSERT(fault.key_refused == (strstr(rows[i].words, "accept the key") != NULL));
		CU_ASSERT(fault.pointer[0] == '\0');
		UNIT_TEXT(fault.retry_after, rows[i].upstream == 429 || rows[i].upstream == 503 ? "7" : "");
		UNIT_TEXT(fault.upstream_word, "word");
	}
}

static void strangers_are_explained(void)
{
	static const struct {
		int code;
		const char *location, *body, *words;
	} rows[] = {
		{302, "https://login.test/x?token=geheim", "",
		 "a redirect to login.test:443, which is not followed: is `url` right?"},
		{301, "/grafana/login?redirect=geheim", "", "a redirect to /grafana/login, which"},
		{307, NULL, "{}", "a redirect to nowhere"},
		{200, NULL, "\xef\xbb\xbf \n<!DOCTYPE html>geheim", "a page of HTML (HTTP 200), not JSON"},
		{502, NULL, "<html>", "a page of HTML (HTTP 502)"},
		{200, NULL, "geheim", "invalid or too deeply nested JSON"},
		{200, NULL, "", "an empty answer (HTTP 200)"},
		{404, NULL, "404 page not found",
		 "invalid or too deeply nested JSON (HTTP 404), \"404 page not found\""},
		{400, NULL, "Client sent an HTTP request to an HTTPS server.\n",
		 "\"Client sent an HTTP request to an HTTPS server.\": is `url` right?"},
		{400, NULL, "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title>",
		 "(HTTP 400), \"400 The plain HTTP request was sent to HTTPS port\", not JSON"},
		{429, NULL, "<html><title>Slow down</title>",
		 "limits requests at the moment (HTTP 429), \"Slow down\""},
		{429, NULL, "", "limits requests at the moment (HTTP 429)"},
		{503, NULL, "<html><title>Maintenance</title>", "(HTTP 503), \"Maintenance\""},
		{413, NULL, "<html><title>413 Request Entity Too Large</title>",
		 "does not accept so large a request (HTTP 413)"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grafana_fault fault = {0};
		grafana_explain_alien(rows[i].code, rows[i].location, "7", rows[i].body, "g:3000", &fault);
		if (fault.code != (rows[i].code == 429   ? 503
				   : rows[i].code == 413 ? 413
							 : 502) ||
		    strstr(fault.detail, rows[i].words) == NULL || strstr(fault.detail, "geheim") != NULL) {
			fprintf(stderr, "\n%d %s\n", fault.code, fault.detail);
			CU_FAIL();
		}
		CU_ASSERT(fault.upstream_status == rows[i].code && strncmp(fault.detail, "g:3000 ", 7) == 0);
		UNIT_TEXT(fault.retry_after, rows[i].code == 429 || rows[i].code == 503 ? "7" : "");
	}
}

static void faults_are_explained(void)
{
	static const struct {
		enum skymon_reason reason;
		int code;
	} rows[] = {{SKYMON_TIMEOUT, 504},     {SKYMON_PROTOCOL, 502},   {SKYMON_REFUSED, 503},
		    {SKYMON_UNREACHABLE, 503}, {SKYMON_DNS, 503},        {SKYMON_TLS_UNTRUSTED, 503},
		    {SKYMON_RESOURCE, 503},    {SKYMON_TLS_EXPIRED, 503}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct skymon_fault from = {
			.status = SKYMON_UNHEALTHY, .reason = rows[i].reason, .text = "g:1: why"};
		struct grafana_fault fault = {0};
		grafana_explain_fetch(&from, &fault);
		CU_ASSERT(fault.code == rows[i].code && fault.upstream_status == 0 &&
			  fault.reason == rows[i].reason);
		UNIT_TEXT(fault.detail, "Grafana cannot be asked: g:1: why");
	}
	const struct skymon_fault lost = {.reason = SKYMON_TIMEOUT, .sent = true, .text = "g:1: why"};
	struct grafana_fault fault = {0};

	grafana_explain_fetch(&lost, &fault);
	UNIT_TEXT(fault.detail, "Grafana's answer was not received: g:1: why");
}

static void problems_are_reported(void)
{
	struct grafana_ctx ctx = new_ctx();
	grafana_explain(409, "say \"no\"", NULL, NULL, "g", &ctx.fault);
	grafana_reword(&ctx, 409, "", "it is there");
	grafana_member(&ctx.fault, "uid", json_string("a\"b"));
	grafana_reply_fault(&ctx);
	CU_ASSERT(asked.answered && asked.code == 409 && asked.agains == 0);
	UNIT_TEXT(asked.detail, "it is there");
	UNIT_TEXT(asked.members,
		  "upstream_status=409\nupstream_message=\"say \\\"no\\\"\"\nuid=\"a\\\"b\"\n");
	ctx = new_ctx();
	grafana_invalid(&ctx.fault, "/a/0", "is wrong: %d %%", 7);
	grafana_reply_fault(&ctx);
	UNIT_TEXT(asked.detail, "/a/0 is wrong: 7 %");
	UNIT_TEXT(asked.members, "pointer=\"/a/0\"\n");
	/* a key that Grafana refuses is read again first, then reported */
	ctx = new_ctx();
	asked.again = true;
	grafana_explain(401, "no", NULL, NULL, "g", &ctx.fault);
	grafana_reply_fault(&ctx);
	CU_ASSERT(!asked.answered && asked.agains == 1);
	ctx = new_ctx();
	grafana_explain(401, "no", NULL, NULL, "g", &ctx.fault);
	grafana_reply_fault(&ctx);
	CU_ASSERT(asked.answered && asked.agains == 1 && asked.code == 502);
	ctx = new_ctx();
	grafana_explain(429, "no", NULL, "9, or so", "g", &ctx.fault);
	grafana_reply_fault(&ctx);
	UNIT_TEXT(asked.headers, "Retry-After: 1\n");
}

/* ---- Texts ---- */

static void bodies(void)
{
	static const struct {
		const char *text;
		int code; /* 0 if valid */
		const char *words;
	} rows[] = {
		{NULL, 400, "no body"},
		{"", 400, "no body"},
		{"{", 400, "line 1, column 1"},
		{"{\n  \"a\": 1,\n  \"b\" 2}", 400, "line 3, column 7"},
		{"{\"a\":1,\"a\":2}", 400, "duplicate"},
		{"{} {}", 400, "line 1"},
		{"{\n \"a\":18446744073709551616}", 400, "JSON that skymon cannot parse: line 2, column"},
		{"{\"a\":\"\\u0000\"}", 400, "JSON that skymon cannot parse: line 1"},
		{"\xff", 400, "line 1"},
		{"[]", 422, "must be a JSON object"},
		{"7", 422, "must be a JSON object"},
		{"null", 422, "must be a JSON object"},
		{"{}", 0, ""},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grafana_ctx ctx = new_ctx();
		asked.body = rows[i].text;
		json_t *body = grafana_body(&ctx);
		CU_ASSERT_EQUAL(body != NULL, rows[i].code == 0);
		CU_ASSERT_EQUAL(ctx.fault.code, rows[i].code);
		if (body == NULL && strstr(ctx.fault.detail, rows[i].words) == NULL) {
			fprintf(stderr, "\n%s: %s\n", rows[i].text, ctx.fault.detail);
			CU_FAIL();
		}
		json_decref(body);
	}
	struct grafana_ctx ctx = new_ctx();
	char deep[400];
	memset(deep, '[', 200);
	memset(deep + 200, ']', 199);
	deep[399] = '\0';
	asked.body = deep;
	CU_ASSERT_PTR_NULL(grafana_body(&ctx));
	CU_ASSERT_EQUAL(ctx.fault.code, 422);
}

static void texts(void)
{
	char out[40];
	json_t *numbers = json_loads("[0.1,1e300,5,-2.5,0.30000000000000004,1.0]", 0, NULL);
	CU_ASSERT(grafana_path(out, sizeof(out), "/x/", "a b/c%é", "?y"));
	UNIT_TEXT(out, "/x/a%20b%2Fc%25%C3%A9?y");
	CU_ASSERT_FALSE(grafana_path(out, sizeof(out), "/x/", "////////////", ""));
	CU_ASSERT_FALSE(grafana_path(out, 8, "/x/", "a", "bcdef"));
	CU_ASSERT(grafana_path(out, 8, "/x/", "", "bcde"));
	/* texts are cut between characters */
	grafana_clean("aéé", out, 5);
	UNIT_TEXT(out, "aé");
	grafana_clean("a\xc3", out, sizeof(out));
	UNIT_TEXT(out, "a");
	grafana_clean("\xed\xa0\x80z\xf5", out, sizeof(out));
	UNIT_TEXT(out, " z");
	char *printed = grafana_print(numbers);
	json_t *back = json_loads(printed, 0, NULL);
	CU_ASSERT(json_equal(numbers, back));
	CU_ASSERT_PTR_NOT_NULL(strstr(printed, "0.30000000000000004"));
	grafana_free_text(printed);
	json_array_remove(numbers, 4);
	printed = grafana_print(numbers);
	UNIT_TEXT(printed, "[0.1,1e300,5,-2.5,1.0]");
	grafana_free_text(printed);
	json_decref(numbers);
	json_decref(back);
	char uid[GRAFANA_UID_MAX + 1];
	/* equal for equal titles, different for others; each is a valid uid */
	grafana_make_uid("dashboard", "", "a", uid);
	char other[GRAFANA_UID_MAX + 1];
	grafana_make_uid("dashboard", "", "a", other);
	UNIT_TEXT(uid, other);
	CU_ASSERT_PTR_NULL(grafana_uid_fault(uid));
	grafana_make_uid("dashboard", "a", "", other);
	CU_ASSERT_STRING_NOT_EQUAL(uid, other);
	grafana_make_uid("rule", "", "a", other);
	CU_ASSERT_STRING_NOT_EQUAL(uid, other);
	CU_ASSERT_PTR_NOT_NULL(grafana_uid_fault(""));
	CU_ASSERT_PTR_NULL(grafana_uid_fault("aZ0-_"));
}

/* ---- Start ---- */

static void starts(void)
{
	static const struct {
		struct grafana options;
		const char *words; /* NULL if it starts */
	} rows[] = {
		{{.url = "http://g:3000/"}, NULL},
		{{.url = "https://u:geheim@g/grafana///", .api_key = {"key", 3}}, NULL},
		{{.url = "g:3000"}, "url "},
		{{.url = "http://g/?a=b"}, "url must end with its path"},
		{{.url = "http://g", .proxy = "nonsense"}, "proxy "},
		{{.url = "https://g", .api_key = {"geheim\nHost: x", 14}}, "api_key has"},
		{{.url = "https://g", .api_key = {"", 0}}, NULL}, /* reported where it is needed */
		{{.url = "http://g:3000", .api_key = {"key", 3}},
		 "url must begin with https://: without TLS"},
		{{.url = "http://g:3000", .api_key = {"key", 3}, .tls = {.insecure = true}}, NULL},
		{{.url = "http://localhost:3000", .api_key = {"key", 3}}, NULL},
		{{.url = "http://g", .write_access = {GRAFANA_TOKEN}}, "access_token is missing"},
		{{.url = "http://g", .read_access = {GRAFANA_TOKEN}, .access_token = {"", 0}},
		 "access_token is empty"},
		{{.url = "http://g",
		  .read_access = {GRAFANA_TOKEN},
		  .access_token = {"geheim geheim geheim", 20}},
		 "access_token has"},
		{{.url = "http://g", .read_access = {GRAFANA_TOKEN}, .access_token = {"geheim-15-bytes", 15}},
		 "access_token is shorter than 16 bytes"},
		{{.url = "http://g", .access_token = {"admin", 5}}, "access_token is shorter than 16 bytes"},
		{{.url = "http://g",
		  .write_access = {GRAFANA_TOKEN},
		  .access_token = {"sixteen-bytes-it", 16}},
		 NULL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grafana state = rows[i].options;
		struct skymon *sm = new_run();
		bool good = fake_start(&skymon_plugin, sm, &state);
		CU_ASSERT_EQUAL(good, rows[i].words == NULL);
		CU_ASSERT_PTR_NULL(strstr(fake.message, "geheim"));
		if (!good && (rows[i].words == NULL || strstr(fake.message, rows[i].words) == NULL)) {
			fprintf(stderr, "\n%s: %s\n", rows[i].options.url, fake.message);
			CU_FAIL();
		}
		CU_ASSERT_EQUAL(state.own != NULL, good);
		if (i == 1)
			UNIT_TEXT(state.own->base, "https://u:geheim@g/grafana");
		skymon_plugin.stop(sm, &state);
		CU_ASSERT_PTR_NULL(state.own);
	}
}

/* No request is sent before there is a key: it would be refused at once, with another message. */
static void no_key(void)
{
	struct grafana_ctx ctx = new_ctx();
	grafana = (struct grafana){.url = "http://127.0.0.1:1", .timeout = {1000}, .connect_timeout = {1000}};
	CU_ASSERT_FATAL(fake_start(&skymon_plugin, ctx.sm, &grafana));
	struct grafana_answer answer;
	CU_ASSERT_FALSE(grafana_ask(&ctx, "GET", "/api/org", NULL, &answer));
	CU_ASSERT(ctx.fault.code == 503 && strstr(ctx.fault.detail, "`api_key`") != NULL);
	CU_ASSERT_EQUAL(skymon_plugin.check(ctx.sm, &grafana), SKYMON_UNKNOWN);
	CU_ASSERT(fake.reason == SKYMON_AUTH_FAILED && strstr(fake.message, "`api_key`") != NULL);
	skymon_plugin.stop(ctx.sm, &grafana);
}

int main(void)
{
	return unit_run("grafana",
			(const struct unit_test[]){{"access is evaluated", access_is_evaluated},
						   {"enter", enter},
						   {"answers are explained", answers_are_explained},
						   {"strangers are explained", strangers_are_explained},
						   {"faults are explained", faults_are_explained},
						   {"problems are reported", problems_are_reported},
						   {"bodies", bodies},
						   {"texts", texts},
						   {"starts", starts},
						   {"no key", no_key},
						   {0}});
}
