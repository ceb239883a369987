/* SPDX-License-Identifier: Apache-2.0 */
/* http_tls: reads the files of a listener's certificates, and marks files to find out whether they have
 * changed. http_listener.c and http_access_token.c call it on the loop's thread; the caller owns what was read. */
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/pem.h"
#include "http_private.h"

static bool read_pem(const char *path, char **out, struct err *err)
{
	struct buf text = {0};
	if (path == NULL)
		return true;
	bool ok = file_read("", path, PEM_FILE_MAX, &text, err);
	*out = text.data;
	return ok;
}

bool tls_read(const struct settings_tls *settings, struct tls_files *out, struct err *err)
{
	*out = (struct tls_files){0};
	if (read_pem(settings->cert_file, &out->cert, err) && read_pem(settings->key_file, &out->key, err) &&
	    read_pem(settings->client_ca_file, &out->client_ca, err) &&
	    read_pem(settings->client_crl_file, &out->client_crl, err))
		return true;
	tls_free(out);
	return false;
}

void tls_ends(const char *cert, struct skymon_listener *out)
{
	gnutls_datum_t text = {(unsigned char *)(uintptr_t)cert, (unsigned)strlen(cert)};
	gnutls_x509_crt_t *chain;
	unsigned count;
	if (gnutls_x509_crt_list_import2(&chain, &count, &text, GNUTLS_X509_FMT_PEM, 0) < 0)
		return;
	for (unsigned i = 0; i < count; i++) {
		int64_t ends_ms = (int64_t)gnutls_x509_crt_get_expiration_time(chain[i]) * 1000;
		if (i == 0)
			out->certificate_ends_ms = out->chain_ends_ms = ends_ms;
		if (ends_ms < out->chain_ends_ms)
			out->chain_ends_ms = ends_ms;
		gnutls_x509_crt_deinit(chain[i]);
	}
	gnutls_free(chain);
}

void tls_free(struct tls_files *files)
{
	if (files->key != NULL)
		explicit_bzero(files->key, strlen(files->key));
	free(files->cert);
	free(files->key);
	free(files->client_ca);
	free(files->client_crl);
	*files = (struct tls_files){0};
}

uint64_t files_mark(const char *const *paths, size_t count)
{
	uint64_t mark = HASH_START;
	for (size_t i = 0; i < count; i++) {
		struct stat file;
		if (paths[i] == NULL || stat(paths[i], &file) != 0)
			continue;
		mark = hash_add(mark, &file.st_ino, sizeof(file.st_ino));
		mark = hash_add(mark, &file.st_size, sizeof(file.st_size));
		mark = hash_add(mark, &file.st_mtim, sizeof(file.st_mtim));
	}
	return mark;
}

uint64_t tls_mark(const struct settings_tls *settings)
{
	const char *const paths[] = {settings->cert_file, settings->key_file, settings->client_ca_file,
				     settings->client_crl_file};
	return files_mark(paths, sizeof(paths) / sizeof(paths[0]));
}
