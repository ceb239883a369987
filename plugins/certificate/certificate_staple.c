/* SPDX-License-Identifier: Apache-2.0 */
/* certificate_staple: validates the OCSP response that a server sends with its certificate (RFC 6066 8, RFC 6960). Called
 * by certificate.c, on the check's thread, after the chain was verified. Owns nothing. */
#include <math.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "certificate.h"

#define CLOCK_SKEW 300 /* s that two clocks may differ */
#define STATUS_REQUEST 5

/* Returns whether the certificate itself demands a staple (RFC 7633). */
static bool must_staple(const X509 *leaf)
{
	TLS_FEATURE *features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
	bool found = false;
	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
		found |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == STATUS_REQUEST;
	TLS_FEATURE_free(features);
	return found;
}

static void bad(struct certificate_seen *seen, const char *word, const char *problem)
{
	seen->staple_word = word;
	certificate_problem(seen, SKYMON_TLS_OTHER, "the OCSP staple %s", problem);
}

/* Returns the response about this certificate. Responders name certificates by SHA-1 or by another digest. */
static OCSP_SINGLERESP *find(OCSP_BASICRESP *basic, const X509 *leaf, const X509 *issuer)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
		OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
		ASN1_OBJECT *digest = NULL;
		const EVP_MD *md = OCSP_id_get0_info(NULL, &digest, NULL, NULL, id) == 1
					   ? EVP_get_digestbyobj(digest)
					   : NULL;
		OCSP_CERTID *own = md != NULL ? OCSP_cert_to_id(md, leaf, issuer) : NULL;
		bool same = own != NULL && OCSP_id_cmp(id, own) == 0;
		OCSP_CERTID_free(own);
		if (same)
			return single;
	}
	return NULL;
}

static double seconds_from(const ASN1_GENERALIZEDTIME *from, const ASN1_GENERALIZEDTIME *to)
{
	int days = 0, seconds = 0;
	return ASN1_TIME_diff(&days, &seconds, from, to) == 1 ? days * 86400.0 + seconds : NAN;
}

static void check_single(struct certificate_seen *seen, OCSP_SINGLERESP *single)
{
	ASN1_GENERALIZEDTIME *revoked = NULL, *made = NULL, *ends = NULL;
	char when[CERTIFICATE_TIME_SIZE];
	int reason = 0, status = OCSP_single_get0_status(single, &reason, &revoked, &made, &ends);
	seen->staple_age = seconds_from(made, NULL);
	if (ends != NULL)
		seen->staple_left = seconds_from(NULL, ends);
	if (status == V_OCSP_CERTSTATUS_REVOKED) {
		certificate_time(revoked, when);
		seen->staple_word = "revoked";
		certificate_problem(seen, SKYMON_TLS_UNTRUSTED,
				    "the certificate was revoked at %s, as its OCSP staple says", when);
	} else if (status != V_OCSP_CERTSTATUS_GOOD) {
		bad(seen, "unknown", "does not know the certificate");
	} else if (OCSP_check_validity(made, ends, CLOCK_SKEW, -1) != 1) {
		certificate_time(ends != NULL ? ends : made, when);
		seen->staple_word = "expired";
		certificate_problem(seen, SKYMON_TLS_EXPIRED, "the OCSP staple is not valid now: it %s %s",
				    seen->staple_left < 0 ? "expired at" : "was made at", when);
	} else {
		seen->staple_word = "good";
	}
}

static void check_response(struct certificate_seen *seen, X509_STORE *store, OCSP_RESPONSE *response)
{
	X509 *leaf = sk_X509_value(seen->chain, 0);
	X509 *issuer = sk_X509_num(seen->chain) > 1 ? sk_X509_value(seen->chain, 1) : leaf;
	OCSP_BASICRESP *basic = NULL;
	if (response == NULL) {
		bad(seen, "invalid", "cannot be read");
	} else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
		bad(seen, "invalid", "is an error of the responder");
	} else if ((basic = OCSP_response_get1_basic(response)) == NULL ||
		   (store != NULL && OCSP_basic_verify(basic, seen->chain, store, 0) <= 0)) {
		bad(seen, "invalid", "has a signature that is not valid");
	} else {
		OCSP_SINGLERESP *single = find(basic, leaf, issuer);
		if (single != NULL)
			check_single(seen, single);
		else
			bad(seen, "invalid", "is about another certificate");
	}
	OCSP_BASICRESP_free(basic);
}

void certificate_check_staple(struct certificate_seen *seen, X509_STORE *store, bool required)
{
	bool must = must_staple(sk_X509_value(seen->chain, 0));
	if (seen->staple == NULL) {
		seen->staple_word = "none";
		if (required || must)
			certificate_problem(seen, SKYMON_TLS_OTHER, "the server sends no OCSP staple%s",
					    must ? ", which the certificate demands" : "");
		return;
	}
	const unsigned char *at = seen->staple;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)seen->staple_size);
	check_response(seen, store, response);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
}
