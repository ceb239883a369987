/* SPDX-License-Identifier: Apache-2.0 */
/* authentication: tables of valid and invalid keys, signatures (the RFCs' own examples), issuers, headers and
 * claims. The check itself: tests/live/test_authentication.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "../../plugins/authentication/authentication_facts.c"
#include "../../plugins/authentication/authentication_jwk.c"
#include "../../plugins/authentication/authentication_jws.c"
#include "../../sdk/lib/http_fault.c"
#include "../../sdk/lib/json_loose.c"
#include "../../sdk/lib/http_url.c"

/* RFC 7515, A.2 and A.3; RFC 8037, A.4 */
#define RSA_N                                                                                                \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-" \
	"yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"                                 \
	"bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-"                                                                  \
	"KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-"               \
	"DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define CLAIMS                                                                                               \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RS256                                                                                                \
	"eyJhbGciOiJSUzI1NiJ9." CLAIMS                                                                       \
	".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"             \
	"O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMH"  \
	"lb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"                                                  \
	"eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_"   \
	"IoypGlUPQGe77Rw"
#define EC_SIGNATURE "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define ES256 "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_SIGNATURE
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define EDDSA                                                                                                \
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."                                          \
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

#define RSA_KEY(more) "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"" more "}"
#define EC_KEY(more) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"" more "}"
#define ED_KEY(more) "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"" more "}"

static bool read_set(const char *list, struct jose_keys *keys)
{
	char *text;
	if (asprintf(&text, "{\"keys\":[%s]}", list) < 0)
		abort();
	json_t *set = skymon_json_read(text, strlen(text));
	CU_ASSERT_PTR_NOT_NULL(set);
	bool good = jose_keys_read(set, keys);
	json_decref(set);
	free(text);
	return good;
}

/* ---- Keys ---- */

static const struct {
	const char *jwk;
	const char *why; /* NULL if it can verify */
} keys_table[] = {
	{RSA_KEY(""), NULL},
	{RSA_KEY(",\"use\":\"sig\",\"alg\":\"PS512\",\"kid\":\"a\""), NULL},
	{RSA_KEY(",\"key_ops\":[\"verify\"]"), NULL},
	{RSA_KEY(",\"use\":\"enc\""), "its use is not sig"},
	{RSA_KEY(",\"use\":7"), "its use is not sig"},
	{RSA_KEY(",\"key_ops\":[\"encrypt\"]"), "its key_ops lack verify"},
	{RSA_KEY(",\"alg\":\"RSA-OAEP\""), "its alg does not fit its kind of key"},
	{RSA_KEY(",\"alg\":\"ES256\""), "its alg does not fit its kind of key"},
	{RSA_KEY(",\"alg\":[]"), "its alg does not fit its kind of key"},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}", "its n or e is missing or invalid"},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ==\"}", "its n or e is not valid for RSA"},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ=\"}", "its n or e is missing or invalid"},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"A+AB\"}", "its n or e is missing or invalid"},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}", "its n or e is not valid for RSA"},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Ag\"}", "its n or e is not valid for RSA"},
	/* an exponent of 72 bits, of 0; no modulus */
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAAAAAAAAAB\"}", "its n or e is not valid for RSA"},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AA\"}", "its n or e is not valid for RSA"},
	{"{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}", "its n or e is missing or invalid"},
	{"{\"kty\":\"RSA\",\"n\":\"" EC_SIGNATURE "\",\"e\":\"AQAB\"}", "508 bits are too few for RSA"},
	{EC_KEY(""), NULL},
	{EC_KEY(",\"alg\":\"ES256\",\"use\":\"sig\""), NULL},
	{EC_KEY(",\"alg\":\"ES384\""), "its alg does not fit its kind of key"},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_Y "\",\"y\":\"" EC_X "\"}",
	 "its point is not on P-256"},
	{"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}",
	 "its x or y does not have the 48 bytes of P-384"},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}",
	 "its x or y does not have the 32 bytes of P-256"},
	{"{\"kty\":\"EC\",\"crv\":\"P-192\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}",
	 "its crv is not a supported signature curve"},
	{ED_KEY(",\"alg\":\"EdDSA\""), NULL},
	{ED_KEY(",\"alg\":\"Ed25519\""), NULL},
	{ED_KEY(",\"alg\":\"Ed448\""), "its alg does not fit its kind of key"},
	{"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED_X "\"}",
	 "its crv is not a supported signature curve"},
	{"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" ED_X "\"}",
	 "its x does not have the 57 bytes of Ed448"},
	{"{\"kty\":\"oct\",\"k\":\"AAAA\"}", "its kty is not RSA, EC or OKP"},
	{"{\"kty\":3}", "its kty is not RSA, EC or OKP"},
	{"{}", "its kty is not RSA, EC or OKP"},
	{"7", "not a JSON object"},
};

static void keys_are_validated(void)
{
	struct jose_keys keys;
	for (size_t i = 0; i < sizeof(keys_table) / sizeof(keys_table[0]); i++) {
		CU_ASSERT(read_set(keys_table[i].jwk, &keys));
		CU_ASSERT(keys.published == 1);
		UNIT_TEXT(keys.why, keys_table[i].why != NULL ? keys_table[i].why : "");
		CU_ASSERT(keys.count == (keys_table[i].why == NULL));
		CU_ASSERT(keys.leaked == (strstr(keys_table[i].jwk, "oct") != NULL));
		jose_keys_free(&keys);
	}
}

static void sets_are_validated(void)
{
	char many[(JOSE_KEYS_MAX + 1) * 3 + 1] = "";
	struct jose_keys keys;
	json_t *other = skymon_json_read("{\"keys\":{}}", 11);
	CU_ASSERT(read_set("", &keys) && keys.count == 0 && keys.published == 0);
	CU_ASSERT(read_set(RSA_KEY(",\"use\":\"enc\"") "," EC_KEY("") "," ED_KEY(",\"d\":\"AAAA\""), &keys));
	CU_ASSERT(keys.count == 2 && keys.published == 3 && keys.leaked == 1);
	UNIT_TEXT(keys.why, "its use is not sig");
	jose_keys_free(&keys);
	CU_ASSERT(!jose_keys_read(other, &keys));
	UNIT_TEXT(keys.why, "the document has no list of keys");
	json_decref(other);
	for (int i = 0; i <= JOSE_KEYS_MAX; i++)
		strcat(many, i == 0 ? "{}" : ",{}");
	CU_ASSERT(!read_set(many, &keys) && keys.count == 0);
	UNIT_TEXT(keys.why, "the set has 129 keys, more than the 128 that are checked");
}

/* ---- Signatures ---- */

static const char *const verdict_words[] = {
	[JOSE_VERIFIED] = "verified",   [JOSE_OPAQUE] = "opaque",     [JOSE_ENCRYPTED] = "encrypted",
	[JOSE_SYMMETRIC] = "symmetric", [JOSE_UNSIGNED] = "unsigned", [JOSE_UNKNOWN] = "unknown",
	[JOSE_NO_KEY] = "no key",       [JOSE_FORGED] = "forged",     [JOSE_BROKEN] = "broken"};

static const struct {
	const char *keys, *token, *verdict;
} tokens[] = {
	{RSA_KEY(""), RS256, "verified"},
	{EC_KEY(""), ES256, "verified"},
	{ED_KEY(""), EDDSA, "broken"}, /* a valid signature over a text that is not JSON */
	{ED_KEY(",\"alg\":\"Ed25519\""), EDDSA, "broken"},
	{RSA_KEY("") "," EC_KEY(",\"kid\":\"x\"") "," ED_KEY(""), ES256, "verified"},
	{RSA_KEY(",\"alg\":\"RS256\""), RS256, "verified"},
	{RSA_KEY(",\"alg\":\"RS512\""), RS256, "no key"},
	{EC_KEY(""), RS256, "no key"},
	{RSA_KEY(""), ES256, "no key"},
	{EC_KEY(""), EDDSA, "no key"},
	/* other claims, another signature, half of it, none */
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9.e30." EC_SIGNATURE, "no key"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_X EC_Y, "no key"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_X, "no key"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS ".", "no key"},
	/* {"alg":"ES256","kid":"x"} */
	{EC_KEY(",\"kid\":\"x\""), "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ." CLAIMS "." EC_SIGNATURE, "forged"},
	{EC_KEY(",\"kid\":\"y\""), "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ." CLAIMS "." EC_SIGNATURE, "no key"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ." CLAIMS "." EC_SIGNATURE, "no key"},
	/* {"alg":"none"}, {"alg":"HS256"}, {"alg":"XS256"}, {"alg":"ES256","crit":["b64"]}, {"typ":"JWT"},
	   {"alg":1} */
	{RSA_KEY(""), "eyJhbGciOiJub25lIn0." CLAIMS ".", "unsigned"},
	{RSA_KEY(""), "eyJhbGciOiJIUzI1NiJ9." CLAIMS "." EC_X, "symmetric"},
	{RSA_KEY(""), "eyJhbGciOiJYUzI1NiJ9." CLAIMS "." EC_X, "unknown"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiIsImNyaXQiOlsiYjY0Il19." CLAIMS "." EC_SIGNATURE, "unknown"},
	{EC_KEY(""), "eyJ0eXAiOiJKV1QifQ." CLAIMS "." EC_SIGNATURE, "opaque"},
	{EC_KEY(""), "eyJhbGciOjF9." CLAIMS "." EC_SIGNATURE, "opaque"},
	{EC_KEY(""), "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", "encrypted"},
	/* {"alg":"None"}, ES384 and RS256 with a P-256 key, HS256 with the RSA key's kid, alg twice, a
	   critical list without a member, the header of ES256 above */
	{EC_KEY(""), "eyJhbGciOiJOb25lIn0." CLAIMS ".", "unknown"},
	{EC_KEY(""), "eyJhbGciOiJFUzM4NCJ9." CLAIMS "." EC_SIGNATURE, "no key"},
	{EC_KEY(""), "eyJhbGciOiJSUzI1NiJ9." CLAIMS "." EC_SIGNATURE, "no key"},
	{RSA_KEY(""), "eyJhbGciOiJIUzI1NiIsImtpZCI6IngifQ." CLAIMS "." EC_X, "symmetric"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiIsImFsZyI6Im5vbmUifQ." CLAIMS "." EC_SIGNATURE, "opaque"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiIsImNyaXQiOltdfQ." CLAIMS "." EC_SIGNATURE, "unknown"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_SIGNATURE, "verified"},
	/* r and s are 0; r is 0; one byte too many; padding */
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." ZEROS ZEROS "AA", "no key"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." ZEROS "AAD" EC_X, "no key"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_SIGNATURE "A", "no key"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_SIGNATURE "==", "opaque"},
	{EC_KEY(""), "", "opaque"},
	{EC_KEY(""), "1a2b3c", "opaque"},
	{EC_KEY(""), "..", "opaque"},
	{EC_KEY(""), "a.b.c", "opaque"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_SIGNATURE ".", "opaque"},
	{EC_KEY(""), "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." EC_SIGNATURE " ", "opaque"},
};

static void signatures_are_validated(void)
{
	struct jose_keys keys;
	struct jose_token token;
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		CU_ASSERT(read_set(tokens[i].keys, &keys));
		enum jose_verdict verdict = jose_verify(tokens[i].token, &keys, &token);
		UNIT_TEXT(verdict_words[verdict], tokens[i].verdict);
		if (strcmp(verdict_words[verdict], tokens[i].verdict) != 0)
			fprintf(stderr, "  row %zu\n", i);
		CU_ASSERT((token.claims != NULL) == (verdict == JOSE_VERIFIED));
		if (token.claims != NULL)
			UNIT_TEXT(skymon_json_text(token.claims, "iss"), "joe");
		json_decref(token.claims);
		jose_keys_free(&keys);
	}
}

/* A change of any bit of a signed text is noticed. */
static void every_character_counts(void)
{
	struct jose_keys keys;
	CU_ASSERT(read_set(EC_KEY(""), &keys));
	char text[sizeof(ES256)];
	struct jose_token token;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		memcpy(text, ES256, sizeof(text));
		text[i] = text[i] == 'A' ? 'B' : 'A';
		CU_ASSERT(jose_verify(text, &keys, &token) != JOSE_VERIFIED);
		json_decref(token.claims);
	}
	jose_keys_free(&keys);
}

static void base64_is_strict(void)
{
	static const struct {
		const char *text;
		ssize_t size;
		const char *bytes;
	} table[] = {{"", 0, ""},        {"Zg", 1, "f"},        {"Zm8", 2, "fo"},
		     {"Zm9v", 3, "foo"}, {"Zm9vYg", 4, "foob"}, {"-_-_", 3, "\xfb\xff\xbf"},
		     {"Z", -1, ""},      {"Zg==", -1, ""},      {"Z+8", -1, ""},
		     {"Zm 8", -1, ""},   {"Zh", -1, ""},        {"Zm9", -1, ""},
		     {"Zm9vYh", -1, ""}, {"Zm\n8", -1, ""},     {"Zm8=", -1, ""}};
	uint8_t out[16];
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		CU_ASSERT_EQUAL(jose_decode(table[i].text, strlen(table[i].text), out), table[i].size);
		if (table[i].size > 0)
			CU_ASSERT(memcmp(out, table[i].bytes, (size_t)table[i].size) == 0);
	}
}

/* ---- JSON ---- */

static void deep_json_is_not_read(void)
{
	char text[4001];
	memset(text, '[', 4000);
	CU_ASSERT_PTR_NULL(skymon_json_read(text, 4000));
	memset(text + 2000, ']', 2000);
	CU_ASSERT_PTR_NULL(skymon_json_read(text, 4000));
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	json_t *json = skymon_json_read(text, 128);
	CU_ASSERT_PTR_NOT_NULL(json);
	json_decref(json);
	/* Brackets within a string do not count. */
	memset(text, '[', 4000);
	memcpy(text, "[\"\\\"", 4);
	memcpy(text + 3998, "\"]", 2);
	json = skymon_json_read(text, 4000);
	CU_ASSERT_PTR_NOT_NULL(json);
	json_decref(json);
	CU_ASSERT_PTR_NULL(skymon_json_read("{\"a\":1,\"a\":2}", 13));
}

/* ---- Issuers, URLs, headers ---- */

static void issuers_are_validated(void)
{
	static const struct {
		const char *issuer, *realm;
		bool bad;
	} table[] = {
		{"https://id.example.com", "", false},
		{"https://id.example.com/realms/main", "main", false},
		{"https://id.example.com/auth/realms/main/", "", false},
		{"https://id.example.com/realms/a/b", "", false},
		{"https://id.example.com/realms/a/realms/b", "b", false},
		{"https://id.example.com/realms/", "", false},
		{"https://id.example.com/@x", "", false},
		{"https://u@id.example.com/realms/main", "main", true},
		{"https://u:p@id.example.com?x", "", true},
		{"https://id.example.com/?a=b", "", true},
		{"https://id.example.com/#a", "", true},
		{"https://id.example.com/.well-known/openid-configuration", "", true},
	};
	char realm[128];
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		auth_realm(table[i].issuer, realm, sizeof(realm));
		UNIT_TEXT(realm, table[i].realm);
		CU_ASSERT((auth_issuer_fault(table[i].issuer) != NULL) == table[i].bad);
	}
	auth_show_issuer("https://u:p@x/", realm, sizeof(realm));
	CU_ASSERT_PTR_NULL(strstr(realm, "u:p"));
	auth_show_issuer("https://x/\n\xff", realm, sizeof(realm));
	UNIT_TEXT(realm, "https://x/??");
}

static void urls_are_validated(void)
{
	static const struct {
		const char *issuer, *url;
		bool bad;
	} table[] = {
		{"https://a", "https://b/keys", false},
		{"http://127.0.0.1:1", "http://127.0.0.1:1/k", false},
		{"http://127.0.0.1", "https://b", false},
		{"https://a", "http://a/keys", true},
		{"HTTPS://a", "http://a/keys", true},
		{"https://a", "HTTPS://a/keys", false},
		{"https://a", "https://u:p@a/k", true},
		{"https://a", "file:///etc/passwd", true},
		{"http://a", "ftp://a/k", true},
		{"https://a", "", true},
		{"https://a", "https://a/ b", true},
		{"https://a", "https://a/\r\nX: y", true},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT_EQUAL(auth_url_fault(table[i].issuer, table[i].url) != NULL, table[i].bad);
}

static void headers_are_read(void)
{
	static const struct {
		const char *text;
		double seconds;
	} ages[] = {{NULL, -1}, {"", -1},   {"0", 0},
		    {"17", 17}, {"-1", -1}, {"1.5", -1},
		    {"x", -1},  {" 1", -1}, {"99999999999999999999999", -1}},
	  controls[] = {{NULL, -1},
			{"", -1},
			{"no-store", -1},
			{"max-age=300", 300},
			{"public, Max-Age=60, must-revalidate", 60},
			{"max-age=\"5\"", 5},
			{"s-maxage=9", -1},
			{"x-max-age=9, max-age=7", 7},
			{"max-age=", -1},
			{"max-age=x", -1}};
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++)
		CU_ASSERT_EQUAL(auth_age(ages[i].text), ages[i].seconds);
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		CU_ASSERT_EQUAL(auth_max_age(controls[i].text), controls[i].seconds);
}

static void skew_is_what_seconds_cannot_explain(void)
{
	CU_ASSERT_EQUAL(auth_skew(1000, -1, 1000.5, 1000.6), 0);
	CU_ASSERT_EQUAL(auth_skew(1000, -1, 999.5, 1000.0), 0);
	CU_ASSERT_EQUAL(auth_skew(1000, -1, 999.0, 999.5), 0.5);
	CU_ASSERT_EQUAL(auth_skew(1000, -1, 1003.5, 1004), -2.5);
	CU_ASSERT_EQUAL(auth_skew(1000, 60, 1060, 1061), 0);
	CU_ASSERT_EQUAL(auth_skew(1000, 60, 1062.5, 1063), -0.5);
	CU_ASSERT_EQUAL(auth_skew(1000, 60, 1000, 1010), 50);
	CU_ASSERT_EQUAL(auth_skew(1000, -1, 900, 1100), 0); /* a slow answer leaves a wide range */
}

/* ---- Claims ---- */

static void claims_are_validated(void)
{
	static const struct {
		const char *claims, *why; /* NULL if valid */
	} table[] = {
		{"{\"iss\":\"https://a\",\"exp\":1100,\"iat\":1000,\"aud\":\"me\"}", NULL},
		{"{\"iss\":\"https://a\",\"exp\":1100.5,\"nbf\":1059,\"iat\":1060,\"aud\":[\"you\",\"me\"]}",
		 NULL},
		{"{\"iss\":\"https://a\",\"exp\":940,\"aud\":\"me\"}", NULL},
		{"{\"exp\":1100,\"aud\":\"me\"}", "no issuer (iss)"},
		{"{\"iss\":\"https://a/\",\"exp\":1100,\"aud\":\"me\"}",
		 "issued by another issuer: iss is https://a/"},
		{"{\"iss\":\"https://a\",\"aud\":\"me\"}", "no expiry (exp)"},
		{"{\"iss\":\"https://a\",\"exp\":\"1100\",\"aud\":\"me\"}", "no expiry (exp)"},
		{"{\"iss\":\"https://a\",\"exp\":900,\"aud\":\"me\"}",
		 "a new token that expired 100 s ago (exp); do the clocks agree?"},
		{"{\"iss\":\"https://a\",\"exp\":1100,\"iat\":1061,\"aud\":\"me\"}",
		 "issued in the future (iat); do the clocks agree?"},
		{"{\"iss\":\"https://a\",\"exp\":1100,\"iat\":\"1\",\"aud\":\"me\"}",
		 "issued in the future (iat); do the clocks agree?"},
		{"{\"iss\":\"https://a\",\"exp\":1100,\"nbf\":1061,\"aud\":\"me\"}",
		 "not valid yet (nbf); do the clocks agree?"},
		{"{\"iss\":\"https://a\",\"exp\":1100,\"aud\":\"you\"}", "not for the audience me (aud)"},
		{"{\"iss\":\"https://a\",\"exp\":1100,\"aud\":[\"you\",7]}", "not for the audience me (aud)"},
		{"{\"iss\":\"https://a\",\"exp\":1100}", "not for the audience me (aud)"},
	};
	char why[240];
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_t *claims = skymon_json_read(table[i].claims, strlen(table[i].claims));
		why[0] = '\0';
		CU_ASSERT_EQUAL(auth_claims(claims, "https://a", "me", 1000, why, sizeof(why)),
				table[i].why == NULL);
		UNIT_TEXT(why, table[i].why != NULL ? table[i].why : "");
		json_decref(claims);
	}
	json_t *claims = skymon_json_read("{\"iss\":\"https://a\",\"exp\":1100}", 30);
	CU_ASSERT(auth_claims(claims, "https://a", NULL, 1000, why, sizeof(why)));
	CU_ASSERT(auth_claims(claims, "https://a", "", 1000, why, sizeof(why)));
	json_decref(claims);
}

static void scopes_are_compared(void)
{
	CU_ASSERT(auth_granted("", "") && auth_granted("", "a") && auth_granted("a", "a"));
	CU_ASSERT(auth_granted(" b  a ", "a b c") && auth_granted("a", " b a"));
	CU_ASSERT(!auth_granted("a", "") && !auth_granted("a", "ab") && !auth_granted("ab", "a b"));
	CU_ASSERT(!auth_granted("a d", "a b c"));
}

static void forms_are_encoded(void)
{
	struct auth_text form = {0};
	auth_form_add(&form, "a b", "c&d=é", strlen("c&d=é"));
	auth_form_add(&form, "n", "\0x", 2);
	auth_form_add(&form, "scope", "openid email", 12);
	UNIT_TEXT(form.bytes, "a%20b=c%26d%3D%C3%A9&n=%00x&scope=openid%20email");
	CU_ASSERT_EQUAL(form.size, strlen(form.bytes));
	auth_text_free(&form);
	for (int i = 0; i < 1000; i++)
		auth_text_add(&form, "0123456789", 10);
	CU_ASSERT_EQUAL(form.size, 10000);
	CU_ASSERT_EQUAL(strlen(form.bytes), 10000);
	auth_text_free(&form);
	CU_ASSERT_PTR_NULL(form.bytes);
}

static void secrets_in_clear(void)
{
	static const struct {
		const char *url;
		bool secret, insecure, may;
	} rows[] = {
		{"https://h", true, false, true},
		{"http://h", true, false, false},
		{"http://h", false, false, true},
		{"http://h", true, true, true},
		{"http://u:p@h", false, false, false},
		{"http://u:p@127.0.0.1", false, false, true},
		{"HTTP://H:8200/x", true, false, false},
		{"http://localhost:8200", true, false, true},
		{"http://localhost.example.com", true, false, false},
		{"http://127.0.0.1:8200", true, false, true},
		{"http://127.255.0.3", true, false, true},
		{"http://128.0.0.1", true, false, false},
		{"http://[::1]:8200", true, false, true},
		{"http://[::ffff:127.0.0.1]", true, false, true},
		{"http://[2001:db8::1]", true, false, false},
		{"http://0.0.0.0", true, false, false},
		{"http://127.0.0.1@h", true, false, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct skymon_tls tls = {.insecure = rows[i].insecure};
		if ((skymon_http_secret_fault(rows[i].url, &tls, rows[i].secret) == NULL) != rows[i].may) {
			fprintf(stderr, "\n%s\n", rows[i].url);
			CU_FAIL();
		}
	}
}

int main(void)
{
	return unit_run("authentication",
			(const struct unit_test[]){{"keys are validated", keys_are_validated},
						   {"sets of keys are validated", sets_are_validated},
						   {"signatures are validated", signatures_are_validated},
						   {"every character counts", every_character_counts},
						   {"base64url is strict", base64_is_strict},
						   {"deep JSON is not read", deep_json_is_not_read},
						   {"issuers are validated", issuers_are_validated},
						   {"URLs are validated", urls_are_validated},
						   {"headers are read", headers_are_read},
						   {"skew", skew_is_what_seconds_cannot_explain},
						   {"claims are validated", claims_are_validated},
						   {"scopes are compared", scopes_are_compared},
						   {"forms are encoded", forms_are_encoded},
						   {"secrets in clear", secrets_in_clear},
						   {0}});
}
