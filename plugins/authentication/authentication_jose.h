/* SPDX-License-Identifier: Apache-2.0 */
/* authentication_jose: the keys that an issuer publishes (JWKS: RFC 7517, 7518, 8037), and whether one of
 * them signed a token (JWS: RFC 7515). On OpenSSL 3 and jansson. Pure: no clock, no network. */
#ifndef AUTHENTICATION_JOSE_H
#define AUTHENTICATION_JOSE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JOSE_KEYS_MAX 128 /* as many as are looked at: each costs a computation */
#define JOSE_RSA_BITS_MIN 2048

enum jose_family { JOSE_RSA = 1, JOSE_EC, JOSE_OKP };

struct jose_alg {
	const char *name;
	enum jose_family family;
	const char *digest; /* OpenSSL's name; NULL: part of the algorithm */
	const char *curve;  /* the JWK's `crv`; NULL: any of the family */
	bool pss;
};
const struct jose_alg *jose_alg_find(const char *name); /* NULL: not one with a public key */

struct jose_key {
	EVP_PKEY *key;
	char *kid; /* NULL: it has none */
	enum jose_family family;
	const char *curve;           /* static; NULL: RSA */
	const struct jose_alg *only; /* the key's `alg`; NULL: any of its family */
};

struct jose_keys {
	struct jose_key items[JOSE_KEYS_MAX]; /* those that can verify a signature */
	size_t count, published;              /* published: all that are in the set */
	size_t leaked;                        /* with their private part, or a shared secret */
	char why[120];                        /* why the first of the others cannot; "": there is none */
};

/* false: it is no JWKS, and `why` says so. Else for jose_keys_free. */
bool jose_keys_read(const json_t *set, struct jose_keys *keys);
void jose_keys_free(struct jose_keys *keys);

enum jose_verdict {
	JOSE_VERIFIED,
	/* It cannot be judged with public keys. */
	JOSE_OPAQUE,    /* no JWT */
	JOSE_ENCRYPTED, /* a JWE */
	JOSE_SYMMETRIC, /* HS…: by a secret that both sides know */
	/* Nobody who verifies may take it. */
	JOSE_UNSIGNED, /* alg none */
	JOSE_UNKNOWN,  /* an algorithm, or a critical header, that is not known here */
	JOSE_NO_KEY,   /* its key is not in the set */
	JOSE_FORGED,   /* its key is in the set, and did not sign it */
	JOSE_BROKEN,   /* signed, and its claims are not a JSON object */
};

struct jose_token {
	char alg[16], kid[72]; /* safe to show: cut, and without strange bytes; "": none */
	json_t *claims;        /* NULL unless verified; for json_decref */
};

enum jose_verdict jose_verify(const char *text, const struct jose_keys *keys, struct jose_token *token);

/* ---- The module's own ---- */

/* base64url without padding into `out`, which has room for 3/4 of it. -1: it is none. */
ssize_t jose_decode(const char *text, size_t size, uint8_t *out);
/* Copies what may be shown: printable ASCII, cut to size. */
void jose_show(const char *text, char *out, size_t size);

#endif
