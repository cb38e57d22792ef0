/* SPDX-License-Identifier: GPL-2.0 */
/* What a program needs to enter a context: locks, timers, and tasks with their cgroups. */
#ifndef KFUNCTEST_CONTEXTS_H
#define KFUNCTEST_CONTEXTS_H

#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

struct css_set {
	struct cgroup *dfl_cgrp;
} __kernel_type;

struct task_struct {
	struct css_set *cgroups;
	struct mem_cgroup *active_memcg;
} __kernel_type;

struct locked {
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} lock_map SEC(".maps");

struct timed {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timed);
} timer_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} value_map SEC(".maps");

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;
extern void bpf_local_irq_save(unsigned long *flags) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym __weak;

/* An event that every memcg tracks: of the series as posted, any other makes the kernel warn. */
enum vm_event_item___tracked {
	PGFAULT___tracked,
};

/* All that may be read where nothing sleeps, and one more reference that is got and given back there. */
static __always_inline unsigned long read_all(struct mem_cgroup *memcg)
{
	struct mem_cgroup *again = bpf_get_mem_cgroup(&memcg->css);
	unsigned long sum;

	if (again)
		bpf_put_mem_cgroup(again);
	sum = bpf_mem_cgroup_usage(memcg) + bpf_mem_cgroup_page_state(memcg, 0);
	sum += bpf_mem_cgroup_vm_events(memcg, bpf_core_enum_value(enum vm_event_item___tracked, PGFAULT___tracked));
	/* Not in every revision of the patch. Whether it must be here is for test_presence.py to say. */
	if (bpf_ksym_exists(bpf_mem_cgroup_memory_events))
		sum += bpf_mem_cgroup_memory_events(memcg, 0);
	return sum;
}

#endif
