/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps what it takes, and touches it: pieces of the heap, a shared mapping, or descriptors. */
#include <fcntl.h>
#include <skymon/plugin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct leak {
	struct skymon_choice what;
	struct skymon_bytes size;
	int64_t files;
	bool in_one_run;
	char *last;
};

enum { HEAP, SHARED, FILES };
static const char *const kinds[] = {"heap", "shared", "files", NULL};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct leak, what, "heap", "what each check leaks", .words = kinds),
	SKYMON_OPT(struct leak, size, "8MiB", "how much of the heap, in pieces of 64 KiB, or of a mapping"),
	SKYMON_OPT(struct leak, files, "200", "how many descriptors"),
	SKYMON_OPT(struct leak, in_one_run, "false", "again and again, without returning"),
	{0}};

static void leak_heap(struct leak *leak)
{
	for (int64_t left = leak->size.count; left > 0; left -= 65536) {
		char *piece = malloc(65536);
		if (piece == NULL)
			abort();
		memset(piece, 1, 65536);
		memcpy(piece, &leak->last, sizeof(leak->last));
		leak->last = piece;
	}
}

static void leak_once(struct leak *leak)
{
	if (leak->what.index == HEAP)
		leak_heap(leak);
	if (leak->what.index == SHARED) {
		size_t size = (size_t)leak->size.count;
		void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (bytes != MAP_FAILED)
			memset(bytes, 1, size);
	}
	for (int64_t i = 0; leak->what.index == FILES && i < leak->files; i++)
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
			return;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct leak *leak = state;
	skymon_step(sm, "leaking");
	do {
		leak_once(leak);
		if (leak->in_one_run)
			usleep(20000);
	} while (leak->in_one_run);
	return skymon_healthy(sm, "leaked %lld bytes more", (long long)leak->size.count);
}

SKYMON_PLUGIN(t_leak, "1.0", "Leaks memory", .state_size = sizeof(struct leak), .options = options,
	      .check = check);
