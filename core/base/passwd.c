/* SPDX-License-Identifier: Apache-2.0 */
/* passwd: reads /etc/passwd at each call: for local_users when the config is read, and for the audit line
 * once in a connection. Called on the loop's thread; a local file does not block. */
#include "passwd.h"

#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWD "/etc/passwd"
#define GROUP "/etc/group"
#define OVERFLOW_UID 65534
#define ALL_UIDS 4294967295u

/* Returns false if text is a name. The all-ones number means "unchanged" to chown(2) and setuid(2). */
static bool read_number(const char *text, const char *what, uint32_t *number, bool *ok, struct err *err)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || text[digits] != '\0')
		return false;
	unsigned long value = strtoul(text, NULL, 10);
	*number = (uint32_t)value;
	*ok = (digits <= 10 && value < UINT32_MAX) ||
	      err_set(err, "`%.40s` is not a valid %s number", text, what);
	return true;
}

bool passwd_gid(const char *text, gid_t *gid, struct err *err)
{
	bool found = false;
	if (read_number(text, "group", gid, &found, err))
		return found;
	FILE *file = fopen(GROUP, "re");
	for (struct group *group; file != NULL && !found && (group = fgetgrent(file)) != NULL;)
		if ((found = strcmp(group->gr_name, text) == 0))
			*gid = group->gr_gid;
	if (file != NULL)
		fclose(file);
	return found || err_set(err, "no such group in " GROUP ": `%.40s` (a number will do)", text);
}

bool passwd_uid(const char *text, uid_t *uid, struct err *err)
{
	bool found = false;
	if (read_number(text, "user", uid, &found, err))
		return found;
	FILE *file = fopen(PASSWD, "re");
	for (struct passwd *user; file != NULL && !found && (user = fgetpwent(file)) != NULL;)
		if ((found = strcmp(user->pw_name, text) == 0))
			*uid = user->pw_uid;
	if (file != NULL)
		fclose(file);
	return found || err_set(err, "no such user in " PASSWD ": `%.40s` (a number will do)", text);
}

void passwd_of(uid_t uid, struct account *account)
{
	FILE *file = fopen(PASSWD, "re");
	*account = (struct account){.uid = uid, .gid = (gid_t)uid};
	for (struct passwd *user; file != NULL && (user = fgetpwent(file)) != NULL;)
		if (user->pw_uid == uid) {
			account->gid = user->pw_gid;
			snprintf(account->name, sizeof(account->name), "%s", user->pw_name);
			break;
		}
	if (file != NULL)
		fclose(file);
}

size_t passwd_groups(const struct account *account, gid_t *groups, size_t room)
{
	FILE *file = fopen(GROUP, "re");
	size_t count = 0;
	for (struct group *group; file != NULL && count < room && (group = fgetgrent(file)) != NULL;)
		for (char *const *member = group->gr_mem; *member != NULL; member++)
			if (account->name[0] != '\0' && strcmp(*member, account->name) == 0 && count < room)
				groups[count++] = group->gr_gid;
	if (file != NULL)
		fclose(file);
	return count;
}

bool passwd_is_named(uid_t uid)
{
	unsigned inside, outside, count = 0;
	if (uid != OVERFLOW_UID)
		return true;
	FILE *file = fopen("/proc/self/uid_map", "re");
	bool read = file != NULL && fscanf(file, "%u %u %u", &inside, &outside, &count) == 3;
	if (file != NULL)
		fclose(file);
	return read && count == ALL_UIDS;
}

void passwd_name(uid_t uid, char name[ACCOUNT_NAME_MAX])
{
	struct account account;
	passwd_of(uid, &account);
	memcpy(name, account.name, sizeof(account.name));
}
