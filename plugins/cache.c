/* SPDX-License-Identifier: Apache-2.0 */
/* cache: Redis, Valkey and their kin: does it answer, how full is it, do look-ups find what they look for,
 * and is it in step with its primary. */
#include <stdio.h>
#include <string.h>

#include "cache.h"

static const struct skymon_option options[] = {
	SKYMON_OPT(struct cache, url, "${REDIS_URL:-}",
		   "redis://user@host:6379/0, rediss:// (TLS), valkey://, valkeys://, or unix:/path?db=0",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct cache, username, NULL, "ACL user; stands above the one in the URL"),
	SKYMON_OPT(struct cache, password, NULL, "password; stands above the one in the URL"),
	SKYMON_OPT(struct cache, tls, NULL,
		   "any of these means TLS with verification, whatever the URL's scheme"),
	SKYMON_OPT(struct cache, proxy, NULL,
		   "http://host:port of a proxy that is asked to CONNECT, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"cache_hit_rate_percent", "",
	 "look-ups that found their key, of 100: since the last check, or of all time when there were none "
	 "since"},
	{"hit_rate", "ratio", "the same as a share of 1"},
	{"memory_used", "ratio", "used memory as a share of maxmemory; absent without maxmemory"},
	{"used_memory", "bytes", "memory that the server has allocated"},
	{"clients_used", "ratio", "client connections as a share of maxclients"},
	{"connected_clients", "", "client connections"},
	{"evicted_keys", "", "keys evicted for want of memory since the last check"},
	{"replication_lag", "s",
	 "on a replica: since it heard from its primary; on a primary: since its slowest replica "
	 "acknowledged"},
	{"replication_lag_bytes", "bytes",
	 "on a replica: received and not applied; on a primary: not acknowledged by its slowest replica"},
	{"ping_time", "s", "time from PING to its answer"},
	{0}};

static bool start(struct skymon *sm, void *state)
{
	struct cache *cache = state;

	cache->link = cache_link_new(sm, cache);
	return cache->link != NULL;
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm, (void)shared;
	dial_unload();
}

static void stop(struct skymon *sm, void *state)
{
	struct cache *cache = state;

	(void)sm;
	cache_link_free(cache->link);
	cache->link = NULL;
}

/* A replica that its primary does not reach serves what grows old. */
static enum skymon_status judge_link(struct skymon *sm, const char *place, const struct cache_info *info)
{
	char since[40] = "";

	skymon_reason(sm, SKYMON_STANDBY);
	if (info->has[CACHE_DOWN_SINCE])
		snprintf(since, sizeof(since), " for %.0f s", info->of[CACHE_DOWN_SINCE]);
	if (info->has[CACHE_SYNCING] && info->of[CACHE_SYNCING] > 0)
		return skymon_degraded(sm,
				       "%s: a replica that is still copying the data of its primary %s:%.0f",
				       place, info->primary, info->of[CACHE_PRIMARY_PORT]);
	return skymon_degraded(sm, "%s: a replica whose link to its primary %s:%.0f is down%s", place,
			       info->primary, info->of[CACHE_PRIMARY_PORT], since);
}

/* Only what is broken for certain; all else is for thresholds. */
static enum skymon_status judge(struct skymon *sm, const char *place, const struct cache_info *info,
				const struct cache_hits *hits)
{
	bool full = info->has[CACHE_MEMORY] && info->has[CACHE_MAX_MEMORY] &&
		    info->of[CACHE_MAX_MEMORY] > 0 &&
		    info->of[CACHE_MEMORY] - info->of[CACHE_UNCOUNTED] > info->of[CACHE_MAX_MEMORY];
	char clients[60] = "", rate[40] = "";

	if (info->role == CACHE_REPLICA && info->link_down)
		return judge_link(sm, place, info);
	if (full && strcmp(info->policy, "noeviction") == 0) {
		skymon_reason(sm, SKYMON_RESOURCE);
		return skymon_degraded(sm,
				       "%s: its memory is full (%.0f of %.0f bytes), and its policy "
				       "noeviction refuses writes",
				       place, info->of[CACHE_MEMORY], info->of[CACHE_MAX_MEMORY]);
	}
	if (info->save_failed || info->append_failed)
		return skymon_degraded(sm, "%s: the server could not save its data to disk (%s)", place,
				       info->save_failed ? "rdb_last_bgsave_status: err"
							 : "aof_last_write_status: err");
	if (info->has[CACHE_CLIENTS] && info->has[CACHE_MAX_CLIENTS])
		snprintf(clients, sizeof(clients), ", %.0f of %.0f clients", info->of[CACHE_CLIENTS],
			 info->of[CACHE_MAX_CLIENTS]);
	if (hits->has_rate)
		snprintf(rate, sizeof(rate), ", hit rate %.1f %%", 100 * hits->rate);
	return skymon_healthy(sm, "%s: %s %s%s%s%s", place, info->product, info->version,
			      info->role == CACHE_REPLICA   ? ", replica"
			      : info->role == CACHE_PRIMARY ? ", primary"
							    : "",
			      clients, rate);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct cache *cache = state;
	struct cache_answers answers;
	struct cache_hits hits = {.has_rate = false};

	cache_ask(sm, cache->link, &answers);
	if (answers.has_info)
		cache_hits_since(&answers.info, dial_clock(), &cache->before, &hits);
	cache_report(sm, cache->link, &answers, &hits);
	if (!answers.has_fault)
		return judge(sm, cache->link->place, &answers.info, &hits);
	if (answers.login_refused)
		skymon_secret_refused(sm);
	return dial_report(sm, &answers.fault);
}

SKYMON_PLUGIN(cache, "1.0", "Redis or Valkey: answers, hit rate, memory, clients, replication",
	      .state_size = sizeof(struct cache), .options = options, .numbers = numbers, .unload = unload,
	      .start = start, .stop = stop, .check = check);
