/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of skymon's own programs that ask a running skymond by libcurl: skymon, skymon-job, skymon-grafana. */
#ifndef CLIENT_H
#define CLIENT_H

#include <curl/curl.h>

/* Returns the URL of a path: the base without its last slashes, or, for unix:/SOCKET, an option of the handle. The
 * caller frees; NULL if memory runs out. */
char *client_url(CURL *curl, const char *base, const char *path);

/* Adds "Authorization: Bearer …" from the first line of the file. Returns NULL if it has none; the headers are still
 * the caller's then. */
struct curl_slist *client_add_token(struct curl_slist *headers, const char *path);

/* ca_file: authorities, or NULL for the system's. cert, key: the client certificate (PEM), or NULL; without a key the
 * certificate's file has it. */
void client_set_certificates(CURL *curl, const char *ca_file, const char *cert, const char *key);

#endif
