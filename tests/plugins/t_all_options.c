/* SPDX-License-Identifier: Apache-2.0 */
/* Every type of option; shows in details what arrived. Of the secret its size only. */
#include <skymon/plugin.h>
#include <stdio.h>

struct item {
	const char *name;
	struct skymon_duration every;
};

struct all {
	const char *text;
	bool boolean;
	int64_t integer;
	double real;
	struct skymon_duration duration;
	struct skymon_bytes bytes;
	struct skymon_ratio ratio;
	struct skymon_choice choice;
	struct skymon_secret secret;
	struct skymon_texts texts;
	struct skymon_map map;
	struct skymon_list list;
	struct skymon_tls tls;
};

static const char *const words[] = {"red", "green", "blue", NULL};

static const struct skymon_option item_options[] = {
	SKYMON_OPT(struct item, name, NULL, "name of the item", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct item, every, "1m", "its interval"),
	{0}};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct all, text, "some ${T_ALL_TEXT:-text}", "a text"),
	SKYMON_OPT(struct all, boolean, "true", "a boolean"),
	SKYMON_OPT(struct all, integer, "42", "an integer", .min = -100, .max = 100),
	SKYMON_OPT(struct all, real, "0.5", "a number"),
	SKYMON_OPT(struct all, duration, "1m30s", "a duration", .min = 1, .max = 3600000),
	SKYMON_OPT(struct all, bytes, "64KiB", "a size"),
	SKYMON_OPT(struct all, ratio, "80%", "a share"),
	SKYMON_OPT(struct all, choice, "green", "a colour", .words = words),
	SKYMON_OPT(struct all, secret, NULL, "a secret"),
	SKYMON_OPT(struct all, texts, NULL, "a list of texts"),
	SKYMON_OPT(struct all, map, NULL, "a map of texts"),
	SKYMON_OPT(struct all, list, NULL, "a list of items", .item = item_options,
		   .item_size = sizeof(struct item)),
	SKYMON_OPT(struct all, tls, NULL, "TLS"),
	{0}};

static void show_many(struct skymon *sm, const struct all *all)
{
	char key[64];
	const struct item *items = all->list.items;
	for (size_t i = 0; i < all->texts.count; i++) {
		snprintf(key, sizeof(key), "texts_%zu", i);
		skymon_detail(sm, key, "%s", all->texts.items[i]);
	}
	for (size_t i = 0; i < all->map.count; i++) {
		snprintf(key, sizeof(key), "map_%s", all->map.items[i].name);
		skymon_detail(sm, key, "%s", all->map.items[i].value);
	}
	for (size_t i = 0; i < all->list.count; i++) {
		snprintf(key, sizeof(key), "list_%s", items[i].name);
		skymon_detail_number(sm, key, (double)items[i].every.ms);
	}
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct all *all = state;
	skymon_detail(sm, "text", "%s", all->text);
	skymon_detail_boolean(sm, "boolean", all->boolean);
	skymon_detail_number(sm, "integer", (double)all->integer);
	skymon_detail_number(sm, "real", all->real);
	skymon_detail_number(sm, "duration_ms", (double)all->duration.ms);
	skymon_detail_number(sm, "bytes", (double)all->bytes.count);
	skymon_detail_number(sm, "ratio", all->ratio.of_one);
	skymon_detail(sm, "choice", "%s", words[all->choice.index]);
	skymon_detail_number(sm, "secret_size", (double)all->secret.size);
	skymon_detail_boolean(sm, "secret_given", all->secret.bytes != NULL);
	skymon_detail(sm, "tls_ca_file", "%s", all->tls.ca_file != NULL ? all->tls.ca_file : "none");
	skymon_detail_boolean(sm, "tls_insecure", all->tls.insecure);
	show_many(sm, all);
	skymon_detail_number(sm, "interval_ms", (double)skymon_interval_ms(sm));
	return skymon_healthy(sm, "state_dir is %s", skymon_state_dir(sm));
}

SKYMON_PLUGIN(t_all_options, "1.0", "Every type of option", .state_size = sizeof(struct all),
	      .options = options, .check = check);
