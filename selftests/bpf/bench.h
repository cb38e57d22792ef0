/* SPDX-License-Identifier: GPL-2.0 */
/* What bench.bpf.c and the program that runs it, selftests/bench/read_kfuncs.c, share: its settings and its results. */
#ifndef KFUNCTEST_BENCH_H
#define KFUNCTEST_BENCH_H

#include <linux/types.h>

#define BENCH_ITEMS 128
#define BENCH_MEMCGS 1024

/* The only constants of the object, so that they begin .rodata. */
struct bench_setup {
	__u32 get;		/* get the memcg, and put it; without this nothing is done at all */
	__u32 flush;
	__u32 nstates;		/* how many of items[] go through page_state; they come first */
	__u32 nitems;
	__s32 items[BENCH_ITEMS];
};

struct bench_row {
	__u64 id;		/* of the cgroup */
	__u64 values[BENCH_ITEMS];
};

/* The only variables of the object, so that they begin .bss: mapped by the program that runs it. */
struct bench_result {
	__u64 visited;		/* how many rows were filled; set to 0 before each pass */
	struct bench_row rows[BENCH_MEMCGS];
};

#endif
