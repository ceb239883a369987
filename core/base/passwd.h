/* SPDX-License-Identifier: Apache-2.0 */
/* passwd: user names and numbers, from /etc/passwd alone. getpwnam(3) would load the name services of the
 * machine (sssd, LDAP) into the daemon and could wait for a server; users of these are given by number. */
#ifndef PASSWD_H
#define PASSWD_H

#include <sys/types.h>

#include "base/err.h"

#define ACCOUNT_NAME_MAX 33 /* bytes with the end, as useradd(8) allows */

/* Finds the user that text names, by name or by number in decimal. */
bool passwd_uid(const char *text, uid_t *uid, struct err *err) MUST_CHECK;
/* … and the group, of /etc/group. */
bool passwd_gid(const char *text, gid_t *gid, struct err *err) MUST_CHECK;
/* The user that a process becomes. */
struct account {
	uid_t uid;
	gid_t gid;
	char name[ACCOUNT_NAME_MAX]; /* "" if the number names no user */
};
/* A number that names no user has the group of the same number. */
void passwd_of(uid_t uid, struct account *account);
/* Fills groups with those that name the account as a member, at most room; returns their number. */
size_t passwd_groups(const struct account *account, gid_t *groups, size_t room);
/* Returns whether the number names a user. In a user namespace that does not map every user, the kernel shows
 * all others as 65534. */
bool passwd_is_named(uid_t uid);
/* Fills name, with "" if no user has the number. */
void passwd_name(uid_t uid, char name[ACCOUNT_NAME_MAX]);

#endif
