// SPDX-License-Identifier: GPL-2.0
/*
 * The flushes of memcgs, as the kernel's tracepoint tells of them: needed or not, each fires once. Kernels before the
 * tracepoint tell by what they call when a flush is needed.
 */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

struct memcg_vmstats {
	struct {
		__s64 counter;
	} stats_updates;
} __kernel_type;

struct mem_cgroup___with_vmstats {
	struct memcg_vmstats *vmstats;
} __kernel_type;

struct flush {
	__s64 pending;	/* updates that were to be flushed */
	__s64 left;	/* those that were still to be flushed afterwards */
	__s32 needed;	/* the kernel found them to be more than the threshold */
	__s32 forced;	/* the threshold did not count */
};

struct flush_args {
	__u64 cgroup_id;	/* the memcg that is flushed twice, and whose flushes are watched */
};

/* The cgroup id of the memcg that is watched. */
__u64 watched;

/* How many updates the kernel found pending when it last told of a flush of the watched one; below 0: it did not tell. */
__s64 found;

/* How often the kernel told of a flush of the watched one, and how many of these were needed or forced. */
__u64 fired, needed, forced;

/* The two flushes of flush_twice. */
struct flush flushed[2];

/* How often each memcg was flushed, by cgroup id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} flushes SEC(".maps");

static __always_inline void count(struct cgroup *cgroup, __s64 updates, int is_needed, int is_forced)
{
	__u64 id = ((struct cgroup___with_node *)cgroup)->kn->id;
	__u64 *count, one = 1;

	count = bpf_map_lookup_elem(&flushes, &id);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&flushes, &id, &one, BPF_ANY);
	if (id != watched)
		return;
	fired++;
	needed += is_needed;
	forced += is_forced;
	found = updates;
}

SEC("?tp_btf/memcg_flush_stats")
int BPF_PROG(on_flush, struct mem_cgroup *memcg, __s64 stats_updates, _Bool force, _Bool needs_flush)
{
	count(memcg->css.cgroup, stats_updates, needs_flush, force);
	return 0;
}

/* do_flush_stats(), mm/memcontrol.c of 6.12, calls it; before that, mem_cgroup_flush_stats() has seen to the threshold. */
SEC("?fentry/cgroup_rstat_flush")
int BPF_PROG(on_needed_flush, struct cgroup *cgroup)
{
	count(cgroup, -1, 1, 0);
	return 0;
}

static __always_inline __s64 pending(struct mem_cgroup *memcg)
{
	return ((struct mem_cgroup___with_vmstats *)memcg)->vmstats->stats_updates.counter;
}

static __always_inline void flush_once(struct mem_cgroup *memcg, struct flush *flush)
{
	__u64 needed_before = needed, forced_before = forced;

	found = -1;
	flush->pending = pending(memcg);
	bpf_mem_cgroup_flush_stats(memcg);
	/* The kernel's own look decides: its flusher may have been here since ours. */
	if (found >= 0)
		flush->pending = found;
	flush->left = pending(memcg);
	flush->needed = needed - needed_before;
	flush->forced = forced - forced_before;
}

/* Two flushes in a row, the second one with next to nothing to flush. Returns 1 when there is no such memcg. */
SEC("?syscall")
int flush_twice(struct flush_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;

	watched = args->cgroup_id;
	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 1;
	flush_once(memcg, &flushed[0]);
	flush_once(memcg, &flushed[1]);
	bpf_put_mem_cgroup(memcg);
	return 0;
}
