/* SPDX-License-Identifier: Apache-2.0 */
/* http_client_cert: verifies client certificates. The chain must end at client_ca_file, the purpose must be
 * clientAuth (RFC 5280, 4.2.1.12: no stated purpose and any purpose count too), client_crl_file must not
 * revoke the certificate, and client_names, if given, must have one of its names. http_listener.c makes the
 * rules when a file changes; http_validate.c applies them once for each connection and again after each
 * change. Owns the parsed authorities and lists; runs on the loop's thread.
 *
 * libmicrohttpd requests a certificate in the handshake and accepts any: refusing it here lets the client
 * learn why.
 */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "http_private.h"

#define CHAIN_MAX 10 /* certificates that a client may send */
#define NAME_MAX_BYTES 256

struct client_rules {
	gnutls_x509_trust_list_t trusted;
	gnutls_x509_crt_t *authorities; /* they and the lists belong to trusted */
	gnutls_x509_crl_t *crls;
	unsigned authority_count, crl_count;
	struct skymon_texts names; /* of the settings */
};

/* ---- Making ---- */

static gnutls_datum_t datum(const char *text)
{
	return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
}

static bool add_authorities(struct client_rules *rules, const char *pem, struct err *err)
{
	gnutls_datum_t text = datum(pem);
	unsigned *count = &rules->authority_count;
	if (gnutls_x509_crt_list_import2(&rules->authorities, count, &text, GNUTLS_X509_FMT_PEM, 0) < 0 ||
	    *count == 0)
		return err_set(err, "client_ca_file has no certificate (PEM)");
	return gnutls_x509_trust_list_add_cas(rules->trusted, rules->authorities, *count, 0) == (int)*count ||
	       err_set(err, "client_ca_file has a certificate that cannot be trusted");
}

/* A list of another authority would revoke nothing. Its age is checked with each certificate. */
static bool is_signed(const struct client_rules *rules, gnutls_x509_crl_t crl)
{
	unsigned wrong = GNUTLS_CERT_INVALID;
	const unsigned age = GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED |
			     GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE | GNUTLS_CERT_INVALID;
	int done = gnutls_x509_crl_verify(crl, rules->authorities, rules->authority_count, 0, &wrong);
	return done >= 0 && (wrong & ~age) == 0 &&
	       (wrong == 0 || (wrong & (age & ~(unsigned)GNUTLS_CERT_INVALID)) != 0);
}

static bool add_crls(struct client_rules *rules, const char *pem, struct err *err)
{
	gnutls_datum_t text = datum(pem);
	unsigned *count = &rules->crl_count;
	if (gnutls_x509_crl_list_import2(&rules->crls, count, &text, GNUTLS_X509_FMT_PEM, 0) < 0 ||
	    *count == 0)
		return err_set(err, "client_crl_file has no revocation list (PEM)");
	bool signed_all = true;
	for (unsigned i = 0; i < *count; i++)
		signed_all = signed_all && is_signed(rules, rules->crls[i]);
	return (gnutls_x509_trust_list_add_crls(rules->trusted, rules->crls, *count, 0, 0) == (int)*count &&
		signed_all) ||
	       err_set(err, "client_crl_file has a list that no authority of client_ca_file has signed");
}

bool client_rules_new(const struct settings_tls *settings, const struct tls_files *files,
		      struct client_rules **out, struct err *err)
{
	*out = NULL;
	if (files->client_ca == NULL)
		return true;
	struct client_rules *rules = x_alloc(sizeof(*rules));
	rules->names = settings->client_names;
	if (gnutls_x509_trust_list_init(&rules->trusted, 0) < 0)
		abort(); /* out of memory */
	if (add_authorities(rules, files->client_ca, err) &&
	    (files->client_crl == NULL || add_crls(rules, files->client_crl, err))) {
		*out = rules;
		return true;
	}
	client_rules_free(rules);
	return false;
}

void client_rules_free(struct client_rules *rules)
{
	if (rules == NULL)
		return;
	gnutls_x509_trust_list_deinit(rules->trusted, 1);
	gnutls_free(rules->authorities);
	gnutls_free(rules->crls);
	free(rules);
}

/* ---- Names ---- */

static bool is_address(const char *wanted, const char *bytes, size_t size)
{
	unsigned char address[16];
	return (size == 4 && inet_pton(AF_INET, wanted, address) == 1 && memcmp(address, bytes, 4) == 0) ||
	       (size == 16 && inet_pton(AF_INET6, wanted, address) == 1 && memcmp(address, bytes, 16) == 0);
}

/* The size is compared too, as a name may contain a NUL. A "*" in a client's name is not a wildcard. */
static bool is_listed(const struct client_rules *rules, int type, const char *name, size_t size)
{
	for (size_t i = 0; i < rules->names.count; i++) {
		const char *wanted = rules->names.items[i];
		bool same_size = strlen(wanted) == size;
		if (type == GNUTLS_SAN_IPADDRESS ? is_address(wanted, name, size)
		    : type == GNUTLS_SAN_DNSNAME ? same_size && strncasecmp(wanted, name, size) == 0
						 : same_size && memcmp(wanted, name, size) == 0)
			return true;
	}
	return false;
}

/* The common name counts only if there are no other names (RFC 6125, 6.4.4) and it is the only common name.
 */
static bool has_common_name(const struct client_rules *rules, gnutls_x509_crt_t cert)
{
	char name[NAME_MAX_BYTES], other[NAME_MAX_BYTES];
	size_t size = sizeof(name), other_size = sizeof(other);
	return gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) >= 0 &&
	       gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 1, 0, other, &other_size) ==
		       GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE &&
	       is_listed(rules, GNUTLS_SAN_URI, name, size);
}

static bool has_name(const struct client_rules *rules, gnutls_x509_crt_t cert)
{
	for (unsigned i = 0;; i++) {
		char name[NAME_MAX_BYTES];
		size_t size = sizeof(name);
		int type = gnutls_x509_crt_get_subject_alt_name(cert, i, name, &size, NULL);
		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return i == 0 && has_common_name(rules, cert);
		bool known = type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME ||
			     type == GNUTLS_SAN_URI || type == GNUTLS_SAN_IPADDRESS;
		if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
			return false;
		if (known && is_listed(rules, type, name, size))
			return true;
	}
}

/* ---- Verifying ---- */

static const char *status_text(unsigned status)
{
	static const struct {
		unsigned bit;
		const char *text;
	} rows[] = {
		{GNUTLS_CERT_REVOKED, "it is revoked"},
		{GNUTLS_CERT_EXPIRED, "it has expired"},
		{GNUTLS_CERT_NOT_ACTIVATED, "it is not valid yet"},
		{GNUTLS_CERT_PURPOSE_MISMATCH, "it is not for clients (extended key usage clientAuth)"},
		{GNUTLS_CERT_INSECURE_ALGORITHM, "its key or signature is too weak"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (status & rows[i].bit)
			return rows[i].text;
	return "no authority of client_ca_file has signed it";
}

static const char *check_chain(const struct client_rules *rules, gnutls_x509_crt_t *chain, unsigned count)
{
	static unsigned char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
	gnutls_typed_vdata_st wanted = {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = purpose};
	unsigned status = GNUTLS_CERT_INVALID;
	time_t now = time(NULL);
	for (unsigned i = 0; i < rules->crl_count; i++) {
		time_t next = gnutls_x509_crl_get_next_update(rules->crls[i]);
		if (next != (time_t)-1 && next < now)
			return "the revocation list (client_crl_file) has expired";
	}
	if (gnutls_x509_trust_list_verify_crt2(rules->trusted, chain, count, &wanted, 1,
					       GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM), &status,
					       NULL) < 0 ||
	    status != 0)
		return status_text(status);
	if (rules->names.count > 0 && !has_name(rules, chain[0]))
		return "none of its names is in client_names";
	return NULL;
}

const char *client_rules_refuse(const struct client_rules *rules, void *session)
{
	unsigned count = 0, made = 0;
	const gnutls_datum_t *sent = session != NULL ? gnutls_certificate_get_peers(session, &count) : NULL;
	gnutls_x509_crt_t chain[CHAIN_MAX];
	if (sent == NULL || count == 0)
		return "none was sent";
	const char *why = count <= CHAIN_MAX ? NULL : "its chain is too long";
	while (why == NULL && made < count) {
		if (gnutls_x509_crt_init(&chain[made]) < 0)
			abort(); /* out of memory */
		if (gnutls_x509_crt_import(chain[made], &sent[made], GNUTLS_X509_FMT_DER) < 0)
			why = "it cannot be read";
		made++;
	}
	if (why == NULL)
		why = check_chain(rules, chain, count);
	while (made > 0)
		gnutls_x509_crt_deinit(chain[--made]);
	return why;
}
