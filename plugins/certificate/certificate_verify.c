/* SPDX-License-Identifier: Apache-2.0 */
/* certificate_verify: verifies a chain - dates, name and signatures, each by itself, so that one problem does not hide
 * another - and prints parts of a certificate. Called by certificate.c, on the check's thread. Owns nothing. */
#include <arpa/inet.h>
#include <math.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "certificate.h"

/* ---- Printing ---- */

static void print_name(const X509_NAME *name, char text[CERTIFICATE_NAME_SIZE])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int size = 0;
	/* escapes control characters, and leaves UTF-8 */
	if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) > 0)
		size = BIO_read(bio, text, CERTIFICATE_NAME_SIZE - 1);
	text[size > 0 ? size : 0] = '\0';
	BIO_free(bio);
}

void certificate_subject(const X509 *certificate, char text[CERTIFICATE_NAME_SIZE])
{
	print_name(X509_get_subject_name(certificate), text);
	if (text[0] == '\0') /* the names are all that some certificates have */
		certificate_names(certificate, text, CERTIFICATE_NAME_SIZE);
}

void certificate_issuer(const X509 *certificate, char text[CERTIFICATE_NAME_SIZE])
{
	print_name(X509_get_issuer_name(certificate), text);
}

void certificate_time(const ASN1_TIME *time, char text[CERTIFICATE_TIME_SIZE])
{
	struct tm parts;
	if (ASN1_TIME_to_tm(time, &parts) != 1 ||
	    strftime(text, CERTIFICATE_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
		snprintf(text, CERTIFICATE_TIME_SIZE, "an unknown time");
}

/* Adds one name; what cannot be printed shows as ?. */
static size_t add_name(char *text, size_t at, size_t size, const char *name, size_t length)
{
	if (at > 0 && at + 2 < size)
		at += (size_t)snprintf(text + at, size - at, ", ");
	for (size_t i = 0; i < length && at + 1 < size; i++)
		text[at++] = name[i] > ' ' && name[i] < 0x7F ? name[i] : '?';
	text[at] = '\0';
	return at;
}

void certificate_names(const X509 *certificate, char *text, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	size_t at = 0;
	text[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && at + 1 < size; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		char address[INET6_ADDRSTRLEN];
		if (name->type == GEN_DNS)
			at = add_name(text, at, size, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
				      (size_t)ASN1_STRING_length(name->d.dNSName));
		int length = name->type == GEN_IPADD ? ASN1_STRING_length(name->d.iPAddress) : 0;
		if ((length == 4 || length == 16) &&
		    inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress),
			      address, sizeof(address)) != NULL)
			at = add_name(text, at, size, address, strlen(address));
	}
	GENERAL_NAMES_free(names);
}

/* ---- Dates ---- */

static double days_until(const ASN1_TIME *time)
{
	int days = 0, seconds = 0;
	return ASN1_TIME_diff(&days, &seconds, NULL, time) == 1 ? days + seconds / 86400.0 : NAN;
}

static void check_dates(struct certificate_seen *seen)
{
	seen->days.chain = INFINITY;
	for (int i = 0; i < sk_X509_num(seen->chain); i++) {
		X509 *one = sk_X509_value(seen->chain, i);
		char name[CERTIFICATE_NAME_SIZE], ends[CERTIFICATE_TIME_SIZE], begins[CERTIFICATE_TIME_SIZE];
		double days = days_until(X509_get0_notAfter(one)),
		       since = -days_until(X509_get0_notBefore(one));
		if (i == 0)
			seen->days.certificate = days;
		if (days < seen->days.chain) {
			seen->days.chain = days;
			seen->first_to_end = one;
		}
		certificate_subject(one, name);
		certificate_time(X509_get0_notAfter(one), ends);
		certificate_time(X509_get0_notBefore(one), begins);
		const char *what = i == 0 ? "the certificate" : "a certificate of the chain,";
		if (!(days >= 0))
			certificate_problem(seen, SKYMON_TLS_EXPIRED, "%s %s expired at %s", what, name,
					    ends);
		else if (!(since >= 0))
			certificate_problem(seen, SKYMON_TLS_EXPIRED, "%s %s is not valid before %s", what,
					    name, begins);
	}
}

/* ---- Name ---- */

static void check_name(struct certificate_seen *seen, const char *name)
{
	X509 *leaf = sk_X509_value(seen->chain, 0);
	unsigned char address[16];
	char names[CERTIFICATE_NAME_SIZE];
	bool numeric = inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
	seen->named =
		(numeric ? X509_check_ip_asc(leaf, name, 0)
			 : X509_check_host(leaf, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL)) == 1;
	if (seen->named)
		return;
	certificate_names(leaf, names, sizeof(names));
	certificate_problem(seen, SKYMON_TLS_UNTRUSTED, "the certificate is not for the name %.100s%s%.150s",
			    name, names[0] != '\0' ? ", but for " : "", names);
}

/* ---- Chain ---- */

static int on_verified(int ok, X509_STORE_CTX *context)
{
	int *first = X509_STORE_CTX_get_app_data(context), error = X509_STORE_CTX_get_error(context);
	/* dates are check_dates' */
	if (!ok && *first == X509_V_OK && error != X509_V_ERR_CERT_HAS_EXPIRED &&
	    error != X509_V_ERR_CERT_NOT_YET_VALID)
		*first = error;
	return 1;
}

static void explain_chain(struct certificate_seen *seen, int error)
{
	X509 *last = sk_X509_value(seen->chain, sk_X509_num(seen->chain) - 1);
	char name[CERTIFICATE_NAME_SIZE];
	certificate_issuer(last, name);
	if (error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
		certificate_problem(seen, SKYMON_TLS_UNTRUSTED, "the certificate is self-signed");
	else if (error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
		 error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
		certificate_problem(
			seen, SKYMON_TLS_UNTRUSTED,
			"the issuer %s is neither trusted nor in the chain: an unknown authority, or a "
			"missing intermediate certificate",
			name);
	else
		certificate_problem(seen, SKYMON_TLS_UNTRUSTED, "the chain is not trusted: %s",
				    X509_verify_cert_error_string(error));
}

static void check_chain(struct certificate_seen *seen, X509_STORE *store)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int error = X509_V_OK;
	if (context == NULL ||
	    X509_STORE_CTX_init(context, store, sk_X509_value(seen->chain, 0), seen->chain) != 1) {
		X509_STORE_CTX_free(context);
		certificate_problem(seen, SKYMON_RESOURCE, "out of memory for the chain");
		return;
	}
	X509_STORE_CTX_set_default(context, "ssl_server");
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context), 1);
	X509_STORE_CTX_set_app_data(context, &error);
	X509_STORE_CTX_set_verify_cb(context, on_verified);
	if (X509_verify_cert(context) != 1 && error == X509_V_OK)
		error = X509_STORE_CTX_get_error(context);
	if (error == X509_V_OK) {
		/* what clients use: certificates that the server sends for nothing do not count */
		sk_X509_pop_free(seen->chain, X509_free);
		seen->chain = X509_STORE_CTX_get1_chain(context);
		seen->verified = true;
	} else {
		explain_chain(seen, error);
	}
	X509_STORE_CTX_free(context);
	ERR_clear_error();
}

void certificate_verify(struct certificate_seen *seen, X509_STORE *store, const char *name)
{
	struct certificate_seen found = {.chain = seen->chain};
	if (store != NULL)
		check_chain(&found, store);
	seen->chain = found.chain;
	seen->verified = found.verified;
	check_dates(seen); /* its reason comes before the chain's */
	if (found.reason != SKYMON_NONE)
		certificate_problem(seen, found.reason, "%s", found.problem);
	if (name != NULL)
		check_name(seen, name);
}
