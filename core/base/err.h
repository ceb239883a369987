/* SPDX-License-Identifier: Apache-2.0 */
/* err: one sentence about what went wrong, and lists of them; memory that aborts when it runs out.
 * Owns nothing but the lists' texts. */
#ifndef ERR_H
#define ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(nth) __attribute__((format(printf, nth, nth + 1)))

/* One sentence, written where most is known, and cut between two characters if too long. */
struct err {
	char text[512];
};

/* Fills err (which may be NULL) and returns false, so that `return err_set(…)` ends a bool function. */
bool err_set(struct err *err, const char *format, ...) PRINTF(2);
/* Puts text before the sentence in err; returns false. */
bool err_prefix(struct err *err, const char *format, ...) PRINTF(2);

/* All errors of a config file, say, to be reported at once. A zeroed struct is an empty list. */
struct err_list {
	char **texts;
	size_t count;
	size_t met; /* errors that were met, also those that are not in the list because they repeat one */
};
void err_add(struct err_list *list, const char *format, ...) PRINTF(2);
void err_list_free(struct err_list *list);

/* None returns NULL: out of memory aborts. x_grow makes room for `need` items of `size` bytes; *capacity
 * doubles. */
void *x_alloc(size_t size); /* zeroed */
void *x_realloc(void *old, size_t size);
void *x_grow(void *old, size_t *capacity, size_t need, size_t size);
char *x_strdup(const char *text); /* NULL stays NULL */
char *x_strndup(const char *text, size_t size);
char *x_printf(const char *format, ...) PRINTF(1);

#endif
