/* SPDX-License-Identifier: Apache-2.0 */
/* cache_info: parses the answers to INFO and CLUSTER INFO, and computes the hit rate. Called by cache_link.c
 * and cache.c, on the check's thread. Pure. The text is untrusted: a value that is not a number is absent,
 * without voiding others. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"

static const char *const names[CACHE_FIELDS] = {
	[CACHE_UPTIME] = "uptime_in_seconds",
	[CACHE_CLIENTS] = "connected_clients",
	[CACHE_BLOCKED] = "blocked_clients",
	[CACHE_MAX_CLIENTS] = "maxclients",
	[CACHE_MEMORY] = "used_memory",
	[CACHE_RESIDENT] = "used_memory_rss",
	[CACHE_MAX_MEMORY] = "maxmemory",
	[CACHE_UNCOUNTED] = "mem_not_counted_for_evict",
	[CACHE_HITS] = "keyspace_hits",
	[CACHE_MISSES] = "keyspace_misses",
	[CACHE_EVICTED] = "evicted_keys",
	[CACHE_EXPIRED] = "expired_keys",
	[CACHE_REJECTED] = "rejected_connections",
	[CACHE_COMMANDS] = "total_commands_processed",
	[CACHE_LOADING] = "loading",
	[CACHE_LOADED_PERCENT] = "loading_loaded_perc",
	[CACHE_REPLICAS] = "connected_slaves",
	[CACHE_OFFSET] = "master_repl_offset",
	[CACHE_READ_OFFSET] = "slave_read_repl_offset",
	[CACHE_LAST_IO] = "master_last_io_seconds_ago",
	[CACHE_DOWN_SINCE] = "master_link_down_since_seconds",
	[CACHE_SYNCING] = "master_sync_in_progress",
	[CACHE_CLUSTER_ENABLED] = "cluster_enabled",
	[CACHE_GOOD_REPLICAS] = "min_slaves_good_slaves",
};

/* ---- INFO ---- */

/* Refuses negative numbers: the server's -1 means "not known". */
static bool read_number(const char *text, double *value)
{
	if (!isdigit((unsigned char)text[0]))
		return false;
	char *end;
	*value = strtod(text, &end);
	return *end == '\0' && isfinite(*value) && strpbrk(text, "xX") == NULL;
}

/* Copies the characters that words of INFO consist of, cut to fit. */
static void read_word(const char *text, char *to, size_t room)
{
	size_t used = 0;
	for (; *text != '\0' && used + 1 < room; text++)
		if (isalnum((unsigned char)*text) || strchr("._-:+", *text) != NULL)
			to[used++] = *text;
	to[used] = '\0';
}

/* Finds the value of `name` in "a=1,b=2". */
static bool read_part(const char *text, const char *name, char *to, size_t room)
{
	size_t size = strlen(name);
	for (; text != NULL; text = strchr(text, ',')) {
		text += *text == ',';
		if (strncmp(text, name, size) == 0 && text[size] == '=') {
			snprintf(to, room, "%.*s", (int)strcspn(text + size + 1, ","), text + size + 1);
			return true;
		}
	}
	return false;
}

/* "slave0": "ip=…,port=…,state=online,offset=42,lag=0" */
static void read_replica(const char *text, double primary_offset, struct cache_info *info)
{
	char state[24];
	if (!read_part(text, "state", state, sizeof(state)) || strcmp(state, "online") != 0)
		return;
	info->replicas_online++;
	char offset[32], lag[32];
	double at, seconds;
	if (!read_part(text, "offset", offset, sizeof(offset)) || !read_part(text, "lag", lag, sizeof(lag)) ||
	    !read_number(offset, &at) || !read_number(lag, &seconds))
		return;
	info->has_lag = true;
	if (seconds > info->lag_seconds)
		info->lag_seconds = seconds;
	if (primary_offset - at > info->lag_bytes)
		info->lag_bytes = primary_offset - at;
}

static bool is_numbered(const char *key, const char *stem)
{
	size_t size = strlen(stem);
	return strncmp(key, stem, size) == 0 && key[size] != '\0' &&
	       strspn(key + size, "0123456789") == strlen(key + size);
}

/* "master0": "name=cache,status=ok,address=10.0.0.1:6379,slaves=2,sentinels=3" of a Sentinel */
static void read_watched(const char *text, struct cache_info *info)
{
	info->watched++;
	char word[48];
	if (read_part(text, "status", word, sizeof(word)) && strcmp(word, "ok") == 0)
		return;
	char status[24];
	read_word(word, status, sizeof(status));
	char name[48];
	if (read_part(text, "name", word, sizeof(word)))
		read_word(word, name, sizeof(name));
	else
		name[0] = '\0';
	if (info->watched_bad++ == 0)
		snprintf(info->bad, sizeof(info->bad), "%s (%s)", name,
			 status[0] != '\0' ? status : "no status");
}

static enum cache_role role_of(const char *word)
{
	static const char *const replicas[] = {"slave", "replica", "active-replica", "active-slave"};
	if (strcmp(word, "master") == 0 || strcmp(word, "primary") == 0)
		return CACHE_PRIMARY;
	for (size_t i = 0; i < sizeof(replicas) / sizeof(replicas[0]); i++)
		if (strcmp(word, replicas[i]) == 0)
			return CACHE_REPLICA;
	return CACHE_OTHER_ROLE;
}

/* KeyDB's replicas may have several primaries, each with a block of its own: a fault of any of them counts.
 */
struct block {
	char host[160], port[8];
};

static void end_link(const char *value, const struct block *block, struct cache_info *info)
{
	bool down = strcmp(value, "up") != 0;
	if (info->links++ == 0 || (down && info->links_down == 0)) {
		snprintf(info->primary, sizeof(info->primary), "%s:%s", block->host, block->port);
		read_word(value, info->link_word, sizeof(info->link_word));
	}
	info->links_down += down;
}

/* Returns false if the line is not about replication. */
static bool read_replication(const char *key, const char *value, struct block *block, struct cache_info *info)
{
	if (strcmp(key, "role") == 0) {
		read_word(value, info->role_word, sizeof(info->role_word));
		info->role = role_of(info->role_word);
	} else if (strcmp(key, "redis_mode") == 0 || strcmp(key, "server_mode") == 0) {
		if (strcmp(value, "sentinel") == 0)
			info->role = CACHE_SENTINEL;
	} else if (strcmp(key, "master_host") == 0) {
		info->primaries++;
		read_word(value, block->host, sizeof(block->host));
	} else if (strcmp(key, "master_port") == 0) {
		read_word(value, block->port, sizeof(block->port));
	} else if (strcmp(key, "master_link_status") == 0) {
		end_link(value, block, info);
	} else if (info->role == CACHE_SENTINEL && is_numbered(key, "master")) {
		read_watched(value, info);
	} else {
		return false;
	}
	return true;
}

static void read_field(enum cache_field field, const char *value, struct cache_info *info)
{
	bool of_links = field == CACHE_LAST_IO || field == CACHE_DOWN_SINCE || field == CACHE_SYNCING;
	double number;
	if (!read_number(value, &number))
		return;
	/* Keep the worst of several links. */
	if (!of_links || !info->has[field] || number > info->of[field])
		info->of[field] = number;
	info->has[field] = true;
}

static void read_keyspace(const char *value, struct cache_info *info)
{
	char part[32];
	double number;
	if (read_part(value, "keys", part, sizeof(part)) && read_number(part, &number))
		info->keys += number;
	if (read_part(value, "expires", part, sizeof(part)) && read_number(part, &number))
		info->expiring += number;
}

static void read_line(const char *key, const char *value, struct block *block, struct cache_info *info)
{
	for (size_t i = 0; i < CACHE_FIELDS; i++)
		if (strcmp(key, names[i]) == 0) {
			read_field((enum cache_field)i, value, info);
			return;
		}
	if (read_replication(key, value, block, info))
		return;
	if (strcmp(key, "redis_version") == 0 && info->version[0] == '\0') {
		read_word(value, info->version, sizeof(info->version));
	} else if (strcmp(key, "valkey_version") == 0) {
		/* Valkey reports a version of Redis for old clients, and its own. */
		snprintf(info->product, sizeof(info->product), "Valkey");
		read_word(value, info->version, sizeof(info->version));
	} else if (strcmp(key, "run_id") == 0) {
		read_word(value, info->run_id, sizeof(info->run_id));
	} else if (strcmp(key, "maxmemory_policy") == 0) {
		read_word(value, info->policy, sizeof(info->policy));
	} else if (strcmp(key, "rdb_last_bgsave_status") == 0) {
		read_word(value, info->save_word, sizeof(info->save_word));
	} else if (strcmp(key, "aof_last_write_status") == 0) {
		read_word(value, info->append_word, sizeof(info->append_word));
	} else if (is_numbered(key, "db")) {
		read_keyspace(value, info);
	}
}

/* Splits off the next "key:value". Returns false at the end of the text. A line without a colon, or one that
 * does not fit, has an empty key. */
static bool next_line(const char **text, char key[64], char value[256])
{
	size_t size = strcspn(*text, "\r\n"), colon = strcspn(*text, ":\r\n");
	if (**text == '\0')
		return false;
	key[0] = value[0] = '\0';
	if (colon < size && colon < 64 && size - colon - 1 < 256) {
		snprintf(key, 64, "%.*s", (int)colon, *text);
		snprintf(value, 256, "%.*s", (int)(size - colon - 1), *text + colon + 1);
	}
	*text += size;
	*text += strspn(*text, "\r\n");
	return true;
}

bool cache_info_parse(const char *text, struct cache_info *info)
{
	struct block block = {.host = ""};
	*info = (struct cache_info){.product = "Redis"};
	char key[64], value[256];
	for (const char *at = text; next_line(&at, key, value);)
		read_line(key, value, &block, info);
	/* Replicas need a second pass: their lag is relative to the primary's offset. */
	if (info->role == CACHE_PRIMARY && info->has[CACHE_OFFSET])
		for (const char *at = text; next_line(&at, key, value);)
			if (is_numbered(key, "slave") || is_numbered(key, "replica"))
				read_replica(value, info->of[CACHE_OFFSET], info);
	return info->version[0] != '\0';
}

bool cache_cluster_parse(const char *text, struct cache_cluster *cluster)
{
	*cluster = (struct cache_cluster){.seen = false};
	char key[64], value[256];
	while (next_line(&text, key, value))
		if (strcmp(key, "cluster_state") == 0)
			read_word(value, cluster->state, sizeof(cluster->state));
		else if (strcmp(key, "cluster_slots_assigned") == 0)
			read_number(value, &cluster->assigned);
		else if (strcmp(key, "cluster_slots_fail") == 0)
			read_number(value, &cluster->failed);
		else if (strcmp(key, "cluster_known_nodes") == 0)
			read_number(value, &cluster->nodes);
	cluster->seen = cluster->state[0] != '\0';
	return cluster->seen;
}

/* ---- Hits ---- */

void cache_hits_since(const struct cache_info *info, double now, struct cache_before *before,
		      struct cache_hits *hits)
{
	double hit = info->of[CACHE_HITS], miss = info->of[CACHE_MISSES], evicted = info->of[CACHE_EVICTED];
	bool known = info->has[CACHE_HITS] && info->has[CACHE_MISSES],
	     known_evicted = info->has[CACHE_EVICTED];
	/* After a restart, or if counters fell (CONFIG RESETSTAT), everything that they count came after the
	 * last check. */
	bool same_process = strcmp(before->run_id, info->run_id) == 0;
	bool same = same_process && hit >= before->hits && miss >= before->misses;
	*hits = (struct cache_hits){.has_rate = false};
	if (known && hit + miss > 0) {
		double new_hit = same ? hit - before->hits : hit,
		       new_miss = same ? miss - before->misses : miss;
		hits->has_rate = true;
		hits->rate = hits->in_all = hit / (hit + miss);
		if (before->known && new_hit + new_miss > 0) {
			hits->of_interval = true;
			hits->rate = new_hit / (new_hit + new_miss);
			hits->seconds = now - before->at;
		}
	}
	hits->has_evicted = known_evicted && before->known_evicted;
	hits->evicted = same_process && evicted >= before->evicted ? evicted - before->evicted : evicted;
	*before = (struct cache_before){.known = known,
					.known_evicted = known_evicted,
					.hits = hit,
					.misses = miss,
					.evicted = evicted,
					.at = now};
	memcpy(before->run_id, info->run_id, sizeof(before->run_id));
}
