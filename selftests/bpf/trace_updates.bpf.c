// SPDX-License-Identifier: GPL-2.0
/* What each update of a memcg's statistics counts towards the threshold of a flush, as the kernel's tracepoints tell. */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

/* The cgroup id of the memcg that is watched, and the item. */
__u64 watched;
int item;

/* How many updates of the item there were, and what they counted for. */
__u64 updates, weight;

static __always_inline int count(struct mem_cgroup *memcg, int of, long value)
{
	if (of != item || ((struct cgroup___with_node *)memcg->css.cgroup)->kn->id != watched)
		return 0;
	__sync_fetch_and_add(&updates, 1);
	__sync_fetch_and_add(&weight, value < 0 ? -value : value);
	return 0;
}

SEC("?tp_btf/mod_memcg_state")
int BPF_PROG(on_state, struct mem_cgroup *memcg, int of, long value)
{
	return count(memcg, of, value);
}

SEC("?tp_btf/mod_memcg_lruvec_state")
int BPF_PROG(on_lruvec_state, struct mem_cgroup *memcg, int of, long value)
{
	return count(memcg, of, value);
}
