// SPDX-License-Identifier: GPL-2.0
/*
 * Where the kfuncs may be called: reading a memcg never waits, so it may be done under any lock that lets a program call at
 * all; flushing wherever the program could sleep as well.
 */
#include "contexts.h"
#include "kfunctest.h"

char _license[] SEC("license") = "GPL";

unsigned long seen;

/* 1. Reads where nothing may sleep */

SEC("?syscall")
__success __retval(0)
int read_under_rcu(void *ctx)
{
	struct mem_cgroup *memcg;

	bpf_rcu_read_lock();
	memcg = bpf_get_root_mem_cgroup();
	if (memcg) {
		seen = read_all(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	bpf_rcu_read_unlock();
	return !memcg;
}

SEC("?syscall")
__success __retval(0)
int read_with_preemption_off(void *ctx)
{
	struct mem_cgroup *memcg;

	bpf_preempt_disable();
	memcg = bpf_get_root_mem_cgroup();
	if (memcg) {
		seen = read_all(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	bpf_preempt_enable();
	return !memcg;
}

SEC("?syscall")
__success __retval(0)
__needs_kfunc(bpf_local_irq_save)
int read_with_interrupts_off(void *ctx)
{
	struct mem_cgroup *memcg;
	unsigned long flags;

	bpf_local_irq_save(&flags);
	memcg = bpf_get_root_mem_cgroup();
	if (memcg) {
		seen = read_all(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	bpf_local_irq_restore(&flags);
	return !memcg;
}

static int read_in_timer(void *map, int *key, struct timed *value)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		seen = read_all(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

SEC("?syscall")
__success
int read_from_timer(void *ctx)
{
	struct timed *timed;
	__u32 key = 0;

	timed = bpf_map_lookup_elem(&timer_map, &key);
	if (!timed)
		return 1;
	bpf_timer_init(&timed->timer, &timer_map, 0);
	bpf_timer_set_callback(&timed->timer, read_in_timer);
	return 0;
}

/* 2. Flushing where the program may sleep, whoever calls */

static int flush_in_loop(__u32 index, void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

SEC("?syscall")
__success __retval(2)
int flush_in_callback_of_loop(void *ctx)
{
	return bpf_loop(2, flush_in_loop, NULL, 0);
}

__attribute__((noinline)) int flush_in_global_function(void)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?syscall")
__success __retval(0)
int flush_from_global_function(void *ctx)
{
	return flush_in_global_function();
}

/* The lock is given back before, so that the program may sleep again. */
SEC("?syscall")
__success __retval(0)
int flush_after_rcu(void *ctx)
{
	struct mem_cgroup *memcg;

	bpf_rcu_read_lock();
	memcg = bpf_get_root_mem_cgroup();
	bpf_rcu_read_unlock();
	if (!memcg)
		return 1;
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* 3. Where a memcg may be kept, and how it may be handed on */

static __attribute__((noinline)) unsigned long read_in_function(struct mem_cgroup *memcg)
{
	return read_all(memcg);
}

SEC("?syscall")
__success __retval(0)
int handed_to_a_static_function(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	seen = read_in_function(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

static __attribute__((noinline)) struct mem_cgroup *get_in_function(void)
{
	return bpf_get_root_mem_cgroup();
}

/* The caller owes the put that the function it called did not make. */
SEC("?syscall")
__success __retval(0)
int got_from_a_static_function(void *ctx)
{
	struct mem_cgroup *memcg = get_in_function();

	if (!memcg)
		return 1;
	seen = read_all(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

static __attribute__((noinline)) void put_in_function(struct mem_cgroup *memcg)
{
	bpf_put_mem_cgroup(memcg);
}

SEC("?syscall")
__success __retval(0)
int put_by_a_static_function(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	put_in_function(memcg);
	return 0;
}

__attribute__((noinline)) int read_in_global_function(struct mem_cgroup *memcg __attribute__((btf_decl_tag("arg:trusted"))))
{
	seen = read_all(memcg);
	return 0;
}

/* A global function is judged by itself, so it says that the memcg it takes is trusted. */
SEC("?tp_btf/task_newtask")
__success
int handed_to_a_global_function(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	read_in_global_function(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* Two at once: each has a put of its own, in any order. */
SEC("?syscall")
__success __retval(0)
int two_at_once(void *ctx)
{
	struct mem_cgroup *root = bpf_get_root_mem_cgroup(), *again;

	if (!root)
		return 1;
	again = bpf_get_mem_cgroup(&root->css);
	bpf_put_mem_cgroup(root);
	if (!again)
		return 2;
	seen = read_all(again);
	bpf_put_mem_cgroup(again);
	return 0;
}

/* What is known to be NULL needs no put. */
SEC("?syscall")
__success __retval(0)
int null_needs_no_put(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/* A field may be read while the memcg is held, as of any trusted object. */
SEC("?syscall")
__success __retval(0)
int field_read_while_held(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	seen = (unsigned long)memcg->css.cgroup;
	bpf_put_mem_cgroup(memcg);
	return 0;
}
