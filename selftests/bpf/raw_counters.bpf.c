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
} __kernel_type;

struct page_counter {
	struct {
		__s64 counter;
	} usage;
} __kernel_type;

struct mem_cgroup___raw {
	struct page_counter memory;
	struct memcg_vmstats *vmstats;
	struct {
		__s64 counter;
	} memory_events[1];
} __kernel_type;

/* Names of the kernel's that are in no header: found in its symbols when the object is loaded. */
extern const void mem_cgroup_stats_index __ksym __weak;
extern const void mem_cgroup_events_index __ksym __weak;
extern const void page_offset_base __ksym __weak;

struct raw_args {
	__u64 cgroup_id;
	__u64 usage;		/* out, addresses: of the page counter's pages, ... */
	__u64 state;		/* out: ... of vmstats->state[0], ... */
	__u64 events;		/* out: ... of vmstats->events[0], ... */
	__u64 memory_events;	/* out: ... of memory_events[0], ... */
	__u64 direct_map;	/* out: ... and of where all physical memory is mapped; 0: at the kernel's fixed place */
};

/* The counters, as many as there may be: what lies behind the last is something else of the kernel's. */
__u64 usage;
__s64 state[MOST];
__u64 events[MOST];
__s64 memory_events[MOST];

/* By enumerator: the place in state[] and in events[]; 255 for what memcg does not track. */
__u8 state_index[MOST];
__u8 events_index[MOST];

static __always_inline void locate(struct mem_cgroup *memcg, struct raw_args *args)
{
	struct mem_cgroup___raw *raw = (void *)memcg;
	void *vmstats = raw->vmstats;

	args->usage = (__u64)memcg + bpf_core_field_offset(struct mem_cgroup___raw, memory) +
		      bpf_core_field_offset(struct page_counter, usage);
	args->state = (__u64)vmstats + bpf_core_field_offset(struct memcg_vmstats, state);
	args->events = (__u64)vmstats + bpf_core_field_offset(struct memcg_vmstats, events);
	args->memory_events = (__u64)memcg + bpf_core_field_offset(struct mem_cgroup___raw, memory_events);
	args->direct_map = 0;
	if (&page_offset_base)
		bpf_probe_read_kernel(&args->direct_map, sizeof(args->direct_map), &page_offset_base);
}

SEC("syscall")
int read_raw(struct raw_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;
	long failed;

	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 2;
	locate(memcg, args);
	failed = bpf_probe_read_kernel(&usage, sizeof(usage), (void *)args->usage);
	failed |= bpf_probe_read_kernel(state, sizeof(state), (void *)args->state);
	failed |= bpf_probe_read_kernel(events, sizeof(events), (void *)args->events);
	failed |= bpf_probe_read_kernel(memory_events, sizeof(memory_events), (void *)args->memory_events);
	bpf_put_mem_cgroup(memcg);
	if (!&mem_cgroup_stats_index || !&mem_cgroup_events_index)
		return 3;
	failed |= bpf_probe_read_kernel(state_index, sizeof(state_index), &mem_cgroup_stats_index);
	failed |= bpf_probe_read_kernel(events_index, sizeof(events_index), &mem_cgroup_events_index);
	return failed ? 4 : 0;
}
