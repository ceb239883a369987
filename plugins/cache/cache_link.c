/* SPDX-License-Identifier: Apache-2.0 */
/* cache_link: the connection to the server: login, commands, replies. hiredis formats commands and parses
 * replies; the socket is skymon_net's, so that nothing blocks past the deadline. Called by cache.c, on the check's
 * thread; owns the connection that is kept between checks. */
#include <hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"

#define REPLY_MAX ((size_t)1 << 20)

/* ---- Replies: only the kinds that the check's commands have; each is one allocation ---- */

#define ITEMS_MAX 2 /* CONFIG GET answers a pair */

struct reply {
	int type; /* REDIS_REPLY_… */
	size_t size;
	struct reply *items[ITEMS_MAX]; /* of an array; NULL after its end */
	char text[];                    /* ends with '\0' */
};

static void free_reply(void *memory)
{
	struct reply *reply = memory;
	if (reply == NULL)
		return;
	for (size_t i = 0; i < ITEMS_MAX; i++)
		free_reply(reply->items[i]);
	free(reply);
}

static void *make_text(const redisReadTask *task, char *bytes, size_t size)
{
	struct reply *reply = malloc(sizeof(*reply) + size + 1);
	if (reply == NULL)
		return NULL;
	*reply = (struct reply){.type = task->type, .size = size};
	if (size > 0)
		memcpy(reply->text, bytes, size);
	reply->text[size] = '\0';
	if (task->parent != NULL) {
		struct reply *array = task->parent->obj;
		array->items[task->idx] = reply;
	}
	return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
	(void)value;
	return make_text(task, NULL, 0);
}

static void *make_nil(const redisReadTask *task)
{
	return make_text(task, NULL, 0);
}

/* The size is untrusted: larger arrays than the check's commands return are refused. */
#if HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *task, size_t count)
#else
static void *make_array(const redisReadTask *task, int count)
#endif
{
	return count > ITEMS_MAX ? NULL : make_text(task, NULL, 0);
}

/* Kinds of RESP3, which the check never enables; without a constructor hiredis would return an integer as a
 * pointer. */
#if HIREDIS_MAJOR >= 1
static void *make_double(const redisReadTask *task, double value, char *text, size_t size)
{
	(void)value;
	return make_text(task, text, size);
}

static void *make_boolean(const redisReadTask *task, int value)
{
	(void)value;
	return make_text(task, NULL, 0);
}
#endif

static const redisReplyObjectFunctions makers = {.createString = make_text,
						 .createArray = make_array,
						 .createInteger = make_integer,
						 .createNil = make_nil,
#if HIREDIS_MAJOR >= 1
						 .createDouble = make_double,
						 .createBool = make_boolean,
#endif
						 .freeObject = free_reply};

/* ---- The connection ---- */

static void drop_line(struct cache_line *line)
{
	skymon_net_close(line->net);
	if (line->reader != NULL)
		redisReaderFree(line->reader);
	*line = (struct cache_line){.net = NULL};
}

/* Explains a missing answer by how far it got. */
static void explain_silence(const struct cache_link *link, size_t taken, const char *what,
			    struct skymon_fault *fault)
{
	const char *place = link->place;
	if (fault->reason == SKYMON_TIMEOUT && taken > 0)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
				 "%s: began its answer to %s and did not end it in time", place, what);
	else if (fault->reason == SKYMON_TIMEOUT)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
				 "%s: accepted the connection and did not answer %s in time", place, what);
	else if (fault->lost && taken > 0) {
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
				 "%s: the server broke off in the middle of its answer", place);
		fault->lost = true;
	}
}

static void explain_noise(const struct cache_link *link, const char *bytes, size_t size,
			  struct skymon_fault *fault)
{
	bool tls = size > 1 && bytes[0] == 0x15 && bytes[1] == 0x03 && link->line.net->tls == NULL;
	skymon_fault_set(fault, SKYMON_UNHEALTHY, tls ? SKYMON_TLS_OTHER : SKYMON_PROTOCOL, "%s: %s",
			 link->place,
			 tls ? "the server speaks TLS: the URL must begin with rediss://"
			     : "what answers there does not speak the Redis protocol");
}

/* Returns NULL with *fault set. */
static struct reply *read_reply(struct skymon *sm, struct cache_link *link, const char *what,
				struct skymon_fault *fault)
{
	char bytes[16384];
	size_t taken = 0;
	bytes[0] = bytes[1] = '\0';
	for (;;) {
		void *reply = NULL;
		if (redisReaderGetReply(link->line.reader, &reply) != REDIS_OK) {
			explain_noise(link, bytes, taken, fault);
			return NULL;
		}
		if (reply != NULL)
			return reply;
		if (taken > REPLY_MAX) {
			skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
					 "%s: the answer to %s is larger than the 1 MiB that is read",
					 link->place, what);
			return NULL;
		}
		ssize_t got = skymon_net_read(sm, link->line.net, bytes, sizeof(bytes), fault);
		if (got <= 0) {
			explain_silence(link, taken, what, fault);
			return NULL;
		}
		taken += (size_t)got;
		if (redisReaderFeed(link->line.reader, bytes, (size_t)got) != REDIS_OK) {
			skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
					 "out of memory for the answer");
			return NULL;
		}
	}
}

/* Sends one command and returns its reply. Returns NULL with *fault set if the connection can no longer be
 * used. */
static struct reply *ask(struct skymon *sm, struct cache_link *link, const char *what, int count,
			 const char **words, const size_t *sizes, struct skymon_fault *fault)
{
	char *command = NULL;
	int size = redisFormatCommandArgv(&command, count, words, sizes);
	if (size < 0) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the question");
		return NULL;
	}
	struct skymon_fault unsent;
	bool sent = skymon_net_write(sm, link->line.net, command, (size_t)size, &unsent);
	explicit_bzero(command, (size_t)size);
	free(command);
	/* A server that accepts no clients sends its error and closes, before any command. */
	if (!sent && !unsent.lost) {
		*fault = unsent;
		return NULL;
	}
	return read_reply(sm, link, what, fault);
}

static struct reply *ask_word(struct skymon *sm, struct cache_link *link, const char *word,
			      struct skymon_fault *fault)
{
	size_t size = strlen(word);
	return ask(sm, link, word, 1, &word, &size, fault);
}

/* Expects +OK. Returns false with *fault set: of the connection, or the server's error. */
static bool expect_ok(struct reply *reply, struct cache_link *link, enum cache_question question,
		      struct cache_answers *answers)
{
	bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS && strcmp(reply->text, "OK") == 0;
	if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
		cache_explain(reply->text, question, link->place, link->user, link->password,
			      &answers->fault);
		answers->login_refused = cache_refuses_secret(reply->text);
	} else if (reply != NULL && !ok) {
		explain_noise(link, "", 0, &answers->fault);
	}
	free_reply(reply);
	answers->has_fault = !ok;
	return ok;
}

/* Without TLS the password can be read on the network. */
static bool may_send_password(const struct cache_link *link, struct cache_answers *answers)
{
	if (link->password_size == 0 || link->to.secure || link->line.is_local || link->to.tls->insecure)
		return true;
	skymon_fault_set(
		&answers->fault, SKYMON_UNKNOWN, SKYMON_TLS_OTHER,
		"%s: the password is not sent to another machine without TLS: use rediss:// or a tls block, "
		"or allow it with tls: {insecure: true}",
		link->place);
	answers->has_fault = true;
	return false;
}

static bool log_in(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	if (!may_send_password(link, answers))
		return false;
	if (link->logs_in) {
		bool user = link->user[0] != '\0';
		const char *words[] = {"AUTH", user ? link->user : link->password, link->password};
		size_t sizes[] = {4, user ? strlen(link->user) : link->password_size, link->password_size};
		skymon_step(sm, "logging in");
		if (!expect_ok(ask(sm, link, "the login", user ? 3 : 2, words, sizes, &answers->fault), link,
			       CACHE_LOGIN, answers))
			return false;
	}
	if (strcmp(link->database, "0") != 0) {
		const char *words[] = {"SELECT", link->database};
		size_t sizes[] = {6, strlen(link->database)};
		return expect_ok(ask(sm, link, "SELECT", 2, words, sizes, &answers->fault), link,
				 CACHE_SELECT, answers);
	}
	return true;
}

static bool open_link(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	struct cache_line *line = &link->line;
	*line = (struct cache_line){.net = skymon_net_open(sm, &link->to, &answers->fault),
				    .opened = skymon_net_clock()};
	answers->has_fault = line->net == NULL;
	if (line->net == NULL)
		return false;
	line->is_local = skymon_net_no_proxy(link->to.proxy) && skymon_net_peer_is_local(line->net->fd);
	link->connects++;
	line->reader = redisReaderCreateWithFunctions(
		(redisReplyObjectFunctions *)&makers); /* hiredis only reads it */
	if (line->reader == NULL) {
		skymon_fault_set(&answers->fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
				 "out of memory for the connection");
		answers->has_fault = true;
	}
	return !answers->has_fault && log_in(sm, link, answers);
}

/* Replaces a connection older than `reconnect`, so that the check meets what new clients meet. The old one is
 * closed once the new one has logged in. It is also closed if the new one fails, except for lack of
 * connections: closing it would free a slot for this check alone, and hide that other clients get none. */
static bool renew(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	struct cache_line old = link->line;
	bool opened = open_link(sm, link, answers);
	if (!opened) {
		drop_line(&link->line);
		if (answers->fault.reason == SKYMON_RESOURCE) {
			link->line = old;
			return false;
		}
	}
	drop_line(&old);
	return opened;
}

/* ---- Commands ---- */

/* Returns false if the connection can no longer be used. */
static bool take_ping(struct cache_link *link, struct reply *reply, double seconds,
		      struct cache_answers *answers)
{
	bool good = reply != NULL;
	answers->has_fault = true;
	if (good && reply->type == REDIS_REPLY_ERROR) {
		cache_explain(reply->text, CACHE_PING, link->place, link->user, link->password,
			      &answers->fault);
		answers->login_refused = cache_refuses_secret(reply->text);
	} else if (good && reply->type == REDIS_REPLY_STATUS && strcmp(reply->text, "PONG") == 0) {
		answers->has_fault = false;
		answers->ping_seconds = seconds;
	} else if (good) {
		explain_noise(link, "", 0, &answers->fault);
		good = false;
	}
	free_reply(reply);
	return good;
}

static bool take_info(struct cache_link *link, struct reply *reply, struct skymon_fault *fault,
		      struct cache_answers *answers)
{
	bool good = reply != NULL, bad = true;
	if (good && reply->type == REDIS_REPLY_ERROR) {
		cache_explain(reply->text, CACHE_INFO, link->place, link->user, link->password, fault);
	} else if (good && reply->type == REDIS_REPLY_STRING &&
		   cache_info_parse(reply->text, &answers->info)) {
		answers->has_info = true;
		bad = false;
	} else if (good) {
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
				 "%s: the answer to INFO is not what a Redis server gives", link->place);
		good = false;
	}
	free_reply(reply);
	/* An error of PING is more telling. */
	if (bad && !answers->has_fault) {
		answers->has_fault = true;
		answers->fault = *fault;
	}
	return good;
}

/* Sends a command that the server may not know, or the user may not use: an error is not a fault. Returns
 * NULL with *good set for such an error. */
static struct reply *ask_optional(struct skymon *sm, struct cache_link *link, const char *what, int count,
				  const char **words, int type, bool *good, struct skymon_fault *fault)
{
	size_t sizes[3];
	for (int i = 0; i < count; i++)
		sizes[i] = strlen(words[i]);
	struct reply *reply = ask(sm, link, what, count, words, sizes, fault);
	*good = reply != NULL;
	if (reply == NULL || reply->type == type)
		return reply;
	if (reply->type != REDIS_REPLY_ERROR) {
		explain_noise(link, "", 0, fault);
		*good = false;
	}
	free_reply(reply);
	return NULL;
}

/* Queries what INFO lacks: the cluster's state, and how many replicas a write needs. Returns false if the
 * connection can no longer be used. */
static bool ask_more(struct skymon *sm, struct cache_link *link, struct cache_answers *answers,
		     struct skymon_fault *fault)
{
	const char *cluster[] = {"CLUSTER", "INFO"};
	/* The old name; the new one is an alias since Redis 5. */
	const char *minimum[] = {"CONFIG", "GET", "min-slaves-to-write"};
	const struct cache_info *info = &answers->info;
	struct reply *reply;
	bool good = true;
	if (info->has[CACHE_CLUSTER_ENABLED] && info->of[CACHE_CLUSTER_ENABLED] > 0) {
		skymon_step(sm, "waiting for the answer to CLUSTER INFO");
		reply = ask_optional(sm, link, "CLUSTER INFO", 2, cluster, REDIS_REPLY_STRING, &good, fault);
		if (reply != NULL)
			cache_cluster_parse(reply->text, &answers->cluster);
		free_reply(reply);
	}
	if (good && info->role == CACHE_PRIMARY && info->has[CACHE_GOOD_REPLICAS]) {
		skymon_step(sm, "waiting for the answer to CONFIG GET");
		reply = ask_optional(sm, link, "CONFIG GET", 3, minimum, REDIS_REPLY_ARRAY, &good, fault);
		if (reply != NULL && reply->items[1] != NULL) {
			answers->has_min_replicas = true;
			answers->min_replicas = strtod(reply->items[1]->text, NULL);
		}
		free_reply(reply);
	}
	return good;
}

/* Returns false if the connection can no longer be used. */
static bool ask_all(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	answers->is_local = link->line.is_local;
	answers->days = skymon_tls_days_of(link->line.net->tls);
	skymon_step(sm, "waiting for the answer to PING");
	double began = skymon_net_clock();
	struct reply *reply = ask_word(sm, link, "PING", &answers->fault);
	if (!take_ping(link, reply, skymon_net_clock() - began, answers))
		return false;
	/* After an error about the login or from a full server no further command is sent; after others INFO
	 * may still work. */
	if (answers->has_fault &&
	    (answers->fault.reason == SKYMON_AUTH_FAILED || answers->fault.reason == SKYMON_RESOURCE))
		return false;
	skymon_step(sm, "waiting for the answer to INFO");
	struct skymon_fault fault;
	reply = ask_word(sm, link, "INFO", &fault);
	if (!take_info(link, reply, &fault, answers))
		return false;
	if (answers->has_fault)
		return true;
	if (!ask_more(sm, link, answers, &answers->fault)) {
		answers->has_fault = true;
		return false;
	}
	if (link->line.reader->pos < link->line.reader->len) {
		explain_noise(link, "", 0, &answers->fault);
		answers->has_fault = true;
		return false;
	}
	return true;
}

/* Uses the kept connection. Returns false if it turned out to be lost when it was used, which is not a fault
 * of the server. */
static bool ask_kept(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	if (ask_all(sm, link, answers))
		return true;
	drop_line(&link->line);
	return !answers->fault.lost;
}

static void ask_once(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	if (link->line.net != NULL && !skymon_net_alive(link->line.net)) {
		skymon_debug(sm, "%s: the kept connection was lost, connecting again", link->place);
		drop_line(&link->line);
	}
	if (link->line.net != NULL && skymon_net_clock() - link->line.opened >= link->reconnect) {
		if (renew(sm, link, answers) && !ask_all(sm, link, answers))
			drop_line(&link->line);
		return;
	}
	if (link->line.net != NULL) {
		if (ask_kept(sm, link, answers))
			return;
		skymon_debug(sm, "%s: the kept connection was lost, connecting again", link->place);
		*answers = (struct cache_answers){.ping_seconds = -1};
	}
	if (!open_link(sm, link, answers) || !ask_all(sm, link, answers))
		drop_line(&link->line);
}

void cache_ask(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	*answers = (struct cache_answers){.ping_seconds = -1};
	ask_once(sm, link, answers);
	/* A connection pool in front of the server assigns a slot for as long as the connection is open. */
	if (link->reconnect == 0)
		drop_line(&link->line);
}

struct cache_link *cache_link_new(struct skymon *sm, const struct cache *cache)
{
	struct cache_link *link = calloc(1, sizeof(*link));
	if (link == NULL) {
		skymon_unknown(sm, "out of memory");
		return NULL;
	}
	strcpy(link->database, "0");
	link->user = link->password = "";
	link->to.tls = &cache->tls;
	link->to.proxy = cache->proxy;
	const char *why = cache_url_read(cache, link);
	link->reconnect = (double)cache->reconnect.ms / 1000;
	if (why != NULL) {
		skymon_unknown(sm, "url %s", why);
		cache_link_free(link);
		return NULL;
	}
	if (link->parsed.memory != NULL) {
		link->user = link->parsed.user;
		link->password = link->parsed.password;
	}
	if (cache->username != NULL && cache->username[0] != '\0')
		link->user = cache->username;
	link->password_size = strlen(link->password);
	if (cache->password.size > 0) {
		link->password = cache->password.bytes;
		link->password_size = cache->password.size;
	}
	link->logs_in = link->user[0] != '\0' || link->password_size > 0;
	skymon_net_place(link->to.host, link->to.port, link->place, sizeof(link->place));
	return link;
}

void cache_link_free(struct cache_link *link)
{
	if (link == NULL)
		return;
	drop_line(&link->line);
	skymon_net_url_free(&link->parsed);
	free(link);
}
