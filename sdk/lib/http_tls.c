/* SPDX-License-Identifier: Apache-2.0 */
/* http_tls: TLS options of a request. Called by skymon_http_do, on the check's thread. The files of `tls` are
 * opened before libcurl opens them, whose error does not say which of them failed. libcurl would parse the
 * authorities for each connection; its OpenSSL gets the cached store of tls_authorities.c instead. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <openssl/ssl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "http_private.h"

static bool is_readable(const char *option, const char *path, struct skymon_fault *fault)
{
	if (path == NULL)
		return true;
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file >= 0) {
		close(file);
		return true;
	}
	skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_TLS_OTHER, "cannot read tls.%s %.200s: %s", option,
			 path, strerror(errno));
	return false;
}

bool skymon_http_files_are_readable(const struct skymon_tls *tls, struct skymon_fault *fault)
{
	return tls == NULL || (is_readable("ca_file", tls->ca_file, fault) &&
			       is_readable("cert_file", tls->cert_file, fault) &&
			       is_readable("key_file", tls->key_file, fault));
}

/* Called by libcurl with each connection's new SSL_CTX. */
static CURLcode on_context(CURL *easy, void *context, void *tls)
{
	const char *why;
	X509_STORE *store = skymon_tls_store(((const struct skymon_tls *)tls)->ca_file, &why);
	(void)easy;
	if (store == NULL)
		return CURLE_SSL_CACERT_BADFILE;
	SSL_CTX_set_cert_store(context, store); /* takes ownership */
	return CURLE_OK;
}

/* Returns whether libcurl is built on OpenSSL, so that on_context gets an SSL_CTX. */
static bool speaks_openssl(void)
{
	const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
	return built->ssl_version != NULL && strncmp(built->ssl_version, "OpenSSL/3", 9) == 0;
}

struct skymon_tls_days skymon_http_tls_days(CURL *easy)
{
	struct curl_tlssessioninfo *session = NULL;
	if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &session) != CURLE_OK || session == NULL ||
	    session->backend != CURLSSLBACKEND_OPENSSL || session->internals == NULL)
		return (struct skymon_tls_days){NAN, NAN};
	return skymon_tls_days_of(session->internals);
}

void skymon_http_tls_set(CURL *easy, const struct skymon_tls *tls, const char *proxy)
{
	static const struct skymon_tls none;
	bool secure_proxy = proxy != NULL && strncasecmp(proxy, "https://", 8) == 0;
	/* A resumed session would hide that the certificate has expired. */
	curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
#if LIBCURL_VERSION_NUM >= 0x075700 /* otherwise a replaced file of authorities counts a day later */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	if (tls == NULL)
		tls = &none;
	if (!secure_proxy && (tls->insecure || speaks_openssl())) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
		if (!tls->insecure) {
			curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
			curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, tls);
		}
	} else if (tls->ca_file != NULL) { /* for the server alone: a proxy's certificate is verified by the
					      system's authorities */
		curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (tls->cert_file != NULL) {
		curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert_file);
		curl_easy_setopt(easy, CURLOPT_SSLKEY,
				 tls->key_file != NULL ? tls->key_file : tls->cert_file);
	}
	if (tls->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}
