/* SPDX-License-Identifier: Apache-2.0 */
/* cache: checks Redis, Valkey and compatible servers: answer, memory, hit rate, replication. This file has
 * the options and the plugin's table; the worker calls start, check and stop, each component on its own
 * thread. Owns the kept connection through struct cache_link. */
#include "cache.h"

static const char *const role_words[] = {"any", "primary", "replica", NULL}; /* as enum cache_wanted */

static const struct skymon_option options[] = {
	SKYMON_OPT(struct cache, url, "${REDIS_URL:-}",
		   "redis://user@host:6379/0, rediss:// (TLS), valkey://, valkeys://, or unix:/path?db=0",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct cache, username, NULL, "ACL user; overrides the one in the URL"),
	SKYMON_OPT(struct cache, password, NULL, "password; overrides the one in the URL"),
	SKYMON_OPT(struct cache, role, "any", "what the server must be; another role is unhealthy",
		   .words = role_words),
	SKYMON_OPT(struct cache, reconnect, "1m",
		   "age from which the kept connection is replaced by a new one; 0: a new one in each check",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(
		struct cache, tls, NULL,
		"files and server_name mean TLS with verification, with any scheme of the URL; insecure: any "
		"certificate, or with redis:// a password without TLS to another machine"),
	SKYMON_OPT(struct cache, proxy, NULL, "http://host:port of a proxy to CONNECT through, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"cache_hit_rate_percent", "",
	 "look-ups that found their key, of 100: since the last check, or of all time when there were none "
	 "since"},
	{"hit_rate", "ratio", "the same as a ratio"},
	{"memory_used", "ratio", "used memory as a ratio of maxmemory; absent without maxmemory"},
	{"used_memory", "bytes", "memory that the server has allocated"},
	{"clients_used", "ratio", "client connections as a ratio of maxclients"},
	{"connected_clients", "", "client connections"},
	{"evicted_keys", "", "keys evicted for lack of memory since the last check"},
	{"replication_lag", "s",
	 "on a replica: since it heard from its primary; on a primary: since its slowest replica "
	 "acknowledged"},
	{"replication_lag_bytes", "bytes",
	 "on a replica: received and not applied; on a primary: not acknowledged by its slowest replica"},
	{"ping_time", "s", "time from PING to its answer"},
	SKYMON_TLS_NUMBERS,
	{0}};

static void validate(struct skymon *sm, const void *state)
{
	const struct cache *cache = state;
	const char *url = cache_url_fault(cache), *proxy = skymon_net_proxy_fault(cache->proxy);
	if (url != NULL)
		skymon_invalid(sm, "url", "%s", url);
	if (proxy != NULL)
		skymon_invalid(sm, "proxy", "%s", proxy);
}

static bool start(struct skymon *sm, void *state)
{
	struct cache *cache = state;
	cache->link = cache_link_new(sm, cache);
	return cache->link != NULL;
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm, (void)shared;
	skymon_net_unload();
}

static void stop(struct skymon *sm, void *state)
{
	struct cache *cache = state;
	(void)sm;
	cache_link_free(cache->link);
	cache->link = NULL;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct cache *cache = state;
	struct cache_answers answers;
	struct cache_hits hits = {.has_rate = false};
	cache_ask(sm, cache->link, &answers);
	if (answers.has_info)
		cache_hits_since(&answers.info, skymon_net_clock(), &cache->before, &hits);
	cache_report(sm, cache->link, &answers, &hits);
	if (!answers.has_fault)
		return cache_verdict(sm, cache->link->place, (enum cache_wanted)cache->role.index, &answers,
				     &hits);
	if (answers.login_refused)
		skymon_secret_refused(sm);
	return skymon_report(sm, NULL, &answers.fault);
}

SKYMON_PLUGIN(cache, "1.0", "Redis or Valkey: answers, hit rate, memory, clients, replication",
	      .state_size = sizeof(struct cache), .options = options, .numbers = numbers, .unload = unload,
	      .start = start, .stop = stop, .check = check, .validate = validate);
