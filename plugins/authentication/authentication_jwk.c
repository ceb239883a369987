/* SPDX-License-Identifier: Apache-2.0 */
/* authentication_jwk: reads the published keys. A key counts as usable only if OpenSSL accepts its numbers,
 * so that a point off the curve or a modulus of 1024 bits is not counted. Called by authentication.c on the
 * check's thread; struct jose_keys owns the keys. */
#include "authentication_jose.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

#define MATERIAL_MAX 2200 /* bytes of a number: 16384 bits, rounded up */

static const struct jose_alg algs[] = {
	{"RS256", JOSE_RSA, "SHA256", NULL, false},   {"RS384", JOSE_RSA, "SHA384", NULL, false},
	{"RS512", JOSE_RSA, "SHA512", NULL, false},   {"PS256", JOSE_RSA, "SHA256", NULL, true},
	{"PS384", JOSE_RSA, "SHA384", NULL, true},    {"PS512", JOSE_RSA, "SHA512", NULL, true},
	{"ES256", JOSE_EC, "SHA256", "P-256", false}, {"ES384", JOSE_EC, "SHA384", "P-384", false},
	{"ES512", JOSE_EC, "SHA512", "P-521", false}, {"ES256K", JOSE_EC, "SHA256", "secp256k1", false},
	{"EdDSA", JOSE_OKP, NULL, NULL, false},       {"Ed25519", JOSE_OKP, NULL, "Ed25519", false},
	{"Ed448", JOSE_OKP, NULL, "Ed448", false},
};

static const struct curve {
	const char *name, *group; /* the JWK's name and OpenSSL's */
	enum jose_family family;
	size_t size; /* of a coordinate, or of the key */
	int type;
} curves[] = {
	{"P-256", "P-256", JOSE_EC, 32, EVP_PKEY_EC},
	{"P-384", "P-384", JOSE_EC, 48, EVP_PKEY_EC},
	{"P-521", "P-521", JOSE_EC, 66, EVP_PKEY_EC},
	{"secp256k1", "secp256k1", JOSE_EC, 32, EVP_PKEY_EC},
	{"Ed25519", NULL, JOSE_OKP, 32, EVP_PKEY_ED25519},
	{"Ed448", NULL, JOSE_OKP, 57, EVP_PKEY_ED448},
};

const struct jose_alg *jose_alg_find(const char *name)
{
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
		if (strcmp(algs[i].name, name) == 0)
			return &algs[i];
	return NULL;
}

void jose_show(const char *text, char *out, size_t size)
{
	size_t i = 0;
	for (; text[i] != '\0' && i + 1 < size; i++)
		out[i] = text[i] > ' ' && text[i] < 0x7f ? text[i] : '?';
	out[i] = '\0';
}

static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

ssize_t jose_decode(const char *text, size_t size, uint8_t *out)
{
	uint32_t bits = 0;
	size_t used = 0;
	if (size % 4 == 1)
		return -1;
	for (size_t i = 0; i < size; i++) {
		int value = sextet(text[i]);
		if (value < 0)
			return -1;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 != 0)
			out[used++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	/* Encoders write zero bits after the last byte; others are refused, so that a signature has one text.
	 */
	if ((size % 4 == 2 && (bits & 0xf) != 0) || (size % 4 == 3 && (bits & 0x3) != 0))
		return -1;
	return (ssize_t)used;
}

__attribute__((format(printf, 2, 3))) static bool set_why(char why[static 120], const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(why, 120, format, list);
	va_end(list);
	return false;
}

/* Decodes a member that holds bytes. Returns 0 if it is missing or invalid. */
static size_t read_bytes(const json_t *jwk, const char *member, uint8_t out[static MATERIAL_MAX])
{
	const json_t *value = json_object_get(jwk, member);
	const char *text = json_string_value(value);
	size_t size = json_string_length(value);
	/* RFC 7518 forbids padding, but some providers pad and clients accept it. */
	if (size % 4 == 0)
		for (int i = 0; i < 2 && size > 0 && text[size - 1] == '='; i++)
			size--;
	if (size == 0 || size > MATERIAL_MAX / 3 * 4)
		return 0;
	ssize_t got = jose_decode(text, size, out);
	return got > 0 ? (size_t)got : 0;
}

static EVP_PKEY *from_data(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY *key = NULL;
	if (context == NULL || params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk, char why[static 120])
{
	uint8_t n[MATERIAL_MAX], e[MATERIAL_MAX];
	size_t n_size = read_bytes(jwk, "n", n), e_size = read_bytes(jwk, "e", e);
	BIGNUM *modulus = BN_bin2bn(n, (int)n_size, NULL), *exponent = BN_bin2bn(e, (int)e_size, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	int bits = modulus != NULL ? BN_num_bits(modulus) : 0;
	EVP_PKEY *key = NULL;
	if (n_size == 0 || e_size == 0)
		set_why(why, "its n or e is missing or invalid");
	else if (bits < JOSE_RSA_BITS_MIN || bits > 16384)
		set_why(why, "%d bits are too %s for RSA", bits, bits < JOSE_RSA_BITS_MIN ? "few" : "many");
	else if (!BN_is_odd(modulus) || !BN_is_odd(exponent) || BN_is_one(exponent) ||
		 BN_num_bits(exponent) > 64)
		set_why(why, "its n or e is not valid for RSA");
	else if (build == NULL || !OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) ||
		 !OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) ||
		 (key = from_data("RSA", build)) == NULL)
		set_why(why, "its n and e are not an RSA key");
	OSSL_PARAM_BLD_free(build);
	BN_free(exponent);
	BN_free(modulus);
	return key;
}

static EVP_PKEY *read_point(const json_t *jwk, const struct curve *curve, char why[static 120])
{
	uint8_t x[MATERIAL_MAX], y[MATERIAL_MAX], point[1 + 2 * 66] = {4};
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	if (read_bytes(jwk, "x", x) != curve->size || read_bytes(jwk, "y", y) != curve->size) {
		set_why(why, "its x or y does not have the %zu bytes of %s", curve->size, curve->name);
	} else {
		memcpy(point + 1, x, curve->size);
		memcpy(point + 1 + curve->size, y, curve->size);
		if (build == NULL ||
		    !OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) ||
		    !OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
						      1 + 2 * curve->size) ||
		    (key = from_data("EC", build)) == NULL)
			set_why(why, "its point is not on %s", curve->name);
	}
	OSSL_PARAM_BLD_free(build);
	return key;
}

static EVP_PKEY *read_okp(const json_t *jwk, const struct curve *curve, char why[static 120])
{
	uint8_t x[MATERIAL_MAX];
	size_t size = read_bytes(jwk, "x", x);
	EVP_PKEY *key = size == curve->size ? EVP_PKEY_new_raw_public_key(curve->type, NULL, x, size) : NULL;
	if (key == NULL)
		set_why(why, "its x does not have the %zu bytes of %s", curve->size, curve->name);
	return key;
}

static bool read_public_key(const json_t *jwk, struct jose_key *key, char why[static 120])
{
	const char *kty = skymon_json_text(jwk, "kty"), *crv = skymon_json_text(jwk, "crv");
	key->family = kty == NULL               ? 0
		      : strcmp(kty, "RSA") == 0 ? JOSE_RSA
		      : strcmp(kty, "EC") == 0  ? JOSE_EC
		      : strcmp(kty, "OKP") == 0 ? JOSE_OKP
						: 0;
	if (key->family == 0)
		return set_why(why, "its kty is not RSA, EC or OKP");
	if (key->family == JOSE_RSA)
		return (key->key = read_rsa(jwk, why)) != NULL;
	for (size_t i = 0; crv != NULL && i < sizeof(curves) / sizeof(curves[0]); i++)
		if (curves[i].family == key->family && strcmp(curves[i].name, crv) == 0) {
			key->curve = curves[i].name;
			key->key = key->family == JOSE_EC ? read_point(jwk, &curves[i], why)
							  : read_okp(jwk, &curves[i], why);
			return key->key != NULL;
		}
	return set_why(why, "its crv is not a supported signature curve");
}

/* A key without `use` and `key_ops` may be used for everything. */
static bool may_verify(const json_t *jwk, char why[static 120])
{
	const json_t *ops = json_object_get(jwk, "key_ops"), *use = json_object_get(jwk, "use");
	bool found = ops == NULL;
	if (use != NULL && (!json_is_string(use) || strcmp(json_string_value(use), "sig") != 0))
		return set_why(why, "its use is not sig");
	const json_t *op;
	size_t i;
	json_array_foreach(ops, i, op)
		found = found || (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0);
	return found || set_why(why, "its key_ops lack verify");
}

/* `alg`, if present, must fit the key's family and curve. */
static bool read_alg(const json_t *jwk, struct jose_key *key, char why[static 120])
{
	const json_t *alg = json_object_get(jwk, "alg");
	if (alg == NULL)
		return true;
	key->only = json_is_string(alg) ? jose_alg_find(json_string_value(alg)) : NULL;
	if (key->only == NULL || key->only->family != key->family ||
	    (key->only->curve != NULL && strcmp(key->only->curve, key->curve) != 0))
		return set_why(why, "its alg does not fit its kind of key");
	return true;
}

/* Also true for `oct`: a shared secret must not be published. */
static bool is_private(const json_t *jwk)
{
	const char *kty = skymon_json_text(jwk, "kty");
	return json_object_get(jwk, "d") != NULL ||
	       (kty != NULL && strcmp(kty, "oct") == 0 && json_object_get(jwk, "k") != NULL);
}

static void read_key(const json_t *jwk, struct jose_keys *keys)
{
	struct jose_key *key = &keys->items[keys->count];
	const char *kid = skymon_json_text(jwk, "kid");
	char why[120] = "";
	*key = (struct jose_key){0};
	if (!json_is_object(jwk))
		set_why(why, "not a JSON object");
	else if (is_private(jwk))
		keys->leaked++;
	/* A key for encryption is legitimate, but only those that verify are kept. */
	if (json_is_object(jwk) && may_verify(jwk, why) && read_public_key(jwk, key, why) &&
	    read_alg(jwk, key, why)) {
		key->kid = kid != NULL ? strdup(kid) : NULL;
		keys->count++;
		return;
	}
	EVP_PKEY_free(key->key);
	if (keys->why[0] == '\0')
		memcpy(keys->why, why, sizeof(why));
}

bool jose_keys_read(const json_t *set, struct jose_keys *keys)
{
	const json_t *list = json_object_get(set, "keys");
	memset(keys, 0, sizeof(*keys));
	if (!json_is_array(list))
		return set_why(keys->why, "the document has no list of keys");
	keys->published = json_array_size(list);
	if (keys->published > JOSE_KEYS_MAX)
		return set_why(keys->why, "the set has %zu keys, more than the %d that are checked",
			       keys->published, JOSE_KEYS_MAX);
	const json_t *jwk;
	size_t i;
	json_array_foreach(list, i, jwk)
		read_key(jwk, keys);
	ERR_clear_error(); /* libcurl's TLS on this thread would read what is left in the queue */
	return true;
}

void jose_keys_free(struct jose_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		EVP_PKEY_free(keys->items[i].key);
		free(keys->items[i].kid);
	}
	keys->count = 0;
}
