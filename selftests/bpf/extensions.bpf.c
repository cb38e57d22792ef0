// SPDX-License-Identifier: GPL-2.0
/*
 * Programs with a function that another program may replace, and replacements (freplace) that call kfuncs. A replacement is
 * of no type of its own: it may call what the program may that it becomes a part of. None of them is ever run.
 */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

/* Global, and not to be seen through: a function that can be replaced. */
__attribute__((noinline)) int replaced(int number)
{
	asm volatile("");
	return number;
}

/* The same, of a program that may sleep, and that does. */
__attribute__((noinline)) int replaced_that_flushes(int number)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return number;
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_put_mem_cgroup(memcg);
	return number;
}

SEC("?tc")
int extended_tc(struct __sk_buff *skb)
{
	return replaced(1);
}

SEC("?xdp")
int extended_xdp(struct xdp_md *xdp)
{
	return replaced(1);
}

SEC("?syscall")
int extended_syscall(void *ctx)
{
	return replaced(1) + replaced_that_flushes(2);
}

#define replacement(name, call)							\
	SEC("?freplace/replaced")						\
	int name(int number)							\
	{									\
		struct mem_cgroup *memcg = bpf_get_root_mem_cgroup(), *again;	\
										\
		if (!memcg)							\
			return number;						\
		again = bpf_get_mem_cgroup(&memcg->css);			\
		if (again)							\
			bpf_put_mem_cgroup(again);				\
		call								\
		bpf_put_mem_cgroup(memcg);					\
		return number;							\
	}

replacement(reads,
	bpf_mem_cgroup_usage(memcg);
	bpf_mem_cgroup_page_state(memcg, 0);
	bpf_mem_cgroup_vm_events(memcg, 0);
	/* Not in every revision of the patch. */
	if (bpf_ksym_exists(bpf_mem_cgroup_memory_events))
		bpf_mem_cgroup_memory_events(memcg, 0);
)
replacement(flushes, bpf_mem_cgroup_flush_stats(memcg);)

SEC("?freplace/replaced")
int leaks(int number)
{
	bpf_get_root_mem_cgroup();
	return number;
}
