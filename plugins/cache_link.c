/* SPDX-License-Identifier: Apache-2.0 */
/* cache_link: the connection to the server: login, questions, answers. hiredis writes commands and reads
 * replies; the socket is dial's, so that nothing waits past the deadline. */
#include <hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"

#define REPLY_MAX ((size_t)1 << 20)

/* ---- Replies: only the kinds that our questions have; each is one allocation ---- */

struct reply {
	int type; /* REDIS_REPLY_… */
	size_t size;
	char text[]; /* ends with '\0' */
};

static void *make_text(const redisReadTask *task, char *bytes, size_t size)
{
	struct reply *reply = malloc(sizeof(*reply) + size + 1);

	if (reply == NULL)
		return NULL;
	reply->type = task->type;
	reply->size = size;
	if (size > 0)
		memcpy(reply->text, bytes, size);
	reply->text[size] = '\0';
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

/* Nothing that is asked is answered by an array, and its size is the stranger's word: refused. */
#if HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *task, size_t count)
#else
static void *make_array(const redisReadTask *task, int count)
#endif
{
	(void)task, (void)count;
	return NULL;
}

/* Those of RESP3, which nobody asked for; without a maker hiredis would give a number for a pointer. */
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
						 .freeObject = free};

/* ---- The connection ---- */

static void drop(struct cache_link *link)
{
	dial_close(link->dial);
	if (link->reader != NULL)
		redisReaderFree(link->reader);
	link->dial = NULL;
	link->reader = NULL;
}

/* The answer so far, or the lack of it, in words that say how far it came. */
static void explain_silence(const struct cache_link *link, size_t taken, const char *what,
			    struct dial_fault *fault)
{
	const char *place = link->place;

	if (fault->reason == SKYMON_TIMEOUT && taken > 0)
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
			       "%s: began its answer to %s and did not end it in time", place, what);
	else if (fault->reason == SKYMON_TIMEOUT)
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
			       "%s: took the connection and did not answer %s in time", place, what);
	else if (fault->lost && taken > 0) {
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
			       "%s: the server broke off in the middle of its answer", place);
		fault->lost = true;
	}
}

static void explain_noise(const struct cache_link *link, const char *bytes, size_t size,
			  struct dial_fault *fault)
{
	bool tls = size > 1 && bytes[0] == 0x15 && bytes[1] == 0x03 && link->dial->tls == NULL;

	dial_fault_set(fault, SKYMON_UNHEALTHY, tls ? SKYMON_TLS_OTHER : SKYMON_PROTOCOL, "%s: %s",
		       link->place,
		       tls ? "the server speaks TLS: the URL must begin with rediss://"
			   : "what answers there does not speak the Redis protocol");
}

/* NULL: *fault says why. */
static struct reply *read_reply(struct skymon *sm, struct cache_link *link, const char *what,
				struct dial_fault *fault)
{
	char bytes[16384];
	size_t taken = 0;

	bytes[0] = bytes[1] = '\0';
	for (;;) {
		void *reply = NULL;
		ssize_t got;

		if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
			explain_noise(link, bytes, taken, fault);
			return NULL;
		}
		if (reply != NULL)
			return reply;
		if (taken > REPLY_MAX) {
			dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
				       "%s: the answer to %s is larger than the 1 MiB that is read",
				       link->place, what);
			return NULL;
		}
		got = dial_read(sm, link->dial, bytes, sizeof(bytes), fault);
		if (got <= 0) {
			explain_silence(link, taken, what, fault);
			return NULL;
		}
		taken += (size_t)got;
		if (redisReaderFeed(link->reader, bytes, (size_t)got) != REDIS_OK) {
			dial_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
				       "no memory is left for the answer");
			return NULL;
		}
	}
}

/* One command and its reply. NULL: *fault says why, and the connection is of no use any more. */
static struct reply *ask(struct skymon *sm, struct cache_link *link, const char *what, int count,
			 const char **words, const size_t *sizes, struct dial_fault *fault)
{
	struct dial_fault unsent;
	struct reply *reply;
	char *command = NULL;
	int size = redisFormatCommandArgv(&command, count, words, sizes);
	bool sent;

	if (size < 0) {
		dial_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "no memory is left for the question");
		return NULL;
	}
	sent = dial_write(sm, link->dial, command, (size_t)size, &unsent);
	explicit_bzero(command, (size_t)size);
	free(command);
	/* A server that takes nobody says why and closes, before it was asked. */
	if (!sent && !unsent.lost) {
		*fault = unsent;
		return NULL;
	}
	reply = read_reply(sm, link, what, fault);
	return reply;
}

static struct reply *ask_word(struct skymon *sm, struct cache_link *link, const char *word,
			      struct dial_fault *fault)
{
	size_t size = strlen(word);

	return ask(sm, link, word, 1, &word, &size, fault);
}

/* +OK, or a fault: of the connection or an error of the server's. */
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
	free(reply);
	answers->has_fault = !ok;
	return ok;
}

static bool log_in(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
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
	link->dial = dial_open(sm, &link->to, &answers->fault);
	answers->has_fault = link->dial == NULL;
	if (link->dial == NULL)
		return false;
	link->fresh = true;
	link->connects++;
	link->reader = redisReaderCreateWithFunctions(
		(redisReplyObjectFunctions *)&makers); /* which it only reads */
	if (link->reader == NULL) {
		dial_fault_set(&answers->fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
			       "no memory is left for the connection");
		answers->has_fault = true;
	}
	return !answers->has_fault && log_in(sm, link, answers);
}

/* ---- The questions ---- */

/* false: the connection is of no use any more. */
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
	free(reply);
	return good;
}

static bool take_info(struct cache_link *link, struct reply *reply, struct dial_fault *fault,
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
		dial_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
			       "%s: the answer to INFO is not what a Redis server gives", link->place);
		good = false;
	}
	free(reply);
	/* What PING said, if it was an error, says more. */
	if (bad && !answers->has_fault) {
		answers->has_fault = true;
		answers->fault = *fault;
	}
	return good;
}

/* false: the connection is of no use any more. */
static bool ask_all(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	struct dial_fault fault;
	struct reply *reply;
	double began;

	skymon_step(sm, "waiting for the answer to PING");
	began = dial_clock();
	reply = ask_word(sm, link, "PING", &answers->fault);
	if (!take_ping(link, reply, dial_clock() - began, answers))
		return false;
	/* An error about the login or from a full server needs no second one; others come with numbers. */
	if (answers->has_fault &&
	    (answers->fault.reason == SKYMON_AUTH_FAILED || answers->fault.reason == SKYMON_RESOURCE))
		return false;
	skymon_step(sm, "waiting for the answer to INFO");
	reply = ask_word(sm, link, "INFO", &fault);
	if (!take_info(link, reply, &fault, answers))
		return false;
	if (link->reader->pos < link->reader->len && !answers->has_fault) {
		explain_noise(link, "", 0, &answers->fault);
		answers->has_fault = true;
		return false;
	}
	return true;
}

void cache_ask(struct skymon *sm, struct cache_link *link, struct cache_answers *answers)
{
	int64_t margin_ms = dial_margin(sm);

	*answers = (struct cache_answers){.ping_seconds = -1};
	link->to.margin_ms = margin_ms;
	link->fresh = false;
	if (link->dial != NULL && !dial_alive(link->dial)) {
		skymon_debug(sm, "%s: the kept connection was lost, connecting anew", link->place);
		drop(link);
	}
	if (link->dial != NULL) {
		link->dial->margin_ms = margin_ms;
		if (ask_all(sm, link, answers))
			return;
		drop(link);
		/* It may be gone without a sign until it is used: that says nothing of the server. */
		if (!answers->fault.lost)
			return;
		skymon_debug(sm, "%s: the kept connection was lost, connecting anew", link->place);
		*answers = (struct cache_answers){.ping_seconds = -1};
	}
	if (!open_link(sm, link, answers) || !ask_all(sm, link, answers))
		drop(link);
}

/* ---- The URL ---- */

static bool is_database(const char *text)
{
	return text[0] != '\0' && strlen(text) < 6 && strspn(text, "0123456789") == strlen(text);
}

static const char *read_unix(const char *url, struct cache_link *link)
{
	const char *path = url + 5, *query;

	if (strncmp(path, "//", 2) == 0)
		path += 2;
	query = strchr(path, '?');
	if (path[0] != '/')
		return "url must have the whole path of the socket, as in unix:/run/redis/redis.sock; user "
		       "and "
		       "password have options of their own";
	if (query != NULL && (strncmp(query, "?db=", 4) != 0 || !is_database(query + 4)))
		return "url has something else than ?db=NUMBER behind its path";
	if ((query != NULL ? (size_t)(query - path) : strlen(path)) >= 108)
		return "url has a path that is too long for a Unix socket";
	snprintf(link->path, sizeof(link->path), "%.*s", (int)strcspn(path, "?"), path);
	if (query != NULL)
		snprintf(link->database, sizeof(link->database), "%.7s", query + 4);
	link->to.host = link->path;
	return NULL;
}

static const char *read_network(struct cache_link *link)
{
	const struct dial_url *url = &link->parsed;
	const char *path = url->path;
	bool secure = strcmp(url->scheme, "rediss") == 0 || strcmp(url->scheme, "valkeys") == 0;

	if (!secure && strcmp(url->scheme, "redis") != 0 && strcmp(url->scheme, "valkey") != 0)
		return "url must begin with redis://, rediss://, valkey://, valkeys:// or unix:";
	if (url->query[0] != '\0')
		return "url has a ?…, which is not understood; what it may say has options of its own";
	if (path[0] == '/' && path[1] != '\0') {
		if (!is_database(path + 1))
			return "url has a path that is no number of a database; in a user or password a / is "
			       "written %2F";
		snprintf(link->database, sizeof(link->database), "%.7s", path + 1);
	}
	link->to.host = url->host;
	link->to.port = url->port != 0 ? url->port : 6379;
	link->to.secure = secure;
	return NULL;
}

static bool any_tls(const struct skymon_tls *tls)
{
	return tls->ca_file != NULL || tls->cert_file != NULL || tls->key_file != NULL ||
	       tls->server_name != NULL || tls->insecure;
}

/* NULL, or what is wrong: it shows nothing of the URL. */
static const char *read_url(const struct cache *cache, struct cache_link *link, char *room, size_t size)
{
	const char *why;

	if (strncmp(cache->url, "unix:", 5) == 0) {
		if (any_tls(&cache->tls) || !dial_no_proxy(cache->proxy))
			return "a Unix socket takes neither tls nor proxy";
		return read_unix(cache->url, link);
	}
	if (!dial_url_parse(cache->url, &link->parsed, &why)) {
		snprintf(room, size, "url %s", why);
		return room;
	}
	link->to.secure = false;
	why = read_network(link);
	link->to.secure = link->to.secure || any_tls(&cache->tls);
	return why;
}

struct cache_link *cache_link_new(struct skymon *sm, const struct cache *cache)
{
	struct cache_link *link = calloc(1, sizeof(*link));
	struct dial_fault fault;
	const char *why;
	char room[300];

	if (link == NULL) {
		skymon_unknown(sm, "no memory is left");
		return NULL;
	}
	strcpy(link->database, "0");
	link->user = link->password = "";
	link->to.tls = &cache->tls;
	link->to.proxy = cache->proxy;
	why = read_url(cache, link, room, sizeof(room));
	if (why == NULL && !dial_accepts_proxy(cache->proxy, &fault))
		why = fault.text;
	if (why != NULL) {
		skymon_unknown(sm, "%s", why);
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
	dial_place(link->to.host, link->to.port, link->place, sizeof(link->place));
	return link;
}

void cache_link_free(struct cache_link *link)
{
	if (link == NULL)
		return;
	drop(link);
	dial_url_free(&link->parsed);
	free(link);
}
