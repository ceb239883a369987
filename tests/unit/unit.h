/* SPDX-License-Identifier: Apache-2.0 */
/* unit: the few lines that every CUnit program needs. A test file is one module's: tests as static functions,
 *then int main(void) { return unit_run("route", (const struct unit_test[]){{"finds", finds}, {0}}); } */
#ifndef UNIT_H
#define UNIT_H

#include <CUnit/Basic.h>
#include <stddef.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

static inline int unit_run(const char *module, const struct unit_test *tests)
{
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	CU_pSuite suite = CU_add_suite(module, NULL, NULL);
	for (; suite != NULL && tests->name != NULL; tests++)
		if (CU_add_test(suite, tests->name, tests->run) == NULL)
			suite = NULL;
	if (suite == NULL)
		return 2;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_tests_failed();
	CU_cleanup_registry();
	return failed > 0;
}

/* Compares two texts and prints both if they differ. */
#define UNIT_TEXT(actual, expected) unit_text(actual, expected, __FILE__, __LINE__)
static inline void unit_text(const char *actual, const char *expected, const char *file, int line)
{
	int same = actual != NULL && expected != NULL ? strcmp(actual, expected) == 0 : actual == expected;
	if (!same)
		fprintf(stderr, "\n%s:%d:\n  got      %s\n  expected %s\n", file, line,
			actual != NULL ? actual : "NULL", expected != NULL ? expected : "NULL");
	CU_ASSERT(same);
}

#endif
