// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that the verifier must refuse, each for one reason.
 *
 * What they have in common: a memcg pointer is worth something only while it is trusted, that is acquired and checked for
 * NULL, an argument of a tracepoint, or under RCU; and whoever acquires must release, once.
 */
#include "memcg_kfuncs.h"
#include "kfunctest.h"

char _license[] SEC("license") = "GPL";

struct css_set {
	struct cgroup *dfl_cgrp;
} __kernel_type;

struct task_struct {
	struct css_set *cgroups;
	struct mem_cgroup *active_memcg;
} __kernel_type;

/* One field of a memcg, to be written to. */
struct mem_cgroup___written {
	_Bool oom_group;	/* as narrow as the kernel's: CO-RE does not widen a store */
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

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;
extern void bpf_local_irq_save(unsigned long *flags) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym __weak;

/* 1. Flushing sleeps */

/* A tracepoint may fire anywhere, so its programs cannot sleep. */
SEC("?tp_btf/task_newtask")
__failure __errno(EACCES) __msg("program must be sleepable to call sleepable kfunc bpf_mem_cgroup_flush_stats")
int BPF_PROG(flush_from_tracepoint)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

/* Packets are handled in softirq context. */
SEC("?tc")
__failure __errno(EACCES) __msg("program must be sleepable to call sleepable kfunc bpf_mem_cgroup_flush_stats")
int flush_from_tc(struct __sk_buff *skb)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

/* The cgroup iterator may sleep, but only a program of iter.s/ says that it does. */
SEC("?iter/cgroup")
__failure __errno(EACCES) __msg("program must be sleepable to call sleepable kfunc bpf_mem_cgroup_flush_stats")
int flush_from_iterator(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

static int flush_in_timer(void *map, int *key, struct timed *value)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

/* A timer's callback runs in an interrupt, even when a sleepable program armed the timer; which was overlooked once. */
SEC("?syscall")
__failure __errno(EACCES) __msg("program must be sleepable to call sleepable kfunc bpf_mem_cgroup_flush_stats")
__success_until("6.12")
int flush_from_timer(void *ctx)
{
	struct timed *timed;
	__u32 key = 0;

	timed = bpf_map_lookup_elem(&timer_map, &key);
	if (!timed)
		return 0;
	bpf_timer_init(&timed->timer, &timer_map, 0);
	bpf_timer_set_callback(&timed->timer, flush_in_timer);
	return 0;
}

/* A sleepable program gives up sleeping while it holds the RCU read lock. */
SEC("?syscall")
__failure __errno(EACCES) __msg("kernel func bpf_mem_cgroup_flush_stats is sleepable within rcu_read_lock region")
int flush_under_rcu(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	bpf_rcu_read_lock();
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_rcu_read_unlock();
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* The same with preemption off ... */
SEC("?syscall")
__failure __errno(EACCES) __msg("kernel func bpf_mem_cgroup_flush_stats is sleepable within non-preemptible region")
int flush_with_preemption_off(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	bpf_preempt_disable();
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_preempt_enable();
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* ... and with interrupts off. */
SEC("?syscall")
__failure __errno(EACCES) __msg("kernel func bpf_mem_cgroup_flush_stats is sleepable within IRQ-disabled region")
__needs_kfunc(bpf_local_irq_save)
int flush_with_interrupts_off(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();
	unsigned long flags;

	if (!memcg)
		return 0;
	bpf_local_irq_save(&flags);
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_local_irq_restore(&flags);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* Nothing may be called under a bpf_spin_lock, not even a kfunc that never sleeps. */
SEC("?tc")
__failure __errno(EINVAL) __msg("function calls are not allowed while holding a lock")
int usage_under_spin_lock(struct __sk_buff *skb)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();
	struct locked *locked;
	__u32 key = 0;

	if (!memcg)
		return 0;
	locked = bpf_map_lookup_elem(&lock_map, &key);
	if (locked) {
		bpf_spin_lock(&locked->lock);
		bpf_mem_cgroup_usage(memcg);
		bpf_spin_unlock(&locked->lock);
	}
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* 2. Only a trusted memcg is taken */

#define __null_refused \
	__failure __errno(EACCES) __msg("Possibly NULL pointer passed to trusted R1") \
	__msg_until("6.12", "Possibly NULL pointer passed to trusted arg0")

/* What is no pointer to a kernel object at all. */
#define __refused_as(what) \
	__failure __errno(EINVAL) __msg("R1 is " what " expected STRUCT mem_cgroup") \
	__msg_until("7.2", "R1 pointer type STRUCT mem_cgroup must point to scalar, or struct with scalar") \
	__msg_until("6.12", "arg#0 pointer type STRUCT mem_cgroup must point to scalar, or struct with scalar")

/* get_root returns NULL when memory cgroups are disabled at boot. */
SEC("?syscall")
__null_refused
int usage_of_root_without_null_check(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	bpf_mem_cgroup_usage(memcg);
	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/* get returns NULL where the memory controller is off, and for a memcg that is gone. */
SEC("?syscall")
__null_refused
int usage_of_got_without_null_check(__u64 *ctx)
{
	struct cgroup *cgroup = bpf_cgroup_from_id(*ctx);
	struct mem_cgroup *memcg;

	if (!cgroup)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	bpf_mem_cgroup_usage(memcg);
	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/* put takes no NULL either: there would be nothing to release. */
SEC("?syscall")
__null_refused
int put_without_null_check(void *ctx)
{
	bpf_put_mem_cgroup(bpf_get_root_mem_cgroup());
	return 0;
}

/* A literal NULL is no way to ask for the root. */
SEC("?syscall")
__null_refused
int usage_of_literal_null(void *ctx)
{
	bpf_mem_cgroup_usage(NULL);
	return 0;
}

/* A number is not a memcg, whatever it was cast to. */
SEC("?syscall")
__refused_as("scalar")
int usage_of_scalar(__u64 *ctx)
{
	bpf_mem_cgroup_usage((void *)0x1000);
	return 0;
}

/* The verifier knows what the stack holds, and that it is none of the kernel's objects. */
SEC("?syscall")
__refused_as("fp")
int usage_of_stack_buffer(void *ctx)
{
	char buffer[64] = {};

	bpf_mem_cgroup_usage((void *)buffer);
	return 0;
}

/* A pointer that was followed from another object says nothing about how long its target lives. */
SEC("?tp_btf/task_newtask")
__failure __errno(EINVAL) __msg("R1 must be referenced or trusted")
int BPF_PROG(usage_of_followed_pointer)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	bpf_mem_cgroup_usage(task->active_memcg);
	return 0;
}

/* A cgroup is not a memcg: get translates one to the other. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("R1 expected pointer to STRUCT mem_cgroup but R1 has a pointer to STRUCT cgroup")
__msg_until("6.12", "args#0 expected pointer to STRUCT mem_cgroup but R1 has a pointer to STRUCT cgroup")
int usage_of_cgroup(__u64 *ctx)
{
	struct cgroup *cgroup = bpf_cgroup_from_id(*ctx);

	if (!cgroup)
		return 0;
	bpf_mem_cgroup_usage((void *)cgroup);
	bpf_cgroup_release(cgroup);
	return 0;
}

/* get takes an RCU pointer; a sleepable program has one only between rcu_read_lock and unlock. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("R1 must be a rcu pointer")
int get_without_rcu(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct mem_cgroup *memcg = bpf_get_mem_cgroup(&task->cgroups->dfl_cgrp->self);

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/* 3. Every get needs one put */

#define __leak_refused \
	__failure __errno(EINVAL) __msg("Unreleased reference id={{[0-9]+}} alloc_insn={{[0-9]+}}") \
	__msg("BPF_EXIT instruction in main prog would lead to reference leak") \
	__msg_until("6.12", "Unreleased reference id={{[0-9]+}} alloc_insn={{[0-9]+}}")

/* The root's count is never touched, but the verifier treats it like any other. */
SEC("?syscall")
__leak_refused
int root_never_put(void *ctx)
{
	bpf_get_root_mem_cgroup();
	return 0;
}

/* Forgotten on one path only. */
SEC("?syscall")
__leak_refused
int not_put_on_error_path(__u64 *ctx)
{
	struct cgroup *cgroup = bpf_cgroup_from_id(*ctx);
	struct mem_cgroup *memcg;

	if (!cgroup)
		return 0;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 0;
	if (!bpf_mem_cgroup_usage(memcg))
		return 1;
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* After the first put the program owns nothing that it could put. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("release kfunc bpf_put_mem_cgroup expects referenced PTR_TO_BTF_ID passed to R1")
__msg_until("6.12", "arg#0 pointer type STRUCT mem_cgroup must point to scalar, or struct with scalar")
int put_twice(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_put_mem_cgroup(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

/* A tracepoint's argument may be read, but it was not acquired by the program. */
SEC("?tp_btf/memcg_flush_stats")
__failure __errno(EINVAL) __msg("release kfunc bpf_put_mem_cgroup expects referenced PTR_TO_BTF_ID passed to R1")
int BPF_PROG(put_of_tracepoint_argument, struct mem_cgroup *memcg)
{
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* put turns every copy of the pointer into a mere number. */
SEC("?syscall")
__refused_as("scalar")
int usage_after_put(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_put_mem_cgroup(memcg);
		bpf_mem_cgroup_usage(memcg);
	}
	return 0;
}

/* 4. A memcg can be read, not written */

/* Holding a reference allows to look, not to change: that is what the files of the cgroup are for. */
SEC("?syscall")
__failure __errno(EACCES) __msg("only read is supported")
int write_to_memcg(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		((struct mem_cgroup___written *)memcg)->oom_group = 1;
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}
