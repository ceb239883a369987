/* SPDX-License-Identifier: Apache-2.0 */
/* pem: are the files of a `tls` block what they should be? For judging a config: each file can be read, holds
 * a certificate, a key or a revocation list, and key and certificate belong together. What only OpenSSL
 * understands passes. */
#ifndef PEM_H
#define PEM_H

#include <stdbool.h>

#include "err.h"

#define PEM_FILE_MAX (8u << 20) /* a system's bundle has 200 KiB */

enum pem_file { PEM_CA, PEM_CERT, PEM_KEY, PEM_CRL };

/* strict: what GnuTLS does not understand is wrong too, because it is the one that will use the file. */
bool pem_check(enum pem_file what, const char *path, bool strict, struct err *err) MUST_CHECK;
/* Both were found good. key NULL: it is in the certificate's file. */
bool pem_match(const char *cert, const char *key, bool strict, struct err *err) MUST_CHECK;
#endif
