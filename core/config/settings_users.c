/* SPDX-License-Identifier: Apache-2.0 */
/* access.users: people who log in by name and password, each with the bcrypt hash of it, as in the web
 * configuration of Prometheus' exporters. Called by settings.c on the daemon's thread. */
#include <stdlib.h>
#include <string.h>

#include "option_private.h"
#include "settings_private.h"

static const struct skymon_option user_table[] = {SKYMON_OPT(struct settings_access, token, NULL,
							     "the bcrypt hash of the password",
							     .flags = SKYMON_REQUIRED | SETTINGS_NOW),
						  {0}};

bool settings_hash_ok(const char *hash, struct err *err)
{
	static const char letters[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	bool ok = strlen(hash) == SETTINGS_HASH_SIZE && strncmp(hash, "$2", 2) == 0 &&
		  strchr("aby", hash[2]) != NULL && hash[3] == '$' && strspn(hash + 4, "0123456789") == 2 &&
		  hash[6] == '$' && strspn(hash + 7, letters) == SETTINGS_HASH_SIZE - 7;
	int cost = ok ? (hash[4] - '0') * 10 + hash[5] - '0' : 0;
	if (!ok)
		return err_set(err,
			       "it is not a bcrypt hash, as `htpasswd -nBC 10 NAME` prints behind the colon");
	return (cost >= 4 && cost <= SETTINGS_COST_MAX) ||
	       err_set(err,
		       "its cost is %d, and may be 4 to %d, because each login takes twice as long for one more",
		       cost, SETTINGS_COST_MAX);
}

static bool name_ok(const char *name)
{
	size_t size = strlen(name);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == ':' || name[i] == 0x7f)
			return false;
	return size > 0 && size <= SETTINGS_USER_MAX;
}

/* A hash that cannot be read now is not an error here: http tries again. */
static void check_hash(struct binding *b, const struct option_secret *secret, const char *name)
{
	char *bytes;
	size_t size;
	struct err err;
	if (secret->kind == OPTION_SECRET_STORE) {
		config_error(b->errs, secret->place,
			     "the hash of user `%s` must be a text, {env: NAME} or {file: PATH}", name);
		return;
	}
	if (!option_secret_read(secret, b->lookup, &bytes, &size, &err))
		return;
	if (strlen(bytes) != size || !settings_hash_ok(bytes, &err))
		config_error(b->errs, secret->place, "the password of user `%s`: %s", name, err.text);
	wipe_free(bytes, size);
}

static void read_user(struct binding *b, const struct config_pair *pair)
{
	const struct config_pair inner = {.key = "token", .value = pair->value};
	const struct config_node section = {.kind = CONFIG_MAP,
					    .file = pair->value->file,
					    .line = pair->value->line,
					    .column = pair->value->column,
					    .count = 1,
					    .pairs = &inner};
	struct settings_access unused;
	size_t count;
	if (!name_ok(pair->key)) {
		config_error_key(b->errs, pair,
				 "`%.80s` is not a valid user name: 1 to %d bytes without spaces and colons",
				 pair->key, SETTINGS_USER_MAX);
		return;
	}
	struct option_values *values = settings_bind(b, user_table, &section, NULL, pair->key, &unused);
	const struct option_secret *secret = values != NULL ? option_secrets(values, &count) : NULL;
	if (secret == NULL)
		return;
	b->settings->users[b->settings->user_count++] =
		(struct settings_user){.name = pair->key, .values = values, .hash = secret};
	check_hash(b, secret, pair->key);
}

void settings_read_users(struct binding *b, const struct config_node *users)
{
	if (users == NULL || users->kind == CONFIG_EMPTY)
		return;
	if (users->kind != CONFIG_MAP) {
		config_error(b->errs, users, "`users` of access must be a map of names");
		return;
	}
	b->settings->users = x_alloc((users->count + 1) * sizeof(*b->settings->users));
	for (size_t i = 0; i < users->count; i++)
		read_user(b, &users->pairs[i]);
}

void settings_print_users(const struct settings *s, struct buf *out)
{
	if (s->user_count > 0)
		buf_text(out, "  users:\n");
	for (size_t i = 0; i < s->user_count; i++) {
		const struct option_secret *hash = s->users[i].hash;
		buf_text(out, "    ");
		option_text_print(s->users[i].name, out);
		if (hash->kind == OPTION_SECRET_LITERAL) {
			buf_text(out, ": \"" OPTION_MASK "\"\n");
			continue;
		}
		buf_printf(out, ": {%s: ", hash->kind == OPTION_SECRET_ENV ? "env" : "file");
		option_text_print(hash->text, out);
		buf_text(out, "}\n");
	}
}

void settings_users_schema(struct buf *out)
{
	schema_member("users", out);
	buf_text(
		out,
		"\"description\": \"people who log in, each with the bcrypt hash of the password\", \"type\": "
		"[\"object\", \"null\"], \"additionalProperties\": {\"$ref\": \"#/$defs/secret\"}}");
}

void settings_access_schema_end(struct buf *out)
{
	static const char *const either[] = {"token", "users"};
	for (size_t i = 0; i < 2; i++)
		buf_printf(
			out,
			"%s{\"required\": [\"%s\"], \"properties\": {\"%s\": {\"not\": {\"type\": \"null\"}}}}",
			i == 0 ? ", \"anyOf\": [{\"type\": \"null\"}, " : ", ", either[i], either[i]);
	buf_text(out, "]");
}
