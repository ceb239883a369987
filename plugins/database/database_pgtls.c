/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgtls: finds why a certificate was not accepted. libpq only reports "certificate verify failed"
 * and frees its TLS session within the same call, so a callback of OpenSSL reads the result when a session is
 * freed. The result is thread-local: the check's thread has only this session. Called by database_pgconn on
 * the check's thread; load and unload on the worker's main thread. */
#ifdef HAVE_LIBPQ
#include "database_postgres.h"

#include <openssl/ssl.h>

static _Thread_local long last_result;

static void on_free(void *session, void *value, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
	(void)value, (void)data, (void)index, (void)number, (void)arg;
	last_result = SSL_get_verify_result(session);
}

bool pg_tls_load(struct database_shared *shared)
{
	shared->tls_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free);
	return shared->tls_index >= 0;
}

void pg_tls_unload(struct database_shared *shared)
{
	CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL, shared->tls_index);
}

void pg_tls_forget(void)
{
	last_result = X509_V_OK;
}

void pg_tls_explain(struct pg_fault *fault)
{
	bool of_time =
		last_result == X509_V_ERR_CERT_HAS_EXPIRED || last_result == X509_V_ERR_CERT_NOT_YET_VALID;
	if (fault->is.reason == SKYMON_TLS_UNTRUSTED && last_result != X509_V_OK)
		pg_fault_set(fault, of_time ? SKYMON_TLS_EXPIRED : SKYMON_TLS_UNTRUSTED,
			     "the server's certificate is not accepted: %s",
			     X509_verify_cert_error_string(last_result));
}

struct skymon_tls_days pg_tls_days(PGconn *conn)
{
	return skymon_tls_days_of(PQsslStruct(conn, "OpenSSL"));
}
#endif
