/* SPDX-License-Identifier: Apache-2.0 */
/* authentication_jose: reads the keys that an issuer publishes (JWKS: RFC 7517, 7518, 8037) and verifies a
 * token's signature by them (JWS: RFC 7515). On OpenSSL 3 and jansson. Pure: no clock, no network. */
#ifndef AUTHENTICATION_JOSE_H
#define AUTHENTICATION_JOSE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JOSE_KEYS_MAX 128 /* limits the signatures computed for one token */
#define JOSE_RSA_BITS_MIN 2048

enum jose_family { JOSE_RSA = 1, JOSE_EC, JOSE_OKP };

struct jose_alg {
	const char *name;
	enum jose_family family;
	const char *digest; /* OpenSSL's name; NULL if part of the algorithm */
	const char *curve;  /* the JWK's `crv`; NULL for any of the family */
	bool pss;
};
/* Returns NULL if unknown or not an algorithm with public keys. */
const struct jose_alg *jose_alg_find(const char *name);

struct jose_key {
	EVP_PKEY *key;
	char *kid; /* may be NULL */
	enum jose_family family;
	const char *curve;           /* static; NULL for RSA */
	const struct jose_alg *only; /* the key's `alg`; NULL for any of its family */
};

struct jose_keys {
	struct jose_key items[JOSE_KEYS_MAX]; /* those that can verify a signature */
	size_t count, published;              /* published: all keys of the set */
	size_t leaked;                        /* published with their private part, or a shared secret */
	char why[120];                        /* why the first unusable key cannot; "" if all can */
};

/* Reads a JWKS. Returns false with `why` set if it is invalid. Free the keys with jose_keys_free(). */
bool jose_keys_read(const json_t *set, struct jose_keys *keys);
void jose_keys_free(struct jose_keys *keys);

enum jose_verdict {
	JOSE_VERIFIED,
	/* cannot be verified with public keys */
	JOSE_OPAQUE,    /* not a JWT */
	JOSE_ENCRYPTED, /* a JWE */
	JOSE_SYMMETRIC, /* HS…: signed with a shared secret */
	/* a verifier must reject it */
	JOSE_UNSIGNED, /* alg none */
	JOSE_UNKNOWN,  /* an unsupported algorithm or critical header */
	JOSE_NO_KEY,   /* its key is not in the set */
	JOSE_FORGED,   /* its key is in the set, but did not sign it */
	JOSE_BROKEN,   /* signed, but its claims are not a JSON object */
};

struct jose_token {
	char alg[16], kid[72]; /* safe to show: cut, printable; "" if missing */
	json_t *claims;        /* NULL unless verified; for json_decref() */
};

/* Verifies the signature of a token, and fills *token. */
enum jose_verdict jose_verify(const char *text, const struct jose_keys *keys, struct jose_token *token);

/* ---- Internal ---- */

/* Decodes base64url without padding into `out`, which has room for 3/4 of it. Returns -1 if invalid. */
ssize_t jose_decode(const char *text, size_t size, uint8_t *out);
/* Copies printable ASCII for messages, cut to size; other bytes become '?'. */
void jose_show(const char *text, char *out, size_t size);

#endif
