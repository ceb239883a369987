/* SPDX-License-Identifier: Apache-2.0 */
/* Validates its options: `url` must begin with t://, items must have a name, one of `key` and `name` may be
 * given; or dies, or hangs, in `validate`. */
#include <skymon/plugin.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct item {
	const char *name;
};

struct validate {
	const char *url, *name, *mode;
	struct skymon_secret key;
	struct skymon_list items;
	struct skymon_tls tls;
};

static const struct skymon_option item_options[] = {SKYMON_OPT(struct item, name, NULL, "its name"), {0}};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct validate, url, NULL, "must begin with t://", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct validate, name, NULL, "not beside key"),
	SKYMON_OPT(struct validate, mode, NULL, "crash, hang"),
	SKYMON_OPT(struct validate, key, NULL, "not beside name"),
	SKYMON_OPT(struct validate, items, NULL, "each with a name", .item = item_options,
		   .item_size = sizeof(struct item)),
	SKYMON_OPT(struct validate, tls, NULL, "TLS"),
	{0}};

static void validate(struct skymon *sm, const void *state)
{
	const struct validate *v = state;
	const struct item *items = v->items.items;
	if (v->mode != NULL && strcmp(v->mode, "crash") == 0)
		abort();
	while (v->mode != NULL && strcmp(v->mode, "hang") == 0)
		sleep(1);
	if (strncmp(v->url, "t://", 4) != 0)
		skymon_invalid(sm, "url", "must begin with t://");
	if (v->name != NULL && v->key.bytes != NULL)
		skymon_invalid(sm, "name", "is given beside key");
	if (v->key.size != 0 && strlen(v->key.bytes) != v->key.size)
		skymon_invalid(sm, "key", "has a NUL");
	for (size_t i = 0; i < v->items.count; i++) {
		char option[40] = "items[1].name";
		option[6] = (char)('1' + i);
		if (items[i].name == NULL || strcmp(items[i].name, "bad") == 0)
			skymon_invalid(sm, option, "must be\na good one");
	}
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	skymon_invalid(sm, "url", "said in a check");
	return skymon_healthy(sm, "valid");
}

SKYMON_PLUGIN(t_validate, "1.0", "Validates its options", .state_size = sizeof(struct validate),
	      .options = options, .check = check, .validate = validate);
