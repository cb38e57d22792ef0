// SPDX-License-Identifier: GPL-2.0
/*
 * A memcg that was removed but that something still pins: no id and no path leads to it any more, so it is found by
 * walking the memcgs below the root memcg. The css it is got by is the memory controller's own. Its references are then
 * in one counter, no longer one for each CPU, so that they can be read.
 */
#include "css_iter.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

struct find_args {
	__u64 cgroup_id;	/* which one is looked for */
	__u64 usage;		/* out: its usage in bytes */
	__u32 found;		/* out: how many memcgs have this id */
	__u32 got;		/* out: how many of them get returned */
	__u64 before;		/* out: references on it before get, 0 as long as each CPU counts its own ... */
	__u64 held;		/* out: ... between get and put ... */
	__u64 after;		/* out: ... and after put */
};

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

struct percpu_ref_data {
	struct {
		__s64 counter;
	} count;
} __kernel_type;

struct percpu_ref {
	unsigned long percpu_count_ptr;
	struct percpu_ref_data *data;
} __kernel_type;

struct cgroup_subsys_state___of_cgroup {
	struct cgroup___with_node *cgroup;
	struct percpu_ref refcnt;
} __kernel_type;

#define REF_ATOMIC 1		/* __PERCPU_REF_ATOMIC, linux/percpu-refcount.h */

/* References on a css; 0 where they are spread over the CPUs, or are just being added up: the counter is biased then. */
static __always_inline __u64 references(struct cgroup_subsys_state *css)
{
	struct cgroup_subsys_state___of_cgroup *counted = (void *)css;
	__s64 count;

	if (!(counted->refcnt.percpu_count_ptr & REF_ATOMIC))
		return 0;
	count = counted->refcnt.data->count.counter;
	return count > 0 ? count : 0;
}

SEC("?syscall")
int find(struct find_args *args)
{
	struct mem_cgroup *root, *memcg;
	struct cgroup_subsys_state *css;
	struct bpf_iter_css___any it;

	args->usage = args->found = args->got = 0;
	args->before = args->held = args->after = 0;
	root = bpf_get_root_mem_cgroup();
	if (!root)
		return 1;
	bpf_rcu_read_lock();
	bpf_iter_css_new(&it, &root->css, DESCENDANTS_PRE);
	while ((css = bpf_iter_css_next(&it))) {
		if (((struct cgroup_subsys_state___of_cgroup *)css)->cgroup->kn->id != args->cgroup_id)
			continue;
		args->found++;
		args->before = references(css);
		memcg = bpf_get_mem_cgroup(css);
		if (!memcg)
			continue;
		args->got++;
		args->held = references(css);
		args->usage = bpf_mem_cgroup_usage(memcg);
		bpf_put_mem_cgroup(memcg);
		args->after = references(css);
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	bpf_put_mem_cgroup(root);
	return 0;
}

struct work_struct {
	struct {
		__s64 counter;
	} data;
} __kernel_type;

struct cgroup_subsys_state___with_work {
	struct work_struct destroy_work;
} __kernel_type;

/* The cgroup whose memcg is watched. */
__u64 watched;

/* How often it was found in the tree as the kernel began to free it, and how often get returned it then. */
__u32 found_freed, got_freed;

/* Work of the kernel on a css that nobody holds any more: it is then taken out of the tree, in which it still is. */
SEC("?fentry/css_release_work_fn")
int BPF_PROG(find_released, struct work_struct *work)
{
	unsigned long at = (unsigned long)work -
			   bpf_core_field_offset(struct cgroup_subsys_state___with_work, destroy_work);
	struct mem_cgroup *root, *memcg;
	struct cgroup_subsys_state *css;
	struct bpf_iter_css___any it;

	root = bpf_get_root_mem_cgroup();
	if (!root)
		return 0;
	bpf_rcu_read_lock();
	bpf_iter_css_new(&it, &root->css, DESCENDANTS_PRE);
	while ((css = bpf_iter_css_next(&it))) {
		if (((struct cgroup_subsys_state___of_cgroup *)css)->cgroup->kn->id != watched)
			continue;
		if ((unsigned long)css != at)	/* the work is on a css of another controller */
			continue;
		found_freed++;
		memcg = bpf_get_mem_cgroup(css);
		if (!memcg)
			continue;
		got_freed++;
		bpf_put_mem_cgroup(memcg);
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	bpf_put_mem_cgroup(root);
	return 0;
}
