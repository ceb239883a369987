/* SPDX-License-Identifier: Apache-2.0 */
/* skymon WORD: a word that is not the tool's own is a program, libexec/skymon/skymon-WORD. It is
 * looked for in that folder alone, never in PATH. */
#include "base/nearest.h"
#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

#define PREFIX "skymon-"

struct words {
	char **items;
	size_t count, room;
};

/* [a-z][a-z0-9-]*: nothing that leads out of the folder. The worker lives there too, and is the daemon's
 * only. */
static bool word_ok(const char *word)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	size_t head = strspn(word, letters), size = strlen(word);
	return head > 0 && size <= 64 && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == size &&
	       strcmp(word, "worker") != 0;
}

static void add(struct words *words, const char *word)
{
	words->items = x_grow(words->items, &words->room, words->count + 1, sizeof(*words->items));
	words->items[words->count++] = x_strdup(word);
}

static void words_free(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->items[i]);
	free(words->items);
}

static char *program_of(const char *word)
{
	return x_printf("%s/" PREFIX "%s", SKYMON_LIBEXECDIR, word);
}

static int by_name(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The words that the folder's programs are for, sorted. */
static struct words find_words(void)
{
	struct words found = {0};
	DIR *folder = opendir(SKYMON_LIBEXECDIR);
	for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
		const char *word = entry->d_name + strlen(PREFIX);
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 || !word_ok(word))
			continue;
		char *path = program_of(word);
		if (access(path, X_OK) == 0)
			add(&found, word);
		free(path);
	}
	if (folder != NULL)
		closedir(folder);
	if (found.count > 0)
		qsort(found.items, found.count, sizeof(*found.items), by_name);
	return found;
}

void tool_words_print(void)
{
	struct words words = find_words();
	if (words.count > 0)
		printf("\nPrograms that come with it; each has its own --help:\n");
	for (size_t i = 0; i < words.count; i++)
		printf("       skymon %s\n", words.items[i]);
	words_free(&words);
}

static int report_unknown(const char *word)
{
	struct words words = find_words();
	add(&words, "plugins");
	add(&words, "run");
	add(&words, "status");
	const char *nearest = nearest_word(word, (const char *const *)words.items, words.count);
	int code = nearest != NULL ? tool_fail("no such command: %s; did you mean %s?", word, nearest)
				   : tool_fail("no such command: %s; try skymon --help", word);
	words_free(&words);
	return code;
}

int tool_word(char **argv)
{
	if (!word_ok(argv[0]))
		return report_unknown(argv[0]);
	char *path = program_of(argv[0]);
	execv(path, argv);
	int code = errno == ENOENT ? report_unknown(argv[0])
				   : tool_fail("cannot start %s: %s", path, strerror(errno));
	free(path);
	return code;
}
