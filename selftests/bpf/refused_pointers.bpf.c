// SPDX-License-Identifier: GPL-2.0
/*
 * What each flag of a kfunc refuses, from every side: KF_ACQUIRE that what was got is lost, KF_RET_NULL that it is used
 * unseen, KF_RELEASE that what is put was not owned or is used again, KF_RCU that get follows what may be gone; and that any
 * kfunc takes what is no memcg that the program may rely on.
 */
#include "contexts.h"
#include "kfunctest.h"

char _license[] SEC("license") = "GPL";

unsigned long seen;

#define __null_refused \
	__failure __errno(EACCES) __msg("Possibly NULL pointer passed to trusted R1") \
	__msg_until("6.12", "Possibly NULL pointer passed to trusted arg0")

/* What is no pointer to a kernel object at all. */
#define __refused_as(what, type) \
	__failure __errno(EINVAL) __msg("R1 is " what " expected STRUCT " type) \
	__msg_until("7.2", "R1 pointer type STRUCT " type " must point to scalar, or struct with scalar") \
	__msg_until("6.12", "arg#0 pointer type STRUCT " type " must point to scalar, or struct with scalar")

#define __leak_refused \
	__failure __errno(EINVAL) __msg("Unreleased reference id={{[0-9]+}} alloc_insn={{[0-9]+}}")

/* 1. KF_ACQUIRE: what was got must be put */

/* As of the root, so of any. */
SEC("?syscall")
__leak_refused
int got_never_put(void *ctx)
{
	struct mem_cgroup *root = bpf_get_root_mem_cgroup(), *memcg;

	if (!root)
		return 0;
	memcg = bpf_get_mem_cgroup(&root->css);
	if (memcg)
		seen = bpf_mem_cgroup_usage(memcg);
	bpf_put_mem_cgroup(root);
	return 0;
}

/* One put for two gets. */
SEC("?syscall")
__leak_refused
int got_twice_put_once(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	if (bpf_get_mem_cgroup(&memcg->css))
		seen = 1;
	bpf_put_mem_cgroup(memcg);
	return 0;
}

static int get_in_callback(__u32 index, void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg)
		seen = bpf_mem_cgroup_usage(memcg);
	return 0;
}

/* Each round of a loop would leave one behind. */
SEC("?syscall")
__leak_refused
int got_in_callback_never_put(void *ctx)
{
	return bpf_loop(10, get_in_callback, NULL, 0);
}

__attribute__((noinline)) int get_in_global_function(void)
{
	seen = (unsigned long)bpf_get_root_mem_cgroup();
	return 0;
}

/* A global function cannot hand a reference to its caller. */
SEC("?syscall")
__leak_refused
int got_in_global_function_never_put(void *ctx)
{
	return get_in_global_function();
}

/* What is kept in a map as a number cannot be put by whoever finds it there. */
SEC("?syscall")
__leak_refused
int got_and_kept_as_number(void *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&value_map, &key);

	if (value)
		*value = (__u64)bpf_get_root_mem_cgroup();
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next_program SEC(".maps");

/* The program that follows does not know what it would owe. */
SEC("?tc")
__failure __errno(EINVAL) __msg("would lead to reference leak")
int got_before_tail_call(struct __sk_buff *skb)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	bpf_tail_call(skb, &next_program, 0);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* 2. KF_RET_NULL: what may be NULL is not to be followed */

SEC("?syscall")
__failure __errno(EACCES) __msg("R{{[0-9]}} invalid mem access '{{(trusted_)?}}ptr_or_null_'")
int field_of_root_without_null_check(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	seen = (unsigned long)memcg->css.cgroup;
	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?syscall")
__null_refused
int get_by_root_without_null_check(void *ctx)
{
	struct mem_cgroup *root = bpf_get_root_mem_cgroup();
	struct mem_cgroup *memcg = bpf_get_mem_cgroup((void *)root);

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	if (root)
		bpf_put_mem_cgroup(root);
	return 0;
}

SEC("?syscall")
__null_refused
int put_of_got_without_null_check(void *ctx)
{
	struct mem_cgroup *root = bpf_get_root_mem_cgroup();

	if (!root)
		return 0;
	bpf_put_mem_cgroup(bpf_get_mem_cgroup(&root->css));
	bpf_put_mem_cgroup(root);
	return 0;
}

/* Each of the others as usage in refused.bpf.c. */
#define unchecked(name, call, ...)						\
	SEC("?syscall")								\
	__VA_ARGS__								\
	__null_refused								\
	int name##_without_null_check(void *ctx)				\
	{									\
		struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();		\
										\
		call;								\
		if (memcg)							\
			bpf_put_mem_cgroup(memcg);				\
		return 0;							\
	}

unchecked(page_state, bpf_mem_cgroup_page_state(memcg, 0))
unchecked(vm_events, bpf_mem_cgroup_vm_events(memcg, 0))
unchecked(memory_events, bpf_mem_cgroup_memory_events(memcg, 0), __needs_kfunc(bpf_mem_cgroup_memory_events))
unchecked(flush_stats, bpf_mem_cgroup_flush_stats(memcg))

/* 3. KF_RELEASE: what is put was got, and is gone */

/* Any copy of it, too. */
SEC("?syscall")
__refused_as("scalar", "mem_cgroup")
int copy_used_after_put(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup(), *volatile copy;

	if (!memcg)
		return 0;
	copy = memcg;
	bpf_put_mem_cgroup(memcg);
	seen = bpf_mem_cgroup_usage(copy);
	return 0;
}

SEC("?syscall")
__failure __errno(EACCES) __msg("R{{[0-9]}} invalid mem access 'scalar'")
int field_read_after_put(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	bpf_put_mem_cgroup(memcg);
	seen = (unsigned long)memcg->css.cgroup;
	return 0;
}

static __attribute__((noinline)) void put_in_function(struct mem_cgroup *memcg)
{
	bpf_put_mem_cgroup(memcg);
}

SEC("?syscall")
__refused_as("scalar", "mem_cgroup")
int used_after_a_function_put_it(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	put_in_function(memcg);
	seen = bpf_mem_cgroup_usage(memcg);
	return 0;
}

/* After a branch that put it, nobody owns it for certain. */
SEC("?syscall")
__refused_as("scalar", "mem_cgroup")
int used_after_put_on_one_path(__u64 *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	if (*ctx)
		bpf_put_mem_cgroup(memcg);
	bpf_mem_cgroup_usage(memcg);
	if (!*ctx)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?syscall")
__failure __errno(EINVAL) __msg("must have zero offset when passed to release func or trusted arg to kfunc")
int put_of_the_middle(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg)
		bpf_put_mem_cgroup((void *)memcg + 8);
	return 0;
}

/* What was acquired by another kfunc is for that one's counterpart. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("expected pointer to STRUCT mem_cgroup but R1 has a pointer to STRUCT cgroup")
int put_of_cgroup(__u64 *ctx)
{
	struct cgroup *cgroup = bpf_cgroup_from_id(*ctx);

	if (cgroup)
		bpf_put_mem_cgroup((void *)cgroup);
	return 0;
}

/* And the other way round. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("expected pointer to STRUCT cgroup but R1 has a pointer to STRUCT mem_cgroup")
int cgroup_release_of_memcg(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg)
		bpf_cgroup_release((void *)memcg);
	return 0;
}

SEC("?syscall")
__failure __errno(EINVAL) __msg("release kfunc bpf_put_mem_cgroup expects referenced PTR_TO_BTF_ID passed to R1")
__msg_until("6.12", "arg#0 pointer type STRUCT mem_cgroup must point to scalar, or struct with scalar")
int put_of_number(void *ctx)
{
	bpf_put_mem_cgroup((void *)0x1000);
	return 0;
}

/* 4. KF_RCU: get may follow what RCU protects, and nothing weaker */

SEC("?syscall")
__null_refused
int get_by_literal_null(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_mem_cgroup(NULL);

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?syscall")
__refused_as("scalar", "cgroup_subsys_state")
int get_by_number(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_mem_cgroup((void *)0x1000);

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?syscall")
__refused_as("fp", "cgroup_subsys_state")
int get_by_stack_buffer(void *ctx)
{
	char buffer[64] = {};
	struct mem_cgroup *memcg = bpf_get_mem_cgroup((void *)buffer);

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/* What was found under the lock may be gone when it is given back. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("R1 must be a rcu pointer")
int get_after_rcu(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;

	bpf_rcu_read_lock();
	cgroup = task->cgroups->dfl_cgrp;
	bpf_rcu_read_unlock();
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/*
 * What get may follow, for KF_RCU, is not enough for a kfunc without that flag: here one of the css's own, since there is
 * no memcg that a program comes by under RCU alone.
 */
extern void css_rstat_updated(struct cgroup_subsys_state *css, int cpu) __ksym __weak;

SEC("?tp_btf/task_newtask")
__needs_kfunc(css_rstat_updated)
__failure __errno(EINVAL) __msg("R1 must be referenced or trusted")
int css_under_rcu_for_another_kfunc(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	css_rstat_updated(&task->cgroups->dfl_cgrp->self, 0);
	return 0;
}

/* A task is no css. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("expected pointer to STRUCT cgroup_subsys_state but R1 has a pointer to STRUCT task_struct")
int get_by_task(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_mem_cgroup((void *)bpf_get_current_task_btf());

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/* 5. The rest takes a memcg that is trusted, from its beginning */

SEC("?tp_btf/task_newtask")
__failure __errno(EINVAL) __msg("R1 must be referenced or trusted")
int page_state_of_followed_pointer(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	seen = bpf_mem_cgroup_page_state(task->active_memcg, 0);
	return 0;
}

SEC("?tp_btf/task_newtask")
__failure __errno(EINVAL) __msg("R1 must be referenced or trusted")
int vm_events_of_followed_pointer(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	seen = bpf_mem_cgroup_vm_events(task->active_memcg, 0);
	return 0;
}

SEC("?tp_btf/task_newtask")
__failure __errno(EINVAL) __msg("R1 must be referenced or trusted")
__needs_kfunc(bpf_mem_cgroup_memory_events)
int memory_events_of_followed_pointer(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	seen = bpf_mem_cgroup_memory_events(task->active_memcg, 0);
	return 0;
}

SEC("?iter.s/cgroup")
__failure __errno(EINVAL) __msg("R1 must be referenced or trusted")
int flush_of_followed_pointer(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	bpf_mem_cgroup_flush_stats(task->active_memcg);
	return 0;
}

/* A number that was a memcg's address once. */
SEC("?syscall")
__refused_as("scalar", "mem_cgroup")
int usage_of_kept_number(void *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&value_map, &key);

	if (value)
		seen = bpf_mem_cgroup_usage((void *)*value);
	return 0;
}

__attribute__((noinline)) int read_in_global_function(struct mem_cgroup *memcg)
{
	return memcg ? bpf_mem_cgroup_usage((void *)memcg) : 0;
}

/* A global function that does not say that its memcg is trusted gets bytes that it could write to. */
SEC("?syscall")
__failure __errno(EINVAL) __msg("only read is supported")
__msg("Caller passes invalid args into func#1 ('read_in_global_function')")
__msg_until("6.12", "Validating read_in_global_function() func#1")
__msg_until("6.12", "arg#0 pointer type STRUCT mem_cgroup must point to scalar, or struct with scalar")
int handed_to_a_global_function_untold(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	read_in_global_function(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

extern void mem_cgroup_flush_stats(struct mem_cgroup *memcg) __ksym __weak;

/* 6. What is not registered is not for programs, however alike it is */

SEC("?syscall")
__failure __errno(EACCES) __msg("calling kernel function mem_cgroup_flush_stats is not allowed")
int kernel_function_that_is_no_kfunc(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	mem_cgroup_flush_stats(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* 7. A call is one to any function: its arguments' registers are gone, an index is a number, a value may be any */

#define through_registers(memcg, kfunc, before, after)					\
	asm volatile("r1 = %[m]; " before " call %[k]; " after ::[m] "r"(memcg), [k] "i"(kfunc) \
		     : "r0", "r1", "r2", "r3", "r4", "r5")

SEC("?syscall")
__failure __errno(EACCES) __msg("R1 !read_ok")
int argument_used_after_call(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	through_registers(memcg, bpf_mem_cgroup_usage, "", "r2 = r1;");
	bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?syscall")
__failure __errno(EINVAL) __msg("R2 is not a scalar")
int page_state_by_pointer(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 0;
	through_registers(memcg, bpf_mem_cgroup_page_state, "r2 = r1;", "");
	bpf_put_mem_cgroup(memcg);
	return 0;
}

__u64 table[16];

SEC("?syscall")
__failure __errno(EACCES) __msg("R{{[0-9]}} unbounded memory access")
int usage_as_an_unchecked_index(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();
	unsigned long usage;

	if (!memcg)
		return 0;
	usage = bpf_mem_cgroup_usage(memcg) >> 12;
	bpf_put_mem_cgroup(memcg);
	table[usage] = 1;
	return 0;
}
