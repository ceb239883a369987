/* SPDX-License-Identifier: Apache-2.0 */
/* Wycheproof's JSON Web Signatures and Keys (tests/vectors/wycheproof): which signatures hold. Those of an
 * unusable key do not. A signature that holds over something else than claims is JOSE_BROKEN here. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "../../plugins/authentication_jwk.c"
#include "../../plugins/authentication_jws.c"
#include "../../plugins/json_loose.c"

/* Where we differ, by the test's number, and why. */
static const struct {
	const char *file;
	int test;
	const char *why;
} differences[] = {
	{"json_web_signature_test.json", 346, "the key is for PS256 alone, and the token's alg is PS384"},
	{"json_web_signature_test.json", 350, "the same"},
	{"json_web_signature_test.json", 347,
	 "the key's alg is ES521, which does not exist (RFC 7518: ES512)"},
	{"json_web_signature_test.json", 351, "the same"},
	{"json_web_key_test.json", 7, "keys of the ROCA library are not recognised"},
};

static bool differs(const char *file, long long test)
{
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		if (strcmp(differences[i].file, file) == 0 && differences[i].test == test)
			return true;
	return false;
}

static bool holds(const char *jws, const json_t *public)
{
	struct jose_keys keys;
	struct jose_token token;
	json_t *set = json_object_get(public, "keys") != NULL ? json_incref((json_t *)(uintptr_t) public)
							      : json_pack("{s:[O]}", "keys", public);
	enum jose_verdict verdict = JOSE_NO_KEY;

	if (jose_keys_read(set, &keys)) {
		verdict = jose_verify(jws, &keys, &token);
		json_decref(token.claims);
		jose_keys_free(&keys);
	}
	json_decref(set);
	return verdict == JOSE_VERIFIED || verdict == JOSE_BROKEN;
}

static void run_file(const char *name, unsigned expected)
{
	const char *source = getenv("srcdir");
	char path[600];
	json_t *file, *group, *test;
	json_error_t error;
	unsigned count = 0;
	size_t i, j;

	snprintf(path, sizeof(path), "%s/tests/vectors/wycheproof/%s", source != NULL ? source : ".", name);
	file = json_load_file(path, 0, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	json_array_foreach(json_object_get(file, "testGroups"), i, group)
	{
		const char *of = json_string_value(json_object_get(group, "comment"));
		const json_t *key = json_object_get(group, "public");

		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			const char *comment = json_string_value(json_object_get(test, "comment"));
			const char *result = json_string_value(json_object_get(test, "result"));
			const char *jws = json_string_value(json_object_get(test, "jws"));
			bool good = jws != NULL && holds(jws, key), expects = strcmp(result, "valid") == 0;

			count++;
			if (differs(name, json_integer_value(json_object_get(test, "tcId"))))
				expects = !expects;
			if (good != expects) {
				fprintf(stderr, "\n%s: %s, %s (tcId %lld) is %s\n", name, of, comment,
					(long long)json_integer_value(json_object_get(test, "tcId")), result);
				CU_FAIL();
			}
		}
	}
	CU_ASSERT_EQUAL(count, expected);
	json_decref(file);
}

static void signatures(void)
{
	run_file("json_web_signature_test.json", 361);
}

static void keys(void)
{
	run_file("json_web_key_test.json", 11);
}

int main(void)
{
	return unit_run("wycheproof",
			(const struct unit_test[]){{"signatures", signatures}, {"keys", keys}, {0}});
}
