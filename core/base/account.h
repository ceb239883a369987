/* SPDX-License-Identifier: Apache-2.0 */
/* account: user names and numbers, from /etc/passwd alone. getpwnam(3) would load the name services of the
 * machine (sssd, LDAP) into the daemon and could wait for a server; users of these are given by number. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <sys/types.h>

#include "base/err.h"

#define ACCOUNT_NAME_MAX 33 /* bytes with the end, as useradd(8) allows */

/* A name or a number in decimal. */
bool account_uid(const char *text, uid_t *uid, struct err *err) MUST_CHECK;
/* Whom a process becomes. */
struct account {
	uid_t uid;
	gid_t gid;
	char name[ACCOUNT_NAME_MAX]; /* "" if there is none */
};
/* A number that names no user has the group of the same number. */
void account_of(uid_t uid, struct account *account);
/* The groups that name it as a member, at most room; returns how many. */
size_t account_groups(const struct account *account, gid_t *groups, size_t room);
/* Does this number name a user? In a user namespace that does not map every user, the kernel shows all others
 * as 65534. */
bool account_is_named(uid_t uid);
/* Fills name, with "" if there is none. */
void account_name(uid_t uid, char name[ACCOUNT_NAME_MAX]);

#endif
