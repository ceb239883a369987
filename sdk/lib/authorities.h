/* SPDX-License-Identifier: Apache-2.0 */
/* trust: the authorities by which a server's certificate is verified, read once for a process and not for
 * each connection: the system's 150 cost 45 to 80 ms of CPU. dial and fetch take them here. A file that has
 * changed is read again for the next connection; a hashed directory that has changed is opened again.
 *
 * The sets are the process's; any thread may ask. A store that was given out stays as it is, and as long as
 * somebody has it. On OpenSSL; compiled into each plugin that speaks TLS. */
#ifndef TRUST_H
#define TRUST_H

#include <openssl/types.h>

/* The certificates of this file alone; NULL: the system's (SSL_CERT_FILE and SSL_CERT_DIR, else OpenSSL's
 * places, else where distributions keep them). For X509_STORE_free. NULL: *why is a sentence. */
X509_STORE *authorities_store(const char *ca_file, const char **why);
/* For libraries that read a file by themselves: the system's certificates in one file, or NULL. */
const char *authorities_system_file(void);
/* In how many days the first certificate of the peer's chain ends: negative when it has ended. NaN: there is
 * none. */
double authorities_certificate_days(const SSL *tls);
/* Drops all of them: in a plugin's unload. */
void authorities_end(void);

#endif
