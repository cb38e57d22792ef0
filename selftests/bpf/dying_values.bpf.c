// SPDX-License-Identifier: GPL-2.0
/*
 * Values of a memcg that was removed but that something still pins. No id and no path leads to it any more, so it is
 * found by walking the memcgs below another one; alive ones are found likewise.
 */
#include "css_iter.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MOST 256

struct dying_args {
	__u64 top;		/* the cgroup id of a living memcg: what is below it is looked through */
	__u64 cgroup_id;	/* which one is read */
	__u32 flush;		/* 1: flush it before it is read */
	__u32 states;		/* how many of the indices are of page_state; ... */
	__u32 events;		/* ... how many of those behind them are of vm_events */
	__u32 online;		/* out: 0 when the kernel is through with taking it offline */
	__u32 reparents;	/* out: by then its folios are its parent's (since 7.2) */
	__u64 usage;		/* out */
	__u64 pending;		/* out: updates that a flush would have found, before there was one; or -1: unknown */
};

/* By place: what is asked for, and the answers. */
__s32 indices[MOST];
__u64 values[MOST];

struct memcg_vmstats {
	struct {
		__s64 counter;
	} stats_updates;
} __kernel_type;

struct mem_cgroup___with_vmstats {
	struct memcg_vmstats *vmstats;
} __kernel_type;

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

struct cgroup_subsys_state___of_cgroup {
	struct cgroup___with_node *cgroup;
	unsigned int flags;
} __kernel_type;

#define ONLINE 2		/* CSS_ONLINE, linux/cgroup-defs.h */

struct mem_cgroup_per_node {
	void *orig_objcg;	/* since a folio belongs to one, and not to a memcg */
} __kernel_type;

static __always_inline struct mem_cgroup *found(struct mem_cgroup *top, __u64 cgroup_id)
{
	struct mem_cgroup *memcg = NULL;
	struct cgroup_subsys_state *css;
	struct bpf_iter_css___any it;

	bpf_rcu_read_lock();
	bpf_iter_css_new(&it, &top->css, DESCENDANTS_PRE);
	while ((css = bpf_iter_css_next(&it))) {
		if (((struct cgroup_subsys_state___of_cgroup *)css)->cgroup->kn->id != cgroup_id)
			continue;
		memcg = bpf_get_mem_cgroup(css);
		break;
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	return memcg;
}

/* Returns 0, or 1 where there is no such memcg. */
SEC("?syscall")
int read_found(struct dying_args *args)
{
	struct mem_cgroup *top, *memcg;
	struct bpf_iter_num___any it;
	struct cgroup *cgroup;
	int *next;
	__u32 i;

	args->reparents = bpf_core_field_exists(struct mem_cgroup_per_node, orig_objcg);
	cgroup = bpf_cgroup_from_id(args->top);
	if (!cgroup)
		return 1;
	top = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!top)
		return 1;
	memcg = found(top, args->cgroup_id);
	bpf_put_mem_cgroup(top);
	if (!memcg)
		return 1;
	args->pending = ~0ULL;
	if (bpf_core_field_exists(struct memcg_vmstats, stats_updates))
		args->pending = ((struct mem_cgroup___with_vmstats *)memcg)->vmstats->stats_updates.counter;
	if (args->flush)
		bpf_mem_cgroup_flush_stats(memcg);
	args->online = !!(((struct cgroup_subsys_state___of_cgroup *)&memcg->css)->flags & ONLINE);
	args->usage = bpf_mem_cgroup_usage(memcg);
	bpf_iter_num_new(&it, 0, args->states + args->events);
	while ((next = bpf_iter_num_next(&it))) {
		i = *next;
		if (i >= MOST)
			break;
		values[i] = i < args->states ? bpf_mem_cgroup_page_state(memcg, indices[i]) :
					       bpf_mem_cgroup_vm_events(memcg, indices[i]);
	}
	bpf_iter_num_destroy(&it);
	bpf_put_mem_cgroup(memcg);
	return 0;
}
