/* SPDX-License-Identifier: Apache-2.0 */
/* Enters the sandbox: files by Landlock, system calls by sandbox_filter.c. Called by the worker's main thread
 * before the plugin is opened; owns the identities of files, for sandbox_stale, and a descriptor of
 * /proc/self.
 *
 * A Landlock rule belongs to an inode: a file that is replaced (resolv.conf, a certificate, a pid file) is
 * out of reach from then on, unless its folder has a rule. sandbox_stale sees that, and the daemon then
 * starts the worker again. The plugin loses its state by that, so a restart needs a reason: a file that is
 * gone, or that can be opened, is none; nor is one of an option without a flag while the checks are healthy,
 * as many plugins only stat it, which Landlock does not govern. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/seccomp.h>
#include <skymon/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

/* <linux/landlock.h> of Debian 12 ends at ABI 2. */
#define CREATE_RULESET 444
#define ADD_RULE 445
#define RESTRICT_SELF 446
#define VERSION_FLAG 1u
#define PATH_BENEATH 1
#define EXECUTE (1ULL << 0)
#define WRITE_FILE (1ULL << 1)
#define READ_FILE (1ULL << 2)
#define READ_DIR (1ULL << 3)
#define MAKE_CHAR (1ULL << 6)
#define MAKE_BLOCK (1ULL << 11)
#define REFER (1ULL << 13)
#define TRUNCATE (1ULL << 14)
#define IOCTL_DEV (1ULL << 15)
#define SCOPES 3u /* abstract sockets, signals */

struct ruleset {
	uint64_t files, network, scoped;
};
struct __attribute__((packed)) rule {
	uint64_t access;
	int32_t parent;
};

struct place {
	char *path;
	dev_t device;
	ino_t inode;
	bool guessed; /* the plugin may never open it */
};

static struct {
	struct place *places;
	size_t count, capacity;
	int own; /* /proc/self, whose inode would otherwise be dropped and re-created without its rule */
} entered = {.own = -1};

/* Software and the system files that it reads. None of these is a secret. */
static const char *const folders[] = {"/usr",
				      "/lib",
				      "/lib32",
				      "/lib64",
				      "/libx32",
				      "/bin",
				      "/sbin",
				      "/opt",
				      "/nix/store",
				      "/gnu/store",
				      "/etc/ssl",
				      "/etc/pki",
				      "/etc/ca-certificates",
				      "/etc/crypto-policies",
				      "/etc/gnutls",
				      "/etc/ld.so.conf.d",
				      "/etc/alternatives",
				      "/etc/krb5.conf.d",
				      "/var/lib/ca-certificates",
				      "/run/systemd/resolve",
				      "/run/nscd",
				      "/var/run/nscd",
				      "/run/resolvconf",
				      SKYMON_DATADIR,
				      "/sys/devices/system/cpu",
				      "/proc/sys/crypto",
				      "/proc/sys/net"};
static const char *const files[] = {
	"/etc/ld.so.cache",   "/etc/ld.so.conf", "/etc/ld.so.preload", "/etc/resolv.conf", "/etc/hosts",
	"/etc/nsswitch.conf", "/etc/host.conf",  "/etc/gai.conf",      "/etc/services",    "/etc/protocols",
	"/etc/passwd",        "/etc/group",      "/etc/localtime",     "/etc/timezone",    "/etc/krb5.conf",
	"/etc/mime.types",    "/etc/hostname"};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

static int landlock_abi(void)
{
	return (int)syscall(CREATE_RULESET, NULL, 0, VERSION_FLAG);
}

static bool has_filters(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
	uint32_t action = SECCOMP_RET_ERRNO;
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
#else
	return false;
#endif
}

unsigned sandbox_missing(void)
{
	int abi = landlock_abi();
	return (abi < 1 ? SANDBOX_FILES : 0u) | (abi < 6 ? SANDBOX_SIGNALS : 0u) |
	       (has_filters() ? 0u : SANDBOX_CALLS);
}

/* ---- Files ---- */

static uint64_t all_rights(int abi)
{
	uint64_t rights = REFER - 1;
	rights |= abi >= 2 ? REFER : 0;
	rights |= abi >= 3 ? TRUNCATE : 0;
	return rights | (abi >= 5 ? IOCTL_DEV : 0);
}

static void remember(const char *path, bool guessed)
{
	struct stat about = {0};
	(void)stat(path, &about); /* a missing file has inode 0, and so counts as replaced when it appears */
	entered.places =
		x_grow(entered.places, &entered.capacity, entered.count + 1, sizeof(*entered.places));
	entered.places[entered.count++] = (struct place){x_strdup(path), about.st_dev, about.st_ino, guessed};
}

static bool is_out_of_reach(const struct place *place)
{
	struct stat about;
	if (stat(place->path, &about) != 0 || (about.st_dev == place->device && about.st_ino == place->inode))
		return false;
	if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode)) /* to open a device can change it */
		return true;
	int fd = open(place->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == EACCES;
	close(fd);
	return false;
}

bool sandbox_stale(bool healthy)
{
	for (size_t i = 0; i < entered.count; i++)
		if (!(healthy && entered.places[i].guessed) && is_out_of_reach(&entered.places[i]))
			return true;
	return false;
}

/* A missing path gets no rule. */
static void allow(int ruleset, int abi, const char *path, uint64_t access)
{
	struct stat about;
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &about) == 0) {
		const uint64_t of_files = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
		struct rule rule = {.access = access & all_rights(abi), .parent = fd};
		if (!S_ISDIR(about.st_mode))
			rule.access &= of_files;
		(void)syscall(ADD_RULE, ruleset, PATH_BENEATH, &rule, 0);
	}
	close(fd);
}

/* The folder of a file, unless it is one that holds what belongs to all. */
static void allow_folder_of(int ruleset, int abi, const char *path, uint64_t access)
{
	static const char *const wide[] = {"/", "/etc", "/run", "/var", "/var/run", "/tmp", "/home", "/root"};
	char *real = realpath(path, NULL);
	char *copy = real != NULL ? real : x_strdup(path);
	const char *folder = dirname(copy);
	size_t i = 0;
	while (i < sizeof(wide) / sizeof(wide[0]) && strcmp(folder, wide[i]) != 0)
		i++;
	if (i == sizeof(wide) / sizeof(wide[0]) || (access & WRITE_FILE) != 0)
		allow(ruleset, abi, folder, access);
	free(copy);
}

static void allow_system(int ruleset, int abi, uint64_t read)
{
	static const char *const variables[] = {"SSL_CERT_FILE", "SSL_CERT_DIR"};
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		allow(ruleset, abi, folders[i], read);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		allow(ruleset, abi, files[i], read);
		remember(files[i], false);
	}
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		allow(ruleset, abi, devices[i], READ_FILE | WRITE_FILE | TRUNCATE);
	allow_folder_of(ruleset, abi, "/etc/resolv.conf", READ_FILE | READ_DIR); /* of its target */
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *path = getenv(variables[i]);
		if (path == NULL)
			continue;
		allow(ruleset, abi, path, read);
		remember(path, false);
	}
	entered.own = open("/proc/self", O_PATH | O_CLOEXEC);
	allow(ruleset, abi, "/proc/self", READ_FILE | READ_DIR);
}

static bool is_folder(const char *path)
{
	struct stat about;
	return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static bool enter_files(const struct sandbox *sandbox, int abi)
{
	struct ruleset wanted = {.files = all_rights(abi), .scoped = abi >= 6 ? SCOPES : 0};
	size_t size = abi >= 6 ? sizeof(wanted) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	int ruleset = (int)syscall(CREATE_RULESET, &wanted, size, 0);
	if (ruleset < 0)
		return false;
	uint64_t read = READ_FILE | READ_DIR;
	uint64_t write = all_rights(abi) & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV);
	if ((sandbox->needs & SKYMON_NEEDS_EXEC) != 0)
		read |= EXECUTE;
	allow_system(ruleset, abi, read);
	if ((sandbox->needs & SKYMON_NEEDS_PROC) != 0) {
		allow(ruleset, abi, "/proc", READ_FILE | READ_DIR);
		allow(ruleset, abi, "/sys", READ_FILE | READ_DIR);
	}
	if (sandbox->state_dir[0] != '\0')
		allow(ruleset, abi, sandbox->state_dir, write);
	for (size_t i = 0; i < sandbox->count; i++) {
		const struct sandbox_path *path = &sandbox->paths[i];
		bool folder = is_folder(path->path);
		if (path->access != SANDBOX_READ_FILE || !folder)
			allow(ruleset, abi, path->path, path->access == SANDBOX_WRITE ? write : read);
		if (path->access == SANDBOX_WRITE && !folder)
			allow_folder_of(ruleset, abi, path->path, write);
		else
			remember(path->path, path->access == SANDBOX_READ_FILE);
	}
	bool done = syscall(RESTRICT_SELF, ruleset, 0) == 0;
	close(ruleset);
	return done;
}

bool sandbox_enter(const struct sandbox *sandbox, unsigned *missing, struct err *err)
{
	int abi = landlock_abi();
	/* Looking into a process takes the right to trace it, which any Landlock ruleset removes. */
	bool watches = (sandbox->needs & SKYMON_NEEDS_PROCESSES) != 0;
	*missing = 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		*missing = SANDBOX_ALL;
	else if (!watches && (abi < 1 || !enter_files(sandbox, abi)))
		*missing = SANDBOX_FILES | SANDBOX_SIGNALS;
	else if (!watches && abi < 6)
		*missing = SANDBOX_SIGNALS;
	if ((*missing & SANDBOX_ALL) != SANDBOX_ALL && !sandbox_filter(sandbox->needs))
		*missing |= SANDBOX_CALLS;
	if (*missing == 0 || !sandbox->strict)
		return true;
	return err_set(err, "isolation is strict, and this kernel cannot confine the worker's%s%s%s",
		       (*missing & SANDBOX_FILES) != 0 ? " files" : "",
		       (*missing & SANDBOX_SIGNALS) != 0 ? " signals" : "",
		       (*missing & SANDBOX_CALLS) != 0 ? " system calls" : "");
}
