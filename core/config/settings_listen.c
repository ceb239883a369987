/* SPDX-License-Identifier: Apache-2.0 */
/* listen: the addresses that the daemon answers at. Called by settings.c, and for --listen by the daemon, on
 * the daemon's thread. An entry is shared with its listener (http_listener.c) by references. */
#include "settings.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "settings_private.h"

static const struct skymon_option entry_table[] = {
	SKYMON_OPT(struct settings_entry, address, NULL, "where to listen",
		   .flags = SKYMON_REQUIRED | SETTINGS_RESTART),
	SKYMON_OPT(struct settings_entry, routes, NULL, "the routes that are served here; left out: all",
		   .flags = SETTINGS_RESTART),
	SKYMON_OPT(struct settings_entry, mode, NULL, "permissions of a Unix socket, such as 0660",
		   .flags = SETTINGS_RESTART),
	SKYMON_OPT(struct settings_entry, owner, NULL, "its user, by name or number",
		   .flags = SETTINGS_RESTART),
	SKYMON_OPT(struct settings_entry, group, NULL, "its group, by name or number",
		   .flags = SETTINGS_RESTART),
	{0}};
static const struct skymon_option tls_table[] = {
	SKYMON_OPT(struct settings_tls, cert_file, NULL, "certificate (PEM)",
		   .flags = SKYMON_REQUIRED | SETTINGS_RESTART),
	SKYMON_OPT(struct settings_tls, key_file, NULL, "its key (PEM)",
		   .flags = SKYMON_REQUIRED | SETTINGS_RESTART),
	SKYMON_OPT(struct settings_tls, client_ca_file, NULL,
		   "clients need a certificate of one of these (PEM)", .flags = SETTINGS_RESTART),
	SKYMON_OPT(struct settings_tls, client_crl_file, NULL, "certificates that these have revoked (PEM)",
		   .flags = SETTINGS_RESTART),
	SKYMON_OPT(struct settings_tls, client_names, NULL,
		   "names (SAN, or CN where there is none) of which a client's certificate needs one",
		   .flags = SETTINGS_RESTART),
	{0}};

/* ---- The address ---- */

static bool parse_port(const char *text, uint16_t *port)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long number = digits > 0 && digits <= 5 ? strtoul(text, NULL, 10) : 65536;
	*port = (uint16_t)number;
	return text[digits] == '\0' && number <= 65535;
}

/* "localhost" is the one name that needs no resolver. "*" is kept: both families. */
static bool parse_host(const char *text, size_t size, char host[INET6_ADDRSTRLEN])
{
	unsigned char address[sizeof(struct in6_addr)];
	bool brackets = size >= 2 && text[0] == '[' && text[size - 1] == ']';
	text += brackets;
	size -= brackets ? 2 : 0;
	if (size >= INET6_ADDRSTRLEN)
		return false;
	memcpy(host, text, size);
	host[size] = '\0';
	if (!brackets && size == 0)
		strcpy(host, "*");
	else if (!brackets && strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	return (!brackets && strcmp(host, "*") == 0) ||
	       inet_pton(brackets ? AF_INET6 : AF_INET, host, address) == 1;
}

static bool parse_unix(struct settings_listen *listen, struct err *err)
{
	listen->unix_path = listen->entry.address + strlen("unix:");
	if (listen->unix_path[0] != '/')
		return err_set(err, "`%.200s` must be an absolute path: unix:/run/skymon/http.sock",
			       listen->entry.address);
	return strlen(listen->unix_path) < sizeof(((struct sockaddr_un *)0)->sun_path) ||
	       err_set(err, "`%.200s` is too long for a Unix socket (107 bytes)", listen->entry.address);
}

static bool parse_address(struct settings_listen *listen, struct err *err)
{
	const char *text = listen->entry.address, *colon = strrchr(text, ':');
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(listen, err);
	if (strncmp(text, "systemd:", 8) == 0) {
		listen->passed = text + 8;
		return text[8] != '\0' ||
		       err_set(err, "`%s` needs the name of a socket: systemd:skymon.socket", text);
	}
	if (colon == NULL || (strchr(text, ':') != colon && text[0] != '[') ||
	    !parse_port(colon + 1, &listen->port))
		return err_set(err,
			       "`%.100s` is not an address to listen on: write 0.0.0.0:8080, [::]:8443, "
			       ":8080, unix:/path or systemd:NAME",
			       text);
	int size = (int)(colon - text);
	return parse_host(text, (size_t)size, listen->host) ||
	       err_set(err, "`%.*s` is not a numeric address: write 127.0.0.1, 0.0.0.0, [::] or localhost",
		       size < 100 ? size : 100, text);
}

/* ---- An entry ---- */

static void read_tls(struct binding *b, const struct config_node *node, struct settings_listen *listen)
{
	const struct settings_tls *tls = &listen->tls;
	if (node == NULL || node->kind == CONFIG_EMPTY)
		return;
	listen->tls_values = settings_bind(b, tls_table, node, NULL, "`tls` of listen", &listen->tls);
	if (listen->tls_values != NULL && tls->client_ca_file == NULL &&
	    (tls->client_crl_file != NULL || tls->client_names.count > 0))
		config_error(
			b->errs, node,
			"client_crl_file and client_names need client_ca_file: without it no client is asked "
			"for a certificate");
}

/* Reads mode, owner and group, which only a socket file has that skymond makes itself. */
static bool read_permissions(struct binding *b, const struct config_node *map, struct settings_listen *listen)
{
	static const char *const keys[] = {"mode", "owner", "group"};
	const struct settings_entry *entry = &listen->entry;
	size_t met = b->errs->met;
	struct err err;
	for (size_t i = 0; listen->unix_path == NULL && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (config_value(map, keys[i]) != NULL)
			config_error(b->errs, config_value(map, keys[i]),
				     "`%s` is of a Unix socket, which `%.100s` is not%s", keys[i],
				     entry->address,
				     listen->passed != NULL ? ": systemd made it, by its SocketMode=, "
							      "SocketUser= and SocketGroup="
							    : "");
	listen->mode = -1;
	listen->owner = (uid_t)-1;
	listen->group = (gid_t)-1;
	if (entry->mode != NULL) {
		size_t digits = strspn(entry->mode, "01234567");
		listen->mode = (int)strtol(entry->mode, NULL, 8);
		if (digits < 3 || digits > 4 || entry->mode[digits] != '\0' || listen->mode > 0777)
			config_error(b->errs, config_value(map, "mode"),
				     "`%.40s` is not a valid mode: write three octal digits, such as 0660",
				     entry->mode);
	}
	if (entry->owner != NULL && !passwd_uid(entry->owner, &listen->owner, &err))
		config_error(b->errs, config_value(map, "owner"), "owner: %s", err.text);
	if (entry->group != NULL && !passwd_gid(entry->group, &listen->group, &err))
		config_error(b->errs, config_value(map, "group"), "group: %s", err.text);
	return b->errs->met == met;
}

/* Binds an entry; an address alone is bound as {address: …}. Returns NULL after errors. */
static struct settings_listen *read_entry(struct binding *b, const struct config_node *node)
{
	static const char *const also[] = {"tls", NULL};
	const struct config_pair address = {.key = "address", .file = node->file, .value = node};
	const struct config_node alone = {.kind = CONFIG_MAP,
					  .file = node->file,
					  .line = node->line,
					  .column = node->column,
					  .count = 1,
					  .pairs = &address};
	const struct config_node *map = node->kind == CONFIG_SCALAR ? &alone : node;
	struct err err;
	if (map->kind != CONFIG_MAP) {
		config_error(b->errs, node,
			     "`listen` must be an address, a map with `address`, or a list of these");
		return NULL;
	}
	struct settings_listen *listen = x_alloc(sizeof(*listen));
	listen->references = 1;
	listen->place = node;
	listen->entry_values = settings_bind(b, entry_table, map, also, "listen", &listen->entry);
	read_tls(b, config_value(map, "tls"), listen);
	if (listen->entry_values != NULL && !parse_address(listen, &err))
		config_error(b->errs, config_value(map, "address"), "%s", err.text);
	else if (listen->entry_values != NULL && read_permissions(b, map, listen))
		return listen;
	settings_listen_free(listen);
	return NULL;
}

struct settings_listen *settings_listen_new(const char *text, struct err *err)
{
	const struct config_node node = {.kind = CONFIG_SCALAR, .text = text};
	struct err_list errs = {0};
	struct settings_listen *listen = read_entry(&(struct binding){.errs = &errs}, &node);
	if (listen == NULL)
		err_set(err, "%s", errs.texts[0]);
	else
		listen->place = NULL;
	err_list_free(&errs);
	return listen;
}

struct settings_listen *settings_listen_ref(struct settings_listen *listen)
{
	listen->references++;
	return listen;
}

void settings_listen_free(struct settings_listen *listen)
{
	if (listen == NULL || --listen->references > 0)
		return;
	option_values_free(listen->entry_values);
	option_values_free(listen->tls_values);
	free(listen);
}

/* ---- All of them ---- */

void settings_compare_listens(const struct settings *old, const struct settings *new, settings_change *found,
			      void *arg)
{
	if (old->listen_count != new->listen_count) {
		found(arg, "listen", SETTINGS_RESTART);
		return;
	}
	for (size_t i = 0; i < old->listen_count; i++) {
		const struct settings_listen *a = old->listens[i], *b = new->listens[i];
		char prefix[64];
		snprintf(prefix, sizeof(prefix), "listen[%zu].", i + 1);
		settings_compare_values(prefix, entry_table, a->entry_values, b->entry_values, found, arg);
		snprintf(prefix, sizeof(prefix), "listen[%zu].tls.", i + 1);
		settings_compare_values(prefix, tls_table, a->tls_values, b->tls_values, found, arg);
	}
}

/* Two wildcards of one port meet only where they share a family: 0.0.0.0 and [::] do not. */
static bool is_same_place(const struct settings_listen *a, const struct settings_listen *b)
{
	if (strcmp(a->entry.address, b->entry.address) == 0)
		return a->unix_path != NULL || a->passed != NULL || a->port != 0;
	if (a->unix_path != NULL || b->unix_path != NULL || a->port != b->port || a->port == 0)
		return false;
	bool any_a = strcmp(a->host, "*") == 0, any_b = strcmp(b->host, "*") == 0;
	return strcmp(a->host, b->host) == 0 || any_a || any_b;
}

static void add_listen(struct binding *b, const struct config_node *node)
{
	struct settings *s = b->settings;
	struct settings_listen *listen = read_entry(b, node);
	if (listen == NULL)
		return;
	for (size_t i = 0; i < s->listen_count; i++)
		if (is_same_place(s->listens[i], listen)) {
			config_error(b->errs, node, "`%.100s` is listened on twice", listen->entry.address);
			settings_listen_free(listen);
			return;
		}
	s->listens = x_realloc(s->listens, (s->listen_count + 1) * sizeof(struct settings_listen *));
	s->listens[s->listen_count++] = listen;
}

void settings_read_listens(struct binding *b)
{
	static const struct config_node standard = {.kind = CONFIG_SCALAR, .text = ":8080"};
	const struct config_node *node = config_value(b->root, "listen");
	bool list = node != NULL && node->kind == CONFIG_LIST && node->count > 0;
	if (node == NULL || node->kind == CONFIG_EMPTY || (node->kind == CONFIG_LIST && !list))
		node = &standard;
	for (size_t i = 0; i < (list ? node->count : 1); i++)
		add_listen(b, list ? node->items[i] : node);
}

/* ---- JSON Schema ---- */

#define PORT ":(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[0-5]?[0-9]{1,4})$"

void settings_listen_define(struct buf *out)
{
	static const char address[] =
		"\"pattern\": \"^unix:/|^systemd:.|^[^:]*" PORT "|^\\\\[[0-9A-Fa-f:.]+\\\\]" PORT "|[$][{]\"";
	buf_printf(out, ",\n\"listen\": {\"anyOf\": [{\"type\": [\"string\", \"null\"], %s},\n{", address);
	option_schema_begin(entry_table, out);
	schema_member("tls", out);
	option_schema_object(tls_table, out);
	buf_text(out, "}");
	option_schema_end(entry_table, out);
	buf_printf(out, ", \"allOf\": [{\"properties\": {\"address\": {%s}}}]}]}", address);
}
