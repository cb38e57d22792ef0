// SPDX-License-Identifier: GPL-2.0
/*
 * The counters that the kfuncs give values of, read past the kfuncs' code: where a memcg keeps them, and what they are.
 *
 * memory.stat would not do: it shares the code below the kfuncs. Where in memcg->vmstats an item stands is told by the
 * kernel's own index, which is what counting goes by, too.
 */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MOST 256		/* the indices are bytes: mem_cgroup_stats_index[], mm/memcontrol.c */

struct memcg_vmstats {
	long state[1];
	unsigned long events[1];
	struct {
		__s64 counter;
	} stats_updates;
} __kernel_type;

struct memcg_vmstats_percpu {
	long state[1];
	unsigned long events[1];
} __kernel_type;

struct page_counter {
	struct {
		__s64 counter;
	} usage;
} __kernel_type;

struct mem_cgroup___raw {
	struct page_counter memory;
	struct memcg_vmstats *vmstats;
	struct memcg_vmstats_percpu *vmstats_percpu;
	struct {
		__s64 counter;
	} memory_events[1];
} __kernel_type;

struct mm_struct {
	void *pgd;
} __kernel_type;

struct task_struct {
	struct mm_struct *mm;
} __kernel_type;

/* Names of the kernel's that are in no header: found in its symbols when the object is loaded. */
extern const void mem_cgroup_stats_index __ksym __weak;
extern const void mem_cgroup_events_index __ksym __weak;
extern const void page_offset_base __ksym __weak;
extern const void __per_cpu_offset __ksym __weak;

struct raw_args {
	__u64 cgroup_id;
	__u32 cpu;			/* of read_cpu */
	__u32 padding;
	__u64 usage;			/* out, addresses: of the page counter's pages, ... */
	__u64 state;			/* out: ... of state[0], in vmstats or of the CPU, ... */
	__u64 events;			/* out: ... of events[0], ... */
	__u64 memory_events;		/* out: ... of memory_events[0], ... */
	__u64 pending;			/* out: ... of the updates that wait for a flush, ... */
	__u64 direct_map;		/* out: ... of where all physical memory is mapped (0: at the kernel's fixed place), ... */
	__u64 page_table;		/* out: ... and of the page table, in there */
	__u64 state_bytes;		/* out, sizes of the arrays by the kernel's BTF: nothing behind them is a counter */
	__u64 events_bytes;
	__u64 memory_events_bytes;
};

/* The counters, as many as there may be. */
__u64 usage;
__s64 state[MOST];
__u64 events[MOST];
__s64 memory_events[MOST];

/* By enumerator: the place in state[] and in events[]; 255 for what memcg does not track. */
__u8 state_index[MOST];
__u8 events_index[MOST];

static __always_inline struct mem_cgroup *get(__u64 cgroup_id)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;

	cgroup = bpf_cgroup_from_id(cgroup_id);
	if (!cgroup)
		return NULL;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	return memcg;
}

static __always_inline void locate_memory(struct raw_args *args)
{
	struct task_struct *task = bpf_get_current_task_btf();

	args->page_table = (__u64)BPF_CORE_READ(task, mm, pgd);
	args->direct_map = 0;
	if (&page_offset_base)
		bpf_probe_read_kernel(&args->direct_map, sizeof(args->direct_map), &page_offset_base);
}

/* Read a whole array of the kernel's, as long as the kernel's BTF says. */
#define read_array(array, at, type, size)							\
	({											\
		(size) = bpf_core_field_size(type, array);					\
		(size) > sizeof(array) ? -1 : bpf_probe_read_kernel(array, (size), (void *)(at)); \
	})

/* Returns 0, or 1 for no memcg, 2 for an index that the kernel's symbols lack, 3 for memory that cannot be read. */
SEC("?syscall")
int read_raw(struct raw_args *args)
{
	struct mem_cgroup___raw *raw;
	struct mem_cgroup *memcg;
	void *vmstats;
	long failed;

	memcg = get(args->cgroup_id);
	if (!memcg)
		return 1;
	raw = (void *)memcg;
	vmstats = raw->vmstats;
	args->usage = (__u64)memcg + bpf_core_field_offset(struct mem_cgroup___raw, memory) +
		      bpf_core_field_offset(struct page_counter, usage);
	args->state = (__u64)vmstats + bpf_core_field_offset(struct memcg_vmstats, state);
	args->events = (__u64)vmstats + bpf_core_field_offset(struct memcg_vmstats, events);
	args->pending = (__u64)vmstats + bpf_core_field_offset(struct memcg_vmstats, stats_updates);
	args->memory_events = (__u64)memcg + bpf_core_field_offset(struct mem_cgroup___raw, memory_events);
	locate_memory(args);
	failed = bpf_probe_read_kernel(&usage, sizeof(usage), (void *)args->usage);
	failed |= read_array(state, args->state, struct memcg_vmstats, args->state_bytes);
	failed |= read_array(events, args->events, struct memcg_vmstats, args->events_bytes);
	failed |= read_array(memory_events, args->memory_events, struct mem_cgroup___raw, args->memory_events_bytes);
	bpf_put_mem_cgroup(memcg);
	if (!&mem_cgroup_stats_index || !&mem_cgroup_events_index)
		return 2;
	failed |= bpf_probe_read_kernel(state_index, sizeof(state_index), &mem_cgroup_stats_index);
	failed |= bpf_probe_read_kernel(events_index, sizeof(events_index), &mem_cgroup_events_index);
	return failed ? 3 : 0;
}

/* What one CPU counted in this memcg and none below it. Returns what read_raw does. */
SEC("?syscall")
int read_cpu(struct raw_args *args)
{
	__u64 offset = 0, at = 0;
	struct mem_cgroup *memcg;
	long failed;

	memcg = get(args->cgroup_id);
	if (!memcg)
		return 1;
	failed = bpf_probe_read_kernel(&at, sizeof(at), (void *)memcg + bpf_core_field_offset(struct mem_cgroup___raw,
											     vmstats_percpu));
	if (!&__per_cpu_offset) {
		bpf_put_mem_cgroup(memcg);
		return 2;
	}
	failed |= bpf_probe_read_kernel(&offset, sizeof(offset), (void *)&__per_cpu_offset + 8 * (__u64)args->cpu);
	at += offset;
	args->state = at + bpf_core_field_offset(struct memcg_vmstats_percpu, state);
	args->events = at + bpf_core_field_offset(struct memcg_vmstats_percpu, events);
	locate_memory(args);
	failed |= read_array(state, args->state, struct memcg_vmstats_percpu, args->state_bytes);
	failed |= read_array(events, args->events, struct memcg_vmstats_percpu, args->events_bytes);
	bpf_put_mem_cgroup(memcg);
	return failed ? 3 : 0;
}
