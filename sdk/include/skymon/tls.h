/* SPDX-License-Identifier: Apache-2.0 */
/* authorities: the certificates by which a server's certificate is verified. They are parsed once for a
 * process, not once for each connection: the system's 150 cost 45 to 80 ms of CPU. A file that has changed is
 * read again for the next connection; a hashed directory that has changed is opened again.
 *
 * All functions may be called on any thread. A store that was returned never changes, and lives until its
 * last reference is freed. On OpenSSL. */
#ifndef AUTHORITIES_H
#define AUTHORITIES_H

#include <openssl/types.h>

/* Returns a reference, for X509_STORE_free(), to the certificates of this file, or of the system if ca_file
 * is NULL (SSL_CERT_FILE and SSL_CERT_DIR, else OpenSSL's locations, else those of the distributions).
 * Returns NULL with the reason in *why, a sentence. */
X509_STORE *authorities_store(const char *ca_file, const char **why);
/* Returns the one file that holds the system's certificates, for libraries that read it themselves; NULL if
 * there is none. */
const char *authorities_system_file(void);
/* Returns in how many days the first certificate of the peer's chain to expire does so: negative if it has
 * expired, NaN if the peer sent none. */
double authorities_certificate_days(const SSL *tls);
/* Frees the cache. Call it in the plugin's unload. */
void authorities_end(void);

#endif
