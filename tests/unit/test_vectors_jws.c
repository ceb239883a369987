/* SPDX-License-Identifier: Apache-2.0 */
/* vectors_jws: Wycheproof's keys and signatures of the algorithms that a JWS may name, read as JWKs and
 * verified as a token's signature. Every case runs; tests/live/vectors/cases.mjs selects the algorithm. */
#include "vectors.h"

#include "../../plugins/authentication/authentication_jwk.c"
#include "../../plugins/authentication/authentication_jws.c"
#include "../../sdk/lib/json_loose.c"

/* Wycheproof allows either result for these. Only one of its reasons is in the files that are read: a
 * DigestInfo without its NULL, which OpenSSL refuses. */
static size_t left_open;

static void verify_case(const char *file, const struct jose_alg *alg, const struct jose_key *key,
			const json_t *row)
{
	size_t text_size, size;
	char *text = vectors_bytes(vectors_text(row, "msg"), &text_size);
	char *signature = vectors_bytes(vectors_text(row, "sig"), &size);
	const char *result = vectors_text(row, "result");
	bool taken = key != NULL && size > 0 && size <= SIGNATURE_MAX &&
		     verify(alg, key, text, text_size, (const uint8_t *)signature, size);
	if (strcmp(result, "acceptable") == 0) {
		left_open++;
		CU_ASSERT(!taken);
	} else if (taken != (strcmp(result, "valid") == 0)) {
		fprintf(stderr, "\n%s %d (%s, %s): %s\n", file,
			(int)json_integer_value(json_object_get(row, "id")), vectors_text(row, "comment"),
			result, taken ? "taken" : "refused");
		CU_FAIL();
	}
	free(signature);
	free(text);
}

static void signatures(void)
{
	json_t *groups = vectors_load("wycheproof"), *group, *row;
	size_t i, n, keys_taken = 0, cases = 0;
	json_array_foreach(groups, i, group) {
		json_t *set = json_pack("{s: [O]}", "keys", json_object_get(group, "jwk"));
		const struct jose_alg *alg = jose_alg_find(vectors_text(group, "alg"));
		struct jose_keys *keys = calloc(1, sizeof(*keys));
		CU_ASSERT_FATAL(set != NULL && alg != NULL && keys != NULL);
		CU_ASSERT(jose_keys_read(set, keys));
		if (keys->count == 0)
			fprintf(stderr, "\n%s: key refused: %s\n", vectors_text(group, "file"), keys->why);
		bool fitting = keys->count == 1 && key_fits(alg, &keys->items[0]);
		keys_taken += fitting;
		json_array_foreach(json_object_get(group, "tests"), n, row) {
			verify_case(vectors_text(group, "file"), alg, fitting ? &keys->items[0] : NULL, row);
			cases++;
		}
		jose_keys_free(keys);
		free(keys);
		json_decref(set);
	}
	printf("%zu signatures by %zu of %zu keys; %zu left open by the suite ", cases, keys_taken,
	       json_array_size(groups), left_open);
	CU_ASSERT(cases > 6000 && keys_taken > 900);
	json_decref(groups);
}

int main(void)
{
	if (!vectors_are_there("wycheproof"))
		return VECTORS_SKIPPED;
	return unit_run("vectors_jws", (const struct unit_test[]){{"signatures", signatures}, {0}});
}
