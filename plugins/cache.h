/* SPDX-License-Identifier: Apache-2.0 */
/* cache: the parts of the check of Redis and of what speaks its protocol (Valkey, KeyDB).
 * cache.c: options, verdict; cache_link.c: the connection and what is asked on it; cache_info.c: the answer
 * to INFO and the server's error sentences (pure); cache_report.c: details, numbers, metrics. */
#ifndef CACHE_H
#define CACHE_H

#include <skymon/plugin.h>

#include "dial.h"

/* ---- The answer to INFO ---- */

enum cache_field {
	CACHE_UPTIME,
	CACHE_CLIENTS,
	CACHE_BLOCKED,
	CACHE_MAX_CLIENTS,
	CACHE_MEMORY,
	CACHE_RESIDENT,
	CACHE_MAX_MEMORY,
	CACHE_UNCOUNTED, /* memory that does not count against maxmemory */
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
	CACHE_PRIMARY_PORT,
	CACHE_FIELDS
};
enum cache_role { CACHE_NO_ROLE, CACHE_PRIMARY, CACHE_REPLICA };

struct cache_info {
	char product[8], version[32], run_id[48], policy[24], primary[200] /* the replica's; host */;
	enum cache_role role;
	bool link_down, save_failed, append_failed;
	bool has[CACHE_FIELDS];
	double of[CACHE_FIELDS];
	double keys; /* of all databases */
	/* of the replicas that are online */
	double replicas_online, lag_seconds, lag_bytes;
	bool has_lag;
};
/* false: this is no answer to INFO. Copies all that it keeps. */
bool cache_info_parse(const char *text, struct cache_info *info);

/* Counters of the last check, to see what happened since. */
struct cache_before {
	bool known;
	char run_id[48];
	double hits, misses, evicted, at;
};
/* What may be said of the hit rate: of the interval when there were look-ups in it, else of all time. */
struct cache_hits {
	bool has_rate, of_interval, has_evicted;
	double rate, in_all, seconds, evicted /* since the last check */;
};
void cache_hits_since(const struct cache_info *info, double now, struct cache_before *before,
		      struct cache_hits *hits);

/* ---- The server's errors ---- */

enum cache_question { CACHE_LOGIN, CACHE_SELECT, CACHE_PING, CACHE_INFO };
/* error: without its '-'. place: for the beginning of the sentence. user, password: to be kept out; may be
 * "". */
void cache_explain(const char *error, enum cache_question question, const char *place, const char *user,
		   const char *password, struct dial_fault *fault);
bool cache_refuses_secret(const char *error);

/* ---- The component ---- */

struct cache {
	/* options */
	const char *url, *username, *proxy;
	struct skymon_secret password;
	struct skymon_tls tls;
	/* from them, and what is kept */
	struct cache_link *link;
	struct cache_before before;
};

struct cache_link { /* cache_link.c */
	struct dial_url parsed;
	struct dial_to to;
	char path[256], place[300];  /* path: of a Unix socket; place: for messages */
	const char *user, *password; /* never NULL, never shown */
	size_t password_size;
	bool logs_in;
	char database[8];           /* its number; "0" is chosen by itself */
	struct dial *dial;          /* NULL: none */
	struct redisReader *reader; /* of this connection */
	bool fresh;                 /* opened in this check */
	uint64_t connects;
};

struct cache_answers {
	bool has_fault;     /* of the connection or of an error that the server answered */
	bool login_refused; /* the secret may be an old one */
	struct dial_fault fault;
	bool has_info;
	struct cache_info info;
	double ping_seconds; /* negative: there was no PONG */
};

/* NULL: skymon_unknown has said why. */
struct cache_link *cache_link_new(struct skymon *sm, const struct cache *cache);
void cache_link_free(struct cache_link *link);
/* Connects when there is no good connection, and asks all that a check asks. */
void cache_ask(struct skymon *sm, struct cache_link *link, struct cache_answers *answers);

/* ---- cache_report.c ---- */

void cache_report(struct skymon *sm, const struct cache_link *link, const struct cache_answers *answers,
		  const struct cache_hits *hits);

#endif
