/* SPDX-License-Identifier: Apache-2.0 */
/* cache: parsing of INFO, the hit rate of an interval, the server's errors without any piece of a secret, and
 * refused URLs. Redis itself: tests/live/test_cache.py. */
#include "fake_host.h"
#include "unit.h"

#include "../../plugins/cache/cache.h"

extern const struct skymon_plugin skymon_plugin;

/* ---- INFO ---- */

static const char primary[] =
	"# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nuptime_in_seconds:12\r\n\r\n# "
	"Clients\r\nconnected_clients:3\r\n"
	"maxclients:10000\r\nblocked_clients:0\r\n# Memory\r\nused_memory:1000\r\nused_memory_human:1000B\r\n"
	"maxmemory:4000\r\nmaxmemory_policy:allkeys-lru\r\n# "
	"Stats\r\nkeyspace_hits:3\r\nkeyspace_misses:1\r\n"
	"evicted_keys:0\r\n# Replication\r\nrole:master\r\nconnected_slaves:3\r\n"
	"slave0:ip=127.0.0.1,port=7001,state=online,offset=90,lag=1\r\n"
	"slave1:ip=127.0.0.1,port=7002,state=online,offset=40,lag=0\r\n"
	"slave2:ip=127.0.0.1,port=7003,state=wait_bgsave,offset=0,lag=500\r\n"
	"master_repl_offset:100\r\n# "
	"Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb12:keys=2,expires=0,avg_ttl=0\r\n";

static void info_of_a_primary(void)
{
	struct cache_info info;
	CU_ASSERT_FATAL(cache_info_parse(primary, &info));
	UNIT_TEXT(info.product, "Redis");
	UNIT_TEXT(info.version, "7.0.15");
	UNIT_TEXT(info.policy, "allkeys-lru");
	CU_ASSERT(info.role == CACHE_PRIMARY && info.keys == 7);
	CU_ASSERT(info.has[CACHE_MEMORY] && info.of[CACHE_MEMORY] == 1000 &&
		  info.of[CACHE_MAX_MEMORY] == 4000);
	CU_ASSERT(info.of[CACHE_CLIENTS] == 3 && !info.has[CACHE_EXPIRED]);
	/* the slowest of those that are online */
	CU_ASSERT(info.replicas_online == 2 && info.has_lag && info.lag_seconds == 1 && info.lag_bytes == 60);
}

static void info_of_others(void)
{
	struct cache_info info;
	CU_ASSERT(
		cache_info_parse("redis_version:7.2.4\nserver_name:valkey\nvalkey_version:8.0.1\nrole:slave\n"
				 "master_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:down\n"
				 "master_last_io_seconds_ago:-1\nmaster_link_down_since_seconds:7",
				 &info));
	UNIT_TEXT(info.product, "Valkey");
	UNIT_TEXT(info.version, "8.0.1");
	UNIT_TEXT(info.primary, "10.0.0.1:6379");
	CU_ASSERT(info.role == CACHE_REPLICA && info.links == 1 && info.links_down == 1 && !info.has_lag);
	CU_ASSERT(!info.has[CACHE_LAST_IO] && info.of[CACHE_DOWN_SINCE] == 7); /* -1 if unknown */
	/* no numbers, no words: absent or cleaned */
	CU_ASSERT(cache_info_parse(
		"redis_version:1\x1b[31m\xff.2\r\nused_memory:abc\r\nmaxmemory:1e999\r\nuptime_in_seconds:"
		"-5\r\nconnected_clients:0x10\r\nkeyspace_hits:\r\nkeyspace_misses\r\n:\r\nrole:king\r\n"
		"slave0:state=online\r\ndb0:\r\n",
		&info));
	UNIT_TEXT(info.version, "131m.2");
	for (int i = 0; i < CACHE_FIELDS; i++)
		CU_ASSERT(!info.has[i]);
	CU_ASSERT(info.role == CACHE_OTHER_ROLE);
	UNIT_TEXT(info.role_word, "king");
	CU_ASSERT_FALSE(cache_info_parse("", &info));
	CU_ASSERT_FALSE(cache_info_parse("hello", &info));
	CU_ASSERT_FALSE(cache_info_parse("redis_version:\r\n", &info));
	char flood[2000];
	/* longer than any field */
	memset(flood, 'a', sizeof(flood));
	memcpy(flood, "redis_version:1\r\nmaster_host:", 29);
	flood[sizeof(flood) - 1] = '\0';
	CU_ASSERT(cache_info_parse(flood, &info) && strlen(info.primary) < sizeof(info.primary));
}

/* ---- Hits ---- */

static void hits(void)
{
	static const struct {
		const char *run_id;
		double hits, misses, evicted;
		double rate, in_all; /* negative if missing */
		bool of_interval;
		double evictions; /* since the last check; negative if unknown */
	} rows[] = {
		{"a", 0, 0, 5, -1, -1, false, -1},
		{"a", 0, 0, 5, -1, -1, false, 0},
		{"a", 3, 1, 5, 0.75, 0.75, true, 0},
		{"a", 3, 1, 7, 0.75, 0.75, false, 2}, /* nothing since: of all time */
		{"a", 3, 5, 7, 0, 0.375, true, 0},    /* misses only */
		{"b", 9, 1, 0, 0.9, 0.9, true, 0},    /* restarted: all of it is new */
		{"b", 1, 1, 0, 0.5, 0.5, true, 0},    /* CONFIG RESETSTAT */
		{"b", 1, 1, 0, 0.5, 0.5, false, 0},
	};
	struct cache_before before = {.known = false};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cache_info info = {.product = "Redis"};
		strcpy(info.run_id, rows[i].run_id);
		info.has[CACHE_HITS] = info.has[CACHE_MISSES] = info.has[CACHE_EVICTED] = true;
		info.of[CACHE_HITS] = rows[i].hits;
		info.of[CACHE_MISSES] = rows[i].misses;
		info.of[CACHE_EVICTED] = rows[i].evicted;
		struct cache_hits got;
		cache_hits_since(&info, 100 + 30.0 * (double)i, &before, &got);
		CU_ASSERT(got.has_rate == (rows[i].rate >= 0) && got.of_interval == rows[i].of_interval);
		if (got.has_rate)
			CU_ASSERT(got.rate == rows[i].rate && got.in_all == rows[i].in_all);
		if (got.of_interval)
			CU_ASSERT(got.seconds == 30);
		CU_ASSERT(got.has_evicted == (rows[i].evictions >= 0));
		if (got.has_evicted)
			CU_ASSERT(got.evicted == rows[i].evictions);
	}
	/* A server that does not count evictions still has a rate. */
	for (int i = 0; i < 2; i++) {
		struct cache_info few = {.run_id = "c"};
		few.has[CACHE_HITS] = few.has[CACHE_MISSES] = true;
		few.of[CACHE_HITS] = 3 + i;
		few.of[CACHE_MISSES] = 1;
		struct cache_hits of_few;
		cache_hits_since(&few, 400 + i, &before, &of_few);
		CU_ASSERT(of_few.has_rate && of_few.rate == (i == 0 ? 0.75 : 1) && !of_few.has_evicted);
	}
	/* A server without counters reports nothing, and the next one starts from the beginning. */
	struct cache_info info = {.product = "Redis"};
	struct cache_hits got;
	cache_hits_since(&info, 500, &before, &got);
	CU_ASSERT(!got.has_rate && !got.has_evicted && !before.known);
}

/* ---- Errors ---- */

static void errors(void)
{
	static const struct {
		const char *error;
		enum cache_question question;
		enum skymon_reason reason;
		bool login;
		const char *words;
	} rows[] = {
		{"WRONGPASS invalid username-password pair or user is disabled.", CACHE_LOGIN,
		 SKYMON_AUTH_FAILED, true, "refused"},
		{"ERR invalid password", CACHE_LOGIN, SKYMON_AUTH_FAILED, true, "refused"},
		{"NOAUTH Authentication required.", CACHE_PING, SKYMON_AUTH_FAILED, true,
		 "none is configured"},
		{"ERR AUTH <password> called without any password configured", CACHE_LOGIN,
		 SKYMON_AUTH_FAILED, true, "has none"},
		{"ERR Client sent AUTH, but no password is set", CACHE_LOGIN, SKYMON_AUTH_FAILED, true,
		 "has none"},
		{"NOPERM User bob has no permissions to run the 'info' command", CACHE_INFO,
		 SKYMON_AUTH_FAILED, false, "+info"},
		{"ERR unknown command 'AUTH', with args beginning with: 'geheim'", CACHE_LOGIN,
		 SKYMON_AUTH_FAILED, false, "not shown"},
		{"ERR max number of clients reached", CACHE_PING, SKYMON_RESOURCE, false, "maxclients"},
		{"DENIED Redis is running in protected mode", CACHE_PING, SKYMON_REFUSED, false,
		 "protected mode"},
		{"LOADING Redis is loading the dataset in memory", CACHE_PING, SKYMON_OTHER, false,
		 "loading"},
		{"MASTERDOWN Link with MASTER is down", CACHE_PING, SKYMON_STANDBY, false, "primary"},
		{"BUSY Redis is busy running a script.", CACHE_PING, SKYMON_OTHER, false, "script"},
		{"MISCONF Redis is configured to save RDB snapshots", CACHE_PING, SKYMON_OTHER, false,
		 "cannot save"},
		{"OOM command not allowed when used memory > 'maxmemory'.", CACHE_PING, SKYMON_RESOURCE,
		 false, "full"},
		{"CLUSTERDOWN Hash slot not served", CACHE_PING, SKYMON_OTHER, false, "slots"},
		{"NOREPLICAS Not enough good replicas to write.", CACHE_PING, SKYMON_OTHER, false,
		 "min-replicas"},
		{"READONLY You can't write against a read only replica.", CACHE_SELECT, SKYMON_STANDBY, false,
		 "read-only replica"},
		{"ERR operation not permitted", CACHE_PING, SKYMON_AUTH_FAILED, true, "none is configured"},
		{"ERR DB index is out of range", CACHE_SELECT, SKYMON_QUERY_ERROR, false, "out of range"},
		{"ERR bob says geheim\x1b.", CACHE_INFO, SKYMON_QUERY_ERROR, false, "ERR *** says ***?"},
		{"", CACHE_INFO, SKYMON_QUERY_ERROR, false, "INFO with:"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon_fault fault;
		cache_explain(rows[i].error, rows[i].question, "h:1", "bob", "geheim", &fault);
		CU_ASSERT(fault.reason == rows[i].reason && fault.status == SKYMON_UNHEALTHY);
		CU_ASSERT(strncmp(fault.text, "h:1: ", 5) == 0 && !fault.lost);
		CU_ASSERT(strstr(fault.text, "geheim") == NULL && strstr(fault.text, "bob") == NULL);
		CU_ASSERT(cache_refuses_secret(rows[i].error) == rows[i].login);
		if (strstr(fault.text, rows[i].words) == NULL)
			UNIT_TEXT(fault.text, rows[i].words);
	}
}

/* ---- The URL ---- */

static void urls(void)
{
	static const struct {
		const char *url, *why; /* NULL if valid */
		const char *host, *user, *password, *database;
		uint16_t port;
		bool secure;
	} rows[] = {
		{"redis://h", NULL, "h", "", "", "0", 6379, false},
		{"rediss://bob:geheim@h:1/15", NULL, "h", "bob", "geheim", "15", 1, true},
		{"valkey://:geheim@[::1]/", NULL, "::1", "", "geheim", "0", 6379, false},
		{"valkeys://h", NULL, "h", "", "", "0", 6379, true},
		{"unix:/run/r.sock", NULL, "/run/r.sock", "", "", "0", 0, false},
		{"unix:///run/r.sock?db=7", NULL, "/run/r.sock", "", "", "7", 0, false},
		{"http://bob:geheim@h", "must begin with redis://", NULL, NULL, NULL, NULL, 0, false},
		{"redis://bob:geheim@h/x", "not the number of a database", NULL, NULL, NULL, NULL, 0, false},
		{"redis://h/123456", "not the number of a database", NULL, NULL, NULL, NULL, 0, false},
		{"redis://h/-1", "not the number of a database", NULL, NULL, NULL, NULL, 0, false},
		{"redis://h?password=geheim", "options of their own", NULL, NULL, NULL, NULL, 0, false},
		{"redis://:ge/heim@h", "is not a number", NULL, NULL, NULL, NULL, 0, false},
		{"geheim", "no ://", NULL, NULL, NULL, NULL, 0, false},
		{"unix://bob:geheim@/run/r.sock", "options of their own", NULL, NULL, NULL, NULL, 0, false},
		{"unix:/run/r.sock?password=geheim", "?db=NUMBER", NULL, NULL, NULL, NULL, 0, false},
		{"unix:/run/r.sock?db=", "?db=NUMBER", NULL, NULL, NULL, NULL, 0, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = fake_new_run();
		struct cache cache = {.url = rows[i].url};
		CU_ASSERT_FATAL(fake_start(&skymon_plugin, sm, &cache) == (rows[i].why == NULL));
		if (rows[i].why != NULL) {
			CU_ASSERT(strstr(fake.message, "geheim") == NULL &&
				  strstr(fake.message, "heim@") == NULL);
			if (strstr(fake.message, rows[i].why) == NULL)
				UNIT_TEXT(fake.message, rows[i].why);
		} else {
			UNIT_TEXT(cache.link->to.host, rows[i].host);
			UNIT_TEXT(cache.link->user, rows[i].user);
			UNIT_TEXT(cache.link->password, rows[i].password);
			UNIT_TEXT(cache.link->database, rows[i].database);
			CU_ASSERT(cache.link->to.port == rows[i].port &&
				  cache.link->to.secure == rows[i].secure);
			CU_ASSERT(cache.link->logs_in == (rows[i].password[0] != '\0'));
		}
		skymon_plugin.stop(sm, &cache);
	}
}

static void options_stand_above_the_url(void)
{
	struct skymon *sm = fake_new_run();
	struct cache cache = {.url = "redis://bob:old@h",
			      .username = "ann",
			      .password = {"ne\0w", 4},
			      .tls = {.server_name = "n"}};
	CU_ASSERT_FATAL(fake_start(&skymon_plugin, sm, &cache));
	UNIT_TEXT(cache.link->user, "ann");
	CU_ASSERT(cache.link->password_size == 4 && memcmp(cache.link->password, "ne\0w", 4) == 0);
	CU_ASSERT(cache.link->to.secure);
	skymon_plugin.stop(sm, &cache);
	/* A socket has neither TLS nor proxy. */
	cache.url = "unix:/x";
	CU_ASSERT_FALSE(fake_start(&skymon_plugin, sm, &cache));
	cache.tls.server_name = NULL;
	cache.proxy = "http://p:1";
	CU_ASSERT_FALSE(fake_start(&skymon_plugin, sm, &cache));
	cache.url = "redis://h";
	cache.proxy = "socks5://u:geheim@p:1";
	CU_ASSERT_FALSE(fake_start(&skymon_plugin, sm, &cache));
	CU_ASSERT(strstr(fake.message, "proxy must be http://") != NULL &&
		  strstr(fake.message, "geheim") == NULL);
}

/* ---- Reports ---- */

/* Answers to INFO of faulty servers of this family, and the reported status. */
static void verdicts(void)
{
#define REDIS "redis_version:7.0.0\r\n"
#define REPLICA REDIS "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n"
#define BLOCK(host, link) "master_host:" host "\r\nmaster_port:6379\r\nmaster_link_status:" link "\r\n"
	static const struct {
		const char *info, *cluster;
		int wanted, min_replicas; /* min_replicas is -1 if unknown */
		enum skymon_status status;
		enum skymon_reason reason;
		const char *words;
	} rows[] = {
		{REDIS "role:master\r\n", NULL, CACHE_ANY, -1, SKYMON_HEALTHY, SKYMON_NONE, "primary"},
		{REDIS, NULL, CACHE_ANY, -1, SKYMON_HEALTHY, SKYMON_NONE, "Redis 7.0.0"},
		{REDIS "role:king\r\n", NULL, CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_NONE, "role is `king`"},
		{REPLICA "master_link_status:up\r\n", NULL, CACHE_ANY, -1, SKYMON_HEALTHY, SKYMON_NONE,
		 "replica"},
		{REPLICA "master_link_status:down\r\nmaster_link_down_since_seconds:9\r\n", NULL, CACHE_ANY,
		 -1, SKYMON_DEGRADED, SKYMON_STANDBY, "primary 10.0.0.1:6379 is down for 9 s"},
		{REPLICA "master_link_status:down\r\nmaster_sync_in_progress:1\r\n", NULL, CACHE_ANY, -1,
		 SKYMON_DEGRADED, SKYMON_STANDBY, "still copying"},
		{REPLICA "master_link_status:connecting\r\n", NULL, CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_STANDBY, "`connecting`, which is not known"},
		{REPLICA, NULL, CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_STANDBY, "does not report"},
		{REDIS "role:replica\r\n" BLOCK("a", "down"), NULL, CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_STANDBY, "a:6379 is down"},
		{REDIS "role:active-replica\r\n" BLOCK("a", "down"), NULL, CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_STANDBY, "a:6379 is down"},
		/* KeyDB with several primaries: the status covers all of them. */
		{REDIS "role:active-replica\r\nMaster 0: \r\n" BLOCK("a", "up") "Master 1: \r\n" BLOCK(
			 "b", "down") "Master 2: \r\n" BLOCK("c", "up"),
		 NULL, CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_STANDBY,
		 "1 of its 3 primaries are down: b:6379"},
		{REDIS
		 "role:active-replica\r\nMaster 0: \r\n" BLOCK("a", "up") "Master 1: \r\n" BLOCK("b", "up"),
		 NULL, CACHE_ANY, -1, SKYMON_HEALTHY, SKYMON_NONE, "replica"},
		{REPLICA "master_link_status:up\r\n", NULL, CACHE_WANTS_PRIMARY, -1, SKYMON_UNHEALTHY,
		 SKYMON_STANDBY, "is a replica, and the option role asks for a primary"},
		{REDIS "role:master\r\n", NULL, CACHE_WANTS_REPLICA, -1, SKYMON_UNHEALTHY, SKYMON_STANDBY,
		 "is a primary"},
		{REDIS "role:master\r\n", NULL, CACHE_WANTS_PRIMARY, -1, SKYMON_HEALTHY, SKYMON_NONE,
		 "primary"},
		{REDIS "role:king\r\n", NULL, CACHE_WANTS_PRIMARY, -1, SKYMON_UNHEALTHY, SKYMON_STANDBY,
		 "not known"},
		{REDIS, NULL, CACHE_WANTS_PRIMARY, -1, SKYMON_UNHEALTHY, SKYMON_STANDBY, "silent"},
		{REDIS "cluster_enabled:1\r\nrole:master\r\n",
		 "cluster_state:fail\r\ncluster_slots_assigned:0\r\n", CACHE_ANY, -1, SKYMON_UNHEALTHY,
		 SKYMON_NONE, "CLUSTERDOWN): 0 of 16384"},
		{REDIS "cluster_enabled:1\r\nrole:master\r\n",
		 "cluster_state:fail\r\ncluster_slots_assigned:16384\r\ncluster_slots_fail:384\r\n",
		 CACHE_ANY, -1, SKYMON_UNHEALTHY, SKYMON_NONE, "CLUSTERDOWN): 16000 of 16384"},
		{REDIS "cluster_enabled:1\r\nrole:master\r\n",
		 "cluster_state:ok\r\ncluster_slots_assigned:10000\r\n", CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_NONE, "only 10000"},
		{REDIS "cluster_enabled:1\r\nrole:master\r\n",
		 "cluster_state:ok\r\ncluster_slots_assigned:16384\r\n", CACHE_ANY, -1, SKYMON_HEALTHY,
		 SKYMON_NONE, "cluster ok"},
		{REDIS "cluster_enabled:1\r\nrole:master\r\n", "cluster_state:odd\r\n", CACHE_ANY, -1,
		 SKYMON_DEGRADED, SKYMON_NONE, "`odd`, which is not known"},
		{REDIS "cluster_enabled:1\r\nrole:master\r\n", "", CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_AUTH_FAILED, "+cluster|info"},
		{REDIS "cluster_enabled:0\r\nrole:master\r\n", NULL, CACHE_ANY, -1, SKYMON_HEALTHY,
		 SKYMON_NONE, "primary"},
		{REDIS "role:master\r\nmin_slaves_good_slaves:0\r\n", NULL, CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_NONE, "NOREPLICAS"},
		{REDIS "role:master\r\nmin_slaves_good_slaves:1\r\n", NULL, CACHE_ANY, 2, SKYMON_DEGRADED,
		 SKYMON_NONE, "1 replica is in step, and min-replicas-to-write is 2"},
		{REDIS "role:master\r\nmin_slaves_good_slaves:2\r\n", NULL, CACHE_ANY, 2, SKYMON_HEALTHY,
		 SKYMON_NONE, "primary"},
		{REDIS "role:master\r\nmin_slaves_good_slaves:1\r\n", NULL, CACHE_ANY, -1, SKYMON_HEALTHY,
		 SKYMON_NONE, "primary"},
		{REDIS "role:master\r\nused_memory:9\r\nmaxmemory:8\r\nmaxmemory_policy:noeviction\r\n", NULL,
		 CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_RESOURCE, "noeviction refuses writes"},
		{REDIS "role:master\r\nused_memory:9\r\nmaxmemory:8\r\nmaxmemory_policy:volatile-lru\r\n"
		       "db0:keys=3,expires=0\r\n",
		 NULL, CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_RESOURCE, "volatile-lru refuses writes"},
		{REDIS "role:master\r\nused_memory:9\r\nmaxmemory:8\r\nmaxmemory_policy:volatile-lru\r\n"
		       "db0:keys=3,expires=1\r\n",
		 NULL, CACHE_ANY, -1, SKYMON_HEALTHY, SKYMON_NONE, "primary"},
		{REDIS "role:master\r\nrdb_last_bgsave_status:err\r\n", NULL, CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_NONE, "rdb_last_bgsave_status: err"},
		{REDIS "role:master\r\naof_last_write_status:odd\r\n", NULL, CACHE_ANY, -1, SKYMON_DEGRADED,
		 SKYMON_NONE, "aof_last_write_status: odd"},
		{REDIS "role:master\r\nloading:1\r\n", NULL, CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_NONE,
		 "loading its data"},
		{REDIS "redis_mode:sentinel\r\nmaster0:name=m,status=ok,address=1.2.3.4:6379\r\n", NULL,
		 CACHE_ANY, -1, SKYMON_HEALTHY, SKYMON_NONE, "a Sentinel"},
		{REDIS "redis_mode:sentinel\r\nmaster0:name=m,status=ok\r\nmaster1:name=n,status=odown\r\n",
		 NULL, CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_NONE,
		 "1 of the 2 primaries that it watches is not ok: n (odown)"},
		{REDIS "server_mode:sentinel\r\n", NULL, CACHE_ANY, -1, SKYMON_DEGRADED, SKYMON_NONE,
		 "no primary"},
		{REDIS "redis_mode:sentinel\r\nmaster0:name=m,status=ok\r\n", NULL, CACHE_WANTS_PRIMARY, -1,
		 SKYMON_UNHEALTHY, SKYMON_STANDBY, "is a Sentinel"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = fake_new_run();
		struct cache_answers answers = {.min_replicas = rows[i].min_replicas,
						.has_min_replicas = rows[i].min_replicas >= 0};
		struct cache_hits none = {.has_rate = false};
		CU_ASSERT_FATAL(cache_info_parse(rows[i].info, &answers.info));
		if (rows[i].cluster != NULL)
			cache_cluster_parse(rows[i].cluster, &answers.cluster);
		enum skymon_status status =
			cache_verdict(sm, "h:1", (enum cache_wanted)rows[i].wanted, &answers, &none);
		if (status != rows[i].status || strstr(fake.message, rows[i].words) == NULL)
			fprintf(stderr, "\nrow %zu: status %d, %s\n", i, (int)status, fake.message);
		CU_ASSERT(status == rows[i].status && fake.reason == (int)rows[i].reason);
		CU_ASSERT(strstr(fake.message, rows[i].words) != NULL);
	}
}

static void report(void)
{
	struct cache_link link = {.connects = 2, .to.tls = &(struct skymon_tls){.insecure = false}};
	struct cache_answers answers = {.ping_seconds = 0.25, .has_info = true};
	struct cache_before before = {.known = false};
	struct skymon *sm = fake_new_run();
	CU_ASSERT_FATAL(cache_info_parse(primary, &answers.info));
	struct cache_hits got;
	cache_hits_since(&answers.info, 1, &before, &got);
	cache_report(sm, &link, &answers, &got);
	CU_ASSERT(fake_numbers_declared(skymon_plugin.numbers));
	CU_ASSERT(fake_number("cache_hit_rate_percent") == 75 && fake_number("hit_rate") == 0.75);
	CU_ASSERT(fake_number("memory_used") == 0.25 && fake_number("clients_used") == 0.0003);
	CU_ASSERT(fake_number("ping_time") == 0.25 && fake_number("replication_lag_bytes") == 60);
	CU_ASSERT(fake_number("evicted_keys") == -1); /* unknown in the first check */
	CU_ASSERT(strstr(fake_find("detail", "cache_hit_rate_over"), "all time") != NULL);
	/* No ratio without a limit, no number without an answer. */
	sm = fake_new_run();
	answers.info.of[CACHE_MAX_MEMORY] = 0;
	cache_report(sm, &link, &answers, &got);
	CU_ASSERT(fake_number("memory_used") == -1 && fake_number("used_memory") == 1000);
	CU_ASSERT(strstr(fake_find("detail", "max_memory"), "none") != NULL);
	sm = fake_new_run();
	answers.has_info = false;
	answers.ping_seconds = -1;
	cache_report(sm, &link, &answers, &got);
	CU_ASSERT(strstr(fake.text, "number ") == NULL &&
		  strstr(fake.text, "metric skymon_cache_connects_total 2") != NULL);
}

int main(void)
{
	return unit_run("cache",
			(const struct unit_test[]){{"INFO of a primary", info_of_a_primary},
						   {"INFO of others", info_of_others},
						   {"hits", hits},
						   {"errors", errors},
						   {"URLs", urls},
						   {"options above the URL", options_stand_above_the_url},
						   {"verdicts", verdicts},
						   {"report", report},
						   {0}});
}
