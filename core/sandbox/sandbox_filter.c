/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of a worker: a seccomp filter that refuses (EPERM) what no check needs and what reaches
 * other processes or the kernel. A list of refusals and not of permissions, because client libraries use a
 * different set on every system. Called once by the worker's main thread, before the plugin is opened; what
 * it starts later inherits the filter. */
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <skymon/plugin.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

#define PROGRAM_MAX 512
#define X32 0x40000000u /* the other ABI of x86_64: the same calls by other numbers */
#define NEW_NAMESPACES                                                                                       \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |        \
	 CLONE_NEWNET)

/* Refused to all. Numbers that older headers lack are the same on all architectures. */
static const unsigned refused[] = {
	/* memory and descriptors of other processes */
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_kcmp,
	438 /* pidfd_getfd */,
	440 /* process_madvise */,
	448 /* process_mrelease */,
	SYS_move_pages,
	SYS_migrate_pages,
	SYS_userfaultfd,
	SYS_perf_event_open,
	SYS_bpf,
	425 /* io_uring_setup */,
	426,
	427,
	/* memory that is shared by name */
	SYS_shmget,
	SYS_shmat,
	SYS_shmctl,
	SYS_semget,
	SYS_semop,
	SYS_semtimedop,
	SYS_semctl,
	SYS_msgget,
	SYS_msgsnd,
	SYS_msgrcv,
	SYS_msgctl,
	SYS_mq_open,
	SYS_mq_unlink,
	/* keys */
	SYS_keyctl,
	SYS_add_key,
	SYS_request_key,
	/* namespaces and mounts */
	SYS_setns,
	SYS_unshare,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	428 /* open_tree */,
	429 /* move_mount */,
	430 /* fsopen */,
	431 /* fsconfig */,
	432 /* fsmount */,
	433 /* fspick */,
	442 /* mount_setattr */,
	SYS_open_by_handle_at,
	SYS_fanotify_init,
	/* the machine */
	SYS_reboot,
	SYS_kexec_load,
	SYS_kexec_file_load,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_swapon,
	SYS_swapoff,
	SYS_acct,
	SYS_quotactl,
	443 /* quotactl_fd */,
	SYS_syslog,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_vhangup,
	SYS_personality,
	/* others' priorities; a signal by the number of a thread alone */
	SYS_ioprio_set,
	SYS_tkill,
#ifdef SYS_iopl
	SYS_iopl,
	SYS_ioperm,
	SYS_modify_ldt,
#endif
};
/* Refused unless the plugin runs programs. Without processes of its own, nothing outlives a worker. */
static const unsigned refused_programs[] = {
	SYS_execve, SYS_execveat, 424 /* pidfd_send_signal */,
#ifdef SYS_fork
	SYS_fork,   SYS_vfork,
#endif
};

struct program {
	struct sock_filter lines[PROGRAM_MAX];
	unsigned short count;
};

static void put(struct program *program, uint16_t code, uint32_t value, uint8_t yes, uint8_t no)
{
	program->lines[program->count++] = (struct sock_filter)BPF_JUMP(code, value, yes, no);
}

static void put_return(struct program *program, int error)
{
	put(program, BPF_RET | BPF_K, error != 0 ? SECCOMP_RET_ERRNO | (uint32_t)error : SECCOMP_RET_ALLOW, 0,
	    0);
}

static void load(struct program *program, size_t offset)
{
	put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void refuse(struct program *program, const unsigned *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		put(program, BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		put_return(program, EPERM);
	}
}

/* The lower half of an argument; the upper one does not count in calls that take an int. */
static size_t argument(unsigned nth)
{
	return offsetof(struct seccomp_data, args) + nth * sizeof(uint64_t); /* little endian */
}

/* One call whose nth argument must be one of these values (only) or none of them. */
static void limit(struct program *program, unsigned call, unsigned nth, bool only, int error,
		  const uint32_t *values, uint8_t count)
{
	put(program, BPF_JMP | BPF_JEQ | BPF_K, call, 0, (uint8_t)(count + 3));
	load(program, argument(nth));
	for (uint8_t i = 0; i < count; i++) /* jumps to the second return */
		put(program, BPF_JMP | BPF_JEQ | BPF_K, values[i], (uint8_t)(count - i), 0);
	put_return(program, only ? error : 0);
	put_return(program, only ? 0 : error);
}
#define LIMIT(program, call, nth, only, error, ...)                                                          \
	limit(program, call, nth, only, error, (const uint32_t[]){__VA_ARGS__},                              \
	      sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Calls that reach a process by its number, for this one only. */
static void limit_processes(struct program *program, bool programs)
{
	uint32_t self = (uint32_t)getpid();
	if (!programs) { /* with programs, Landlock alone keeps it from other processes than its children */
		put(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 0, 6);
		load(program, argument(1));
		put(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 2,
		    0); /* signal 0 only asks whether the process exists */
		load(program, argument(0));
		put(program, BPF_JMP | BPF_JEQ | BPF_K, self, 0, 1);
		put_return(program, 0);
		put_return(program, EPERM);
		LIMIT(program, SYS_tgkill, 0, true, EPERM, self);
		LIMIT(program, SYS_rt_sigqueueinfo, 0, true, EPERM, self);
		LIMIT(program, SYS_rt_tgsigqueueinfo, 0, true, EPERM, self);
	}
	LIMIT(program, SYS_prlimit64, 0, true, EPERM, 0, self);
	LIMIT(program, SYS_setpriority, 1, true, EPERM, 0, self);
	LIMIT(program, SYS_sched_setaffinity, 0, true, EPERM, 0, self);
	LIMIT(program, SYS_sched_setscheduler, 0, true, EPERM, 0, self);
	LIMIT(program, SYS_sched_setparam, 0, true, EPERM, 0, self);
	LIMIT(program, SYS_sched_setattr, 0, true, EPERM, 0, self);
}

static void limit_clone(struct program *program, bool programs)
{
	put(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 5);
	load(program, argument(0));
	put(program, BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 2, 0);
	put(program, BPF_JMP | BPF_JSET | BPF_K, programs ? UINT32_MAX : CLONE_THREAD, 0, 1);
	put_return(program, 0);
	put_return(program, EPERM);
	put(program, BPF_JMP | BPF_JEQ | BPF_K, 435 /* clone3 */, 0, 1);
	put_return(program, ENOSYS); /* its flags are in memory; the C library falls back to clone */
}

bool sandbox_filter(uint32_t needs)
{
	struct program program = {0};
	bool programs = (needs & SKYMON_NEEDS_EXEC) != 0;
	load(&program, offsetof(struct seccomp_data, arch));
	put(&program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	put(&program, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	load(&program, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	put(&program, BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1);
	put_return(&program, ENOSYS);
#endif
	refuse(&program, refused, sizeof(refused) / sizeof(refused[0]));
	if (!programs)
		refuse(&program, refused_programs, sizeof(refused_programs) / sizeof(refused_programs[0]));
	limit_clone(&program, programs);
	limit_processes(&program, programs);
	LIMIT(&program, SYS_socket, 0, true, EAFNOSUPPORT, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK);
	/* signals to the owner of a descriptor; input into a terminal */
	LIMIT(&program, SYS_fcntl, 1, false, EPERM, 8 /* F_SETOWN */, 15 /* F_SETOWN_EX */,
	      10 /* F_SETSIG */);
	LIMIT(&program, SYS_ioctl, 1, false, EPERM, 0x5412 /* TIOCSTI */, 0x541C /* TIOCLINUX */,
	      0x8901 /* FIOSETOWN */, 0x8902 /* SIOCSPGRP */);
	/* the worker must end with the daemon */
	LIMIT(&program, SYS_prctl, 0, false, EPERM, PR_SET_PDEATHSIG, PR_SET_MM, PR_SET_CHILD_SUBREAPER);
	put_return(&program, 0);
	struct sock_fprog given = {.len = program.count, .filter = program.lines};
	/* SPEC_ALLOW: older kernels would slow the whole process down */
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &given) == 0;
}

#else

bool sandbox_filter(uint32_t needs)
{
	(void)needs;
	errno = ENOSYS;
	return false;
}

#endif
