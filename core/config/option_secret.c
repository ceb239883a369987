/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the secrets that the daemon reads itself: literals, variables, files. Called by plan, pool and http
 * on the daemon's thread; the caller owns the bytes, and wipes them. */
#include <stdlib.h>
#include <string.h>

#include "option_private.h"
#include "base/file.h"

#define SECRET_MAX 65536u

static bool copy_text(const char *text, char **bytes, size_t *size)
{
	*size = strlen(text);
	*bytes = x_strdup(text);
	return true;
}

static bool read_secret(const char *path, char **bytes, size_t *size, struct err *err)
{
	struct buf text = {0};
	if (!file_read("the secret file ", path, SECRET_MAX, &text, err))
		return false;
	if (text.size > 0 && text.data[text.size - 1] == '\n')
		text.size -= text.size > 1 && text.data[text.size - 2] == '\r' ? 2 : 1;
	bool ok = text.size > 0 || err_set(err, "the secret file %.200s is empty", path);
	if (ok) {
		*bytes = x_alloc(text.size + 1);
		memcpy(*bytes, text.data, text.size);
		*size = text.size;
	}
	wipe_free(text.data, text.capacity);
	return ok;
}

bool option_secret_is_open(const struct option_secret *secret, struct err *err)
{
	return secret->kind == OPTION_SECRET_FILE && file_is_open(secret->text, err);
}

bool option_secret_read(const struct option_secret *secret, config_lookup *lookup, char **bytes, size_t *size,
			struct err *err)
{
	const char *text = NULL;
	*bytes = NULL;
	*size = 0;
	switch (secret->kind) {
	case OPTION_SECRET_LITERAL:
		return copy_text(secret->text, bytes, size);
	case OPTION_SECRET_ENV:
		text = lookup != NULL ? lookup(secret->text) : NULL;
		if (text == NULL || text[0] == '\0')
			return err_set(err, "the variable %s of the secret `%s` is not set", secret->text,
				       secret->option);
		return copy_text(text, bytes, size);
	case OPTION_SECRET_FILE:
		return read_secret(secret->text, bytes, size, err);
	case OPTION_SECRET_STORE:
		return err_set(err, "the secret `%s` is kept by the component `%s`", secret->option,
			       secret->store);
	case OPTION_SECRET_NONE:
		break;
	}
	return err_set(err, "the secret is not given");
}

void option_bytes_free(struct option_bytes *bytes, size_t count)
{
	for (size_t i = 0; bytes != NULL && i < count; i++) {
		if (bytes[i].bytes == NULL)
			continue;
		explicit_bzero((char *)bytes[i].bytes, bytes[i].size);
		free((char *)bytes[i].bytes);
	}
	free(bytes);
}
