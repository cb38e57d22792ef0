// SPDX-License-Identifier: GPL-2.0
/*
 * The memcg of a css that is neither a cgroup's own nor memory's. Whoever has such a css may ask by it, but most kernels
 * let no program have one: the verifier trusts cgroup->subsys[] only where the kernel's BTF says __rcu of it, which needs a
 * compiler that knows type tags. A cgroup begins with its own css, and may be kept in a map: so user space writes the
 * address of the css there, over that of the cgroup.
 */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

struct cgroup___subsys {
	struct cgroup_subsys_state *subsys[1];
} __kernel_type;

struct mm_struct {
	void *pgd;
} __kernel_type;

struct task_struct {
	struct mm_struct *mm;
} __kernel_type;

enum cgroup_subsys_id___any {
	cpuset_cgrp_id___any,
	cpu_cgrp_id___any,
	memory_cgrp_id___any,
	pids_cgrp_id___any,
};

/* The name matters: clang 14 loses a type tag in front of a pointer to a struct itself. */
typedef struct cgroup kept_cgroup;

struct slot {
	kept_cgroup __attribute__((btf_type_tag("kptr"))) *held;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

extern const void page_offset_base __ksym __weak;

struct css_args {
	__u64 cgroup_id;
	__u64 slot;		/* out, addresses: of what the map holds, ... */
	__u64 cgroup;		/* out: ... of the cgroup, ... */
	__u64 memory;		/* out: ... and of its css of each controller; 0 where it has none */
	__u64 pids;
	__u64 cpu;
	__u64 cpuset;
	__u64 got;		/* out: the memcg that get returned, or 0 */
	__u64 direct_map;	/* out: as kfunctest.guest.devmem takes them */
	__u64 page_table;
};

#define css_of(cgroup, id)									\
	({											\
		__u64 css = 0;									\
												\
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id___any, id##_cgrp_id___any)) \
			bpf_probe_read_kernel(&css, sizeof(css), (void *)(cgroup) +		\
				bpf_core_field_offset(struct cgroup___subsys, subsys) +	\
				8 * bpf_core_enum_value(enum cgroup_subsys_id___any, id##_cgrp_id___any)); \
		css;										\
	})

/* Keep the cgroup in the map and tell where everything is. Returns 1 where there is no such cgroup. */
SEC("syscall")
int keep(struct css_args *args)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct cgroup *cgroup, *other;
	struct slot *slot;
	__u32 key = 0;

	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot)
		return 1;
	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	args->slot = (__u64)slot;
	args->cgroup = (__u64)cgroup;
	args->memory = css_of(cgroup, memory);
	args->pids = css_of(cgroup, pids);
	args->cpu = css_of(cgroup, cpu);
	args->cpuset = css_of(cgroup, cpuset);
	args->page_table = (__u64)BPF_CORE_READ(task, mm, pgd);
	args->direct_map = 0;
	if (&page_offset_base)
		bpf_probe_read_kernel(&args->direct_map, sizeof(args->direct_map), &page_offset_base);
	other = bpf_kptr_xchg(&slot->held, cgroup);
	if (other)
		bpf_cgroup_release(other);
	return 0;
}

/* The memcg of what the map holds, by its address alone: were it none, nothing may be read from it. */
SEC("syscall")
int get_held(struct css_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;
	struct slot *slot;
	__u32 key = 0;

	args->got = 0;
	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot)
		return 1;
	bpf_rcu_read_lock();
	cgroup = slot->held;
	if (!cgroup) {
		bpf_rcu_read_unlock();
		return 1;
	}
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	if (memcg) {
		args->got = (__u64)memcg;
		bpf_put_mem_cgroup(memcg);
	}
	bpf_rcu_read_unlock();
	return 0;
}

/* Let go of the cgroup, which must be in the map again. */
SEC("syscall")
int let_go(void *ctx)
{
	struct cgroup *cgroup;
	struct slot *slot;
	__u32 key = 0;

	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot)
		return 1;
	cgroup = bpf_kptr_xchg(&slot->held, NULL);
	if (cgroup)
		bpf_cgroup_release(cgroup);
	return 0;
}
