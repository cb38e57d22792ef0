// SPDX-License-Identifier: GPL-2.0
/*
 * An index with all 64 bits of its register in use. Its C type is what the compiler would narrow it by, so the kfunc is
 * declared with a wider one: to libbpf any integer is like another.
 */
#define bpf_mem_cgroup_page_state bpf_mem_cgroup_page_state_narrow
#include "memcg_kfuncs.h"
#undef bpf_mem_cgroup_page_state

char _license[] SEC("license") = "GPL";

extern unsigned long bpf_mem_cgroup_page_state(struct mem_cgroup *memcg, __u64 idx) __ksym __weak;

struct wide_args {
	__u64 cgroup_id;
	__u64 index;
	__u64 value;		/* out */
};

SEC("syscall")
int call_wide(struct wide_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;

	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 2;
	args->value = bpf_mem_cgroup_page_state(memcg, args->index);
	bpf_put_mem_cgroup(memcg);
	return 0;
}
