/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus: the encoder with a host that is a table of facts. Every byte of both formats is recorded in
 * prometheus.txt and prometheus.openmetrics (SKYMON_FREEZE=1 rewrites them; read the difference then). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prometheus.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

extern const struct skymon_plugin skymon_plugin;

/* ---- The host ---- */

struct skymon_request {
	const char *accept, *type;
	char *body;
	size_t size, parts;
	int answers, code;
	uint64_t generation;
	void (*done)(void *);
	void *argument;
};

struct host {
	struct skymon sm; /* the first member */
	struct skymon_snapshot snapshot;
	struct skymon_self self;
	int snapshots_out, requests_out;
	char log[2000];
};

static void host_log(struct skymon *sm, int level, const char *text, size_t size)
{
	struct host *host = (struct host *)sm;
	size_t used = strlen(host->log);
	(void)level;
	snprintf(host->log + used, sizeof(host->log) - used - 1, "%.*s", (int)size, text);
	strcat(host->log, "\n");
}

static size_t host_print(double value, char *text, size_t size)
{
	return (size_t)snprintf(text, size, "%.15g", value);
}

static const char *host_header(struct skymon_request *rq, const char *name)
{
	return strcmp(name, "Accept") == 0 ? rq->accept : NULL;
}

static void host_reply_parts(struct skymon_request *rq, int code, const char *type,
			     const struct skymon_part *parts, size_t count, uint64_t generation,
			     void (*done)(void *), void *argument)
{
	rq->generation = generation;
	rq->answers++;
	rq->code = code;
	rq->type = type;
	rq->parts = count;
	for (size_t i = 0; i < count; i++) {
		rq->body = realloc(rq->body, rq->size + parts[i].size + 1);
		memcpy(rq->body + rq->size, parts[i].bytes, parts[i].size);
		rq->size += parts[i].size;
		rq->body[rq->size] = '\0';
	}
	rq->done = done;
	rq->argument = argument;
}

static const struct skymon_snapshot *host_snapshot(struct skymon *sm)
{
	((struct host *)sm)->snapshots_out++;
	return &((struct host *)sm)->snapshot;
}

static void host_release(struct skymon *sm, const struct skymon_snapshot *snapshot)
{
	CU_ASSERT_PTR_EQUAL(snapshot, &((struct host *)sm)->snapshot);
	((struct host *)sm)->snapshots_out--;
}

static const struct skymon_self *host_self(struct skymon *sm)
{
	return &((struct host *)sm)->self;
}

static const struct skymon_host host_table = {
	.size = sizeof(host_table),
	.log = host_log,
	.print = host_print,
	.request_header = host_header,
	.reply_parts = host_reply_parts,
	.snapshot = host_snapshot,
	.release = host_release,
	.self = host_self,
};

/* ---- The facts ---- */

static const struct skymon_http_count counts[] = {
	{sizeof(counts[0]), "/api/v1/health", "GET", 200, 12},
	{sizeof(counts[0]), "/api/v1/health", "GET", 503, 3},
	{sizeof(counts[0]), "", "GET", 404, 1},
};
static const struct skymon_http_count *const count_rows[] = {&counts[0], &counts[1], &counts[2]};
static const double bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5};
static const uint64_t buckets[] = {5, 0, 4, 3, 0, 0, 2, 0, 0, 0, 0, 1};
static const struct skymon_http_time times[] = {
	{sizeof(times[0]), "/api/v1/health", 16, buckets, 1.25},
};
static const struct skymon_http_time *const time_rows[] = {&times[0]};
static const struct skymon_plugin_state plugins[] = {
	{sizeof(plugins[0]), "prometheus", "1.0", "daemon", 0, 1, true, 0},
	{sizeof(plugins[0]), "tcp", "2.\"x\"", "shared", 0, 1, false, 7},
};
static const struct skymon_plugin_state *const plugin_rows[] = {&plugins[0], &plugins[1]};
static const struct skymon_source sources[] = {
	{sizeof(sources[0]), true, false, "active_connections", 3},
	{sizeof(sources[0]), true, true, "total_requests", 16},
	{sizeof(sources[0]), true, false, "error_rate_percent", 6.25},
	{sizeof(sources[0]), true, false, "average_response_time_ms", 0.5},
	{sizeof(sources[0]), true, false, "memory_usage_mb", 5.767168},
	{sizeof(sources[0]), true, false, "cpu_usage_percent", 0},
	{sizeof(sources[0]), true, false, "database_connections", 42},
	{sizeof(sources[0]), false, false, "cache_hit_rate_percent", 0}, /* never measured */
};
static const struct skymon_source *const source_rows[] = {&sources[0], &sources[1], &sources[2], &sources[3],
							  &sources[4], &sources[5], &sources[6], &sources[7]};

static void set_up(struct host *host)
{
	*host = (struct host){.sm = {&host_table}};
	host->self = (struct skymon_self){
		.size = sizeof(host->self),
		.version = "0.1.0",
		.compiler = "gcc 12.2.0",
		.service = "api",
		.service_version = "2.1",
		.now_ms = 1700000000000,
		.started_ms = 1699990000250,
		.loop_lag_seconds = 0.002,
		.resident_bytes = 5767168,
		.open_fds = 21,
		.max_fds = 4096,
		.isolation = SKYMON_CONFINES_FILES | SKYMON_CONFINES_SIGNALS,
		.cpu_seconds = 1.5,
		.reload_ok = true,
		.reload_time_ms = 1699999999500,
		.sources = source_rows,
		.source_count = COUNT(source_rows),
		.bucket_seconds = bounds,
		.bucket_count = COUNT(bounds),
		.http_counts = count_rows,
		.http_count_count = COUNT(count_rows),
		.http_times = time_rows,
		.http_time_count = COUNT(time_rows),
		.plugins = plugin_rows,
		.plugin_count = COUNT(plugin_rows),
	};
	host->snapshot = (struct skymon_snapshot){
		.size = sizeof(host->snapshot), .status = SKYMON_DEGRADED, .generation = 1};
}

/* Makes a family from series given as "labels|value" texts. */
struct family {
	struct skymon_family view;
	unsigned char bytes[512];
};

static void set_family(struct family *family, int type, const char *name, const char *help,
		       const char *const *series, size_t count)
{
	family->view = (struct skymon_family){.size = sizeof(family->view),
					      .type = type,
					      .name = name,
					      .help = help,
					      .series = family->bytes,
					      .series_count = (uint32_t)count};
	unsigned char *at = family->bytes;
	for (size_t i = 0; i < count; i++) {
		const char *bar = strchr(series[i], '|');
		size_t labels = (size_t)(bar - series[i]), value = strlen(bar + 1);
		*at++ = (unsigned char)labels;
		*at++ = (unsigned char)(labels >> 8);
		*at++ = (unsigned char)value;
		memcpy(at, series[i], labels);
		memcpy(at + labels, bar + 1, value);
		at += labels + value;
	}
	family->view.series_size = (size_t)(at - family->bytes);
}

static uint64_t next_id = 1;

static struct skymon_result result_of(int status, const struct skymon_family *const *families, size_t count)
{
	return (struct skymon_result){.size = sizeof(struct skymon_result),
				      .status = status,
				      .reason = SKYMON_OK,
				      .reason_word = "ok",
				      .id = next_id++,
				      .time_ms = 1699999990250,
				      .duration_us = 1500,
				      .message = "fine",
				      .details = "{}",
				      .families = families,
				      .family_count = count};
}

static struct skymon_component component_of(const char *name, const struct skymon_result *result)
{
	return (struct skymon_component){.size = sizeof(struct skymon_component),
					 .status = result != NULL ? result->status : SKYMON_UNKNOWN,
					 .configured = true,
					 .starting = result == NULL,
					 .name = name,
					 .plugin = "tcp",
					 .message = "fine",
					 .labels = "",
					 .group = "",
					 .because_of = "",
					 .reason = result != NULL ? result->reason : SKYMON_STARTING,
					 .reason_word = result != NULL ? result->reason_word : "starting",
					 .since_ms = result != NULL ? 1699999000000 : 0,
					 .last_success_ms = result != NULL ? 1699999960125 : 0,
					 .interval_ms = 30000,
					 .checks_total = result != NULL ? 10 : 0,
					 .failures_total = result != NULL ? 2 : 0,
					 .shown = result,
					 .latest = result};
}

/* ---- Requests ---- */

static const char openmetrics[] = "application/openmetrics-text;version=1.0.0";

static void ask(struct host *host, void *state, struct skymon_request *rq, const char *accept)
{
	*rq = (struct skymon_request){.accept = accept};
	skymon_plugin.routes[0]->handle(&host->sm, state, rq);
	CU_ASSERT_EQUAL(rq->answers, 1);
	CU_ASSERT_EQUAL(rq->code, 200);
	CU_ASSERT_EQUAL(host->snapshots_out, 0);
}

static void answered(struct skymon_request *rq)
{
	rq->done(rq->argument);
	free(rq->body);
}

static void *start(struct host *host)
{
	void *state = calloc(1, skymon_plugin.state_size);
	CU_ASSERT(skymon_plugin.start(&host->sm, state));
	return state;
}

static void stop(struct host *host, void *state)
{
	skymon_plugin.stop(&host->sm, state);
	free(state);
}

/* Masks the encoder's own time: the only line that differs in each run. */
static void mask_scrape(struct skymon_request *rq)
{
	char *line = rq->body != NULL ? strstr(rq->body, "\nskymon_scrape_duration_seconds ") : NULL;
	if (line == NULL)
		return;
	char *value = strchr(line, ' ') + 1, *end = strchr(value, '\n');
	memmove(value + 1, end, strlen(end) + 1);
	*value = '0';
	rq->size = strlen(rq->body);
}

static void compare_with(const char *file, const struct skymon_request *rq)
{
	char path[1000], frozen[30000] = "";
	const char *folder = getenv("srcdir");
	snprintf(path, sizeof(path), "%s/tests/unit/%s", folder != NULL ? folder : ".", file);
	FILE *stream = fopen(path, getenv("SKYMON_FREEZE") != NULL ? "w+" : "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
	if (getenv("SKYMON_FREEZE") != NULL) {
		fwrite(rq->body, 1, rq->size, stream);
		rewind(stream);
	}
	frozen[fread(frozen, 1, sizeof(frozen) - 1, stream)] = '\0';
	fclose(stream);
	UNIT_TEXT(rq->body, frozen);
}

/* ---- Tests ---- */

static void frozen(void)
{
	size_t by_component = 0;
	for (size_t i = 0; i < own_count; i++)
		by_component += own_families[i].print_component != NULL;
	CU_ASSERT_EQUAL(by_component, OWN_COMPONENT); /* the room of a record */
	struct host host;
	set_up(&host);
	static struct family disk, hits, bare;
	set_family(&disk, SKYMON_GAUGE, "skymon_host_disk_free_bytes", "Free\\space\nof \"it\"",
		   (const char *[]){"mount=\"/\"|1e+20", "mount=\"/a\\\\b\\\"c\\nd\",type=\"ext4\"|0.25"}, 2);
	set_family(&hits, SKYMON_COUNTER, "team_hits_total", "Hits", (const char *[]){"|7"}, 1);
	set_family(&bare, SKYMON_GAUGE, "a_bare_value", "", (const char *[]){"|NaN"}, 1);
	const struct skymon_family *const one[] = {&disk.view, &hits.view};
	const struct skymon_family *const two[] = {&hits.view, &bare.view, &disk.view};
	struct skymon_result first = result_of(SKYMON_HEALTHY, one, 2),
			     second = result_of(SKYMON_UNHEALTHY, two, 3);
	struct skymon_component components[] = {component_of("orders", &first),
						component_of("host-1", &second), component_of("vault", NULL),
						component_of("cache", NULL)};
	static const struct skymon_value values[] = {{sizeof(values[0]), "connections_used", "0.25", 0.25},
						     {sizeof(values[0]), "query_value_orders", "12", 12}};
	static const struct skymon_value *const numbers[] = {&values[0], &values[1]};
	first.numbers = numbers;
	first.number_count = 2;
	components[1].reason = SKYMON_REFUSED;
	components[1].reason_word = "refused";
	components[1].last_success_ms = 0; /* never */
	components[1].labels = "team=\"x\\\"y\",type=\"mine\"";
	components[1].group = "payments";
	components[1].because_of = "vault";
	components[1].maintenance =
		&(struct skymon_maintenance){sizeof(struct skymon_maintenance), "disks", "root", 1, 2};
	components[2].configured = components[2].starting = false;
	const struct skymon_component *rows[] = {&components[0], &components[1], &components[2],
						 &components[3]};
	host.snapshot.components = rows;
	host.snapshot.count = 4;
	void *state = start(&host);
	struct skymon_request rq;
	ask(&host, state, &rq, NULL);
	CU_ASSERT_PTR_NULL(strstr(rq.body, "skymon_scrape_duration_seconds")); /* no result yet */
	answered(&rq);
	ask(&host, state, &rq, "*/*");
	mask_scrape(&rq);
	UNIT_TEXT(rq.type, "text/plain; version=0.0.4; charset=utf-8");
	compare_with("prometheus.txt", &rq);
	answered(&rq);
	ask(&host, state, &rq, openmetrics);
	mask_scrape(&rq);
	UNIT_TEXT(rq.type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
	compare_with("prometheus.openmetrics", &rq);
	answered(&rq);
	UNIT_TEXT(host.log, "");
	stop(&host, state);
}

static void formats(void)
{
	static const struct {
		const char *accept;
		enum format expected;
	} rows[] = {
		{NULL, FORMAT_TEXT},
		{"", FORMAT_TEXT},
		{"*/*", FORMAT_TEXT},
		{"text/html", FORMAT_TEXT}, /* never 406 */
		{"application/json", FORMAT_TEXT},
		{openmetrics, FORMAT_OPENMETRICS},
		{"Application/OpenMetrics-Text", FORMAT_OPENMETRICS},
		{"application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", FORMAT_OPENMETRICS},
		{"application/openmetrics-text;version=0.0.1", FORMAT_TEXT},
		{"application/openmetrics-text;version=1.0.0;q=0", FORMAT_TEXT},
		{"application/openmetrics-text;version=1.0.0;q=0,text/plain;q=0", FORMAT_TEXT},
		/* Prometheus 2.42 */
		{"application/openmetrics-text;version=1.0.0,application/"
		 "openmetrics-text;version=0.0.1;q=0.75,"
		 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 FORMAT_OPENMETRICS},
		/* Prometheus 3 */
		{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		 "application/openmetrics-text;version=0.0.1;q=0.5,text/"
		 "plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
		 "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		 FORMAT_OPENMETRICS},
		{"text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5",
		 FORMAT_TEXT},
		{"text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.51",
		 FORMAT_OPENMETRICS},
		{"text/plain, application/openmetrics-text", FORMAT_TEXT},
		{"application/openmetrics-text, */*", FORMAT_OPENMETRICS},
		{"application/openmetrics-text;q=0.1, */*;q=0.5", FORMAT_TEXT},
		{"text/*;q=0.2, application/*;q=0.3", FORMAT_OPENMETRICS},
		{"text/plain;q=0, */*", FORMAT_OPENMETRICS}, /* the more specific range wins */
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", FORMAT_TEXT},
		{";;;=,,\"", FORMAT_TEXT},
		{"application/openmetrics-text;version=\"1.0.0", FORMAT_OPENMETRICS},
		{"application/openmetrics-text;q", FORMAT_OPENMETRICS},
		{"application/openmetrics-text;q=x", FORMAT_TEXT},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (accept_format(rows[i].accept) != rows[i].expected)
			fprintf(stderr, "\nAccept: %s\n", rows[i].accept);
		CU_ASSERT_EQUAL(accept_format(rows[i].accept), rows[i].expected);
	}
}

/* One gauge or counter for each component, of value 1; which lines stand in the end? */
static void conflicts(void)
{
	static const struct {
		int first_type;
		const char *first;
		int second_type;
		const char *second;
		bool first_kept, second_kept;
	} rows[] = {
		{SKYMON_GAUGE, "x", SKYMON_GAUGE, "x", true, true},
		{SKYMON_GAUGE, "x_total", SKYMON_COUNTER, "x_total", true, false},
		{SKYMON_COUNTER, "x_total", SKYMON_GAUGE, "x_total", true, false},
		{SKYMON_COUNTER, "x_total", SKYMON_COUNTER, "x_total", true, true},
		{SKYMON_COUNTER, "x", SKYMON_COUNTER, "x_total", false, true},
		{7, "x", SKYMON_GAUGE, "y", false, true},
		/* x_total and x are one family in OpenMetrics */
		{SKYMON_COUNTER, "x_total", SKYMON_GAUGE, "x", true, false},
		{SKYMON_GAUGE, "x", SKYMON_COUNTER, "x_total", true, false},
		{SKYMON_COUNTER, "x_total", SKYMON_GAUGE, "x_created", true, false},
		{SKYMON_GAUGE, "x_created", SKYMON_COUNTER, "x_total", true, false},
		{SKYMON_COUNTER, "x_total", SKYMON_COUNTER, "x_total_total", true, false},
		/* ours come first */
		{SKYMON_GAUGE, "skymon_up", SKYMON_GAUGE, "sky_genesis_memory_usage_mb", false, false},
		{SKYMON_COUNTER, "skymon_up_total", SKYMON_GAUGE, "skymon_http_requests", false, false},
		{SKYMON_GAUGE, "skymon_http_request_duration_seconds_bucket", SKYMON_GAUGE,
		 "skymon_http_requests_created", false, false},
		{SKYMON_GAUGE, "process_resident_memory_bytes", SKYMON_COUNTER, "process_cpu_seconds_total",
		 true, true},
		{SKYMON_COUNTER, "process_resident_memory_bytes_total", SKYMON_GAUGE,
		 "process_cpu_seconds_total", false, false},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct host host;
		static struct family families[2];
		set_up(&host);
		set_family(&families[0], rows[i].first_type, rows[i].first, "h", (const char *[]){"|1"}, 1);
		set_family(&families[1], rows[i].second_type, rows[i].second, "h", (const char *[]){"|1"}, 1);
		const struct skymon_family *const lists[2][1] = {{&families[0].view}, {&families[1].view}};
		struct skymon_result results[] = {result_of(SKYMON_HEALTHY, lists[0], 1),
						  result_of(SKYMON_HEALTHY, lists[1], 1)};
		struct skymon_component components[] = {component_of("a", &results[0]),
							component_of("b", &results[1])};
		const struct skymon_component *list[] = {&components[0], &components[1]};
		host.snapshot.components = list;
		host.snapshot.count = 2;
		void *state = start(&host);
		struct skymon_request rq;
		ask(&host, state, &rq, NULL);
		char lines[2][200];
		snprintf(lines[0], sizeof(lines[0]), "\n%s{component=\"a\"} 1\n", rows[i].first);
		snprintf(lines[1], sizeof(lines[1]), "\n%s{component=\"b\"} 1\n", rows[i].second);
		char dropped[100];
		snprintf(dropped, sizeof(dropped), "\nskymon_metrics_dropped_total %d\n",
			 !rows[i].first_kept + !rows[i].second_kept);
		if ((strstr(rq.body, lines[0]) != NULL) != rows[i].first_kept ||
		    (strstr(rq.body, lines[1]) != NULL) != rows[i].second_kept)
			fprintf(stderr, "\nrow %zu: %s, %s\n", i, rows[i].first, rows[i].second);
		CU_ASSERT_EQUAL(strstr(rq.body, lines[0]) != NULL, rows[i].first_kept);
		CU_ASSERT_EQUAL(strstr(rq.body, lines[1]) != NULL, rows[i].second_kept);
		CU_ASSERT_PTR_NOT_NULL(strstr(rq.body, dropped));
		CU_ASSERT_EQUAL(strstr(host.log, "of component a is left out: ") == NULL, rows[i].first_kept);
		CU_ASSERT_EQUAL(strstr(host.log, "of component b is left out: ") == NULL,
				rows[i].second_kept);
		char head[200];
		snprintf(head, sizeof(head), "# TYPE %s ", rows[i].first);
		char *type = strstr(rq.body, head);
		CU_ASSERT(type == NULL || strstr(type + 1, head) == NULL); /* each head once */
		answered(&rq);
		stop(&host, state);
	}
}

static size_t times_of(const char *text, const char *part)
{
	size_t count = 0;
	for (; (text = strstr(text, part)) != NULL; text++)
		count++;
	return count;
}

static void conflicts_are_reported_once(void)
{
	struct host host;
	static struct family families[2];
	set_up(&host);
	set_family(&families[0], SKYMON_GAUGE, "x_total", "h", (const char *[]){"|1"}, 1);
	set_family(&families[1], SKYMON_COUNTER, "x_total", "h", (const char *[]){"|1"}, 1);
	const struct skymon_family *const lists[2][1] = {{&families[0].view}, {&families[1].view}};
	struct skymon_result results[] = {result_of(SKYMON_HEALTHY, lists[0], 1),
					  result_of(SKYMON_HEALTHY, lists[1], 1)};
	struct skymon_component components[] = {component_of("a", &results[0]),
						component_of("b", &results[1])};
	const struct skymon_component *list[] = {&components[0], &components[1]};
	host.snapshot.components = list;
	host.snapshot.count = 2;
	void *state = start(&host);
	struct skymon_request rq;
	static const struct {
		int new_result;                /* of component b */
		size_t count, logged, dropped; /* components; lines of the log; the counter */
	} steps[] = {
		{false, 2, 1, 1},
		{false, 2, 1, 1},
		{true, 2, 1, 2},
		{true, 2, 1, 3},
	};
	for (size_t i = 0; i < COUNT(steps); i++) {
		if (steps[i].new_result)
			results[1].id = next_id++;
		host.snapshot.generation++;
		ask(&host, state, &rq, NULL);
		char counter[100];
		snprintf(counter, sizeof(counter), "\nskymon_metrics_dropped_total %zu\n", steps[i].dropped);
		CU_ASSERT_PTR_NOT_NULL(strstr(rq.body, counter));
		CU_ASSERT_EQUAL(times_of(host.log, "left out"), steps[i].logged);
		answered(&rq);
	}
	/* The first component disappears: b's is used. It returns: a new occurrence. */
	host.snapshot.components = &list[1];
	host.snapshot.count = 1;
	host.snapshot.generation++;
	ask(&host, state, &rq, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(rq.body, "\n# TYPE x_total counter\nx_total{component=\"b\"} 1\n"));
	answered(&rq);
	host.snapshot.components = list;
	host.snapshot.count = 2;
	host.snapshot.generation++;
	ask(&host, state, &rq, NULL);
	CU_ASSERT_EQUAL(times_of(host.log, "left out"), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(rq.body, "\nskymon_metrics_dropped_total 4\n"));
	answered(&rq);
	stop(&host, state);
}

/* A body being sent stays unchanged while results, labels and components change. */
static void replies_outlive_changes(void)
{
	struct host host;
	static struct family big;
	static const char *const series[] = {"n=\"1\"|1", "n=\"2\"|2"};
	set_up(&host);
	set_family(&big, SKYMON_GAUGE, "x", "h", series, 2);
	const struct skymon_family *const families[] = {&big.view};
	struct skymon_result result = result_of(SKYMON_HEALTHY, families, 1);
	struct skymon_component component = component_of("a", &result);
	const struct skymon_component *list[] = {&component};
	host.snapshot.components = list;
	host.snapshot.count = 1;
	void *state = start(&host);
	struct skymon_request early;
	ask(&host, state, &early, NULL);
	struct skymon_request again;
	ask(&host, state, &again, openmetrics);
	CU_ASSERT(early.generation != 0 && early.generation != again.generation);
	set_family(&big, SKYMON_GAUGE, "x", "h", (const char *[]){"n=\"3\"|3"}, 1);
	result.id = next_id++;
	component.labels = "team=\"t\"";
	host.snapshot.generation++;
	struct skymon_request later;
	ask(&host, state, &later, NULL);
	CU_ASSERT(later.generation != early.generation && later.generation != again.generation);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(early.body, "\nx{component=\"a\",n=\"1\"} 1\nx{component=\"a\",n=\"2\"} 2\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(later.body, "\nx{component=\"a\",team=\"t\",n=\"3\"} 3\n"));
	CU_ASSERT_PTR_NULL(strstr(later.body, "n=\"1\"")); /* no stale series */
	component.labels = "team=\"u\""; /* a reload with other labels and the same result */
	component.status = SKYMON_UNHEALTHY;
	host.snapshot.generation++;
	answered(&early);
	struct skymon_request last;
	ask(&host, state, &last, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(last.body, "\nx{component=\"a\",team=\"u\",n=\"3\"} 3\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.body, "\nskymon_component_up{component=\"a\"} 0\n"));
	answered(&last);
	host.snapshot.count = 0;
	host.snapshot.generation++;
	ask(&host, state, &last, NULL);
	CU_ASSERT_PTR_NULL(strstr(last.body, "component=")); /* its series go with it */
	stop(&host, state);                                  /* before the replies are sent */
	answered(&last);
	answered(&later);
	answered(&again);
}

int main(void)
{
	return unit_run("prometheus", (const struct unit_test[]){
					      {"frozen", frozen},
					      {"formats", formats},
					      {"conflicts", conflicts},
					      {"conflicts are reported once", conflicts_are_reported_once},
					      {"replies outlive changes", replies_outlive_changes},
					      {NULL, NULL},
				      });
}
