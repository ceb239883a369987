/* SPDX-License-Identifier: Apache-2.0 */
/* account: user names and numbers, from /etc/passwd alone. getpwnam(3) would load the name services of the
 * machine (sssd, LDAP) into the daemon and could wait for a server; users of these are given by number. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <sys/types.h>

#include "err.h"

#define ACCOUNT_NAME_MAX 33 /* bytes with the end, as useradd(8) allows */

/* A name or a number in decimal. */
bool account_uid(const char *text, uid_t *uid, struct err *err) MUST_CHECK;
/* Does this number name a user? In a user namespace that does not map every user, the kernel shows all others
 * as 65534. */
bool account_is_named(uid_t uid);
/* Fills name, with "" if there is none. */
void account_name(uid_t uid, char name[ACCOUNT_NAME_MAX]);

#endif
