/* SPDX-License-Identifier: Apache-2.0 */
/* exec_text: what programs print, made fit for messages and labels. Pure; called by the other files of exec. */
#include "exec.h"
#include "text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void exec_clean(char *bytes, size_t size)
{
	for (size_t i = 0; i < size;) {
		size_t length = text_character(bytes + i, size - i);
		const unsigned char *p = (const unsigned char *)bytes + i;
		bool control = (p[0] < 0x20 && p[0] != '\n' && p[0] != '\t') || p[0] == 0x7F ||
			       (length == 2 && p[0] == 0xC2 && p[1] < 0xA0);
		if (length == 0 || control)
			bytes[i] = '?';
		i += length == 0 || control ? 1 : length;
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
