// SPDX-License-Identifier: GPL-2.0
/*
 * An index with all 64 bits of its register in use. Its C type is what the compiler would narrow it by, so the kfunc is
 * declared with a wider one: to libbpf any integer is like another.
 */
#define bpf_mem_cgroup_page_state bpf_mem_cgroup_page_state_narrow
#define bpf_mem_cgroup_vm_events bpf_mem_cgroup_vm_events_narrow
#define bpf_mem_cgroup_memory_events bpf_mem_cgroup_memory_events_narrow
#include "memcg_kfuncs.h"
#undef bpf_mem_cgroup_page_state
#undef bpf_mem_cgroup_vm_events
#undef bpf_mem_cgroup_memory_events

char _license[] SEC("license") = "GPL";

extern unsigned long bpf_mem_cgroup_page_state(struct mem_cgroup *memcg, __u64 idx) __ksym __weak;
/* An enum is like another, but like no integer; this one takes 64 bits. */
enum wide_event {
	WIDE_EVENT = 1ULL << 40,
};

extern unsigned long bpf_mem_cgroup_vm_events(struct mem_cgroup *memcg, enum wide_event event) __ksym __weak;
extern unsigned long bpf_mem_cgroup_memory_events(struct mem_cgroup *memcg, enum wide_event event) __ksym __weak;

enum wide_kfunc {
	WIDE_PAGE_STATE,
	WIDE_VM_EVENTS,
	WIDE_MEMORY_EVENTS,
};

struct wide_args {
	__u64 cgroup_id;
	__u64 index;
	__u64 kfunc;		/* enum wide_kfunc */
	__u64 value;		/* out */
};

SEC("syscall")
int call_wide(struct wide_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;
	int failed;

	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 2;
	failed = 0;
	if (args->kfunc == WIDE_PAGE_STATE)
		args->value = bpf_mem_cgroup_page_state(memcg, args->index);
	else if (args->kfunc == WIDE_VM_EVENTS)
		args->value = bpf_mem_cgroup_vm_events(memcg, (enum wide_event)args->index);
	else if (bpf_ksym_exists(bpf_mem_cgroup_memory_events))	/* not in every revision of the patch */
		args->value = bpf_mem_cgroup_memory_events(memcg, (enum wide_event)args->index);
	else
		failed = 3;
	bpf_put_mem_cgroup(memcg);
	return failed;
}
