/* SPDX-License-Identifier: Apache-2.0 */
/* process_parse: parses the files of /proc and the pid file that the check `process` reads. Pure: no file, no
 * clock. */
#ifndef PROCESS_PARSE_H
#define PROCESS_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* /proc/PID/stat */
struct process_stat {
	char name[64], state; /* name: of the program, cut by the kernel to 15 bytes; state: R S D Z T … */
	int parent;
	uint64_t ticks; /* CPU time: its own, and that of the children that it has waited for */
	uint64_t threads, start_ticks, pages; /* start: since boot; pages: resident */
};
bool process_parse_stat(const char *text, struct process_stat *out);

/* Reads the limit of open files from /proc/PID/limits. Returns false if it is missing or unlimited. */
bool process_parse_files_limit(const char *text, uint64_t *limit);

/* Reads the number in the first line; blanks around it are allowed (postmaster.pid has further lines). */
bool process_parse_pid(const char *text, int *pid);

/* Parses one line of /proc/net/tcp or tcp6; returns false for the heading. */
enum process_tcp_state {
	PROCESS_ESTABLISHED = 1,
	PROCESS_SYN_SENT,
	PROCESS_SYN_RECV,
	PROCESS_FIN_WAIT1,
	PROCESS_FIN_WAIT2,
	PROCESS_TIME_WAIT,
	PROCESS_CLOSE,
	PROCESS_CLOSE_WAIT,
	PROCESS_LAST_ACK,
	PROCESS_LISTEN,
	PROCESS_CLOSING,
	PROCESS_NEW_SYN_RECV,
	PROCESS_TCP_STATES
};
struct process_socket {
	uint16_t port;  /* local */
	int state;      /* enum process_tcp_state */
	uint64_t inode; /* 0 if no file refers to it (not accepted yet, or closed) */
};
bool process_parse_socket(const char *line, struct process_socket *out);

/* Parses a link of /proc/PID/fd, as in "socket:[123]". */
bool process_parse_link(const char *text, uint64_t *inode);

/* Writes the name of a unit's folder: adds ".service" to a name without suffix. Returns false if it is not a
 * unit's name (a path, too long). */
bool process_unit_name(const char *unit, char *out, size_t size);

#endif
