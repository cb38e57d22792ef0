// SPDX-License-Identifier: GPL-2.0
/* get and put in pairs, many times over: afterwards nothing may keep the cgroup from going away. */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

struct pairs_args {
	__u64 cgroup_id;	/* ignored by root_pairs */
	__u32 pairs;		/* how often to get and put */
	__u32 done;		/* out: how often get returned a memcg */
};

/* Get and put the memcg of a cgroup. Returns 1 when there is no such cgroup. */
SEC("syscall")
int child_pairs(struct pairs_args *args)
{
	struct bpf_iter_num___any it;
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;
	__u32 done = 0;

	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	bpf_iter_num_new(&it, 0, args->pairs);
	while (bpf_iter_num_next(&it)) {
		memcg = bpf_get_mem_cgroup(&cgroup->self);
		if (!memcg)
			break;
		done++;
		bpf_put_mem_cgroup(memcg);
	}
	bpf_iter_num_destroy(&it);
	bpf_cgroup_release(cgroup);
	args->done = done;
	return 0;
}

/* The same with the root memcg, whose count is never touched. */
SEC("syscall")
int root_pairs(struct pairs_args *args)
{
	struct bpf_iter_num___any it;
	struct mem_cgroup *memcg;
	__u32 done = 0;

	bpf_iter_num_new(&it, 0, args->pairs);
	while (bpf_iter_num_next(&it)) {
		memcg = bpf_get_root_mem_cgroup();
		if (!memcg)
			break;
		done++;
		bpf_put_mem_cgroup(memcg);
	}
	bpf_iter_num_destroy(&it);
	args->done = done;
	return 0;
}

/* Two references at once, put in the order of the gets: each put gives back one, whichever pointer it takes. */
SEC("syscall")
int child_nested(struct pairs_args *args)
{
	struct mem_cgroup *first, *second;
	struct bpf_iter_num___any it;
	struct cgroup *cgroup;
	__u32 done = 0;

	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup)
		return 1;
	bpf_iter_num_new(&it, 0, args->pairs);
	while (bpf_iter_num_next(&it)) {
		first = bpf_get_mem_cgroup(&cgroup->self);
		if (!first)
			break;
		second = bpf_get_mem_cgroup(&cgroup->self);
		bpf_put_mem_cgroup(first);
		if (!second)
			break;
		done++;
		bpf_put_mem_cgroup(second);
	}
	bpf_iter_num_destroy(&it);
	bpf_cgroup_release(cgroup);
	args->done = done;
	return 0;
}
