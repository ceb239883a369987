/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of file_trust.h. Called by file.c, plan (keys) and plugin, on any thread; owns nothing beyond a
 * call. */
#include "file_trust.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "passwd.h"

#define LINKS_MAX 40 /* as the kernel */

/* A user's name, or the number if there is none. */
static void print_user(uid_t user, char text[ACCOUNT_NAME_MAX])
{
	passwd_name(user, text);
	if (text[0] == '\0')
		snprintf(text, ACCOUNT_NAME_MAX, "%lu", (unsigned long)user);
}

const char *trust_error(int error, char text[160])
{
	char name[ACCOUNT_NAME_MAX];
	if (error != EACCES && error != EPERM)
		return strerror(error);
	print_user(geteuid(), name);
	snprintf(text, 160, "%.40s (skymond runs as user %s)", strerror(error), name);
	return text;
}

static bool is_ours(uid_t user)
{
	return user == 0 || user == geteuid();
}

static bool others_write(const struct stat *about)
{
	bool group = (about->st_mode & S_IWGRP) != 0 && about->st_gid != 0 && about->st_gid != getegid();
	return group || (about->st_mode & S_IWOTH) != 0;
}

/* Reports why `name` (the file `path`, or a folder above it) is not trusted. */
static bool report_untrusted(const char *path, const char *name, const struct stat *about, struct err *err)
{
	const char *of = strcmp(path, name) == 0 ? "" : "the folder ";
	char user[ACCOUNT_NAME_MAX];
	if (!is_ours(about->st_uid)) {
		print_user(about->st_uid, user);
		return err_set(err,
			       "%s%.200s belongs to user %s: it must belong to root or to the user that runs "
			       "skymon",
			       of, name, user);
	}
	return err_set(err, "%s%.200s may be written by others: chmod go-w %.200s", of, name, name);
}

static bool is_read_only(const char *path)
{
	struct statvfs about;
	return statvfs(path, &about) == 0 && (about.f_flag & ST_RDONLY) != 0;
}

/* The folders above a path, up to the root or, of a relative path, to the working directory and those above
 * it. */
static bool folders_ok(const char *path, bool apart, struct err *err)
{
	char *copy = path[0] == '/' ? x_strdup(path) : NULL;
	char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
	bool ok = true, nearest = true;
	if (copy == NULL)
		copy = x_printf("%s/%s", here != NULL ? here : ".", path);
	for (char *name = dirname(copy); ok; name = dirname(name), nearest = false) {
		struct stat folder;
		for (size_t size = strlen(name); size > 2 && strcmp(name + size - 2, "/.") == 0; size -= 2)
			name[size - 2] = '\0';
		if (stat(name, &folder) != 0) {
			ok = err_set(err, "cannot look at the folder %.200s: %s", name, strerror(errno));
		} else {
			bool sticky = (folder.st_mode & S_ISVTX) != 0 && !(apart && nearest);
			bool good = is_ours(folder.st_uid) && (sticky || !others_write(&folder));
			ok = good || is_read_only(name) || report_untrusted(path, name, &folder, err);
		}
		if (strcmp(name, "/") == 0 || strcmp(name, ".") == 0)
			break;
	}
	free(copy);
	free(here);
	return ok;
}

/* Checks the folders above each link on the way: a user that may replace a link chooses the file. Resolves
 * the path as the kernel does, a component at a time; `left` is what has not been resolved. */
static bool links_ok(const char *path, bool apart, struct err *err)
{
	char done[PATH_MAX] = "", left[PATH_MAX], rest[PATH_MAX], target[PATH_MAX];
	bool ok = path[0] == '/' || getcwd(done, sizeof(done)) != NULL;
	size_t size = (size_t)snprintf(left, sizeof(left), "%s", path);
	for (int links = 0; ok && size < sizeof(left) && links < LINKS_MAX;) {
		char *name = left + strspn(left, "/");
		size_t length = strcspn(name, "/"), before = strlen(done);
		if (length == 0)
			return true;
		if (before + 1 + length >= sizeof(done))
			break;
		snprintf(done + before, sizeof(done) - before, "/%.*s", (int)length, name);
		snprintf(rest, sizeof(rest), "%s", name + length);
		ssize_t got = readlink(done, target, sizeof(target) - 1);
		size = (size_t)snprintf(left, sizeof(left), "%s", rest);
		if (got < 0)
			continue;
		target[got] = '\0';
		links++;
		ok = folders_ok(done, apart, err);
		done[target[0] == '/' ? 0 : before] = '\0';
		size = strlen(target) + strlen(rest);
		if (size < sizeof(left))
			snprintf(left, sizeof(left), "%.*s%s", (int)got, target, rest);
	}
	return ok && err_set(err, "%.200s: too many links, or too long a path", path);
}

/* The path of an open file, without symbolic links; the caller frees it. */
static char *real_path(int fd, const char *path)
{
	char link[32], real[PATH_MAX];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t size = readlink(link, real, sizeof(real) - 1);
	if (size <= 0 || real[0] != '/') /* no /proc */
		return realpath(path, NULL);
	real[size] = '\0';
	return x_strdup(real);
}

enum trust trust_file(int fd, const char *path, bool apart, struct err *err)
{
	struct stat about;
	if (fstat(fd, &about) != 0) {
		err_set(err, "cannot look at %.200s: %s", path, strerror(errno));
		return TRUST_BAD;
	}
	bool good = is_ours(about.st_uid) && !others_write(&about);
	char *real = real_path(fd, path);
	if (!good && !is_read_only(real != NULL ? real : path)) {
		free(real);
		report_untrusted(path, path, &about, err);
		return TRUST_BAD;
	}
	bool ok = folders_ok(path, apart, err) && links_ok(path, apart, err) &&
		  (real == NULL || folders_ok(real, apart, err));
	free(real);
	if (!ok)
		return TRUST_BAD;
	/* The members of a group that may read root's files are root's choice, as with Debian's ssl-cert. */
	bool group_may = about.st_uid == 0 || about.st_gid == 0 || about.st_gid == getegid();
	if ((about.st_mode & (group_may ? S_IROTH : S_IRGRP | S_IROTH)) == 0)
		return TRUST_GOOD;
	err_set(err, "others may read %.200s: chmod %s %.200s", path, group_may ? "o-r" : "go-r", path);
	return TRUST_READABLE;
}
