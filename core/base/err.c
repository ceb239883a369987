/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences about errors, lists of them, and allocation that aborts. Called everywhere, on any thread; owns
 * nothing. */
#include "err.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cuts a text that did not fit before the character that was cut in two. */
static void cut(char *text, size_t size)
{
	size_t end = size - 1;
	while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
		end--;
	if (end > 0 && ((unsigned char)text[end - 1] & 0x80) != 0)
		end--;
	text[end] = '\0';
}

bool err_set(struct err *err, const char *format, ...)
{
	if (err == NULL)
		return false;
	va_list list;
	va_start(list, format);
	int length = vsnprintf(err->text, sizeof(err->text), format, list);
	va_end(list);
	if (length >= (int)sizeof(err->text))
		cut(err->text, sizeof(err->text));
	return false;
}

bool err_prefix(struct err *err, const char *format, ...)
{
	if (err == NULL)
		return false;
	struct err before;
	va_list list;
	va_start(list, format);
	vsnprintf(before.text, sizeof(before.text), format, list);
	va_end(list);
	struct err after = *err;
	return err_set(err, "%s%s", before.text, after.text);
}

void err_add(struct err_list *list, const char *format, ...)
{
	struct err err;
	va_list args;
	va_start(args, format);
	int length = vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	if (length >= (int)sizeof(err.text))
		cut(err.text, sizeof(err.text));
	list->texts = x_realloc(list->texts, (list->count + 1) * sizeof(*list->texts));
	list->texts[list->count++] = x_strdup(err.text);
	list->met++;
}

void err_list_free(struct err_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->texts[i]);
	free(list->texts);
	*list = (struct err_list){0};
}

static void *must(void *memory)
{
	if (memory == NULL) {
		fputs("skymon: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void *x_alloc(size_t size)
{
	return must(calloc(1, size > 0 ? size : 1));
}

void *x_realloc(void *old, size_t size)
{
	return must(realloc(old, size > 0 ? size : 1));
}

void *x_grow(void *old, size_t *capacity, size_t need, size_t size)
{
	if (need <= *capacity)
		return old;
	size_t room = *capacity > 0 ? *capacity : 8;
	while (room < need)
		room *= 2;
	if (room > SIZE_MAX / size)
		must(NULL);
	*capacity = room;
	return x_realloc(old, room * size);
}

char *x_strdup(const char *text)
{
	return text != NULL ? must(strdup(text)) : NULL;
}

char *x_strndup(const char *text, size_t size)
{
	return must(strndup(text, size));
}

char *x_printf(const char *format, ...)
{
	char *text = NULL;
	va_list list;
	va_start(list, format);
	if (vasprintf(&text, format, list) < 0)
		text = NULL;
	va_end(list);
	return must(text);
}
