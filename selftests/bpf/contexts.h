/* SPDX-License-Identifier: GPL-2.0 */
/* What a program needs to enter a context: locks, timers, and tasks with their cgroups. */
#ifndef KFUNCTEST_CONTEXTS_H
#define KFUNCTEST_CONTEXTS_H

#include "memcg_kfuncs.h"

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

/* What may be read where nothing sleeps: one value that is live, and one of the last flush. */
static __always_inline unsigned long read_all(struct mem_cgroup *memcg)
{
	return bpf_mem_cgroup_usage(memcg) + bpf_mem_cgroup_page_state(memcg, 0);
}

#endif
