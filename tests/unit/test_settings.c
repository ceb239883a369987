/* SPDX-License-Identifier: Apache-2.0 */
/* settings: the top level of the config: its meaning, and the message for every mistake. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "unit.h"

static const char *lookup(const char *variable)
{
	return strcmp(variable, "STATE_DIRECTORY") == 0 ? "/tmp:/elsewhere" : NULL;
}

static const char *read_only(const char *variable)
{
	return strcmp(variable, "STATE_DIRECTORY") == 0 ? "/proc/none/none" : NULL;
}

static struct settings *read_with(const char *text, config_lookup *variables, char **errors)
{
	struct err_list errs = {0};
	struct buf all = {0};
	buf_text(&all, "");
	struct config config;
	CU_ASSERT(config_parse("f", text, strlen(text), variables, &config, &errs));
	struct settings *settings = settings_new(&config, variables, &errs);
	CU_ASSERT_EQUAL(settings == NULL, errs.count > 0);
	for (size_t i = 0; i < errs.count; i++)
		buf_printf(&all, "%s%s", i > 0 ? "\n" : "", errs.texts[i]);
	err_list_free(&errs);
	*errors = all.data;
	return settings;
}

static struct settings *good(const char *text)
{
	char *errors = NULL;
	struct settings *settings = read_with(text, lookup, &errors);
	UNIT_TEXT(errors, "");
	free(errors);
	CU_ASSERT_PTR_NOT_NULL_FATAL(settings);
	return settings;
}

static void refuses(void)
{
	static const struct {
		const char *text, *errors;
	} cases[] = {
		{"lisen: 1", "f:1:1: unknown key `lisen` (did you mean `listen`?)"},
		{"what: 1", "f:1:1: unknown key `what`"},
		{"listen: 8080",
		 "f:1:9: `8080` is not an address to listen on: write 0.0.0.0:8080, [::]:8443, "
		 ":8080, unix:/path or systemd:NAME"},
		{"listen: 127.0.0.1:65536", "f:1:9: `127.0.0.1:65536` is not an address to listen on: write "
					    "0.0.0.0:8080, [::]:8443, :8080, unix:/path or systemd:NAME"},
		{"listen: host:80",
		 "f:1:9: `host` is not a numeric address: write 127.0.0.1, 0.0.0.0, [::] or localhost"},
		{"listen: unix:a", "f:1:9: `unix:a` must be an absolute path: unix:/run/skymon/http.sock"},
		{"listen: [':80', ':80']", "f:1:17: `:80` is listened on twice"},
		{"listen: [':80', '0.0.0.0:80']", "f:1:17: `0.0.0.0:80` is listened on twice"},
		{"listen: ['[::]:80', '*:80']", "f:1:21: `*:80` is listened on twice"},
		{"listen: [[]]",
		 "f:1:10: `listen` must be an address, a map with `address`, or a list of these"},
		{"listen: {adress: ':80'}",
		 "f:1:10: unknown option `adress` of listen (did you mean `address`?)\n"
		 "f:1:9: listen needs the option `address`"},
		{"listen: {address: ':80', tls: {cert_file: /c}}",
		 "f:1:31: `tls` of listen needs the option `key_file`"},
		{"plugins: []", "f:1:10: `plugins` must be a map of names"},
		{"plugins: {Bad: {}}", "f:1:11: `Bad` is not a valid plugin name: a-z, 0-9, _ and -"},
		{"plugins: {p: 1}", "f:1:14: plugin p must be a map of options; {} when it has none"},
		{"plugins: {p: {interval: 5, impact: bad, labels: {service: x}, warn: 5}}",
		 "f:1:25: option `interval` of plugin p is wrong: `5` has no unit: write 5s, 5m or 5ms\n"
		 "f:1:36: option `impact` of plugin p must be unhealthy, degraded or none, not `bad`\n"
		 "f:1:50: the label `service` is set by skymon itself\n"
		 "f:1:69: `warn` of plugin p must be a map of limits: {response_time: 200ms}"},
		{"components: a", "f:1:13: `components` must be a map of names"},
		{"components: {-a: {plugin: p}}",
		 "f:1:14: `-a` is not a valid component name: a-z and 0-9, with _ and - between, at most 63"},
		{"components: {self: {plugin: p}}",
		 "f:1:14: `self` is not a valid component name: it means the daemon itself"},
		{"components: {a: 1}", "f:1:17: component a must be a map of options"},
		{"components: {a: {}}", "f:1:17: component a needs the option `plugin`"},
		{"components: {a: }", "f:1:17: component a needs the option `plugin`"},
		{"components: {a: {plugin: A/b}}",
		 "f:1:26: `A/b` is not a valid plugin name: a-z, 0-9, _ and -"},
		{"components: {a: {plugin: p, interval: 99ms}}",
		 "f:1:39: option `interval` of component a must be 100ms to 7d, not 99ms"},
		{"components: {a: {plugin: p, timeout: 2h}}",
		 "f:1:38: option `timeout` of component a must be 1ms to 1h, not 2h"},
		{"components: {a: {plugin: p, impact: degrade}}",
		 "f:1:37: option `impact` of component a must be unhealthy, degraded or none, not `degrade` "
		 "(did you mean "
		 "`degraded`?)"},
		{"components: {a: {plugin: p, group: A}}",
		 "f:1:36: `A` is not a valid group name: a-z and 0-9, with _ and - between, at most 63"},
		{"components: {vault: {plugin: p}, b: {plugin: p, depends_on: [vault, valt]}, c: {plugin: p, depends_on: x}}",
		 "f:1:69: option `depends_on` of component b names `valt`, which is not a component (did you mean `vault`?)\n"
		 "f:1:104: option `depends_on` of component c names `x`, which is not a component"},
		{"components: {a: {plugin: p, depends_on: a}}",
		 "f:1:41: option `depends_on` of component a: a component cannot depend on itself (a, a)"},
		{"components: {a: {plugin: p, depends_on: [d, b]}, b: {plugin: p, depends_on: [c]}, c: {plugin: p, depends_on: [d, "
		 "a]}, d: {plugin: p}}",
		 "f:1:114: option `depends_on` of component c: a component cannot depend on itself (a, b, c, a)"},
		{"components: {a: {plugin: p, depends_on: [b]}, b: {plugin: p, depends_on: [a, b]}}",
		 "f:1:75: option `depends_on` of component b: a component cannot depend on itself (a, b, a)\n"
		 "f:1:78: option `depends_on` of component b: a component cannot depend on itself (b, b)"},
		{"components: {a: {plugin: p, depends_on: {b: 1}}}",
		 "f:1:41: option `depends_on` of component a must be a list of texts, not a map"},
		{"defaults: {depends_on: [net]}\ncomponents: {net: {plugin: p, depends_on: []}, a: {plugin: p}, b: {plugin: p, depends_on: a}}",
		 ""},
		{"defaults: {depends_on: [net]}\ncomponents: {net: {plugin: p}}",
		 "f:1:25: option `depends_on` of component net: a component cannot depend on itself (net, net)"},
		{"plugins: {g: {depends_on: [a, h]}, h: {}}\ncomponents: {a: {plugin: p}}",
		 "f:1:31: option `depends_on` of plugin g names `h`, which is not a component"},
		{"components: {a: {plugin: p, rise: 0, fall: 1001}}",
		 "f:1:35: option `rise` of component a must be 1 to 1000, not 0\n"
		 "f:1:44: option `fall` of component a must be 1 to 1000, not 1001"},
		{"components: {a: {plugin: p, labels: {component: x, 9: y, __a: z, le: 1}, warn: 5, crit: "
		 "[a]}}",
		 "f:1:38: the label `component` is set by skymon itself\n"
		 "f:1:52: `9` is not a valid label name: letters, digits and _, no digit and no __ first\n"
		 "f:1:58: `__a` is not a valid label name: letters, digits and _, no digit and no __ first\n"
		 "f:1:66: the label `le` is reserved: scrapers set it\n"
		 "f:1:80: `warn` of component a must be a map of limits: {response_time: 200ms}\n"
		 "f:1:89: `crit` of component a must be a map of limits: {response_time: 200ms}"},
		{"defaults: 5", "f:1:11: `defaults` must be a map of options"},
		{"defaults: {intervall: 5s}\ncomponents: {a: {plugin: p}, b: {plugin: p}}",
		 "f:1:12: unknown option `intervall` of defaults (did you mean `interval`?)"},
		{"defaults: {interval: 5}\ncomponents: {a: {plugin: p}, b: {plugin: p}}",
		 "f:1:22: option `interval` of defaults is wrong: `5` has no unit: write 5s, 5m or 5ms"},
		{"defaults: {p: {rise: x}}\ncomponents: {a: {plugin: p}}",
		 "f:1:22: option `rise` of defaults.p must be a whole number, not `x`"},
		{"defaults: {warn: {a: 1}}",
		 "f:1:12: `warn` has no default for all: give it to a component, or to a plugin as "
		 "defaults.PLUGIN"},
		{"service: {nam: x}", "f:1:11: unknown option `nam` of service (did you mean `name`?)"},
		{"service: {name: ''}", "f:1:17: service needs the option `name`"},
		{"service: {metrics: {total_request: self}}",
		 "f:1:21: unknown metric `total_request` of service.metrics (did you mean "
		 "`total_requests`?)"},
		{"service: {metrics: {total_requests: ngin}}\ncomponents: {nginx: {plugin: p}}",
		 "f:1:37: no such component: `ngin` (did you mean `nginx`?)"},
		{"service: {metrics: {cache_hit_rate_percent: self}}",
		 "f:1:45: the daemon does not measure cache_hit_rate_percent itself: name a component that "
		 "reports it"},
		{"limits: {connections: 0}",
		 "f:1:23: option `connections` of limits must be 1 to 100000, not 0"},
		{"limits: {worker_memory: 1KiB}",
		 "f:1:25: option `worker_memory` of limits must be 0 (no limit) or at least 16MiB"},
		{"log: {level: loud}",
		 "f:1:14: option `level` of log must be error, warn, info or debug, not `loud`"},
		{"log: debug", "f:1:6: log must be a map of options, not a text"},
		{"ready: {follow: itself}",
		 "f:1:17: option `follow` of ready must be components or self, not `itself` (did you mean "
		 "`self`?)"},
		{"shutdown: {drain: 5}",
		 "f:1:19: option `drain` of shutdown is wrong: `5` has no unit: write 5s, 5m or 5ms"},
		{"access: {public: [health]}", "f:1:9: access needs the option `token` or `users`"},
		{"access: {token: fifteen-bytes-x}",
		 "f:1:17: the token of `access` is shorter than 16 bytes, and could be guessed: make one "
		 "with `openssl rand -hex 16`"},
		{"access: {token: {vault: 'a#b'}}",
		 "f:1:17: the daemon's own token must be a text, {env: NAME} or {file: PATH}"},
		{"state_dir: [a]", "f:1:12: option `state_dir` of the top level must be a text, not a list"},
		{"plugin_path: {a: b}",
		 "f:1:14: option `plugin_path` of the top level must be a list of texts, not a map"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *errors = NULL;
		settings_free(read_with(cases[i].text, lookup, &errors));
		UNIT_TEXT(errors, cases[i].errors);
		free(errors);
	}
}

static void standard(void)
{
	struct settings *s = good("");
	CU_ASSERT_EQUAL_FATAL(s->listen_count, 1);
	UNIT_TEXT(s->listens[0]->host, "*");
	CU_ASSERT_EQUAL(s->listens[0]->port, 8080);
	UNIT_TEXT(s->service.name, "api");
	UNIT_TEXT(s->service.title, "api");
	UNIT_TEXT(s->places.state_dir, "/tmp");
	UNIT_TEXT(s->sources[5].component, "self");
	UNIT_TEXT(s->sources[6].component, NULL);
	CU_ASSERT_EQUAL(s->limits.worker_memory.count, 256 << 20);
	CU_ASSERT_EQUAL(s->limits.request_body.count, 1 << 20);
	CU_ASSERT_EQUAL(s->limits.header_timeout.ms, 10000);
	CU_ASSERT_EQUAL(s->shutdown.drain.ms, 0);
	CU_ASSERT_EQUAL(s->shutdown.timeout.ms, 10000);
	CU_ASSERT_EQUAL((enum log_level)s->log.level.index, LOG_LEVEL_INFO);
	CU_ASSERT_PTR_NULL(settings_token(s));
	CU_ASSERT_EQUAL(s->ready.follow.index, SETTINGS_FOLLOW_COMPONENTS);
	CU_ASSERT_EQUAL(s->plugin_folder_count, 1);
	settings_free(s);
	char *errors = NULL;
	s = read_with("", read_only, &errors);
	UNIT_TEXT(errors, "");
	UNIT_TEXT(s->places.state_dir, "");
	free(errors);
	settings_free(s);
}

static const char full[] = "x-h: &h {interval: 9s}\n"
			   "listen: [127.0.0.1:0, {address: '[::1]:8443', tls: {cert_file: /c, key_file: "
			   "/k}, routes: [health, ready]}, "
			   "'unix:/run/s.sock']\n"
			   "service: {name: shop, title: The Shop, version: '2.1', environment: test, "
			   "metrics: {database_connections: db}}\n"
			   "defaults: {interval: 20s, timeout: 2s, labels: {team: a}, q: {interval: 7s, "
			   "warn: {n: 1}, method: HEAD}}\n"
			   "plugins: {prometheus: , grafana: {timeout: 3s}}\n"
			   "components:\n"
			   "  db: {plugin: p, impact: none, unknown_is: unhealthy, rise: 2, fall: 3, "
			   "isolation: own, own_option: 1, "
			   "labels: {team: \"b\\\"\", x: '1'}}\n"
			   "  web: {plugin: q, crit: {m: 2}}\n"
			   "  third: {<<: *h, plugin: q, warn: {k: 1}}\n"
			   "plugin_path: /opt/plugins\nserver_names: [a, b]\nstate_dir: /var/x\n"
			   "access: {token: {file: /t}, public: [health]}\n"
			   "limits: {worker_memory: 0, connections: 50}\nlog: {level: debug, format: "
			   "json}\nready: {follow: self}\n"
			   "shutdown: {drain: 5s}\n";

static void reads(void)
{
	struct settings *s = good(full);
	CU_ASSERT_EQUAL_FATAL(s->listen_count, 3);
	CU_ASSERT_EQUAL(s->listens[0]->port, 0);
	UNIT_TEXT(s->listens[1]->host, "::1");
	UNIT_TEXT(s->listens[1]->tls.key_file, "/k");
	CU_ASSERT_EQUAL(s->listens[1]->entry.routes.count, 2);
	UNIT_TEXT(s->listens[2]->unix_path, "/run/s.sock");
	CU_ASSERT_EQUAL_FATAL(s->plugin_count, 2);
	CU_ASSERT_EQUAL_FATAL(s->component_count, 3);
	const struct settings_section *db = &s->components[0], *web = &s->components[1],
				      *third = &s->components[2];
	CU_ASSERT_EQUAL(db->interval_ms, 20000);
	CU_ASSERT_EQUAL(db->timeout_ms, 2000);
	CU_ASSERT_EQUAL(db->impact, SKYMON_IMPACT_NONE);
	CU_ASSERT(db->unknown_is_unhealthy && db->isolation_own);
	CU_ASSERT_EQUAL(db->rise, 2);
	CU_ASSERT_EQUAL(db->fall, 3);
	UNIT_TEXT(db->labels, "team=\"b\\\"\",x=\"1\"");
	CU_ASSERT_PTR_NULL(db->warn);
	CU_ASSERT_EQUAL(db->place->line, 7);
	CU_ASSERT_EQUAL(web->interval_ms, 7000);
	CU_ASSERT_EQUAL(web->timeout_ms, 2000);
	CU_ASSERT_EQUAL(web->impact, SKYMON_IMPACT_UNHEALTHY);
	UNIT_TEXT(web->labels, "team=\"a\"");
	CU_ASSERT_PTR_NOT_NULL(config_find(web->warn, "n"));
	CU_ASSERT_PTR_NOT_NULL(config_find(web->crit, "m"));
	CU_ASSERT_EQUAL(third->interval_ms, 9000);
	CU_ASSERT_PTR_NOT_NULL(config_find(third->warn, "k"));
	UNIT_TEXT(s->sources[6].component, "db");
	CU_ASSERT_EQUAL(s->plugin_folder_count, 2);
	UNIT_TEXT(s->plugin_folders[0], "/opt/plugins");
	UNIT_TEXT(s->places.state_dir, "/var/x");
	CU_ASSERT_PTR_NOT_NULL_FATAL(settings_token(s));
	UNIT_TEXT(settings_token(s)->text, "/t");
	CU_ASSERT_EQUAL(s->access.public.count, 1);
	CU_ASSERT_EQUAL(s->ready.follow.index, SETTINGS_FOLLOW_SELF);
	CU_ASSERT_EQUAL(s->limits.worker_memory.count, 0);
	CU_ASSERT_EQUAL(s->limits.connections, 50);
	CU_ASSERT_EQUAL((enum log_level)s->log.level.index, LOG_LEVEL_DEBUG);
	CU_ASSERT_EQUAL((enum log_format)s->log.format.index, LOG_FORMAT_JSON);
	CU_ASSERT_EQUAL(s->shutdown.drain.ms, 5000);
	settings_free(s);
}

/* A plugin with routes has the settings of a component; of `defaults` only the interval applies. */
static void serves(void)
{
	struct settings *s =
		good("defaults: {interval: 20s, timeout: 3s, impact: degraded, rise: 3, labels: {a: x}, q: "
		     "{fall: 2}}\n"
		     "plugins: {p: {}, q: {interval: 7s, impact: unhealthy, isolation: own, warn: {n: 1}}}\n"
		     "components: {c: {plugin: x}}\n");
	CU_ASSERT_EQUAL_FATAL(s->plugin_count, 2);
	const struct settings_section *p = &s->plugins[0], *q = &s->plugins[1], *c = &s->components[0];
	CU_ASSERT(p->serves && q->serves && !c->serves);
	UNIT_TEXT(p->plugin, "p");
	CU_ASSERT(p->interval_ms == 20000 && p->timeout_ms == 0);
	CU_ASSERT(p->impact == SKYMON_IMPACT_NONE && p->rise == 1 && p->fall == 1 && !p->isolation_own);
	UNIT_TEXT(p->labels, "");
	CU_ASSERT(q->interval_ms == 7000 && q->timeout_ms == 0);
	CU_ASSERT(q->impact == SKYMON_IMPACT_UNHEALTHY && q->rise == 1 && q->fall == 2 && q->isolation_own);
	CU_ASSERT_PTR_NOT_NULL(config_find(q->warn, "n"));
	CU_ASSERT(c->impact == SKYMON_IMPACT_DEGRADED && c->rise == 3);
	settings_free(s);
}

/* The printed settings are a valid config, and print to the same text. */
static void prints(void)
{
	struct settings *s = good(full);
	struct buf once = {0}, twice = {0};
	settings_print(s, &once);
	settings_free(s);
	buf_text(&once, "");
	struct buf whole = {0};
	buf_printf(&whole, "%scomponents: {db: {plugin: p}}\n", once.data);
	s = good(whole.data);
	settings_print(s, &twice);
	UNIT_TEXT(twice.data, once.data);
	CU_ASSERT_PTR_NOT_NULL(strstr(once.data, "    routes: [health, ready]\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(once.data, "access:\n  token: {file: /t}\n  public: [health]\n"));
	settings_free(s);
	buf_free(&once);
	buf_free(&twice);
	buf_free(&whole);
}

static void listens(void)
{
	static const struct {
		const char *text, *host;
		int port;
	} cases[] = {{"0.0.0.0:8080", "0.0.0.0", 8080},
		     {":80", "*", 80},
		     {"*:80", "*", 80},
		     {"localhost:1", "127.0.0.1", 1},
		     {"[::]:0", "::", 0},
		     {"::1:80", NULL, 0},
		     {"[1.2.3.4]:80", NULL, 0},
		     {"a:b", NULL, 0},
		     {"1.2.3.4:", NULL, 0},
		     {"", NULL, 0},
		     {"1.2.3.4:-1", NULL, 0},
		     {"systemd:web", "", 0},
		     {"systemd:", NULL, 0},
		     {"unix:", NULL, 0}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		struct settings_listen *listen = settings_listen_new(cases[i].text, &err);
		UNIT_TEXT(listen != NULL ? listen->host : NULL, cases[i].host);
		CU_ASSERT_EQUAL(listen != NULL ? listen->port : 0, cases[i].port);
		settings_listen_free(listen);
	}
}

static void add_change(void *arg, const char *key, enum settings_reload reload)
{
	buf_printf(arg, "%s%s%s", ((struct buf *)arg)->size > 0 ? " " : "", key,
		   reload == SETTINGS_RESTART ? "" : "+");
}

/* Each key of each table that does not apply at once is reported when its value changes; + : for workers. */
static void compares(void)
{
	static const struct {
		const char *old, *new, *changes;
	} cases[] = {
		{"", "", ""},
		{"", "listen: ':8080'\nuser: ''\nstate_dir: ''\nlimits: {idle_timeout: 75000ms}", ""},
		{"listen: ':80'", "listen: [{address: ':80'}]", ""},
		{"", "listen: ':81'", "listen[1].address"},
		{"", "listen: [':80', ':81']", "listen"},
		{"listen: [':1', ':2']", "listen: [':1', {address: ':2', routes: health}]",
		 "listen[2].routes"},
		{"listen: ':1'", "listen: {address: ':1', tls: {cert_file: /c, key_file: /k}}",
		 "listen[1].tls.cert_file listen[1].tls.key_file"},
		{"listen: {address: ':1', tls: {cert_file: /c, key_file: /k, client_ca_file: /a}}",
		 "listen: {address: ':1', tls: {cert_file: /c, key_file: /k, client_ca_file: /b, "
		 "client_crl_file: /l, client_names: [n]}}",
		 "listen[1].tls.client_ca_file listen[1].tls.client_crl_file listen[1].tls.client_names"},
		{"", "state_dir: /x", "state_dir"},
		{"user: '0'", "user: '1'", "user"},
		{"limits: {connections: 5}", "limits: {connections: 6, connections_per_address: 6}",
		 "limits.connections limits.connections_per_address"},
		{"", "limits: {idle_timeout: 5s}", "limits.idle_timeout"},
		{"", "limits: {worker_memory: 1GiB, series: 5}", "limits.worker_memory+ limits.series+"},
		{"",
		 "limits: {request_body: 5KiB, checks_at_once: 5, checks_per_address: 5, header_timeout: "
		 "5s}\n"
		 "log: {level: warn}\nready: {follow: self}\nshutdown: {drain: 5s}\nservice: {name: x}\n"
		 "access: {token: 0123456789abcdef}\nlocal_users: ['0']\nserver_names: a\nisolation: strict",
		 ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct settings *old = good(cases[i].old), *new = good(cases[i].new);
		struct buf changes = {0};
		buf_text(&changes, "");
		settings_compare(old, new, add_change, &changes);
		UNIT_TEXT(changes.data, cases[i].changes);
		buf_free(&changes);
		settings_free(old);
		settings_free(new);
	}
}

int main(void)
{
	return unit_run("settings", (const struct unit_test[]){{"refuses", refuses},
							       {"standard", standard},
							       {"reads", reads},
							       {"serves", serves},
							       {"prints", prints},
							       {"listens", listens},
							       {"compares", compares},
							       {0}});
}
