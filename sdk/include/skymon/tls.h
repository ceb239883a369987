/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/tls.h - how well a connection is protected, reported in the same way by every plugin that opens one; and the certificates
 * by which a server's certificate is verified, for plugins whose client library does its own TLS on OpenSSL.
 *
 * http.h and net.h verify by themselves: with them only the reports are needed. All functions may be called on any thread; the
 * reports belong to the run of sm.
 *
 * Of the helper library (`pkg-config skymon-net`), which a plugin links statically. It is outside of the ABI's promise:
 * a plugin keeps the library that it was built with, and a newer skymon may change it. */
#ifndef SKYMON_TLS_H
#define SKYMON_TLS_H

#include <openssl/types.h>
#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Reports ---- */

enum skymon_tls_trust {
	SKYMON_TLS_NONE,
	SKYMON_TLS_UNVERIFIED, /* encrypted; the certificate's chain or its name was not verified */
	SKYMON_TLS_VERIFIED    /* chain and name were verified */
};

/* Reports the detail `tls` (none, unverified, verified) and the metric skymon_component_tls, which a shipped rule watches. Call it
 * in each check that had a connection. local: the peer is on this machine (skymon_net_peer_is_local), where TLS is not required. */
void skymon_tls_report(struct skymon *sm, enum skymon_tls_trust trust, bool local);

/* In how many days certificates of a connection expire: negative if they have, NaN without TLS. */
struct skymon_tls_days {
	double certificate; /* the server's own */
	double chain;       /* the first to expire of its chain, the server's own included */
};

/* For the table of numbers of a plugin that calls skymon_tls_report_days. */
#define SKYMON_TLS_NUMBERS \
	{ "certificate_days", "", "days until the server's certificate ends; absent without TLS" }, \
	{ "chain_days", "", "days until the first certificate of the server's chain ends; absent without TLS" }
/* Reports the numbers, details and metrics of both; nothing of one that is NaN. */
void skymon_tls_report_days(struct skymon *sm, struct skymon_tls_days days);

/* Why a secret must not be sent, as in "url %s". */
#define SKYMON_TLS_CLEAR(scheme) \
	"must begin with " scheme ": without TLS a secret is not sent to another machine, unless tls: {insecure: true} allows it"

/* ---- Authorities ---- */

/* They are parsed once for a process, not once for each connection: the system's 150 cost 45 to 80 ms of CPU. A file that has
 * changed is read again for the next connection; a hashed directory that has changed is opened again. A store that was returned
 * never changes, and lives until its last reference is freed. */

/* Returns a reference, for X509_STORE_free(), to the certificates of this file, or of the system if ca_file is NULL (SSL_CERT_FILE
 * and SSL_CERT_DIR, else OpenSSL's locations, else those of the distributions). Returns NULL with the reason in *why, a sentence. */
X509_STORE *skymon_tls_store(const char *ca_file, const char **why);
/* Returns the one file that holds the system's certificates, for libraries that read it themselves; NULL if there is none. */
const char *skymon_tls_system_file(void);
/* Returns the days of the peer's certificates: of the chain that was verified, else of the one that was sent. Both are NaN if tls is
 * NULL or the peer sent none. */
struct skymon_tls_days skymon_tls_days_of(const SSL *tls);
/* Frees the cache. Call it in the plugin's unload; skymon_net_unload does. */
void skymon_tls_unload(void);

#ifdef __cplusplus
}
#endif

#endif
