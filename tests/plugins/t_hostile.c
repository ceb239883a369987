/* SPDX-License-Identifier: Apache-2.0 */
/* Tries what a plugin that was taken over would try, once as its constructor and once in its check, and says
 * in details what it got: each attempt by name, "no: why" or "GOT …". The options name what to attack; no
 * option is flagged, and `decoy` has a default that names a file which the config does not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <skymon/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct hostile {
	const char *token, *config, *plugin_folder, *others_state, *victim_socket, *scratch,
		*program; /* "@" before each path: not to be taken for one that the config gives */
	const char *decoy;
	int64_t daemon, sibling;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct hostile, token, "", "@path of a secret file"),
	SKYMON_OPT(struct hostile, config, "", "@path of the config"),
	SKYMON_OPT(struct hostile, plugin_folder, "", "@path of the folder of plugins"),
	SKYMON_OPT(struct hostile, others_state, "", "@path of another plugin's state"),
	SKYMON_OPT(struct hostile, victim_socket, "", "name of an abstract socket"),
	SKYMON_OPT(struct hostile, scratch, "", "@folder that all may write"),
	SKYMON_OPT(struct hostile, program, "/bin/true", "a program"),
	SKYMON_OPT(struct hostile, decoy, "/tmp/skymon-decoy", "a file by default",
		   .flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct hostile, daemon, "0", "process id of the daemon"),
	SKYMON_OPT(struct hostile, sibling, "0", "process id of another worker"),
	{0},
};

static char early[64] = "no: not tried"; /* by the constructor */

/* Reports what an attempt returned: a negative number is a refusal. */
static void tell(struct skymon *sm, const char *name, long got)
{
	if (got < 0)
		skymon_detail(sm, name, "no: %s", strerror(errno));
	else
		skymon_detail(sm, name, "GOT it (%ld)", got);
}

static long read_some(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	char bytes[64];
	long got = read(fd, bytes, sizeof(bytes));
	int error = errno;
	close(fd);
	errno = error;
	return got;
}

static long make(const char *folder, const char *name)
{
	char path[4200];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd;
}

static long of_process(int64_t pid, const char *name, int mode)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%lld/%s", (long long)pid, name);
	int fd = open(path, mode | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd;
}

static void try_files(struct skymon *sm, const struct hostile *h)
{
	tell(sm, "secret_file", read_some(h->token + 1));
	tell(sm, "config", read_some(h->config + 1));
	tell(sm, "decoy", read_some(h->decoy));
	tell(sm, "shadow", read_some("/etc/shadow"));
	tell(sm, "others_state", read_some(h->others_state + 1));
	tell(sm, "write_plugin_folder", make(h->plugin_folder + 1, "evil.so"));
	tell(sm, "write_tmp", make(h->scratch + 1, "evil"));
	tell(sm, "core_pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC));
	tell(sm, "list_processes", open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	tell(sm, "kernel_log", open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	tell(sm, "device", mknod("evil-device", S_IFBLK | 0600, 0x0801));
}

static void try_processes(struct skymon *sm, const struct hostile *h)
{
	char byte;
	pid_t daemon = (pid_t)h->daemon, sibling = (pid_t)h->sibling;
	struct iovec mine = {&byte, 1}, theirs = {(void *)&early, 1};
	const struct rlimit none = {0, 0};
	tell(sm, "daemon_mem", of_process(daemon, "mem", O_RDWR));
	tell(sm, "daemon_environ", of_process(daemon, "environ", O_RDONLY));
	tell(sm, "daemon_fd", of_process(daemon, "fd", O_RDONLY | O_DIRECTORY));
	tell(sm, "sibling_mem", of_process(sibling, "mem", O_RDWR));
	tell(sm, "sibling_cmdline", of_process(sibling, "cmdline", O_RDONLY));
	tell(sm, "ptrace_daemon", ptrace(PTRACE_SEIZE, daemon, NULL, NULL));
	tell(sm, "ptrace_sibling", ptrace(PTRACE_SEIZE, sibling, NULL, NULL));
	tell(sm, "vm_read", process_vm_readv(daemon, &mine, 1, &theirs, 1, 0));
	tell(sm, "vm_write", process_vm_writev(sibling, &mine, 1, &theirs, 1, 0));
	tell(sm, "signal_daemon", kill(daemon, SIGURG)); /* one that does no harm */
	tell(sm, "signal_sibling", kill(sibling, SIGURG));
	tell(sm, "signal_group", kill(-getpgid(daemon), SIGURG));
	tell(sm, "signal_all", kill(-1, SIGURG));
	tell(sm, "signal_thread", syscall(SYS_tgkill, sibling, sibling, SIGURG));
	tell(sm, "signal_queue", sigqueue(daemon, SIGURG, (union sigval){0}));
	int pidfd = (int)syscall(434 /* pidfd_open */, daemon, 0);
	tell(sm, "signal_pidfd", syscall(424 /* pidfd_send_signal */, pidfd, SIGURG, NULL, 0));
	tell(sm, "take_descriptor", syscall(438 /* pidfd_getfd */, pidfd, 0, 0));
	if (pidfd >= 0)
		close(pidfd);
	int pair[2] = {-1, -1};
	(void)!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	tell(sm, "signal_by_owner", fcntl(pair[0], F_SETOWN, daemon));
	close(pair[0]);
	close(pair[1]);
	tell(sm, "limit_daemon", prlimit(daemon, RLIMIT_NOFILE, &none, NULL));
	tell(sm, "priority", setpriority(PRIO_PROCESS, (id_t)sibling, 19));
	tell(sm, "compare", syscall(SYS_kcmp, daemon, sibling, 0, 0, 0));
}

static long fork_once(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	if (child > 0)
		waitpid(child, NULL, 0);
	return child;
}

static long connect_abstract(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(name);
	memcpy(address.sun_path + 1, name, size);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long got = connect(fd, (struct sockaddr *)&address,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size));
	int error = errno;
	close(fd);
	errno = error;
	return got;
}

static void try_kernel(struct skymon *sm, const struct hostile *h)
{
	char *words[] = {"true", NULL};
	char buffer[4096] = {0};
	tell(sm, "abstract_socket", connect_abstract(h->victim_socket));
	tell(sm, "exec", execv(h->program, words));
	tell(sm, "fork", fork_once());
	tell(sm, "setns", syscall(SYS_setns, 0, 0));
	tell(sm, "unshare", syscall(SYS_unshare, CLONE_NEWUSER));
	tell(sm, "clone_namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
	tell(sm, "clone3", syscall(435, buffer, 64));
	tell(sm, "mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
	tell(sm, "chroot", chroot("/tmp"));
	tell(sm, "keyctl", syscall(SYS_keyctl, 0, -4 /* user session */, 1));
	tell(sm, "add_key", syscall(SYS_add_key, "user", "evil", "x", 1, -4));
	tell(sm, "request_key", syscall(SYS_request_key, "user", "evil", NULL, -4));
	tell(sm, "bpf", syscall(SYS_bpf, 0, buffer, 72));
	tell(sm, "perf", syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0));
	tell(sm, "userfaultfd", syscall(SYS_userfaultfd, 1));
	tell(sm, "io_uring", syscall(425, 1, buffer));
	tell(sm, "module", syscall(SYS_finit_module, 0, "", 0));
	tell(sm, "reboot", syscall(SYS_reboot, 0, 0, 0, 0));
	tell(sm, "shared_memory", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
	tell(sm, "raw_packets", socket(AF_PACKET, SOCK_RAW, 0));
	tell(sm, "outlive_daemon", prctl(PR_SET_PDEATHSIG, 0));
	tell(sm, "personality", syscall(SYS_personality, 0x0040000 /* no randomisation */));
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct hostile *h = state;
	skymon_detail(sm, "constructor", "%s", early);
	try_files(sm, h);
	try_processes(sm, h);
	try_kernel(sm, h);
	return skymon_healthy(sm, "tried");
}

/* Before the host could have looked at the descriptor. The path is the test's. */
static __attribute__((constructor)) void construct(void)
{
	long got = read_some("/tmp/skymon-decoy");
	if (got < 0)
		snprintf(early, sizeof(early), "no: %s", strerror(errno));
	else
		snprintf(early, sizeof(early), "GOT it (%ld)", got);
}

SKYMON_PLUGIN(t_hostile, "1.0", "Tries what it may not", .state_size = sizeof(struct hostile),
	      .options = options, .check = check);
