/* SPDX-License-Identifier: GPL-2.0 */
/* How both programs take the time, and tell it. */
#ifndef KFUNCTEST_MEASURED_H
#define KFUNCTEST_MEASURED_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

struct measured {
	struct timespec wall;
	struct rusage usage;
};

static inline void take(struct measured *now)
{
	getrusage(RUSAGE_SELF, &now->usage);
	clock_gettime(CLOCK_MONOTONIC, &now->wall);
}

static inline long long microseconds(struct timeval from, struct timeval to)
{
	return (to.tv_sec - from.tv_sec) * 1000000LL + to.tv_usec - from.tv_usec;
}

/* Nanoseconds that passed, and the kernel's account of this process: of ticks, where it has nothing better. */
static inline void tell(const struct measured *from, const struct measured *to)
{
	printf("real %lld\n", (to->wall.tv_sec - from->wall.tv_sec) * 1000000000LL +
			      to->wall.tv_nsec - from->wall.tv_nsec);
	printf("user %lld\n", 1000 * microseconds(from->usage.ru_utime, to->usage.ru_utime));
	printf("system %lld\n", 1000 * microseconds(from->usage.ru_stime, to->usage.ru_stime));
}

static inline void fail(const char *what)
{
	perror(what);
	exit(1);
}

#endif
