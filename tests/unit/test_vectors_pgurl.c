/* SPDX-License-Identifier: Apache-2.0 */
/* vectors_pgurl: libpq's own cases of URIs (src/interfaces/libpq/t/001_uri.pl): URIs that libpq accepts are
 * accepted with the same parts, and those that it refuses are refused. */
#include "vectors.h"

#include "database_postgres.h"

static const char *value_of(const PQconninfoOption *parsed, const char *name)
{
	for (; parsed->keyword != NULL; parsed++)
		if (strcmp(parsed->keyword, name) == 0)
			return parsed->val;
	return NULL;
}

/* Writes the parts as libpq's test program does: user='x' host='y' …, in the order of its options, without
 * defaults. */
static void show(const PQconninfoOption *parsed, char *out, size_t size)
{
	PQconninfoOption *defaults = PQconndefaults();
	const char *host = value_of(parsed, "host"), *address = value_of(parsed, "hostaddr");
	bool local = address == NULL && (host == NULL || host[0] == '/' || host[0] == '\0');
	size_t used = 0;
	CU_ASSERT_PTR_NOT_NULL_FATAL(defaults);
	out[0] = '\0';
	for (const PQconninfoOption *at = parsed; at->keyword != NULL; at++) {
		const char *usual = value_of(defaults, at->keyword);
		if (at->val != NULL && (usual == NULL || strcmp(usual, at->val) != 0))
			used += (size_t)snprintf(out + used, size - used, "%s='%s' ", at->keyword, at->val);
		CU_ASSERT_FATAL(used < size);
	}
	snprintf(out + used, size - used, local ? "(local)" : "(inet)");
	PQconninfoFree(defaults);
}

static void uris(void)
{
	json_t *cases = vectors_load("libpq"), *row;
	size_t i, taken = 0, refused = 0;
	json_array_foreach(cases, i, row) {
		const char *uri = vectors_text(row, "uri"), *out = vectors_text(row, "out");
		PQconninfoOption *parsed;
		char room[300];
		const char *why = pg_url_parse(uri, &parsed, room, sizeof(room));
		CU_ASSERT_EQUAL(parsed != NULL, why == NULL);
		UNIT_TEXT(why == NULL ? "" : "refused",
			  vectors_text(row, "error")[0] == '\0' ? "" : "refused");
		char shown[600];
		if (why == NULL) {
			show(parsed, shown, sizeof(shown));
			UNIT_TEXT(shown, out);
			taken++;
		} else {
			refused++;
		}
		PQconninfoFree(parsed);
	}
	printf("%zu taken, %zu refused ", taken, refused);
	CU_ASSERT(taken > 40 && refused >= 14);
	json_decref(cases);
}

int main(void)
{
	if (!vectors_are_there("libpq"))
		return VECTORS_SKIPPED;
	for (size_t i = 0; i < 2; i++) /* they would be defaults */
		unsetenv((const char *const[]){"PGHOST", "PGUSER"}[i]);
	return unit_run("vectors_pgurl", (const struct unit_test[]){{"uris", uris}, {0}});
}
