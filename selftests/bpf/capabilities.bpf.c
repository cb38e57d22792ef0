// SPDX-License-Identifier: GPL-2.0
/* The same few lines for every type: who may load them depends on what the loader may do, not on what they do. */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

#define reader(name, section)					\
	SEC("?" section) int name(void *ctx)			\
	{							\
		struct mem_cgroup *memcg = bpf_get_root_mem_cgroup(); \
								\
		if (memcg) {					\
			bpf_mem_cgroup_usage(memcg);		\
			bpf_put_mem_cgroup(memcg);		\
		}						\
		return 0;					\
	}

reader(bpf_syscall, "syscall")
reader(bpf_socket, "socket")
reader(bpf_tc, "tc")
reader(bpf_tp_btf, "tp_btf/task_newtask")
reader(net_tc, "tc")
reader(perfmon_tp_btf, "tp_btf/task_newtask")
reader(nothing_syscall, "syscall")
reader(nothing_socket, "socket")
reader(nothing_tc, "tc")
