/* SPDX-License-Identifier: Apache-2.0 */
/* cache_info: the text that INFO answers, and the sentences of the server's errors. Both are a stranger's:
 * what is no number is absent, what is shown is cleaned. Pure. */
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
	[CACHE_PRIMARY_PORT] = "master_port",
};

/* ---- INFO ---- */

/* Never negative: the server's -1 means "not known". */
static bool read_number(const char *text, double *value)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	*value = strtod(text, &end);
	return *end == '\0' && isfinite(*value) && strpbrk(text, "xX") == NULL;
}

/* Only what a word of INFO is made of; cut to fit. */
static void read_word(const char *text, char *to, size_t room)
{
	size_t used = 0;

	for (; *text != '\0' && used + 1 < room; text++)
		if (isalnum((unsigned char)*text) || strchr("._-:+", *text) != NULL)
			to[used++] = *text;
	to[used] = '\0';
}

/* The value of `name` in "a=1,b=2". */
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
	char state[24], offset[32], lag[32];
	double at, seconds;

	if (!read_part(text, "state", state, sizeof(state)) || strcmp(state, "online") != 0)
		return;
	info->replicas_online++;
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

static void read_line(const char *key, const char *value, struct cache_info *info)
{
	char part[32];
	double number;

	for (size_t i = 0; i < CACHE_FIELDS; i++)
		if (strcmp(key, names[i]) == 0) {
			info->has[i] = read_number(value, &info->of[i]);
			return;
		}
	if (strcmp(key, "redis_version") == 0 && info->version[0] == '\0') {
		read_word(value, info->version, sizeof(info->version));
	} else if (strcmp(key, "valkey_version") == 0) {
		/* Valkey says a version of Redis for old clients, and its own. */
		snprintf(info->product, sizeof(info->product), "Valkey");
		read_word(value, info->version, sizeof(info->version));
	} else if (strcmp(key, "run_id") == 0) {
		read_word(value, info->run_id, sizeof(info->run_id));
	} else if (strcmp(key, "maxmemory_policy") == 0) {
		read_word(value, info->policy, sizeof(info->policy));
	} else if (strcmp(key, "master_host") == 0) {
		read_word(value, info->primary, sizeof(info->primary));
	} else if (strcmp(key, "role") == 0) {
		info->role = strcmp(value, "master") == 0  ? CACHE_PRIMARY
			     : strcmp(value, "slave") == 0 ? CACHE_REPLICA
							   : CACHE_NO_ROLE;
	} else if (strcmp(key, "master_link_status") == 0) {
		info->link_down = strcmp(value, "down") == 0;
	} else if (strcmp(key, "rdb_last_bgsave_status") == 0) {
		info->save_failed = strcmp(value, "err") == 0;
	} else if (strcmp(key, "aof_last_write_status") == 0) {
		info->append_failed = strcmp(value, "err") == 0;
	} else if (is_numbered(key, "db") && read_part(value, "keys", part, sizeof(part)) &&
		   read_number(part, &number)) {
		info->keys += number;
	}
}

/* Calls read_line for each "key:value"; the replicas' in a second pass, when the primary's offset is known.
 */
static void read_lines(const char *text, bool replicas, struct cache_info *info)
{
	char key[64], value[256];

	while (*text != '\0') {
		size_t size = strcspn(text, "\r\n"), colon = strcspn(text, ":\r\n");

		if (colon < size && colon < sizeof(key) && size - colon - 1 < sizeof(value)) {
			snprintf(key, sizeof(key), "%.*s", (int)colon, text);
			snprintf(value, sizeof(value), "%.*s", (int)(size - colon - 1), text + colon + 1);
			if (!replicas)
				read_line(key, value, info);
			else if (is_numbered(key, "slave"))
				read_replica(value, info->of[CACHE_OFFSET], info);
		}
		text += size;
		text += strspn(text, "\r\n");
	}
}

bool cache_info_parse(const char *text, struct cache_info *info)
{
	*info = (struct cache_info){.product = "Redis"};
	read_lines(text, false, info);
	if (info->role == CACHE_PRIMARY && info->has[CACHE_OFFSET])
		read_lines(text, true, info);
	return info->version[0] != '\0';
}

/* ---- Hits ---- */

void cache_hits_since(const struct cache_info *info, double now, struct cache_before *before,
		      struct cache_hits *hits)
{
	double hit = info->of[CACHE_HITS], miss = info->of[CACHE_MISSES], evicted = info->of[CACHE_EVICTED];
	bool same, known = info->has[CACHE_HITS] && info->has[CACHE_MISSES] && info->has[CACHE_EVICTED];

	*hits = (struct cache_hits){.has_rate = false};
	/* Another process, or counters that fell (CONFIG RESETSTAT): all that they count came after the last
	 * check. */
	same = strcmp(before->run_id, info->run_id) == 0 && hit >= before->hits && miss >= before->misses &&
	       evicted >= before->evicted;
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
	hits->has_evicted = known && before->known;
	hits->evicted = same ? evicted - before->evicted : evicted;
	*before = (struct cache_before){
		.known = known, .hits = hit, .misses = miss, .evicted = evicted, .at = now};
	memcpy(before->run_id, info->run_id, sizeof(before->run_id));
}

/* ---- Errors ---- */

/* Copies a stranger's line: printable ASCII, and "***" for what must not be shown. */
static void copy_clean(char *to, size_t room, const char *from, const char *const hide[2])
{
	size_t used = 0;

	while (*from != '\0' && used + 4 < room) {
		size_t secret = 0;

		for (int i = 0; i < 2; i++) {
			size_t size = hide[i] != NULL ? strlen(hide[i]) : 0;
			if (size > secret && strncmp(from, hide[i], size) == 0)
				secret = size;
		}
		if (secret > 0) {
			memcpy(to + used, "***", 3);
			used += 3;
			from += secret;
		} else {
			to[used++] = isprint((unsigned char)*from) ? *from : '?';
			from++;
		}
	}
	while (used > 0 && (to[used - 1] == ' ' || to[used - 1] == '.'))
		used--;
	to[used] = '\0';
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

bool cache_refuses_secret(const char *error)
{
	return begins(error, "NOAUTH") || begins(error, "WRONGPASS") ||
	       begins(error, "ERR invalid password") || begins(error, "ERR AUTH") ||
	       begins(error, "ERR Client sent AUTH");
}

static const struct {
	const char *begins;
	enum skymon_reason reason;
	const char *say; /* NULL: what the server said */
} meanings[] = {
	{"WRONGPASS", SKYMON_AUTH_FAILED, "the server refused the password, or has no such user"},
	{"ERR invalid password", SKYMON_AUTH_FAILED, "the server refused the password"},
	{"NOAUTH", SKYMON_AUTH_FAILED, "the server asks for a password, and none is configured"},
	{"ERR AUTH", SKYMON_AUTH_FAILED, "a password is configured, and the server has none for this user"},
	{"ERR Client sent AUTH", SKYMON_AUTH_FAILED, "a password is configured, and the server has none"},
	{"ERR max number of clients", SKYMON_RESOURCE, "the server has no connection left (maxclients)"},
	{"DENIED", SKYMON_REFUSED,
	 "the server is in protected mode and takes no clients from other machines"},
	{"LOADING", SKYMON_OTHER, "the server is loading its data and answers nothing else"},
	{"MASTERDOWN", SKYMON_STANDBY,
	 "a replica that lost its primary, and by its settings answers nothing until it is back"},
	{"BUSY", SKYMON_OTHER, "the server is busy with a script and answers nothing else"},
	{"MISCONF", SKYMON_OTHER,
	 "the server cannot save its data to disk, and by its settings takes no writes"},
};

void cache_explain(const char *error, enum cache_question question, const char *place, const char *user,
		   const char *password, struct dial_fault *fault)
{
	static const char *const questions[] = {"the login", "the choice of the database", "PING", "INFO"};
	const char *const hide[2] = {user, password};
	char line[200];

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (begins(error, meanings[i].begins)) {
			dial_fault_set(fault, SKYMON_UNHEALTHY, meanings[i].reason, "%s: %s", place,
				       meanings[i].say);
			return;
		}
	if (begins(error, "NOPERM")) {
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
			       "%s: the user may not do what the check does: give it the ACL rules +ping "
			       "+info +select",
			       place);
		return;
	}
	if (question == CACHE_LOGIN) { /* servers repeat the words of a command that they do not know */
		dial_fault_set(
			fault, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
			"%s: the server answered the login with an error that is not shown: it may hold the "
			"password",
			place);
		return;
	}
	copy_clean(line, sizeof(line), error, hide);
	dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_QUERY_ERROR, "%s: the server answered %s with: %s",
		       place, questions[question], line);
}
