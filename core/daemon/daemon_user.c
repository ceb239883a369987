/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_user: changes the user before the first worker is started, so that workers, secrets and files belong
 * to it from the beginning, and a start finds what a later reload would. Only three capabilities are
 * kept, unused, until the daemon listens: for ports under 1024, for socket and key files in root's folders,
 * and for a socket's owner.
 * Called by daemon, on the only thread. Owns nothing. */
#include "daemon_user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/passwd.h"
#include "base/log.h"
#include "config/config.h"

#define GROUPS_MAX 256
#define POWERS (1u << CAP_NET_BIND_SERVICE | 1u << CAP_DAC_OVERRIDE | 1u << CAP_CHOWN)

static bool changed; /* … and the three capabilities are kept */

static bool set_capabilities(uint32_t permitted, uint32_t effective)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {{.permitted = permitted, .effective = effective}};
	return syscall(SYS_capset, &head, sets) == 0;
}

void daemon_user_powers(bool on)
{
	if (!changed)
		return;
	(void)set_capabilities(on ? POWERS : 0, on ? POWERS : 0);
	changed = on;
}

/* Returns false if skymond stays root. */
static bool choose(const struct settings *settings, struct account *account)
{
	struct stat folder;
	if (settings->places.user != NULL) {
		passwd_of(settings->uid, account);
		return account->uid != 0;
	}
	if (settings->places.state_dir[0] == '\0' || stat(settings->places.state_dir, &folder) != 0 ||
	    folder.st_uid == 0)
		return false;
	passwd_of(folder.st_uid, account);
	if (account->name[0] == '\0')
		account->gid = folder.st_gid;
	return true;
}

static bool change_groups(const struct account *account)
{
	gid_t groups[GROUPS_MAX];
	return setgroups(passwd_groups(account, groups, GROUPS_MAX), groups) == 0;
}

static bool change(const struct account *account, bool listens, struct err *err)
{
	uint32_t kept = listens ? POWERS : 0;
	bool done = prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 &&
		    setresgid(account->gid, account->gid, account->gid) == 0 &&
		    setresuid(account->uid, account->uid, account->uid) == 0 && set_capabilities(kept, 0);
	if (!done)
		return err_set(err, "cannot become user %lu: %s", (unsigned long)account->uid,
			       strerror(errno));
	(void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
#ifndef __SANITIZE_ADDRESS__ /* as in main */
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	changed = listens;
	return true;
}

bool daemon_become_user(const struct settings *settings, bool listens, struct err *err)
{
	struct account account;
	if (geteuid() != 0) {
		if (settings->places.user != NULL && settings->uid != geteuid())
			log_warn("user: skymond was not started as root, so it stays user %lu",
				 (unsigned long)geteuid());
		return true;
	}
	if (!listens && settings->places.user == NULL && config_environment("CREDENTIALS_DIRECTORY") != NULL)
		return true; /* the unit's user never opens these files: systemd copies them, as root */
	bool chosen = choose(settings, &account), may = chosen && change_groups(&account);
	if (chosen && !may && settings->places.user != NULL)
		return err_set(err, "cannot become user %s: %s", settings->places.user, strerror(errno));
	if (!may) {
		if (listens)
			log_warn("skymond runs as root, and its plugins with it: %s",
				 chosen ? "this system does not let it change the user"
					: "name a `user`, or let the folder state_dir belong to one");
		return true;
	}
	if (listens && settings->places.user != NULL && settings->places.state_dir[0] != '\0' &&
	    mkdir(settings->places.state_dir, 0750) == 0 &&
	    chown(settings->places.state_dir, account.uid, account.gid) != 0)
		log_warn("cannot give %s to user %s: %s", settings->places.state_dir, settings->places.user,
			 strerror(errno));
	if (!change(&account, listens, err))
		return false;
	if (listens)
		log_info("runs as user %lu %s", (unsigned long)account.uid, account.name);
	return true;
}
