/* SPDX-License-Identifier: Apache-2.0 */
/* http_token: the daemon's own access token: reads it, looks whether its file changes, compares what requests
 * bring, and counts and logs wrong ones. Called by http.c and http_dispatch.c on the loop's thread; owns
 * http->access. Without a token that can be read, no caller is trusted: closed is better than open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "http_private.h"

#define LOOK_MS 10000
#define LOG_WINDOW_MS 10000
#define LOG_LINES_MAX 5

/* ---- Reading ---- */

static void forget(struct access *access)
{
	if (access->token != NULL)
		wipe_free(access->token, access->token_size);
	access->token = NULL;
	access->token_size = 0;
}

/* The present token stays if this one cannot be used. */
static bool read_token(struct access *access, const struct option_secret *secret, struct err *err)
{
	char *token;
	size_t size;
	if (!option_secret_read(secret, config_environment, &token, &size, err))
		return false;
	if (size < SETTINGS_TOKEN_MIN) {
		wipe_free(token, size);
		return err_set(err, "it is shorter than %d bytes, and could be guessed", SETTINGS_TOKEN_MIN);
	}
	forget(access);
	access->token = token;
	access->token_size = size;
	return true;
}

static void look(struct timer *timer, int64_t now_ms)
{
	struct http *http = container_of(timer, struct http, access.look);
	struct access *access = &http->access;
	const struct option_secret secret = {
		.kind = OPTION_SECRET_FILE, .option = "access.token", .text = access->file};
	uint64_t mark = files_mark((const char *const *)&access->file, 1);
	struct err err;
	loop_set_timer(http->loop, timer, now_ms + LOOK_MS);
	if (mark == access->file_seen)
		return;
	access->file_seen = mark;
	if (read_token(access, &secret, &err))
		log_info("the token of `access` was read again, because its file has changed");
	else
		log_error("the token of `access` cannot be read, so that %s: %s",
			  access->token != NULL ? "the old one stays" : "no caller is trusted", err.text);
}

void token_configure(struct http *http, const struct settings *settings)
{
	struct access *access = &http->access;
	struct err err;
	forget(access);
	free(access->file);
	access->file = x_strdup(settings->access ? settings->token_file : NULL);
	access->asked = settings->access;
	access->look.fire = look;
	loop_clear_timer(http->loop, &access->look);
	if (!access->asked)
		return;
	if (access->file != NULL) {
		access->file_seen = files_mark((const char *const *)&access->file, 1);
		loop_set_timer(http->loop, &access->look, loop_now_ms(http->loop) + LOOK_MS);
	}
	if (!read_token(access, settings_token(settings), &err))
		log_error("the token of `access` cannot be read, so that no caller is trusted: %s", err.text);
}

void token_free(struct http *http)
{
	loop_clear_timer(http->loop, &http->access.look);
	forget(&http->access);
	free(http->access.file);
}

/* ---- Comparing ---- */

/* Takes as long as the given text, wherever it differs. */
static bool same_secret(const char *given, size_t given_size, const char *secret, size_t size)
{
	unsigned char differs = given_size != size;
	for (size_t i = 0; i < given_size; i++)
		differs |= (unsigned char)(given[i] ^ secret[size > 0 ? i % size : 0]);
	return differs == 0;
}

bool token_matches(const struct skymon_request *rq)
{
	const struct access *access = &rq->http->access;
	const char *given = rq->headers.authorization;
	if (access->token == NULL || given == NULL || strncasecmp(given, "Bearer ", 7) != 0)
		return false;
	given += 7 + strspn(given + 7, " ");
	return same_secret(given, strlen(given), access->token, access->token_size);
}

/* ---- Wrong ones ---- */

void access_log(struct skymon_request *rq, const char *what, const char *why)
{
	struct access *access = &rq->http->access;
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

/* A GUARDED route that is public has a token of its plugin's own, in the same header: its 401 tells. */
void token_note_answer(struct skymon_request *rq, int code)
{
	struct access *access = &rq->http->access;
	const struct route_entry *entry = rq->entry;
	if (rq->headers.authorization == NULL || entry == NULL)
		return;
	bool plugins_own = rq->open && entry->route->flags & SKYMON_ROUTE_GUARDED;
	if (code != 401 && (rq->trusted || plugins_own))
		return;
	access->failed_total++;
	access_log(rq, "a wrong token was sent", "");
}
