// SPDX-License-Identifier: GPL-2.0
/*
 * What waits for a flush of two memcgs: how much the kernel takes it to be, what CPUs hold back of that, and the updates
 * that it is made of, as tracepoints tell of each.
 */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MOST_CPUS 64

struct memcg_vmstats {
	struct {
		__s64 counter;
	} stats_updates;
} __kernel_type;

struct memcg_vmstats_percpu {
	unsigned long stats_updates;
} __kernel_type;

struct mem_cgroup___with_vmstats {
	struct memcg_vmstats *vmstats;
	struct memcg_vmstats_percpu *vmstats_percpu;
} __kernel_type;

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

/* A name of the kernel's that is in no header: found in its symbols when the object is loaded. */
extern const void __per_cpu_offset __ksym __weak;

struct pending_args {
	__u64 cgroup_id;
	__u32 cpus;		/* CPUs that may have counted */
	__u32 flush;		/* 1: flush it first */
	__u64 pending;		/* out: updates that a flush would find ... */
	__u64 held;		/* out: ... and those that CPUs have not told of, after it */
	__u64 before;		/* out: what updates of the watched memcg ever counted for, before it ... */
	__u64 told;		/* out: ... and after it */
	__u64 found;		/* out: updates that a flush would have found before it */
	__u64 calm;		/* out: nanoseconds since the kernel last began to flush by force, as its flusher does */
};

/* The cgroup id of the memcg whose updates are watched. */
__u64 watched;

/* What its updates counted for, altogether; how many there were that counted for nothing. */
__u64 weight, nothing;

/* The most that a CPU held back of it after an update. */
__u64 most_held;

/* How many updates there were of one item. */
__s32 item;
__u64 of_item;

/* How often the kernel began to flush anything by force, and when it last did, by its own clock. */
__u64 forced, forced_at;

static __always_inline __u64 held_by(struct mem_cgroup *memcg, __u32 cpu)
{
	__u64 offset = 0, at = 0, held = 0;

	if (!&__per_cpu_offset)
		return 0;
	/* As a number: a pointer that was followed takes no other number to be added to it. */
	bpf_probe_read_kernel(&at, sizeof(at), (void *)memcg + bpf_core_field_offset(struct mem_cgroup___with_vmstats,
										     vmstats_percpu));
	bpf_probe_read_kernel(&offset, sizeof(offset), (void *)&__per_cpu_offset + 8 * (__u64)cpu);
	at += offset + bpf_core_field_offset(struct memcg_vmstats_percpu, stats_updates);
	/* It was an int once. */
	if (bpf_core_field_size(struct memcg_vmstats_percpu, stats_updates) == 4)
		bpf_probe_read_kernel(&held, 4, (void *)at);
	else
		bpf_probe_read_kernel(&held, 8, (void *)at);
	return held;
}

/* Returns 0, or 1 for no memcg, 2 for a symbol that the kernel lacks. */
SEC("?syscall")
int look(struct pending_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;
	__u32 cpu;

	if (!&__per_cpu_offset)
		return 2;
	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 1;
	args->before = weight;
	args->calm = bpf_ktime_get_ns() - forced_at;
	args->found = ((struct mem_cgroup___with_vmstats *)memcg)->vmstats->stats_updates.counter;
	if (args->flush)
		bpf_mem_cgroup_flush_stats(memcg);
	args->pending = ((struct mem_cgroup___with_vmstats *)memcg)->vmstats->stats_updates.counter;
	args->held = 0;
	for (cpu = 0; cpu < MOST_CPUS && cpu < args->cpus; cpu++)
		args->held += held_by(memcg, cpu);
	args->told = weight;
	bpf_put_mem_cgroup(memcg);
	return 0;
}

static __always_inline int count(struct mem_cgroup *memcg, __s32 of, __s64 value)
{
	__u64 held;

	if (((struct cgroup___with_node *)memcg->css.cgroup)->kn->id != watched)
		return 0;
	value = value < 0 ? -value : value;
	__sync_fetch_and_add(&weight, value);
	if (!value)
		__sync_fetch_and_add(&nothing, 1);
	if (of == item)
		__sync_fetch_and_add(&of_item, 1);
	/* The kernel tells of an update after it counted it, and lets nobody else run on this CPU in between. */
	held = held_by(memcg, bpf_get_smp_processor_id());
	if (held > most_held)
		most_held = held;
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

SEC("?tp_btf/count_memcg_events")
int BPF_PROG(on_events, struct mem_cgroup *memcg, int of, unsigned long value)
{
	return count(memcg, -1, value);
}

SEC("?tp_btf/memcg_flush_stats")
int BPF_PROG(on_flush, struct mem_cgroup *memcg, __s64 stats_updates, _Bool force, _Bool needs_flush)
{
	if (!force)
		return 0;
	forced_at = bpf_ktime_get_ns();
	__sync_fetch_and_add(&forced, 1);
	return 0;
}
