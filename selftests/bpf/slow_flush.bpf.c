// SPDX-License-Identifier: GPL-2.0
/*
 * A flush that takes its time between two CPUs, as one does whose own CPU is a virtual one that the host does not run:
 * when all is read of CPU 0, CPU 1 waits until it is told to go on.
 */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define SECOND 1000000000ULL
#define LONGEST (3 * SECOND)	/* far less than what the kernel takes for a lockup */

struct memcg_vmstats {
	struct {
		__s64 counter;
	} stats_updates;
} __kernel_type;

struct mem_cgroup___with_vmstats {
	struct memcg_vmstats *vmstats;
} __kernel_type;

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

struct cgroup_subsys_state___of_cgroup {
	struct cgroup___with_node *cgroup;
} __kernel_type;

/* The cgroup id of the memcg in whose turn the flush waits; 0 when it has done so. */
__u64 watched;

/* 1 while it waits. */
__u32 waits;

/* 1: it may go on. */
__u32 go;

/* The updates that were pending when it did. */
__u64 pending;

/* The memcg whose turns are counted since then, but not those of flushes by this process. */
__u64 followed;
__u32 ours;
__u32 others;

static long wait_for_go(__u64 i, __u64 *until)
{
	return go || bpf_ktime_get_ns() > *until;
}

/* So many steps may be over in half a second, and what is waited for takes as long where the CPUs share one thread. */
static long wait_longer(__u64 i, __u64 *until)
{
	bpf_loop(1 << 23, wait_for_go, until, 0);
	return wait_for_go(i, until);
}

SEC("?fentry/mem_cgroup_css_rstat_flush")
int BPF_PROG(before_a_turn, struct cgroup_subsys_state *css, int cpu)
{
	struct memcg_vmstats *vmstats;
	__u64 until, id;

	if (!watched && !followed)
		return 0;
	id = ((struct cgroup_subsys_state___of_cgroup *)css)->cgroup->kn->id;
	if (id == followed && bpf_get_current_pid_tgid() >> 32 != ours)
		others++;
	if (id != watched || cpu != 1 || bpf_get_smp_processor_id() != 1)
		return 0;
	until = bpf_ktime_get_ns() + LONGEST;
	waits = 1;
	bpf_loop(1 << 23, wait_longer, &until, 0);
	/* The css is the memcg's first member. */
	bpf_core_read(&vmstats, sizeof(vmstats), &((struct mem_cgroup___with_vmstats *)css)->vmstats);
	bpf_core_read(&pending, sizeof(pending), &vmstats->stats_updates.counter);
	followed = watched;
	watched = 0;
	waits = 0;
	return 0;
}
