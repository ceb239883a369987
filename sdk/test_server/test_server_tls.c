/* SPDX-License-Identifier: Apache-2.0 */
/* test_server_tls: keys and certificates of a test server, made at its start and kept in memory. Called by
 * test_server.c, on the main thread. */
#include "test_server.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define DAY (24L * 3600)

static bool add_extension(X509 *of, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, of, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool good = extension != NULL && X509_add_ext(of, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

/* Makes a certificate that is valid from and until some days from now. issuer NULL: it signs itself. names NULL:
 * an authority. */
static X509 *make(const char *subject, const char *names, long from, long until, EVP_PKEY *key, X509 *issuer,
		  EVP_PKEY *issuer_key)
{
	X509 *made = X509_new();
	if (made == NULL)
		return NULL;
	X509_NAME *name = X509_get_subject_name(made);
	const unsigned char *text = (const unsigned char *)subject;
	bool good = X509_set_version(made, 2) == 1 &&
		    ASN1_INTEGER_set(X509_get_serialNumber(made), issuer == NULL ? 1 : 2) == 1 &&
		    X509_gmtime_adj(X509_getm_notBefore(made), from * DAY) != NULL &&
		    X509_gmtime_adj(X509_getm_notAfter(made), until * DAY) != NULL &&
		    X509_set_pubkey(made, key) == 1 &&
		    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1 &&
		    X509_set_issuer_name(made, issuer != NULL ? X509_get_subject_name(issuer) : name) == 1;
	if (issuer == NULL)
		issuer = made;
	good = good && add_extension(made, issuer, NID_subject_key_identifier, "hash") &&
	       (names != NULL ? add_extension(made, issuer, NID_subject_alt_name, names)
			      : add_extension(made, issuer, NID_basic_constraints, "critical,CA:TRUE")) &&
	       X509_sign(made, issuer_key, EVP_sha256()) != 0;
	if (good)
		return made;
	X509_free(made);
	return NULL;
}

static bool write_file(const char *path, X509 *certificate)
{
	FILE *file = fopen(path, "we");
	if (file == NULL)
		return false;
	bool good = PEM_write_X509(file, certificate) == 1;
	return fclose(file) == 0 && good;
}

/* Returns the certificate of the kind; root is the authority that clients know. */
static X509 *make_for(enum certificate which, EVP_PKEY *key, X509 *root, EVP_PKEY *root_key, X509 *other)
{
	const char *names =
		which == CERTIFICATE_WRONG_NAME ? "DNS:another.example" : "IP:127.0.0.1,DNS:localhost";
	long from = which == CERTIFICATE_FUTURE ? 1 : -2, until = which == CERTIFICATE_EXPIRED ? -1 : 30;
	X509 *issuer = which == CERTIFICATE_SELF_SIGNED ? NULL
		       : which == CERTIFICATE_UNTRUSTED ? other
							: root;
	return make("skymon test server", names, from, until, key, issuer, issuer == root ? root_key : key);
}

SSL_CTX *test_server_tls(enum certificate which, const char *path)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256"), *root_key = EVP_EC_gen("P-256");
	X509 *root = NULL, *other = NULL, *own = NULL;
	bool good = tls != NULL && key != NULL && root_key != NULL;
	/* The other authority has the server's key: a key of its own would change nothing. */
	good = good &&
	       (root = make("skymon test authority", NULL, -3, 60, root_key, NULL, root_key)) != NULL &&
	       (other = make("another authority", NULL, -3, 60, key, NULL, key)) != NULL &&
	       (own = make_for(which, key, root, root_key, other)) != NULL &&
	       SSL_CTX_use_certificate(tls, own) == 1 && SSL_CTX_use_PrivateKey(tls, key) == 1 &&
	       write_file(path, root);
	X509_free(own);
	X509_free(other);
	X509_free(root);
	EVP_PKEY_free(root_key);
	EVP_PKEY_free(key);
	if (good)
		return tls;
	SSL_CTX_free(tls);
	return NULL;
}
