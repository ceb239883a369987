/* SPDX-License-Identifier: Apache-2.0 */
/* http_access_token: the daemon's own access token, and the routes that need none. Reads the token, re-reads its
 * file when it changes, compares what requests bring, and counts and logs wrong tokens. Called by http.c,
 * http_dispatch.c and http_request.c on the loop's thread. Owns struct access. While no token can be read, no
 * caller is trusted. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "http_private.h"

#define TOKEN_LOOK_MS 10000 /* between two looks at the token's file */
#define LOG_WINDOW_MS 10000
#define LOG_LINES_MAX 5 /* in a window */

struct access {
	char *token; /* NULL if it cannot be read, so that nothing matches */
	size_t token_size;
	uint64_t file_seen; /* mark of the token's file */
	struct http *http;
	struct timer look; /* at the file */
	uint64_t failed_total;
	int64_t log_window_ms;
	unsigned logged; /* refused callers in this window */
	uint8_t *open;   /* by a route's index; NULL without routes */
};

/* ---- The token ---- */

static void forget_token(struct access *access)
{
	if (access->token != NULL)
		wipe_free(access->token, access->token_size);
	access->token = NULL;
	access->token_size = 0;
}

/* Keeps the present token if this one cannot be used. */
static bool read_token(struct access *access, struct err *err)
{
	char *token;
	size_t size;
	if (!option_secret_read(settings_token(access->http->settings), config_environment, &token, &size,
				err))
		return false;
	if (size < SETTINGS_TOKEN_MIN) {
		wipe_free(token, size);
		return err_set(err, "it is shorter than %d bytes, and could be guessed", SETTINGS_TOKEN_MIN);
	}
	forget_token(access);
	access->token = token;
	access->token_size = size;
	return true;
}

static void look_at_file(struct timer *timer, int64_t now_ms)
{
	struct access *access = container_of(timer, struct access, look);
	uint64_t mark = files_mark(&settings_token(access->http->settings)->text, 1);
	struct err err;
	loop_set_timer(access->http->loop, timer, now_ms + TOKEN_LOOK_MS);
	if (mark == access->file_seen)
		return;
	access->file_seen = mark;
	if (read_token(access, &err))
		log_info("the token of `access` was read again, because its file has changed");
	else
		log_error("the token of `access` cannot be read, so that %s: %s",
			  access->token != NULL ? "the old one stays" : "no caller is trusted", err.text);
}

void access_configure(struct access *access)
{
	const struct option_secret *secret = settings_token(access->http->settings);
	struct loop *loop = access->http->loop;
	struct err err;
	forget_token(access);
	loop_clear_timer(loop, &access->look);
	if (secret == NULL)
		return;
	if (secret->kind == OPTION_SECRET_FILE) {
		access->file_seen = files_mark(&secret->text, 1);
		loop_set_timer(loop, &access->look, loop_now_ms(loop) + TOKEN_LOOK_MS);
	}
	if (!read_token(access, &err))
		log_error("the token of `access` cannot be read, so that no caller is trusted: %s", err.text);
}

/* Takes as long as the given text, wherever it differs. */
static bool is_same_secret(const char *given, size_t given_size, const char *secret, size_t size)
{
	unsigned char differs = given_size != size;
	for (size_t i = 0; i < given_size; i++)
		differs |= (unsigned char)(given[i] ^ secret[size > 0 ? i % size : 0]);
	return differs == 0;
}

static bool has_token(const struct skymon_request *rq)
{
	const struct access *access = rq->http->access;
	const char *given = rq->headers.authorization;
	if (access->token == NULL || given == NULL || strncasecmp(given, "Bearer ", 7) != 0)
		return false;
	given += 7 + strspn(given + 7, " ");
	return is_same_secret(given, strlen(given), access->token, access->token_size);
}

void access_set_trust(struct skymon_request *rq)
{
	bool needed = rq->http->settings->values[SETTINGS_ACCESS] != NULL;
	rq->login = needed ? users_find(rq) : NULL;
	rq->trusted = !needed || rq->login != NULL || has_token(rq);
}

/* ---- Public routes ---- */

void access_choose_routes(struct access *access)
{
	const struct route_table *table = access->http->table;
	free(access->open);
	access->open =
		table != NULL ? request_choose_routes(table, &access->http->settings->access.public) : NULL;
}

bool access_is_open(const struct access *access, const struct route_entry *entry)
{
	return access->http->settings->values[SETTINGS_ACCESS] == NULL || access->open[entry->index];
}

/* ---- Refused callers ---- */

void access_log_refused(struct skymon_request *rq, const char *what, const char *why)
{
	struct access *access = rq->http->access;
	int64_t now_ms = loop_now_ms(rq->http->loop);
	if (now_ms - access->log_window_ms > LOG_WINDOW_MS) {
		access->log_window_ms = now_ms;
		if (access->logged > LOG_LINES_MAX)
			log_line(LOG_LEVEL_WARN, (const char *[]){"area", "access", NULL},
				 "%u more callers were refused, which are not listed here",
				 access->logged - LOG_LINES_MAX);
		access->logged = 0;
	}
	if (access->logged++ < LOG_LINES_MAX)
		log_line(LOG_LEVEL_WARN,
			 (const char *[]){"area", "access", "client", request_address(rq), "path",
					  rq->entry != NULL ? rq->entry->route->path : NULL, NULL},
			 "%s%s", what, why);
}

/* A GUARDED route that is public has a token of its plugin in the same header: its 401 means a wrong one. */
void access_note_reply(struct skymon_request *rq, int code)
{
	const struct route_entry *entry = rq->entry;
	if (rq->headers.authorization == NULL || entry == NULL)
		return;
	bool plugins_own = rq->open && entry->route->flags & SKYMON_ROUTE_GUARDED;
	if (code != 401 && (rq->trusted || plugins_own))
		return;
	rq->http->access->failed_total++;
	bool login = strncasecmp(rq->headers.authorization, "Basic ", 6) == 0 && users_exist(rq->http->users);
	access_log_refused(rq, login ? "a wrong name or password was sent" : "a wrong token was sent", "");
}

uint64_t http_failed_tokens_total(const struct http *http)
{
	return http->access->failed_total;
}

/* ---- The whole ---- */

struct access *access_new(struct http *http)
{
	struct access *access = x_alloc(sizeof(*access));
	access->http = http;
	access->look.fire = look_at_file;
	return access;
}

void access_free(struct access *access)
{
	loop_clear_timer(access->http->loop, &access->look);
	forget_token(access);
	free(access->open);
	free(access);
}
