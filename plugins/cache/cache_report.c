/* SPDX-License-Identifier: Apache-2.0 */
/* cache_report: reports the answers of a check as details, numbers and metrics; values that the server does
 * not report are absent. Called by cache.c, on the check's thread. Owns nothing. */
#include <string.h>

#include "cache.h"

#define HAS(field) (info->has[field])
#define OF(field) (info->of[field])

/* Reports a value as a detail and a gauge. */
static void both(struct skymon *sm, const struct cache_info *info, enum cache_field field, const char *detail,
		 const char *metric, const char *help)
{
	if (!HAS(field))
		return;
	if (detail != NULL)
		skymon_detail_number(sm, detail, OF(field));
	skymon_gauge(sm, metric, help, OF(field));
}

static void total(struct skymon *sm, const struct cache_info *info, enum cache_field field,
		  const char *detail, const char *metric, const char *help)
{
	if (!HAS(field))
		return;
	if (detail != NULL)
		skymon_detail_number(sm, detail, OF(field));
	skymon_counter(sm, metric, help, OF(field));
}

static void report_server(struct skymon *sm, const struct cache_info *info)
{
	skymon_detail(sm, "server", "%s", info->product);
	skymon_detail(sm, "server_version", "%s", info->version);
	both(sm, info, CACHE_UPTIME, "uptime_seconds", "skymon_cache_uptime_seconds",
	     "Time since the server started");
	total(sm, info, CACHE_COMMANDS, NULL, "skymon_cache_commands_total",
	      "Commands that the server has processed since it started");
	skymon_detail_number(sm, "keys", info->keys);
	skymon_gauge(sm, "skymon_cache_keys", "Keys in all databases", info->keys);
	if (HAS(CACHE_LOADING) && OF(CACHE_LOADING) > 0) {
		skymon_detail_boolean(sm, "loading", true);
		if (HAS(CACHE_LOADED_PERCENT))
			skymon_detail_number(sm, "loaded_percent", OF(CACHE_LOADED_PERCENT));
	}
}

static void report_clients(struct skymon *sm, const struct cache_info *info)
{
	both(sm, info, CACHE_CLIENTS, "connected_clients", "skymon_cache_connected_clients",
	     "Client connections, this check's among them");
	both(sm, info, CACHE_BLOCKED, "blocked_clients", "skymon_cache_blocked_clients",
	     "Clients that wait in a blocking command");
	both(sm, info, CACHE_MAX_CLIENTS, "max_clients", "skymon_cache_max_clients",
	     "The server's maxclients");
	total(sm, info, CACHE_REJECTED, "rejected_connections", "skymon_cache_rejected_connections_total",
	      "Connections that were rejected because of maxclients");
	if (HAS(CACHE_CLIENTS))
		skymon_number(sm, "connected_clients", OF(CACHE_CLIENTS));
	if (HAS(CACHE_CLIENTS) && HAS(CACHE_MAX_CLIENTS) && OF(CACHE_MAX_CLIENTS) > 0)
		skymon_number(sm, "clients_used", OF(CACHE_CLIENTS) / OF(CACHE_MAX_CLIENTS));
}

static void report_memory(struct skymon *sm, const struct cache_info *info)
{
	both(sm, info, CACHE_MEMORY, "used_memory_bytes", "skymon_cache_memory_bytes",
	     "Memory that the server has allocated for its data and itself");
	both(sm, info, CACHE_RESIDENT, "resident_memory_bytes", "skymon_cache_resident_memory_bytes",
	     "Resident memory of the server's process");
	if (HAS(CACHE_MEMORY))
		skymon_number(sm, "used_memory", OF(CACHE_MEMORY));
	if (info->policy[0] != '\0')
		skymon_detail(sm, "max_memory_policy", "%s", info->policy);
	if (!HAS(CACHE_MAX_MEMORY))
		return;
	if (OF(CACHE_MAX_MEMORY) > 0) {
		both(sm, info, CACHE_MAX_MEMORY, "max_memory_bytes", "skymon_cache_max_memory_bytes",
		     "The server's maxmemory; absent when it has no limit");
		if (HAS(CACHE_MEMORY)) {
			skymon_number(sm, "memory_used", OF(CACHE_MEMORY) / OF(CACHE_MAX_MEMORY));
			skymon_detail_number(sm, "memory_used_percent",
					     100 * OF(CACHE_MEMORY) / OF(CACHE_MAX_MEMORY));
		}
	} else {
		skymon_detail(sm, "max_memory",
			      "none: the server has no maxmemory, and so memory_used is absent");
	}
}

static void report_hits(struct skymon *sm, const struct cache_info *info, const struct cache_hits *hits)
{
	total(sm, info, CACHE_EVICTED, "evicted_keys", "skymon_cache_evicted_keys_total",
	      "Keys that were evicted for lack of memory, since the server started");
	total(sm, info, CACHE_EXPIRED, "expired_keys", "skymon_cache_expired_keys_total",
	      "Keys that reached the end of their life, since the server started");
	if (hits->has_evicted)
		skymon_number(sm, "evicted_keys", hits->evicted);
	if (!HAS(CACHE_HITS) || !HAS(CACHE_MISSES))
		return;
	skymon_counter(sm, "skymon_cache_hits_total",
		       "Look-ups that found their key, since the server started", OF(CACHE_HITS));
	skymon_counter(sm, "skymon_cache_requests_total", "Look-ups of keys, since the server started",
		       OF(CACHE_HITS) + OF(CACHE_MISSES));
	if (!hits->has_rate) {
		skymon_detail(sm, "cache_hit_rate",
			      "not known: nothing was looked up since the server started");
		return;
	}
	skymon_number(sm, "hit_rate", hits->rate);
	skymon_number(sm, "cache_hit_rate_percent", 100 * hits->rate);
	skymon_detail_number(sm, "cache_hit_rate_percent", 100 * hits->rate);
	skymon_detail_number(sm, "cache_hit_rate_percent_in_all", 100 * hits->in_all);
	if (hits->of_interval)
		skymon_detail(sm, "cache_hit_rate_over", "the last %.1f s", hits->seconds);
	else
		skymon_detail(
			sm, "cache_hit_rate_over",
			"all time: there was no look-up since the last check, or this is the first one");
}

static void report_lag(struct skymon *sm, double seconds, bool has_bytes, double bytes)
{
	skymon_number(sm, "replication_lag", seconds);
	skymon_detail_number(sm, "replication_lag_seconds", seconds);
	skymon_gauge(
		sm, "skymon_cache_replication_lag_seconds",
		"On a replica: time since it heard from its primary; on a primary: since its slowest replica "
		"acknowledged",
		seconds);
	if (!has_bytes)
		return;
	skymon_number(sm, "replication_lag_bytes", bytes);
	skymon_detail_number(sm, "replication_lag_bytes", bytes);
	skymon_gauge(sm, "skymon_cache_replication_lag_bytes",
		     "On a replica: received and not applied; on a primary: not yet acknowledged by its "
		     "slowest replica",
		     bytes);
}

static void report_replica(struct skymon *sm, const struct cache_info *info)
{
	/* Redis 7 and later report offsets, which are of no use with several links. */
	bool up = info->links > 0 && info->links_down == 0;
	bool has_bytes = HAS(CACHE_READ_OFFSET) && HAS(CACHE_OFFSET) && up && info->links == 1;
	double behind = OF(CACHE_READ_OFFSET) - OF(CACHE_OFFSET);
	skymon_detail(sm, "primary", "%s", info->primary);
	if (info->primaries > 1)
		skymon_detail_number(sm, "primaries", info->primaries);
	if (info->links == 0)
		return;
	skymon_detail_boolean(sm, "replication_link_up", up);
	skymon_gauge(sm, "skymon_cache_replication_link_up",
		     "1 when this replica is connected to its primary", up);
	if (!up ? HAS(CACHE_DOWN_SINCE) : HAS(CACHE_LAST_IO))
		report_lag(sm, OF(!up ? CACHE_DOWN_SINCE : CACHE_LAST_IO), has_bytes,
			   behind > 0 ? behind : 0);
}

static void report_primary(struct skymon *sm, const struct cache_answers *answers)
{
	const struct cache_info *info = &answers->info;
	skymon_detail_number(sm, "replicas_online", info->replicas_online);
	if (info->has_lag)
		report_lag(sm, info->lag_seconds, true, info->lag_bytes);
	if (!HAS(CACHE_GOOD_REPLICAS))
		return;
	skymon_detail_number(sm, "good_replicas", OF(CACHE_GOOD_REPLICAS));
	if (answers->has_min_replicas)
		skymon_detail_number(sm, "min_replicas_to_write", answers->min_replicas);
	else
		skymon_detail(
			sm, "min_replicas_to_write",
			"not visible: the server refuses CONFIG GET min-replicas-to-write (ACL +config|get)");
}

static void report_replication(struct skymon *sm, const struct cache_answers *answers)
{
	const struct cache_info *info = &answers->info;
	if (info->role == CACHE_NO_ROLE)
		return;
	if (info->role == CACHE_SENTINEL || info->role == CACHE_OTHER_ROLE) {
		skymon_detail(sm, "role", "%s", info->role == CACHE_SENTINEL ? "sentinel" : info->role_word);
		return;
	}
	skymon_detail(sm, "role", "%s", info->role == CACHE_REPLICA ? "replica" : "primary");
	skymon_gauge(sm, "skymon_cache_replica", "1 on a replica, 0 on a primary",
		     info->role == CACHE_REPLICA);
	both(sm, info, CACHE_REPLICAS, "replicas", "skymon_cache_replicas",
	     "Replicas that are connected to this server");
	if (info->role == CACHE_REPLICA)
		report_replica(sm, info);
	else
		report_primary(sm, answers);
}

static void report_cluster(struct skymon *sm, const struct cache_cluster *cluster)
{
	if (!cluster->seen)
		return;
	skymon_detail(sm, "cluster_state", "%s", cluster->state);
	skymon_detail_number(sm, "cluster_slots_assigned", cluster->assigned);
	skymon_detail_number(sm, "cluster_slots_failed", cluster->failed);
	skymon_detail_number(sm, "cluster_nodes", cluster->nodes);
	skymon_gauge(sm, "skymon_cache_cluster_slots_served",
		     "Slots of the cluster (of 16384) that are assigned to a node that is not down",
		     cluster->assigned - cluster->failed);
}

void cache_report(struct skymon *sm, const struct cache_link *link, const struct cache_answers *answers,
		  const struct cache_hits *hits)
{
	const struct cache_info *info = &answers->info;
	skymon_counter(sm, "skymon_cache_connects_total", "Connections that this check has opened",
		       (double)link->connects);
	if (answers->ping_seconds >= 0) {
		skymon_number(sm, "ping_time", answers->ping_seconds);
		skymon_detail_number(sm, "ping_seconds", answers->ping_seconds);
		skymon_gauge(sm, "skymon_cache_ping_duration_seconds", "Time from PING to its answer",
			     answers->ping_seconds);
	}
	if (!answers->has_info)
		return;
	skymon_tls_report(sm,
			  link->to.secure
				  ? link->to.tls->insecure ? SKYMON_TLS_UNVERIFIED : SKYMON_TLS_VERIFIED
				  : SKYMON_TLS_NONE,
			  answers->is_local);
	skymon_tls_report_days(sm, answers->days);
	report_server(sm, info);
	report_replication(sm, answers);
	report_cluster(sm, &answers->cluster);
	report_clients(sm, info);
	report_memory(sm, info);
	report_hits(sm, info, hits);
}
