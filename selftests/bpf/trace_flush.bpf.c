// SPDX-License-Identifier: GPL-2.0
/* The flushes of memcgs, as the kernel's tracepoint tells of them: needed or not, each fires once. */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

struct flush {
	__s64 pending;	/* updates that were to be flushed */
	__s32 needed;	/* they were more than the threshold */
	__s32 forced;	/* the threshold did not count */
};

/* The cgroup id of the memcg that is watched. */
__u64 watched;

/* How often the watched one was flushed, and the two last times, the later one at 1. */
__u64 fired;
struct flush last[2];

/* How often each memcg was flushed, by cgroup id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} flushes SEC(".maps");

SEC("tp_btf/memcg_flush_stats")
int BPF_PROG(on_flush, struct mem_cgroup *memcg, __s64 stats_updates, _Bool force, _Bool needs_flush)
{
	__u64 id = ((struct cgroup___with_node *)memcg->css.cgroup)->kn->id;
	__u64 *count, one = 1;

	count = bpf_map_lookup_elem(&flushes, &id);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&flushes, &id, &one, BPF_ANY);
	if (id != watched)
		return 0;
	fired++;
	last[0] = last[1];
	last[1].pending = stats_updates;
	last[1].needed = needs_flush;
	last[1].forced = force;
	return 0;
}
