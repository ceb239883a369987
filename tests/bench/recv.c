/* SPDX-License-Identifier: Apache-2.0 */
/* recv: the plain loop that the row statsd compares with: receives UDP packets one by one at 127.0.0.1 and counts them, until one
 * that says "end". Prints its port at once, and at the end the packets and the CPU time of the process in ns. Started by streams.py. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

int main(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){4 << 20}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&at, size) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &size) != 0)
		return 1;
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
	char packet[9000];
	long packets = 0;
	ssize_t got;
	while ((got = recv(fd, packet, sizeof(packet), 0)) >= 0 &&
	       !(got == 3 && memcmp(packet, "end", 3) == 0))
		packets++;
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	printf("%ld %lld\n", packets, used.tv_sec * 1000000000LL + used.tv_nsec);
	return 0;
}
