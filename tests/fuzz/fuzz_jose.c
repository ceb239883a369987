/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that an OpenID provider may send: keys, tokens, headers, claims. Nothing of it may crash, leak
 * or hang the check. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/authentication/authentication_facts.c"
#include "../../plugins/authentication/authentication_jwk.c"
#include "../../plugins/authentication/authentication_jws.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 7515's example of an EC key, so that a token's way goes on to the signature. */
static const char known[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\","
			    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
			    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static void try_keys(const char *text, size_t size)
{
	static struct jose_keys keys;
	json_t *set = skymon_json_read(text, size);
	if (set != NULL) {
		jose_keys_read(set, &keys);
		jose_keys_free(&keys);
	}
	json_decref(set);
}

static void try_token(const char *text, size_t size)
{
	static struct jose_keys keys;
	if (keys.count == 0) {
		json_t *set = skymon_json_read(known, strlen(known));
		if (set == NULL || !jose_keys_read(set, &keys) || keys.count != 1)
			abort();
		json_decref(set);
	}
	struct jose_token token;
	jose_verify(text, &keys, &token);
	json_decref(token.claims);
	char header[200];
	/* The same behind a header that leads to the key: {"alg":"ES256"} */
	snprintf(header, sizeof(header), "eyJhbGciOiJFUzI1NiJ9.");
	char *whole = malloc(strlen(header) + size + 1);
	sprintf(whole, "%s%s", header, text);
	if (jose_verify(whole, &keys, &token) == JOSE_VERIFIED && size == 0)
		abort();
	json_decref(token.claims);
	free(whole);
}

static void try_facts(const char *text, size_t size)
{
	json_t *claims = skymon_json_read(text, size);
	if (auth_age(text) < -1 || auth_max_age(text) < -1)
		abort();
	char shown[64];
	auth_realm(text, shown, sizeof(shown));
	auth_show_issuer(text, shown, sizeof(shown));
	if (strpbrk(shown, "\n\r\t\x1b") != NULL ||
	    (auth_issuer_fault(text) == NULL && strchr(text, '?') != NULL))
		abort();
	auth_url_fault("https://a", text);
	auth_granted(text, text);
	char why[64];
	auth_claims(claims, "https://a", "b", 1e9, why, sizeof(why));
	json_decref(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = '\0';
	try_keys(text, size);
	try_token(text, strlen(text));
	try_facts(text, size);
	free(text);
	return 0;
}
