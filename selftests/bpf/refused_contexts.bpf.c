// SPDX-License-Identifier: GPL-2.0
/*
 * Where a kfunc must not be called: flushing wherever the caller cannot sleep, even if the program as a whole can; any of
 * them under a bpf_spin_lock.
 */
#include "contexts.h"
#include "kfunctest.h"

char _license[] SEC("license") = "GPL";

static __always_inline int flush_root(void)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

/* 1. Flushing where the caller cannot sleep */

#define __must_sleep \
	__failure __errno(EACCES) __msg("program must be sleepable to call sleepable kfunc bpf_mem_cgroup_flush_stats")
#define __within(region) \
	__failure __errno(EACCES) __msg("kernel func bpf_mem_cgroup_flush_stats is sleepable within " region)

SEC("?xdp")
__must_sleep
int flush_from_xdp(struct xdp_md *xdp)
{
	return flush_root();
}

SEC("?perf_event")
__must_sleep
int flush_from_perf_event(void *ctx)
{
	return flush_root();
}

/* The OOM killer's path, where a policy would like to have fresh numbers. */
SEC("?tp_btf/mark_victim")
__must_sleep
int flush_from_oom_tracepoint(void *ctx)
{
	return flush_root();
}

SEC("?lsm/file_open")
__must_sleep
int flush_from_lsm_hook(void *ctx)
{
	return flush_root();
}

static int flush_callback(__u32 index, void *ctx)
{
	return flush_root();
}

/* A callback runs where its program does. */
SEC("?tc")
__must_sleep
int flush_in_callback_of_tc(struct __sk_buff *skb)
{
	return bpf_loop(1, flush_callback, NULL, 0);
}

SEC("?syscall")
__within("rcu_read_lock region")
int flush_in_callback_under_rcu(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_loop(1, flush_callback, NULL, 0);
	bpf_rcu_read_unlock();
	return 0;
}

static __attribute__((noinline)) int flush_in_function(void)
{
	return flush_root();
}

/* The lock of the caller holds in what it calls. */
SEC("?syscall")
__within("rcu_read_lock region")
int flush_in_function_under_rcu(void *ctx)
{
	bpf_rcu_read_lock();
	flush_in_function();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("?syscall")
__within("non-preemptible region")
int flush_in_function_with_preemption_off(void *ctx)
{
	bpf_preempt_disable();
	flush_in_function();
	bpf_preempt_enable();
	return 0;
}

/* Locks nest: the inner unlock gives nothing back. */
SEC("?syscall")
__within("rcu_read_lock region")
__errno_until("6.12", EINVAL) __msg_until("6.12", "nested rcu read lock (kernel function bpf_rcu_read_lock)")
int flush_under_nested_rcu(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	flush_root();
	bpf_rcu_read_unlock();
	return 0;
}

__attribute__((noinline)) int flush_in_global_function(void)
{
	return flush_root();
}

/* A global function is judged once, for all its callers: whether it may sleep is remembered; which was overlooked once. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("sleepable global function flush_in_global_function() called in rcu_read_lock region")
__success_until("6.12")
int flush_in_global_function_under_rcu(void *ctx)
{
	bpf_rcu_read_lock();
	flush_in_global_function();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("?syscall")
__failure __errno(EINVAL) __msg("sleepable global function flush_in_global_function() called in non-preemptible region")
__msg_until("6.12", "global function calls are not allowed with preemption disabled")
int flush_in_global_function_with_preemption_off(void *ctx)
{
	bpf_preempt_disable();
	flush_in_global_function();
	bpf_preempt_enable();
	return 0;
}

SEC("?tc")
__failure __errno(EINVAL) __msg("sleepable global function flush_in_global_function() called in non-sleepable prog")
__errno_until("6.12", EACCES)
__msg_until("6.12", "program must be sleepable to call sleepable kfunc bpf_mem_cgroup_flush_stats")
int flush_in_global_function_of_tc(struct __sk_buff *skb)
{
	return flush_in_global_function();
}

static int flush_in_timer(void *map, int *key, struct timed *value)
{
	return flush_root();
}

/* As from a program that sleeps, refused.bpf.c: an interrupt is an interrupt, whoever armed it. */
SEC("?tc")
__must_sleep
int flush_from_timer_of_tc(struct __sk_buff *skb)
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

/* 2. Any kfunc while a program holds its spin lock */

#define locked_program(name, call, ...)						\
	SEC("?tc")								\
	__VA_ARGS__								\
	__failure __errno(EINVAL) __msg("function calls are not allowed while holding a lock")	\
	int name(struct __sk_buff *skb)						\
	{									\
		struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();		\
		struct locked *locked;						\
		__u32 key = 0;							\
										\
		if (!memcg)							\
			return 0;						\
		locked = bpf_map_lookup_elem(&lock_map, &key);			\
		if (!locked) {							\
			bpf_put_mem_cgroup(memcg);				\
			return 0;						\
		}								\
		bpf_spin_lock(&locked->lock);					\
		call;								\
		bpf_spin_unlock(&locked->lock);					\
		bpf_put_mem_cgroup(memcg);					\
		return 0;							\
	}

locked_program(get_root_under_spin_lock, if (bpf_get_root_mem_cgroup()) key++)
locked_program(get_under_spin_lock, if (bpf_get_mem_cgroup(&memcg->css)) key++)
locked_program(put_under_spin_lock, bpf_put_mem_cgroup(memcg))
locked_program(page_state_under_spin_lock, bpf_mem_cgroup_page_state(memcg, 0))
locked_program(vm_events_under_spin_lock, bpf_mem_cgroup_vm_events(memcg, 0))
locked_program(memory_events_under_spin_lock, bpf_mem_cgroup_memory_events(memcg, 0),
	       __needs_kfunc(bpf_mem_cgroup_memory_events))
locked_program(flush_under_spin_lock_of_tc, bpf_mem_cgroup_flush_stats(memcg))
