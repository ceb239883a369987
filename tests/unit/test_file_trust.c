/* SPDX-License-Identifier: Apache-2.0 */
/* file_trust: which users may write a file and the folders above it; one table for all callers. */
#include "base/file_trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char top[] = "/tmp/skymon-trust-XXXXXX";
static char folder[64], path[96];

#define OTHERS 54321 /* a foreign user and group */

static enum trust ask(const char *name, bool apart, struct err *err)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	enum trust trust = trust_file(fd, name, apart, err);
	close(fd);
	return trust;
}

static void one(mode_t file, int owner, int group, mode_t above, bool apart, enum trust expected,
		const char *says)
{
	struct err err = {""};
	if ((owner != 0 || group != 0) && geteuid() != 0)
		return; /* only root can change the owner */
	CU_ASSERT_EQUAL(chown(path, (uid_t)(owner != 0 ? owner : -1), (gid_t)(group != 0 ? group : -1)), 0);
	CU_ASSERT_EQUAL(chmod(path, file), 0);
	CU_ASSERT_EQUAL(chmod(folder, above), 0);
	enum trust trust = ask(path, apart, &err);
	if (trust != expected || strstr(err.text, says) == NULL)
		fprintf(stderr, "\n%o %d:%d in %o: %d, %s\n", file, owner, group, above, trust, err.text);
	CU_ASSERT_EQUAL(trust, expected);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, says));
	CU_ASSERT_EQUAL(chown(path, geteuid(), getegid()), 0);
}

static void files_and_folders(void)
{
	one(0600, 0, 0, 0755, false, TRUST_GOOD, "");
	one(0640, 0, 0, 0755, false, TRUST_GOOD, "");
	one(0660, 0, 0, 0755, false, TRUST_GOOD, ""); /* our own group */
	one(0644, 0, 0, 0755, false, TRUST_READABLE, "others may read");
	one(0640, 0, OTHERS, 0755, false, TRUST_GOOD, ""); /* root's file, for a group that root chose */
	one(0644, 0, OTHERS, 0755, false, TRUST_READABLE, "others may read");
	one(0604, 0, 0, 0755, false, TRUST_READABLE, ": chmod o-r ");
	one(0660, 0, OTHERS, 0755, false, TRUST_BAD, "may be written by others: chmod go-w");
	one(0602, 0, 0, 0755, false, TRUST_BAD, "may be written by others");
	one(0600, OTHERS, 0, 0755, false, TRUST_BAD, "belongs to user 54321");
	one(0600, 0, 0, 0777, false, TRUST_BAD, "the folder ");
	one(0600, 0, 0, 01777, false, TRUST_GOOD, "");          /* as /tmp */
	one(0600, 0, 0, 01777, true, TRUST_BAD, "the folder "); /* but not for code */
	one(0600, 0, 0, 0775, false, TRUST_GOOD, "");
}

/* Owner, group and mode of a secret, for a daemon that runs as DAEMON: a group may read a file of root's, as
 * in PostgreSQL, and so may root's group and the daemon's own. */
static void readers_of_a_secret(void)
{
	enum { DAEMON = 54322 };
	static const struct {
		uid_t owner;
		gid_t group;
		mode_t mode;
		enum trust trust;
		const char *says;
	} table[] = {
		{0, 0, 0600, TRUST_GOOD, ""},
		{0, 0, 0640, TRUST_GOOD, ""},
		{0, DAEMON, 0640, TRUST_GOOD, ""},
		{0, OTHERS, 0600, TRUST_GOOD, ""},
		{0, OTHERS, 0640, TRUST_GOOD, ""},
		{0, OTHERS, 0440, TRUST_GOOD, ""},
		{0, OTHERS, 0644, TRUST_READABLE, ": chmod o-r "},
		{0, OTHERS, 0604, TRUST_READABLE, ": chmod o-r "},
		{0, OTHERS, 0660, TRUST_BAD, "may be written by others"},
		{DAEMON, DAEMON, 0600, TRUST_GOOD, ""},
		{DAEMON, DAEMON, 0640, TRUST_GOOD, ""},
		{DAEMON, 0, 0640, TRUST_GOOD, ""},
		{DAEMON, OTHERS, 0600, TRUST_GOOD, ""},
		{DAEMON, OTHERS, 0640, TRUST_READABLE, ": chmod go-r "},
		{DAEMON, OTHERS, 0644, TRUST_READABLE, ": chmod go-r "},
		{DAEMON, DAEMON, 0644, TRUST_READABLE, ": chmod o-r "},
		{DAEMON, OTHERS, 0660, TRUST_BAD, "may be written by others"},
		{OTHERS, OTHERS, 0600, TRUST_BAD, "belongs to user 54321"},
	};
	if (geteuid() != 0)
		return;
	CU_ASSERT_EQUAL(chmod(top, 0755), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct err err = {""};
		CU_ASSERT_EQUAL(chown(path, table[i].owner, table[i].group), 0);
		CU_ASSERT_EQUAL(chmod(path, table[i].mode), 0);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		CU_ASSERT_FATAL(fd >= 0 && setegid(DAEMON) == 0 && seteuid(DAEMON) == 0);
		enum trust trust = trust_file(fd, path, false, &err);
		CU_ASSERT_FATAL(seteuid(0) == 0 && setegid(0) == 0);
		close(fd);
		if (trust != table[i].trust || strstr(err.text, table[i].says) == NULL)
			fprintf(stderr, "\nrow %zu: %d, %s\n", i, trust, err.text);
		CU_ASSERT_EQUAL(trust, table[i].trust);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, table[i].says));
	}
	CU_ASSERT_EQUAL(chown(path, 0, 0), 0);
}

static void folders_of_others(void)
{
	struct err err = {""};
	if (geteuid() != 0)
		return;
	CU_ASSERT_EQUAL(chown(folder, OTHERS, 0), 0);
	CU_ASSERT_EQUAL(ask(path, false, &err), TRUST_BAD);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the folder "));
	CU_ASSERT_EQUAL(chown(folder, 0, OTHERS), 0);
	CU_ASSERT_EQUAL(chmod(folder, 0775), 0);
	CU_ASSERT_EQUAL(ask(path, false, &err), TRUST_BAD);
	CU_ASSERT_EQUAL(chmod(folder, 0755), 0);
}

/* A link in a trusted folder to a file in an untrusted one, and an untrusted folder further up. */
static void links_and_ancestors(void)
{
	struct err err = {""};
	char link[96];
	snprintf(link, sizeof(link), "%s/link", top);
	CU_ASSERT_EQUAL(symlink(path, link), 0);
	CU_ASSERT_EQUAL(ask(link, false, &err), TRUST_GOOD);
	CU_ASSERT_EQUAL(chmod(folder, 0777), 0);
	CU_ASSERT_EQUAL(ask(link, false, &err), TRUST_BAD);
	char deep[128], dotted[128], says[128];
	snprintf(dotted, sizeof(dotted), "%s/././%s", folder, path + strlen(folder) + 1);
	snprintf(says, sizeof(says), "the folder %s may be written by others: chmod go-w %s", folder, folder);
	CU_ASSERT_EQUAL(ask(dotted, false, &err), TRUST_BAD);
	UNIT_TEXT(err.text, says);
	snprintf(deep, sizeof(deep), "%s/deep", folder);
	char file[160];
	snprintf(file, sizeof(file), "%s/file", deep);
	CU_ASSERT_EQUAL(mkdir(deep, 0700), 0);
	CU_ASSERT_EQUAL(rename(path, file), 0);
	CU_ASSERT_EQUAL(ask(file, false, &err), TRUST_BAD);
	CU_ASSERT_EQUAL(chmod(folder, 0755), 0);
	CU_ASSERT_EQUAL(ask(file, false, &err), TRUST_GOOD);
	CU_ASSERT_EQUAL(chdir(deep), 0);
	CU_ASSERT_EQUAL(ask("file", false, &err), TRUST_GOOD);
	CU_ASSERT_EQUAL(chmod(folder, 0777), 0);
	CU_ASSERT_EQUAL(ask("file", false, &err), TRUST_BAD);
	unlink(file);
	rmdir(deep);
	unlink(link);
}

/* A link in a trusted folder, through a link (to a file or a folder) in an untrusted one, to a trusted file.
 */
static void links_on_the_way(void)
{
	static const char *const ways[] = {"bad/file", "bad/dir/file", "bad/../bad/file", "./bad//dir/file"};
	struct err err = {""};
	char bad[96];
	snprintf(bad, sizeof(bad), "%s/bad", top);
	CU_ASSERT_EQUAL(mkdir(bad, 0755), 0);
	char inner[128];
	snprintf(inner, sizeof(inner), "%s/file", bad);
	CU_ASSERT_EQUAL(symlink(path, inner), 0);
	char outer[128];
	snprintf(outer, sizeof(outer), "%s/dir", bad);
	CU_ASSERT_EQUAL(symlink(folder, outer), 0);
	char link[96];
	snprintf(link, sizeof(link), "%s/link", top);
	char file[160];
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		for (mode_t mode = 0755; mode <= 0777; mode += 022) {
			CU_ASSERT_EQUAL(chmod(bad, mode), 0);
			CU_ASSERT_EQUAL(symlink(ways[i], link), 0);
			CU_ASSERT_EQUAL(ask(link, false, &err), mode == 0755 ? TRUST_GOOD : TRUST_BAD);
			snprintf(file, sizeof(file), "%s/%s", top, ways[i]);
			CU_ASSERT_EQUAL(ask(file, false, &err), mode == 0755 ? TRUST_GOOD : TRUST_BAD);
			unlink(link);
		}
	unlink(inner);
	unlink(outer);
	rmdir(bad);
}

static void errors_name_the_user(void)
{
	char text[160];
	UNIT_TEXT(trust_error(ENOENT, text), "No such file or directory");
	CU_ASSERT_PTR_NOT_NULL(strstr(trust_error(EACCES, text), "Permission denied (skymond runs as user "));
}

int main(void)
{
	if (mkdtemp(top) == NULL)
		return 1;
	snprintf(folder, sizeof(folder), "%s/folder", top);
	snprintf(path, sizeof(path), "%s/file", folder);
	umask(0);
	if (mkdir(folder, 0755) != 0 || close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) != 0)
		return 1;
	int failed =
		unit_run("trust", (const struct unit_test[]){{"files and folders", files_and_folders},
							     {"readers of a secret", readers_of_a_secret},
							     {"folders of others", folders_of_others},
							     {"links on the way", links_on_the_way},
							     {"links and ancestors", links_and_ancestors},
							     {"errors name the user", errors_name_the_user},
							     {0}});
	rmdir(folder);
	rmdir(top);
	return failed;
}
