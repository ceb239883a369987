/* SPDX-License-Identifier: Apache-2.0 */
/* exec_text: what programs print, made fit for messages and labels. Pure; called by the other files of exec. */
#include "exec.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Returns the length of the UTF-8 character at p, of which `left` bytes are there; 0 if it is not valid. */
static size_t character(const unsigned char *p, size_t left)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
	for (size_t extra = 0; extra < 4; extra++) {
		if ((p[0] & forms[extra].mask) != forms[extra].lead)
			continue;
		uint32_t code = p[0] & (unsigned char)~forms[extra].mask;
		if (extra >= left)
			return 0;
		for (size_t i = 1; i <= extra; i++) {
			if ((p[i] & 0xC0) != 0x80)
				return 0;
			code = code << 6 | (p[i] & 0x3Fu);
		}
		bool surrogate = code >= 0xD800 && code <= 0xDFFF,
		     control = code < 0x20 || (code >= 0x7F && code < 0xA0);
		bool allowed = code == '\n' || code == '\t';
		return code < forms[extra].least || surrogate || code > 0x10FFFF || (control && !allowed)
			       ? 0
			       : extra + 1;
	}
	return 0;
}

void exec_clean(char *bytes, size_t size)
{
	for (size_t i = 0; i < size;) {
		size_t length = character((const unsigned char *)bytes + i, size - i);
		if (length == 0)
			bytes[i] = '?';
		i += length == 0 ? 1 : length;
	}
}

void exec_first_line(const char *text, char *line, size_t room)
{
	size_t start = strspn(text, " \t\r"), size = strcspn(text + start, "\n");
	if (size > room - 1)
		for (size = room - 1; size > 0 && ((unsigned char)text[start + size] & 0xC0) == 0x80;)
			size--;
	while (size > 0 && strchr(" \t\r", text[start + size - 1]) != NULL)
		size--;
	memcpy(line, text + start, size);
	line[size] = '\0';
}

bool exec_number_name(const char *prefix, const char *label, char *name, size_t room)
{
	size_t used = (size_t)snprintf(name, room, "%s%s", prefix, label);
	if (used >= room)
		return false;
	for (char *at = name; *at != '\0'; at++)
		*at = isalnum((unsigned char)*at) && (unsigned char)*at < 0x80
			      ? (char)tolower((unsigned char)*at)
			      : '_';
	return true;
}

void exec_explain(int code, int number, char *text, size_t room)
{
	if (number != 0)
		snprintf(text, room, "was ended by signal %d (%s)", number, strsignal(number));
	else
		snprintf(text, room, "ended with exit code %d", code);
}
