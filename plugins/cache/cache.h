/* SPDX-License-Identifier: Apache-2.0 */
/* cache: the parts of the check of Redis and compatible servers (Valkey, KeyDB).
 * cache.c: options; cache_verdict.c: the status; cache_url.c: the URL; cache_link.c: the connection and the
 * commands; cache_info.c: the answer to INFO (pure); cache_fault.c: the server's errors (pure);
 * cache_report.c: details, numbers, metrics. */
#ifndef CACHE_H
#define CACHE_H

#include <skymon/plugin.h>

#include <skymon/net.h>
#include <skymon/tls.h>

/* ---- The answer to INFO ---- */

enum cache_field {
	CACHE_UPTIME,
	CACHE_CLIENTS,
	CACHE_BLOCKED,
	CACHE_MAX_CLIENTS,
	CACHE_MEMORY,
	CACHE_RESIDENT,
	CACHE_MAX_MEMORY,
	CACHE_UNCOUNTED, /* memory that does not count towards maxmemory */
	CACHE_HITS,
	CACHE_MISSES,
	CACHE_EVICTED,
	CACHE_EXPIRED,
	CACHE_REJECTED,
	CACHE_COMMANDS,
	CACHE_LOADING,
	CACHE_LOADED_PERCENT,
	CACHE_REPLICAS,
	CACHE_OFFSET, /* of the replication stream */
	CACHE_READ_OFFSET,
	CACHE_LAST_IO,
	CACHE_DOWN_SINCE,
	CACHE_SYNCING,
	CACHE_CLUSTER_ENABLED,
	CACHE_GOOD_REPLICAS, /* only while min-replicas-to-write is set */
	CACHE_FIELDS
};
/* CACHE_OTHER_ROLE is an unknown word; CACHE_NO_ROLE if the answer has no role. */
enum cache_role { CACHE_NO_ROLE, CACHE_PRIMARY, CACHE_REPLICA, CACHE_SENTINEL, CACHE_OTHER_ROLE };

/* The answer to CLUSTER INFO. */
struct cache_cluster {
	bool seen;      /* false if not in cluster mode, or the server refuses to answer */
	char state[16]; /* "ok", "fail" */
	double assigned, failed /* slots; failed: on a node that is down */, nodes;
};

struct cache_info {
	char product[16], version[32], run_id[48], policy[24];
	char role_word[24];
	char primary[200]; /* of a replica, "host:port"; of several the first whose link is not up */
	char link_word[24], save_word[16], append_word[16]; /* empty if the answer lacks it */
	enum cache_role role;
	unsigned primaries, links,
		links_down; /* a multi-master replica has several; links: that have a status */
	bool has[CACHE_FIELDS];
	double of[CACHE_FIELDS];
	double keys, expiring; /* of all databases; expiring: keys with a time to live */
	/* of a Sentinel */
	unsigned watched, watched_bad;
	char bad[100]; /* the first that is not ok: "name (status)" */
	/* of the replicas that are online */
	double replicas_online, lag_seconds, lag_bytes;
	bool has_lag;
};
/* Returns false if the text is not an answer to INFO. Copies all that it keeps. */
bool cache_info_parse(const char *text, struct cache_info *info);
bool cache_cluster_parse(const char *text, struct cache_cluster *cluster);

/* Counters of the last check, for the differences since. */
struct cache_before {
	bool known, known_evicted;
	char run_id[48];
	double hits, misses, evicted, at;
};
/* The hit rate: of the interval if it had look-ups, else of all time. */
struct cache_hits {
	bool has_rate, of_interval, has_evicted;
	double rate, in_all, seconds, evicted /* since the last check */;
};
void cache_hits_since(const struct cache_info *info, double now, struct cache_before *before,
		      struct cache_hits *hits);

/* ---- The server's errors ---- */

enum cache_question { CACHE_LOGIN, CACHE_SELECT, CACHE_PING, CACHE_INFO, CACHE_CLUSTER_INFO };
/* Explains an error of the server, without its '-'. place begins the sentence; user and password are masked
 * in it and may be "". */
void cache_explain(const char *error, enum cache_question question, const char *place, const char *user,
		   const char *password, struct skymon_fault *fault);
bool cache_refuses_secret(const char *error);

/* ---- The component ---- */

enum cache_wanted { CACHE_ANY, CACHE_WANTS_PRIMARY, CACHE_WANTS_REPLICA };

struct cache {
	/* options */
	const char *url, *username, *proxy;
	struct skymon_secret password;
	struct skymon_tls tls;
	struct skymon_duration reconnect;
	struct skymon_choice role; /* enum cache_wanted */
	/* derived from the options, and kept between checks */
	struct cache_link *link;
	struct cache_before before;
};

struct cache_line {                 /* one connection */
	struct skymon_net *net;     /* NULL if there is none */
	struct redisReader *reader; /* of this connection */
	double opened;              /* skymon_net_clock() then */
	bool is_local;              /* the peer is on this machine */
};

struct cache_link { /* cache_link.c */
	struct skymon_net_url parsed;
	struct skymon_net_target to;
	char path[256], place[300];  /* path: of a Unix socket, place: for messages */
	const char *user, *password; /* never NULL, never shown */
	size_t password_size;
	bool logs_in;
	char database[8];       /* its number; "0" is the server's default */
	struct cache_line line; /* the connection in use, kept between checks */
	double reconnect;       /* age in s from which a kept connection is replaced; 0 if none is kept */
	uint64_t connects;
};

struct cache_answers {
	bool has_fault;     /* a fault of the connection, or an error that the server returned */
	bool login_refused; /* the secret may have been replaced */
	struct skymon_fault fault;
	bool has_info;
	struct cache_info info;
	struct cache_cluster cluster;
	bool has_min_replicas; /* min-replicas-to-write is set and known */
	double min_replicas;
	double ping_seconds;         /* negative without PONG */
	bool is_local;               /* of the connection that answered */
	struct skymon_tls_days days; /* of its certificates */
};

/* Returns what is wrong with the URL, as in "url %s"; NULL if it is valid. */
const char *cache_url_fault(const struct cache *cache);
/* Returns NULL after skymon_unknown(). */
struct cache_link *cache_link_new(struct skymon *sm, const struct cache *cache);
void cache_link_free(struct cache_link *link);
/* Reads the URL into link. Returns NULL, or what is wrong, as in "url %s", without quoting the URL. */
const char *cache_url_read(const struct cache *cache, struct cache_link *link);
/* Connects unless the kept connection is usable, and sends all commands of a check. */
void cache_ask(struct skymon *sm, struct cache_link *link, struct cache_answers *answers);

/* ---- cache_report.c, cache_verdict.c ---- */

void cache_report(struct skymon *sm, const struct cache_link *link, const struct cache_answers *answers,
		  const struct cache_hits *hits);
/* Returns the status of a server that answered without a fault. */
enum skymon_status cache_verdict(struct skymon *sm, const char *place, enum cache_wanted wanted,
				 const struct cache_answers *answers, const struct cache_hits *hits);

#endif
