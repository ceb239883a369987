/* SPDX-License-Identifier: Apache-2.0 */
/* authentication_jws: verifies that one of the published keys signed a token. Called by
 * authentication_token.c on the check's thread; pure functions. */
#include "authentication_jose.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

#define SIGNATURE_MAX 2048 /* bytes: RSA of 16384 bits */

/* The three parts of a token; they point into its text. */
struct parts {
	const char *head, *body, *signature;
	size_t head_size, body_size, signature_size;
};

/* Returns the number of parts separated by dots, each base64url or empty; 0 for other texts. */
static int split(const char *text, struct parts *parts)
{
	const char *first = strchr(text, '.'), *second = first != NULL ? strchr(first + 1, '.') : NULL;
	int dots = 0;
	if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != strlen(text))
		return 0;
	for (const char *at = text; (at = strchr(at, '.')) != NULL; at++)
		dots++;
	if (second != NULL)
		*parts = (struct parts){text,
					first + 1,
					second + 1,
					(size_t)(first - text),
					(size_t)(second - first - 1),
					strlen(second + 1)};
	return dots + 1;
}

/* Returns NULL if the part is not a JSON object. loose: only the claims that are read are validated; the
 * header is validated as a whole (RFC 7515, 4). */
static json_t *read_part(const char *text, size_t size, bool loose)
{
	char why[SKYMON_JSON_WHY];
	uint8_t *bytes = malloc(size + 1);
	ssize_t got = bytes != NULL ? jose_decode(text, size, bytes) : -1;
	json_t *json = got <= 0 ? NULL
		       : loose  ? skymon_json_read_loose((const char *)bytes, (size_t)got, why)
				: skymon_json_read((const char *)bytes, (size_t)got);
	if (bytes != NULL)
		explicit_bzero(bytes, size);
	free(bytes);
	if (!json_is_object(json)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

/* ---- The signature ---- */

/* Converts an EC signature, two numbers of the same size, to the DER that OpenSSL expects. Returns NULL if it
 * is invalid or out of memory. */
static unsigned char *to_der(const uint8_t *raw, size_t size, size_t *der_size)
{
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, (int)size / 2, NULL), *s = BN_bin2bn(raw + size / 2, (int)size / 2, NULL);
	unsigned char *der = NULL;
	int length = -1;
	if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
		BN_free(r);
		BN_free(s);
	} else {
		length = i2d_ECDSA_SIG(pair, &der);
	}
	ECDSA_SIG_free(pair);
	*der_size = length > 0 ? (size_t)length : 0;
	return length > 0 ? der : NULL;
}

static bool verify_digest(const struct jose_alg *alg, EVP_PKEY *key, const void *text, size_t size,
			  const uint8_t *signature, size_t signature_size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *rsa;
	bool good = context != NULL &&
		    EVP_DigestVerifyInit_ex(context, &rsa, alg->digest, NULL, NULL, key, NULL) == 1 &&
		    (!alg->pss || (EVP_PKEY_CTX_set_rsa_padding(rsa, RSA_PKCS1_PSS_PADDING) == 1 &&
				   EVP_PKEY_CTX_set_rsa_pss_saltlen(rsa, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
		    EVP_DigestVerify(context, signature, signature_size, text, size) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

static bool key_fits(const struct jose_alg *alg, const struct jose_key *key)
{
	return key->family == alg->family &&
	       (key->only == NULL || strcmp(key->only->name, alg->name) == 0 || alg->family == JOSE_OKP) &&
	       (alg->curve == NULL || strcmp(alg->curve, key->curve) == 0);
}

static bool verify(const struct jose_alg *alg, const struct jose_key *key, const void *text, size_t text_size,
		   const uint8_t *signature, size_t size)
{
	if (alg->family != JOSE_EC)
		return verify_digest(alg, key->key, text, text_size, signature, size);
	if (size != 2 * (((size_t)EVP_PKEY_get_bits(key->key) + 7) / 8))
		return false;
	size_t der_size;
	unsigned char *der = to_der(signature, size, &der_size);
	bool good = der != NULL && verify_digest(alg, key->key, text, text_size, der, der_size);
	OPENSSL_free(der);
	return good;
}

/* A token with a kid is verified by that key only; otherwise any key of its kind may have signed it. */
static enum jose_verdict find_signer(const struct jose_alg *alg, const char *kid, const struct parts *parts,
				     const struct jose_keys *keys)
{
	uint8_t signature[SIGNATURE_MAX + 4];
	ssize_t size = parts->signature_size > SIGNATURE_MAX / 3 * 4
			       ? -1
			       : jose_decode(parts->signature, parts->signature_size, signature);
	bool found = false;
	for (size_t i = 0; i < keys->count; i++) {
		const struct jose_key *key = &keys->items[i];
		if ((kid != NULL && (key->kid == NULL || strcmp(key->kid, kid) != 0)) || !key_fits(alg, key))
			continue;
		found = true;
		if (size > 0 && verify(alg, key, parts->head, parts->head_size + 1 + parts->body_size,
				       signature, (size_t)size))
			return JOSE_VERIFIED;
	}
	/* Without a kid the key may be missing from the set, so the token is not proven forged. */
	return found && kid != NULL ? JOSE_FORGED : JOSE_NO_KEY;
}

static enum jose_verdict verify_parts(const json_t *header, const struct parts *parts,
				      const struct jose_keys *keys, struct jose_token *token)
{
	const char *alg = skymon_json_text(header, "alg"), *kid = skymon_json_text(header, "kid");
	const struct jose_alg *known = alg != NULL ? jose_alg_find(alg) : NULL;
	if (alg == NULL)
		return JOSE_OPAQUE;
	jose_show(alg, token->alg, sizeof(token->alg));
	jose_show(kid != NULL ? kid : "", token->kid, sizeof(token->kid));
	if (strcmp(alg, "none") == 0)
		return JOSE_UNSIGNED;
	if (strncmp(alg, "HS", 2) == 0)
		return JOSE_SYMMETRIC;
	if (known == NULL || json_object_get(header, "crit") != NULL)
		return JOSE_UNKNOWN;
	enum jose_verdict verdict = find_signer(known, kid, parts, keys);
	if (verdict == JOSE_VERIFIED) {
		token->claims = read_part(parts->body, parts->body_size, true);
		if (token->claims == NULL)
			return JOSE_BROKEN;
	}
	return verdict;
}

enum jose_verdict jose_verify(const char *text, const struct jose_keys *keys, struct jose_token *token)
{
	struct parts parts = {0};
	int count = split(text, &parts);
	json_t *header = count == 3 || count == 5 ? read_part(parts.head, parts.head_size, false) : NULL;
	enum jose_verdict verdict = JOSE_OPAQUE;
	*token = (struct jose_token){0};
	if (header != NULL && count == 5)
		verdict = JOSE_ENCRYPTED;
	else if (header != NULL)
		verdict = verify_parts(header, &parts, keys, token);
	json_decref(header);
	ERR_clear_error(); /* libcurl's TLS on this thread would read what is left in the queue */
	return verdict;
}
