/* SPDX-License-Identifier: Apache-2.0 */
/* secret_mask: removes secrets from the texts of a plugin, in every spelling in which servers and libraries
 * echo them: as they are, percent-encoded, escaped as in JSON, and anywhere in a base64 text (HTTP's Basic).
 */
#ifndef SECRET_MASK_H
#define SECRET_MASK_H

#include "base/buf.h"

struct mask { /* zeroed: no secrets */
	struct mask_secret {
		const char *bytes; /* the owner's, who outlives the mask */
		size_t size;
	} * secrets;
	size_t count;
	bool begins[256]; /* what a spelling of any of them begins with */
};

#define MASKED "********" /* in place of a secret */

/* Ignores what is shorter than 4 bytes, which would mask half of every sentence. */
void mask_add(struct mask *mask, const char *bytes, size_t size);
void mask_free(struct mask *mask);
/* Returns the bytes without secrets: the same ones, or a copy that *room then holds; *size is its size. */
const void *mask_bytes(const struct mask *mask, const void *bytes, size_t *size, struct buf *room);
/* How much of a text that was cut comes before a secret whose rest was cut off; all of it if there is none.
 */
size_t mask_whole(const struct mask *mask, const char *text, size_t size);
/* The same for a text. */
const char *mask_text(const struct mask *mask, const char *text, struct buf *room);

#endif
