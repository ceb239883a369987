/* SPDX-License-Identifier: Apache-2.0 */
/* cache_verdict: the status of a server that answered. Only certain faults and unknown words are less than
 * healthy; all else is for the limits of the config. Called by cache.c, on the check's thread. Owns nothing.
 */
#include <stdio.h>
#include <string.h>

#include "cache.h"

#define SLOTS 16384

/* Everything that a verdict depends on. */
struct view {
	struct skymon *sm;
	const char *place;
	const struct cache_answers *answers;
	const struct cache_info *info;
};

#define HEALTHY_SO_FAR SKYMON_HEALTHY /* returned by a step that found nothing */

static enum skymon_status of_wanted_role(const struct view *at, enum cache_wanted wanted)
{
	static const char *const roles[] = {[CACHE_PRIMARY] = "a primary",
					    [CACHE_REPLICA] = "a replica",
					    [CACHE_SENTINEL] = "a Sentinel",
					    [CACHE_OTHER_ROLE] = "in a role that is not known",
					    [CACHE_NO_ROLE] = "silent about its role"};
	enum cache_role role = at->info->role;
	if (wanted == CACHE_ANY || role == (wanted == CACHE_WANTS_PRIMARY ? CACHE_PRIMARY : CACHE_REPLICA))
		return HEALTHY_SO_FAR;
	skymon_reason(at->sm, SKYMON_STANDBY);
	return skymon_unhealthy(at->sm, "%s: the server is %s, and the option role asks for a %s", at->place,
				roles[role], wanted == CACHE_WANTS_PRIMARY ? "primary" : "replica");
}

static enum skymon_status of_sentinel(const struct view *at)
{
	const struct cache_info *info = at->info;
	if (info->role != CACHE_SENTINEL)
		return HEALTHY_SO_FAR;
	if (info->watched == 0)
		return skymon_degraded(at->sm, "%s: a Sentinel that watches no primary", at->place);
	if (info->watched_bad == 0)
		return HEALTHY_SO_FAR;
	return skymon_degraded(at->sm, "%s: a Sentinel; %u of the %u primaries that it watches %s not ok: %s",
			       at->place, info->watched_bad, info->watched,
			       info->watched_bad == 1 ? "is" : "are", info->bad);
}

static enum skymon_status of_cluster(const struct view *at)
{
	const struct cache_cluster *cluster = &at->answers->cluster;
	double served = cluster->assigned - cluster->failed;
	if (!at->info->has[CACHE_CLUSTER_ENABLED] || at->info->of[CACHE_CLUSTER_ENABLED] == 0)
		return HEALTHY_SO_FAR;
	if (!cluster->seen) {
		skymon_reason(at->sm, SKYMON_AUTH_FAILED);
		return skymon_degraded(
			at->sm,
			"%s: a node of a cluster that does not report the cluster's state: give the "
			"user the ACL rule +cluster|info",
			at->place);
	}
	if (strcmp(cluster->state, "fail") == 0)
		return skymon_unhealthy(at->sm,
					"%s: the cluster is down (CLUSTERDOWN): %.0f of %d slots are served",
					at->place, served, SLOTS);
	if (strcmp(cluster->state, "ok") != 0)
		return skymon_degraded(at->sm, "%s: the cluster's state is `%s`, which is not known",
				       at->place, cluster->state);
	if (served < SLOTS)
		return skymon_degraded(at->sm, "%s: only %.0f of the cluster's %d slots are served",
				       at->place, served, SLOTS);
	return HEALTHY_SO_FAR;
}

/* A replica that has lost its primary serves stale data. */
static enum skymon_status of_link(const struct view *at)
{
	const struct cache_info *info = at->info;
	char since[40] = "";
	if (info->role != CACHE_REPLICA || (info->links > 0 && info->links_down == 0))
		return HEALTHY_SO_FAR;
	skymon_reason(at->sm, SKYMON_STANDBY);
	if (info->links == 0)
		return skymon_degraded(
			at->sm, "%s: a replica that does not report the state of its link to its primary",
			at->place);
	if (strcmp(info->link_word, "down") != 0)
		return skymon_degraded(
			at->sm, "%s: a replica whose link to its primary %s is `%s`, which is not known",
			at->place, info->primary, info->link_word);
	if (info->has[CACHE_SYNCING] && info->of[CACHE_SYNCING] > 0)
		return skymon_degraded(at->sm,
				       "%s: a replica that is still copying the data of its primary %s",
				       at->place, info->primary);
	if (info->has[CACHE_DOWN_SINCE])
		snprintf(since, sizeof(since), " for %.0f s", info->of[CACHE_DOWN_SINCE]);
	if (info->links > 1)
		return skymon_degraded(
			at->sm, "%s: a replica whose links to %u of its %u primaries are down%s: %s first",
			at->place, info->links_down, info->links, since, info->primary);
	return skymon_degraded(at->sm, "%s: a replica whose link to its primary %s is down%s", at->place,
			       info->primary, since);
}

static enum skymon_status of_role(const struct view *at)
{
	if (at->info->role != CACHE_OTHER_ROLE)
		return HEALTHY_SO_FAR;
	return skymon_degraded(at->sm, "%s: the server's role is `%s`, which is not known", at->place,
			       at->info->role_word);
}

static enum skymon_status of_memory(const struct view *at)
{
	const struct cache_info *info = at->info;
	bool full = info->has[CACHE_MEMORY] && info->has[CACHE_MAX_MEMORY] &&
		    info->of[CACHE_MAX_MEMORY] > 0 &&
		    info->of[CACHE_MEMORY] - info->of[CACHE_UNCOUNTED] > info->of[CACHE_MAX_MEMORY];
	/* The policies volatile-… evict only keys with a time to live. */
	bool stuck = strcmp(info->policy, "noeviction") == 0 ||
		     (strncmp(info->policy, "volatile-", 9) == 0 && info->expiring == 0);
	if (!full || !stuck)
		return HEALTHY_SO_FAR;
	skymon_reason(at->sm, SKYMON_RESOURCE);
	return skymon_degraded(
		at->sm, "%s: its memory is full (%.0f of %.0f bytes), and its policy %s refuses writes",
		at->place, info->of[CACHE_MEMORY], info->of[CACHE_MAX_MEMORY], info->policy);
}

static enum skymon_status of_writes(const struct view *at)
{
	const struct cache_info *info = at->info;
	double good = info->of[CACHE_GOOD_REPLICAS];
	/* The server reports the count only while a minimum (1 or more) is set. */
	double needed = at->answers->has_min_replicas ? at->answers->min_replicas : 1;
	if (info->role == CACHE_PRIMARY && info->has[CACHE_GOOD_REPLICAS] && good < needed)
		return skymon_degraded(at->sm,
				       "%s: refuses writes (NOREPLICAS): %.0f replica%s in step, and "
				       "min-replicas-to-write is %s%.0f",
				       at->place, good, good == 1 ? " is" : "s are",
				       at->answers->has_min_replicas ? "" : "at least ", needed);
	if (info->has[CACHE_LOADING] && info->of[CACHE_LOADING] > 0)
		return skymon_degraded(at->sm, "%s: the server is loading its data", at->place);
	if (info->save_word[0] != '\0' && strcmp(info->save_word, "ok") != 0)
		return skymon_degraded(
			at->sm, "%s: the server could not save its data to disk (rdb_last_bgsave_status: %s)",
			at->place, info->save_word);
	if (info->append_word[0] != '\0' && strcmp(info->append_word, "ok") != 0)
		return skymon_degraded(
			at->sm, "%s: the server could not save its data to disk (aof_last_write_status: %s)",
			at->place, info->append_word);
	return HEALTHY_SO_FAR;
}

static enum skymon_status of_well(const struct view *at, const struct cache_hits *hits)
{
	const struct cache_info *info = at->info;
	char clients[60] = "", rate[40] = "";
	if (info->has[CACHE_CLIENTS] && info->has[CACHE_MAX_CLIENTS])
		snprintf(clients, sizeof(clients), ", %.0f of %.0f clients", info->of[CACHE_CLIENTS],
			 info->of[CACHE_MAX_CLIENTS]);
	if (hits->has_rate)
		snprintf(rate, sizeof(rate), ", hit rate %.1f %%", 100 * hits->rate);
	return skymon_healthy(at->sm, "%s: %s %s%s%s%s%s", at->place, info->product, info->version,
			      info->role == CACHE_REPLICA   ? ", replica"
			      : info->role == CACHE_PRIMARY ? ", primary"
			      : info->role == CACHE_SENTINEL
				      ? ", a Sentinel: all primaries that it watches are ok"
				      : "",
			      at->answers->cluster.seen ? ", cluster ok" : "", clients, rate);
}

enum skymon_status cache_verdict(struct skymon *sm, const char *place, enum cache_wanted wanted,
				 const struct cache_answers *answers, const struct cache_hits *hits)
{
	static enum skymon_status (*const steps[])(const struct view *) = {
		of_sentinel, of_cluster, of_role, of_link, of_memory, of_writes};
	const struct view at = {sm, place, answers, &answers->info};
	enum skymon_status status = of_wanted_role(&at, wanted);
	for (size_t i = 0; status == HEALTHY_SO_FAR && i < sizeof(steps) / sizeof(steps[0]); i++)
		status = steps[i](&at);
	return status == HEALTHY_SO_FAR ? of_well(&at, hits) : status;
}
