/* SPDX-License-Identifier: Apache-2.0 */
/* pem: validates the files of a `tls` block, for a config: each can be read and holds a certificate, a key or
 * a revocation list, and key and certificate belong together. Files that only OpenSSL understands pass. */
#ifndef PEM_H
#define PEM_H

#include <stdbool.h>

#include "err.h"

#define PEM_FILE_MAX (8u << 20) /* a system's bundle has 200 KiB */

enum pem_file { PEM_CA, PEM_CERT, PEM_KEY, PEM_CRL };

/* strict: a file that GnuTLS does not understand is wrong too, because GnuTLS will use it. */
bool pem_check(enum pem_file what, const char *path, bool strict, struct err *err) MUST_CHECK;
/* Both files have passed pem_check. key: NULL if the certificate's file holds the key. */
bool pem_match(const char *cert, const char *key, bool strict, struct err *err) MUST_CHECK;
#endif
