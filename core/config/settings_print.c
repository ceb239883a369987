/* SPDX-License-Identifier: Apache-2.0 */
/* The effective top level as YAML that reads back the same, secrets masked: for plan_print, on the daemon's
 * thread. */
#include "settings_private.h"

static void print_listens(const struct settings *s, struct buf *out)
{
	buf_text(out, "listen:\n");
	for (size_t i = 0; i < s->listen_count; i++) {
		const struct settings_listen *listen = s->listens[i];
		size_t entry = out->size;
		option_values_print(listen->entry_values, 4, out);
		out->data[entry + 2] = '-';
		if (listen->tls_values == NULL)
			continue;
		buf_text(out, "    tls:\n");
		option_values_print(listen->tls_values, 6, out);
	}
}

static void print_sources(const struct settings *s, struct buf *out)
{
	buf_text(out, "  metrics:\n");
	for (size_t i = 0; i < SETTINGS_SOURCES; i++)
		if (s->sources[i].component != NULL)
			buf_printf(out, "    %s: %s\n", s->sources[i].key, s->sources[i].component);
}

static void print_windows(const struct settings *s, struct buf *out)
{
	if (s->window_count > 0)
		buf_text(out, "maintenance:\n");
	for (size_t i = 0; i < s->window_count; i++) {
		size_t entry = out->size;
		option_values_print(s->windows[i].values, 4, out);
		out->data[entry + 2] = '-';
	}
}

void settings_print(const struct settings *s, struct buf *out)
{
	for (size_t i = 0; i < SETTINGS_PARTS; i++) {
		const char *key = settings_parts[i].key;
		if (s->values[i] == NULL)
			continue;
		if (key != NULL)
			buf_printf(out, "%s:\n", key);
		option_values_print(s->values[i], key != NULL ? 2 : 0, out);
		if (i == SETTINGS_SERVICE)
			print_sources(s, out);
		if (i == SETTINGS_ACCESS)
			settings_print_users(s, out);
	}
	print_listens(s, out);
	print_windows(s, out);
}
