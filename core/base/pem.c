/* SPDX-License-Identifier: Apache-2.0 */
/* The files of `tls` blocks, parsed by GnuTLS, which libmicrohttpd brings into the daemon. Called by plan on
 * the daemon's thread; owns nothing beyond a call. */
#include "pem.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "arena.h"
#include "file.h"

/* Returns whether the file is wrong for certain, and not only beyond what this GnuTLS supports. */
static bool is_certain(int code)
{
	switch (code) {
	case GNUTLS_E_BASE64_DECODING_ERROR:
	case GNUTLS_E_BASE64_UNEXPECTED_HEADER_ERROR:
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE:
	case GNUTLS_E_DECRYPTION_FAILED:
	case GNUTLS_E_CERTIFICATE_KEY_MISMATCH:
	case GNUTLS_E_ASN1_ELEMENT_NOT_FOUND:
	case GNUTLS_E_ASN1_DER_ERROR:
	case GNUTLS_E_ASN1_DER_OVERFLOW:
	case GNUTLS_E_ASN1_TAG_ERROR:
	case GNUTLS_E_ASN1_VALUE_NOT_VALID:
	case GNUTLS_E_ASN1_GENERIC_ERROR:
		return true;
	default:
		return false;
	}
}

static int parse_certificates(const gnutls_datum_t *text)
{
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0;
	int code = gnutls_x509_crt_list_import2(&list, &count, text, GNUTLS_X509_FMT_PEM, 0);
	for (unsigned i = 0; code >= 0 && i < count; i++)
		gnutls_x509_crt_deinit(list[i]);
	if (code >= 0)
		gnutls_free(list);
	return code;
}

static int parse_key(const gnutls_datum_t *text)
{
	gnutls_x509_privkey_t key;
	int code = gnutls_x509_privkey_init(&key);
	if (code < 0)
		return code;
	code = gnutls_x509_privkey_import2(key, text, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_x509_privkey_deinit(key);
	return code;
}

static int parse_crls(const gnutls_datum_t *text)
{
	gnutls_x509_crl_t *list = NULL;
	unsigned count = 0;
	int code = gnutls_x509_crl_list_import2(&list, &count, text, GNUTLS_X509_FMT_PEM, 0);
	for (unsigned i = 0; code >= 0 && i < count; i++)
		gnutls_x509_crl_deinit(list[i]);
	if (code >= 0)
		gnutls_free(list);
	return code >= 0 && count == 0 ? GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE : code;
}

bool pem_check(enum pem_file what, const char *path, bool strict, struct err *err)
{
	static const char *const words[] = {"a certificate of an authority", "a certificate", "a private key",
					    "a revocation list"};
	struct buf file = {0};
	bool ok = file_read("", path, PEM_FILE_MAX, &file, err);
	if (ok) {
		const gnutls_datum_t text = {(unsigned char *)file.data, (unsigned)file.size};
		int code = what == PEM_KEY   ? parse_key(&text)
			   : what == PEM_CRL ? parse_crls(&text)
					     : parse_certificates(&text);
		if (code < 0 && (strict || is_certain(code)))
			ok = code == GNUTLS_E_DECRYPTION_FAILED
				     ? err_set(err,
					       "%.200s is encrypted, and skymon has no passphrase for it",
					       path)
				     : err_set(err, "%.200s does not hold %s in PEM form", path, words[what]);
	}
	wipe_free(file.data, file.capacity);
	return ok;
}

bool pem_match(const char *cert, const char *key, bool strict, struct err *err)
{
	struct buf cert_file = {0}, key_file = {0};
	gnutls_certificate_credentials_t both;
	bool ok = file_read("", cert, PEM_FILE_MAX, &cert_file, err) &&
		  file_read("", key != NULL ? key : cert, PEM_FILE_MAX, &key_file, err);
	if (ok && gnutls_certificate_allocate_credentials(&both) >= 0) {
		const gnutls_datum_t cert_text = {(unsigned char *)cert_file.data, (unsigned)cert_file.size};
		const gnutls_datum_t key_text = {(unsigned char *)key_file.data, (unsigned)key_file.size};
		int code = gnutls_certificate_set_x509_key_mem2(both, &cert_text, &key_text,
								GNUTLS_X509_FMT_PEM, NULL, 0);
		if (code < 0 && (strict || is_certain(code)))
			ok = err_set(err, "the key in %.200s does not belong to the certificate in %.200s",
				     key != NULL ? key : cert, cert);
		gnutls_certificate_free_credentials(both);
	}
	wipe_free(cert_file.data, cert_file.capacity);
	wipe_free(key_file.data, key_file.capacity);
	return ok;
}
