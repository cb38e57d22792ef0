// SPDX-License-Identifier: GPL-2.0
/*
 * Every kfunc, for every type: who may load it depends on what the loader may do, not on which of them is called. None of
 * the programs is ever run.
 *
 * A memcg begins with its css. To say so by &memcg->css is arithmetic on a pointer, which takes CAP_PERFMON where the CPU
 * needs protection from speculation.
 */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

#define reader(name, section, flush)						\
	SEC("?" section) int name(void *ctx)					\
	{									\
		struct mem_cgroup *memcg = bpf_get_root_mem_cgroup(), *again;	\
										\
		if (!memcg)							\
			return 0;						\
		bpf_mem_cgroup_usage(memcg);					\
		bpf_mem_cgroup_page_state(memcg, 0);				\
		bpf_mem_cgroup_vm_events(memcg, 0);				\
		/* Not in every revision of the patch. */			\
		if (bpf_ksym_exists(bpf_mem_cgroup_memory_events))		\
			bpf_mem_cgroup_memory_events(memcg, 0);			\
		flush								\
		again = bpf_get_mem_cgroup((void *)memcg);			\
		if (again)							\
			bpf_put_mem_cgroup(again);				\
		bpf_put_mem_cgroup(memcg);					\
		return 0;							\
	}

reader(bpf_syscall, "syscall", bpf_mem_cgroup_flush_stats(memcg);)
reader(bpf_socket, "socket",)
reader(bpf_tc, "tc",)
reader(bpf_tp_btf, "tp_btf/task_newtask",)
reader(net_tc, "tc",)
reader(perfmon_tp_btf, "tp_btf/task_newtask",)
reader(nothing_syscall, "syscall", bpf_mem_cgroup_flush_stats(memcg);)
reader(nothing_socket, "socket",)
reader(nothing_tc, "tc",)
