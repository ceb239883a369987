/* SPDX-License-Identifier: Apache-2.0 */
/* http_users: logins by name and password (Basic authentication) with bcrypt hashes. http_dispatch.c asks for
 * each request on the loop's thread. Owns struct users.
 *
 * A bcrypt hash takes 50 ms or more on purpose, so one helper thread computes it while the request is
 * suspended; it touches its job and nothing else. What was verified is remembered by a keyed hash of name,
 * password and bcrypt hash, so that the requests that follow cost a microsecond. Unverified logins are limited
 * by address and in number, so that guessing is slow and takes at most that one thread. */
#include <arpa/inet.h>
#include <crypt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/hash.h"
#include "http_private.h"

#define LOOK_MS 10000      /* between two looks at the files of hashes */
#define VERIFIED_MAX 64    /* logins that are remembered */
#define WAITING_MAX 16     /* logins that wait for the thread */
#define ADDRESSES 256      /* counters of failed logins, each for the addresses of one hash */
#define FAILURE_MS 5000    /* by which a failed login delays the ones to come … */
#define ALLOWANCE_MS 50000 /* … once they reach this: ten at once */
#define BUSY "too many logins are being verified"
#define PASSWORD_MAX 256
#define DIGEST_SIZE 32 /* of HMAC-SHA-256 */

struct login {
	char name[SETTINGS_USER_MAX + 1], password[PASSWORD_MAX + 1];
};

struct job {
	struct helper_job helped;
	struct skymon_request *rq;
	struct login login;
	char hash[SETTINGS_HASH_SIZE + 1];
	size_t slot; /* of the address */
	bool known;  /* the name is a user's; otherwise the hash is another's, so that it takes as long */
	bool good;
};

struct users {
	struct http *http;
	char (*hashes)[SETTINGS_HASH_SIZE + 1]; /* of the settings' users; "" if it cannot be read */
	size_t count;
	uint64_t files_seen;
	struct timer look;
	unsigned char key[DIGEST_SIZE], verified[VERIFIED_MAX][DIGEST_SIZE];
	size_t verified_count, verified_at;
	int64_t delayed_ms[ADDRESSES];
	size_t waiting;
	struct helper *helper; /* NULL when all is to end */
};

/* ---- The hashes ---- */

static bool read_hash(const struct settings_user *user, char *hash, struct err *err)
{
	char *bytes;
	size_t size;
	if (!option_secret_read(user->hash, config_environment, &bytes, &size, err))
		return false;
	bool ok = strlen(bytes) == size && settings_hash_ok(bytes, err);
	if (ok)
		memcpy(hash, bytes, SETTINGS_HASH_SIZE + 1);
	else if (strlen(bytes) != size)
		err_set(err, "it holds a zero byte");
	wipe_free(bytes, size);
	return ok;
}

static uint64_t mark_of(const struct settings *settings)
{
	uint64_t mark = HASH_START;
	for (size_t i = 0; i < settings->user_count; i++)
		if (settings->users[i].hash->kind == OPTION_SECRET_FILE) {
			uint64_t one = files_mark(&settings->users[i].hash->text, 1);
			mark = hash_add(mark, &one, sizeof(one));
		}
	return mark;
}

/* Keeps the present hash if the new one cannot be used. */
static void read_hashes(struct users *users)
{
	const struct settings *settings = users->http->settings;
	for (size_t i = 0; i < users->count; i++) {
		struct err err;
		if (!read_hash(&settings->users[i], users->hashes[i], &err))
			log_error("the password of user `%s` of `access` cannot be read, so that %s: %s",
				  settings->users[i].name,
				  users->hashes[i][0] != '\0' ? "the old one stays"
							      : "that user cannot log in",
				  err.text);
	}
}

static void look_at_files(struct timer *timer, int64_t now_ms)
{
	struct users *users = container_of(timer, struct users, look);
	uint64_t mark = mark_of(users->http->settings);
	loop_set_timer(users->http->loop, timer, now_ms + LOOK_MS);
	if (mark == users->files_seen)
		return;
	users->files_seen = mark;
	log_info("the passwords of `access` are read again, because a file has changed");
	read_hashes(users);
}

void users_configure(struct users *users)
{
	const struct settings *settings = users->http->settings;
	free(users->hashes);
	users->count = settings->user_count;
	users->hashes = x_alloc((users->count + 1) * sizeof(*users->hashes));
	loop_clear_timer(users->http->loop, &users->look);
	if (users->count == 0)
		return;
	users->files_seen = mark_of(settings);
	loop_set_timer(users->http->loop, &users->look, loop_now_ms(users->http->loop) + LOOK_MS);
	read_hashes(users);
}

bool users_exist(const struct users *users)
{
	return users->count > 0;
}

/* ---- A login ---- */

static bool split_login(char *text, size_t size, struct login *out)
{
	char *colon = memchr(text, ':', size);
	size_t name = colon != NULL ? (size_t)(colon - text) : size;
	if (colon == NULL || memchr(text, '\0', size) != NULL || name > SETTINGS_USER_MAX ||
	    size - name - 1 > PASSWORD_MAX)
		return false;
	memcpy(out->name, text, name);
	out->name[name] = '\0';
	memcpy(out->password, colon + 1, size - name - 1);
	out->password[size - name - 1] = '\0';
	return true;
}

/* Reads `Authorization: Basic …`. */
static bool read_login(const struct skymon_request *rq, struct login *out)
{
	const char *given = rq->headers.authorization;
	gnutls_datum_t text;
	if (given == NULL || strncasecmp(given, "Basic ", 6) != 0)
		return false;
	given += 6 + strspn(given + 6, " ");
	const gnutls_datum_t coded = {(unsigned char *)(uintptr_t)given, (unsigned)strcspn(given, " ")};
	if (coded.size == 0 || coded.size > 1024 || gnutls_base64_decode2(&coded, &text) < 0)
		return false;
	bool ok = split_login((char *)text.data, text.size, out);
	explicit_bzero(text.data, text.size);
	gnutls_free(text.data);
	return ok;
}

static const char *hash_of(const struct users *users, const char *name)
{
	for (size_t i = 0; i < users->count; i++)
		if (strcmp(users->http->settings->users[i].name, name) == 0)
			return users->hashes[i][0] != '\0' ? users->hashes[i] : NULL;
	return NULL;
}

static void digest_of(const struct users *users, const struct login *login, const char *hash,
		      unsigned char *out)
{
	char text[sizeof(struct login) + SETTINGS_HASH_SIZE + 3];
	size_t name = strlen(login->name) + 1, password = strlen(login->password) + 1;
	memcpy(text, login->name, name);
	memcpy(text + name, login->password, password);
	memcpy(text + name + password, hash, SETTINGS_HASH_SIZE);
	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, users->key, sizeof(users->key), text,
			     name + password + SETTINGS_HASH_SIZE, out) < 0)
		abort(); /* impossible: the algorithm is built in */
	explicit_bzero(text, sizeof(text));
}

static bool is_verified(const struct users *users, const struct login *login, const char *hash)
{
	unsigned char digest[DIGEST_SIZE];
	bool found = false;
	digest_of(users, login, hash, digest);
	for (size_t i = 0; i < users->verified_count; i++)
		found |= gnutls_memcmp(users->verified[i], digest, DIGEST_SIZE) == 0;
	return found;
}

const char *users_find(struct skymon_request *rq)
{
	const struct users *users = rq->http->users;
	struct login login;
	if (users->count == 0 || !read_login(rq, &login))
		return NULL;
	const char *hash = hash_of(users, login.name);
	const char *name =
		hash != NULL && is_verified(users, &login, hash) ? request_copy(rq, login.name) : NULL;
	explicit_bzero(&login, sizeof(login));
	return name;
}

/* ---- The thread ---- */

static void verify(struct helper_job *helped)
{
	struct job *job = container_of(helped, struct job, helped);
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *made =
		data != NULL ? crypt_rn(job->login.password, job->hash, data, sizeof(*data)) : NULL;
	job->good = made != NULL && job->known && strlen(made) == SETTINGS_HASH_SIZE &&
		    gnutls_memcmp(made, job->hash, SETTINGS_HASH_SIZE) == 0;
	if (data != NULL)
		explicit_bzero(data, sizeof(*data));
	free(data);
}

static void free_job(struct job *job)
{
	explicit_bzero(&job->login, sizeof(job->login));
	free(job);
}

/* One that was not verified: the request is answered as that of a stranger. */
static void finish_job(struct helper_job *helped)
{
	struct job *job = container_of(helped, struct job, helped);
	struct skymon_request *rq = job->rq;
	struct users *users = rq->http->users;
	users->waiting--;
	if (job->good) {
		digest_of(users, &job->login, job->hash, users->verified[users->verified_at]);
		users->verified_at = (users->verified_at + 1) % VERIFIED_MAX;
		if (users->verified_count < VERIFIED_MAX)
			users->verified_count++;
		users->delayed_ms[job->slot] -= FAILURE_MS;
	}
	free_job(job);
	request_dispatch_again(rq);
}

/* ---- Limits ---- */

/* An IPv6 address counts by its first 64 bits, which one client has whole. */
static size_t slot_of(struct skymon_request *rq)
{
	const char *address = request_address(rq);
	unsigned char bytes[16];
	uint64_t hash = inet_pton(AF_INET6, address, bytes) == 1
				? hash_add(HASH_START, bytes, 8)
				: hash_add(HASH_START, address, strlen(address));
	return (size_t)((hash ^ hash >> 32) % ADDRESSES);
}

static bool reply_limited(struct skymon_request *rq, int code, int64_t wait_ms, const char *why)
{
	char seconds[24];
	snprintf(seconds, sizeof(seconds), "%lld", (long long)((wait_ms + 999) / 1000));
	reply_header(rq, "Retry-After", seconds);
	reply_problem(rq, code, "%s: try again in %s s", why, seconds);
	return true;
}

/* Verifies the login in the thread, or refuses to. */
bool users_verify(struct skymon_request *rq)
{
	struct users *users = rq->http->users;
	struct login login;
	if (users->count == 0 || rq->verified || rq->connection == NULL || !read_login(rq, &login))
		return false;
	int64_t now_ms = loop_now_ms(rq->http->loop);
	size_t slot = slot_of(rq);
	int64_t *delayed_ms = &users->delayed_ms[slot];
	if (*delayed_ms < now_ms)
		*delayed_ms = now_ms;
	int64_t wait_ms = *delayed_ms + FAILURE_MS - now_ms - ALLOWANCE_MS;
	if (wait_ms > 0)
		return reply_limited(rq, 429, wait_ms, "too many logins of this address have failed");
	if (users->waiting >= WAITING_MAX || users->helper == NULL)
		return reply_limited(rq, 503, 1000, BUSY);
	struct job *job = x_alloc(sizeof(*job));
	const char *hash = hash_of(users, login.name);
	*job = (struct job){.helped = {.run = verify, .finished = finish_job},
			    .rq = rq,
			    .login = login,
			    .slot = slot,
			    .known = hash != NULL};
	memcpy(job->hash, hash != NULL ? hash : users->hashes[0], sizeof(job->hash));
	explicit_bzero(&login, sizeof(login));
	if (!helper_start(users->helper, &job->helped)) {
		free_job(job);
		return reply_limited(rq, 503, 1000, BUSY);
	}
	*delayed_ms += FAILURE_MS; /* taken back if the password is right */
	users->waiting++;
	request_suspend(rq, REQUEST_VERIFYING);
	return true;
}

/* ---- The whole ---- */

struct users *users_new(struct http *http)
{
	struct users *users = x_alloc(sizeof(*users));
	users->http = http;
	users->look.fire = look_at_files;
	users->helper = helper_new(http->loop);
	if (gnutls_rnd(GNUTLS_RND_KEY, users->key, sizeof(users->key)) < 0)
		abort(); /* the kernel has no random numbers */
	return users;
}

void users_finish(struct users *users)
{
	helper_free(users->helper);
	users->helper = NULL;
}

void users_free(struct users *users)
{
	loop_clear_timer(users->http->loop, &users->look);
	explicit_bzero(users->key, sizeof(users->key));
	free(users->hashes);
	free(users);
}
