// SPDX-License-Identifier: GPL-2.0
/* The memcg of a cgroup of v1: no id leads to it, but the task that is in it does. */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

struct task_struct {
	int pid;
} __kernel_type;

extern struct cgroup *bpf_task_get_cgroup1(struct task_struct *task, int hierarchy_id) __ksym;

struct v1_args {
	__u32 hierarchy;	/* the number of a hierarchy of v1, as /proc/self/cgroup has it */
	__u32 got;		/* out: whether get returned a memcg for the cgroup that the caller is in there */
	__u64 usage;		/* out: its usage in bytes */
};

/* Returns 1 where there is no such hierarchy. */
SEC("syscall")
int of_my_cgroup(struct v1_args *args)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;

	args->got = 0;
	args->usage = 0;
	cgroup = bpf_task_get_cgroup1(task, args->hierarchy);
	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 0;
	args->got = 1;
	args->usage = bpf_mem_cgroup_usage(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}
