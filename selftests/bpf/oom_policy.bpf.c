// SPDX-License-Identifier: GPL-2.0
/*
 * What a BPF OOM policy reads: when the kernel has chosen a victim, its memcg and all memcgs above it. The program runs
 * inside the OOM killer, with the victim's lock held, where nothing may sleep.
 */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

#define LEVELS 4

struct css_set {
	struct cgroup *dfl_cgrp;
} __kernel_type;

struct task_struct {
	struct css_set *cgroups;
} __kernel_type;

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___placed {
	int level;
	struct kernfs_node *kn;
} __kernel_type;

extern struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) __ksym;

/* From user space: the id of the cgroup whose victims matter, and the indices of this kernel. */
__u64 watched;
int anon_item, fault_event, oom_event, kill_event;

struct reading {
	__u64 id, usage, anon, faults, ooms, kills;
};

/* By level: 0 is the root. */
struct reading readings[LEVELS];
int victims, depth;

static __always_inline void read_one(struct reading *reading, struct cgroup *cgroup)
{
	struct mem_cgroup *memcg = bpf_get_mem_cgroup(&cgroup->self);

	if (!memcg)
		return;
	reading->id = ((struct cgroup___placed *)cgroup)->kn->id;
	reading->usage = bpf_mem_cgroup_usage(memcg);
	reading->anon = bpf_mem_cgroup_page_state(memcg, anon_item);
	reading->faults = bpf_mem_cgroup_vm_events(memcg, fault_event);
	/* Not in every revision of the patch. */
	if (bpf_ksym_exists(bpf_mem_cgroup_memory_events)) {
		reading->ooms = bpf_mem_cgroup_memory_events(memcg, oom_event);
		reading->kills = bpf_mem_cgroup_memory_events(memcg, kill_event);
	}
	bpf_put_mem_cgroup(memcg);
}

SEC("?tp_btf/mark_victim")
int BPF_PROG(on_victim, struct task_struct *victim)
{
	struct cgroup *own, *above;
	int level;

	own = victim->cgroups->dfl_cgrp;
	if (((struct cgroup___placed *)own)->kn->id != watched)
		return 0;
	victims++;
	depth = ((struct cgroup___placed *)own)->level;
	for (level = 0; level < LEVELS; level++) {
		above = bpf_cgroup_ancestor(own, level);
		if (!above)
			break;
		read_one(&readings[level], above);
		bpf_cgroup_release(above);
	}
	return 0;
}
