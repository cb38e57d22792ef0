// SPDX-License-Identifier: GPL-2.0
/* Reading memcgs below one of them while they come and go. */
#include "css_iter.h"

char _license[] SEC("license") = "GPL";

struct walk_args {
	__u64 cgroup_id;	/* what is below it is read */
	__u64 most;		/* no memcg can have more bytes */
	__u32 item;		/* an item of page_state, in bytes */
	__u32 event;		/* an event */
};

/* How many memcgs were found, how many of them get returned, and how many of those had used something. */
__u64 found, got, used;

/* The last value that cannot be, and how many there were. */
__u64 wrong_value, wrong;

static __always_inline struct mem_cgroup *top(struct walk_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;

	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return NULL;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	return memcg;
}

static __always_inline void judge(__u64 value, __u64 most)
{
	if (value <= most)
		return;
	wrong_value = value;
	wrong++;
}

/* Each memcg below, without itself. Returns 1 where there is none to begin with. */
SEC("?syscall")
int walk(struct walk_args *args)
{
	struct mem_cgroup *start, *memcg;
	struct cgroup_subsys_state *css;
	struct bpf_iter_css___any it;
	__u64 usage;

	start = top(args);
	if (!start)
		return 1;
	bpf_rcu_read_lock();
	bpf_iter_css_new(&it, &start->css, DESCENDANTS_PRE);
	while ((css = bpf_iter_css_next(&it))) {
		if (css == &start->css)
			continue;
		found++;
		memcg = bpf_get_mem_cgroup(css);
		if (!memcg)
			continue;
		got++;
		usage = bpf_mem_cgroup_usage(memcg);
		used += !!usage;
		judge(usage, args->most);
		judge(bpf_mem_cgroup_page_state(memcg, args->item), args->most);
		judge(bpf_mem_cgroup_vm_events(memcg, args->event), args->most);
		bpf_put_mem_cgroup(memcg);
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	bpf_put_mem_cgroup(start);
	return 0;
}

/* Bring all of them up to date. Returns 1 as walk does. */
SEC("?syscall")
int flush_all(struct walk_args *args)
{
	struct mem_cgroup *start = top(args);

	if (!start)
		return 1;
	bpf_mem_cgroup_flush_stats(start);
	bpf_put_mem_cgroup(start);
	return 0;
}
