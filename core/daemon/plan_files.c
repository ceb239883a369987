/* SPDX-License-Identifier: Apache-2.0 */
/* plan_files: checks the files that a config names for TLS and for the daemon's own secrets: existence,
 * contents, owner and mode. Called by plan_bind, on the loop's thread. Owns nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/pem.h"
#include "plan_private.h"
#include "base/file.h"

struct tls_block {
	const char *what; /* "listen :8443", "component orders" */
	const char *dotted, *ca_name;
	const char *ca_file, *cert_file, *key_file; /* NULL or "" if not given */
	bool strict;
	const struct config_node *node, *defaults; /* where its options may be written */
	const struct config_pair *place;           /* if they are written nowhere; may be NULL */
};

static void report(const struct tls_block *tls, const char *name, const char *text, struct err_list *errs)
{
	char option[128];
	snprintf(option, sizeof(option), "%s.%s", tls->dotted, name);
	const struct config_node *place = option_location(tls->node, tls->defaults, option);
	if (place == NULL && tls->place != NULL)
		config_error_key(errs, tls->place, "option `%s` of %s: %s", option, tls->what, text);
	else
		config_error(errs, place, "option `%s` of %s: %s", option, tls->what, text);
}

static bool check_file(const struct tls_block *tls, enum pem_file what, const char *name, const char *path,
		       struct component_errs *errs)
{
	struct err err;
	if (path == NULL || path[0] == '\0')
		return false;
	if (!pem_check(what, path, tls->strict, &err)) {
		report(tls, name, err.text, &errs->mistakes);
		return false;
	}
	if (what == PEM_KEY && file_is_open(path, &err))
		report(tls, name, err.text, &errs->warnings);
	return true;
}

static void check_block(const struct tls_block *tls, struct component_errs *errs)
{
	struct err err;
	bool has_key = tls->key_file != NULL && tls->key_file[0] != '\0';
	(void)check_file(tls, PEM_CA, tls->ca_name, tls->ca_file, errs);
	bool cert = check_file(tls, PEM_CERT, "cert_file", tls->cert_file, errs);
	/* without key_file the certificate's file holds the key */
	const char *key_name = has_key ? "key_file" : "cert_file";
	bool key = cert && check_file(tls, PEM_KEY, key_name, has_key ? tls->key_file : tls->cert_file, errs);
	if (!cert && has_key)
		(void)check_file(tls, PEM_KEY, "key_file", tls->key_file, errs);
	if (cert && key && !pem_match(tls->cert_file, has_key ? tls->key_file : NULL, tls->strict, &err))
		report(tls, key_name, err.text, &errs->mistakes);
}

void plan_check_component_files(const struct settings *settings, const struct settings_section *section,
				const struct component_spec *spec, struct component_errs *errs)
{
	enum { BLOCKS_MAX = 8 };
	struct option_tls_files files[BLOCKS_MAX];
	char what[128];
	size_t count = option_tls_files(spec->values, files, BLOCKS_MAX);
	snprintf(what, sizeof(what), "%s %s", section->serves ? "plugin" : "component", section->name);
	for (size_t i = 0; i < count && i < BLOCKS_MAX; i++)
		check_block(
			&(struct tls_block){
				.what = what,
				.dotted = files[i].option,
				.ca_name = "ca_file",
				.ca_file = files[i].ca_file,
				.cert_file = files[i].cert_file,
				.key_file = files[i].key_file,
				.node = section->node,
				.defaults = config_value(settings->defaults, section->plugin),
				.place = section->place,
			},
			errs);
}

static void check_listeners(const struct settings *settings, struct component_errs *errs)
{
	for (size_t i = 0; i < settings->listen_count; i++) {
		const struct settings_listen *listen = settings->listens[i];
		char what[160];
		snprintf(what, sizeof(what), "listen %s", listen->entry.address);
		if (listen->tls.cert_file == NULL)
			continue;
		struct tls_block tls = {
			.what = what,
			.dotted = "tls",
			.ca_name = "client_ca_file",
			.ca_file = listen->tls.client_ca_file,
			.cert_file = listen->tls.cert_file,
			.key_file = listen->tls.key_file,
			.strict = true,
			.node = listen->place,
		};
		check_block(&tls, errs);
		(void)check_file(&tls, PEM_CRL, "client_crl_file", listen->tls.client_crl_file, errs);
	}
}

/* Checks the token of `access`, or the hash of a user; NULL if there is none. */
static void check_token(const struct option_secret *token, config_lookup *lookup, struct component_errs *errs)
{
	char *bytes = NULL;
	size_t size = 0;
	struct err err;
	if (token == NULL)
		return;
	if (!option_secret_read(token, lookup, &bytes, &size, &err))
		config_error(&errs->mistakes, token->place, "option `%s` of access: %s", token->option,
			     err.text);
	else if (option_secret_is_open(token, &err))
		config_error(&errs->warnings, token->place, "option `%s` of access: %s", token->option,
			     err.text);
	wipe_free(bytes, size);
}

void plan_check_own_files(const struct settings *settings, config_lookup *lookup, struct component_errs *errs)
{
	check_listeners(settings, errs);
	check_token(settings_token(settings), lookup, errs);
	for (size_t i = 0; i < settings->user_count; i++)
		check_token(settings->users[i].hash, lookup, errs);
}
