// SPDX-License-Identifier: GPL-2.0
/* The flushes of one memcg that were forced, and when: those of the kernel's own flusher, of root. */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

#define MOST 64

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

/* The cgroup id of the memcg that is watched. */
__u64 watched;

/* How many forced flushes of it there were, and when each began, in nanoseconds of the monotonic clock. */
__u32 forced;
__u64 began[MOST];

SEC("?tp_btf/memcg_flush_stats")
int BPF_PROG(on_flush, struct mem_cgroup *memcg, __s64 stats_updates, _Bool force, _Bool needs_flush)
{
	__u32 at = forced;

	if (!force || ((struct cgroup___with_node *)memcg->css.cgroup)->kn->id != watched)
		return 0;
	if (at < MOST)
		began[at] = bpf_ktime_get_ns();
	forced = at + 1;
	return 0;
}
