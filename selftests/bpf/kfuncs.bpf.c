// SPDX-License-Identifier: GPL-2.0
/*
 * Every memcg kfunc as a call: user space fills calls[], runs the program once, and reads the values back.
 *
 * One run holds one memcg from the first call to the last, so the values of a batch are as close in time as a program can
 * make them. The program sleeps, which flush_stats needs.
 */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MAX_CALLS 1024

enum call_op {
	CALL_USAGE,
	CALL_PAGE_STATE,
	CALL_VM_EVENTS,
	CALL_MEMORY_EVENTS,
	CALL_FLUSH_STATS,
	CALL_PENDING,		/* no kfunc: the updates that a flush would find, as far as the CPUs have told of them */
};

enum call_error {
	CALL_OK,
	CALL_NO_CGROUP,		/* no cgroup has this id */
	CALL_NO_MEMCG,		/* get_mem_cgroup or get_root_mem_cgroup returned NULL */
	CALL_NO_KFUNC,		/* this kernel lacks the kfunc of calls[failed], or get and put if failed is ncalls */
	CALL_BAD_OP,		/* calls[failed].op is none of enum call_op */
	CALL_TOO_MANY,		/* ncalls is more than MAX_CALLS */
	CALL_NO_COUNT,		/* this kernel keeps its count of pending updates somewhere else */
};

struct memcg_vmstats {
	struct {
		__s64 counter;
	} stats_updates;
} __kernel_type;

struct mem_cgroup___with_vmstats {
	struct memcg_vmstats *vmstats;
} __kernel_type;

struct call {
	__u32 op;		/* enum call_op */
	__s32 index;		/* ignored by CALL_USAGE, CALL_FLUSH_STATS and CALL_PENDING */
	__u64 value;		/* the result; CALL_FLUSH_STATS leaves it alone */
};

struct call_args {
	__u64 cgroup_id;	/* ignored when root is set */
	__u32 root;		/* 1: the root memcg by get_root_mem_cgroup */
	__u32 ncalls;
	enum call_op unused;	/* puts the enum into this object's BTF */
	enum call_error error;	/* out */
	__u32 failed;		/* out: which call, when error says so */
};

struct call calls[MAX_CALLS];

static __always_inline enum call_error one_call(struct mem_cgroup *memcg, struct call *call)
{
	switch (call->op) {
	case CALL_USAGE:
		if (!bpf_ksym_exists(bpf_mem_cgroup_usage))
			return CALL_NO_KFUNC;
		call->value = bpf_mem_cgroup_usage(memcg);
		return CALL_OK;
	case CALL_PAGE_STATE:
		if (!bpf_ksym_exists(bpf_mem_cgroup_page_state))
			return CALL_NO_KFUNC;
		call->value = bpf_mem_cgroup_page_state(memcg, call->index);
		return CALL_OK;
	case CALL_VM_EVENTS:
		if (!bpf_ksym_exists(bpf_mem_cgroup_vm_events))
			return CALL_NO_KFUNC;
		call->value = bpf_mem_cgroup_vm_events(memcg, call->index);
		return CALL_OK;
	case CALL_MEMORY_EVENTS:
		if (!bpf_ksym_exists(bpf_mem_cgroup_memory_events))
			return CALL_NO_KFUNC;
		call->value = bpf_mem_cgroup_memory_events(memcg, call->index);
		return CALL_OK;
	case CALL_FLUSH_STATS:
		if (!bpf_ksym_exists(bpf_mem_cgroup_flush_stats))
			return CALL_NO_KFUNC;
		bpf_mem_cgroup_flush_stats(memcg);
		return CALL_OK;
	case CALL_PENDING:
		if (!bpf_core_field_exists(struct memcg_vmstats, stats_updates))
			return CALL_NO_COUNT;
		call->value = ((struct mem_cgroup___with_vmstats *)memcg)->vmstats->stats_updates.counter;
		return CALL_OK;
	}
	return CALL_BAD_OP;
}

static __always_inline struct mem_cgroup *get(struct call_args *args)
{
	struct mem_cgroup *memcg;
	struct cgroup *cgroup;

	if (args->root) {
		memcg = bpf_get_root_mem_cgroup();
		args->error = memcg ? CALL_OK : CALL_NO_MEMCG;
		return memcg;
	}
	cgroup = bpf_cgroup_from_id(args->cgroup_id);
	if (!cgroup) {
		args->error = CALL_NO_CGROUP;
		return NULL;
	}
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	args->error = memcg ? CALL_OK : CALL_NO_MEMCG;
	return memcg;
}

SEC("syscall")
int run_calls(struct call_args *args)
{
	struct bpf_iter_num___any it;
	struct mem_cgroup *memcg;
	enum call_error error;
	int *next;
	__u32 i;

	args->failed = args->ncalls;
	args->error = CALL_TOO_MANY;
	if (args->ncalls > MAX_CALLS)
		return 0;
	args->error = CALL_NO_KFUNC;
	if (!bpf_ksym_exists(bpf_get_root_mem_cgroup) || !bpf_ksym_exists(bpf_get_mem_cgroup) ||
	    !bpf_ksym_exists(bpf_put_mem_cgroup))
		return 0;
	memcg = get(args);
	if (!memcg)
		return 0;
	bpf_iter_num_new(&it, 0, args->ncalls);
	while ((next = bpf_iter_num_next(&it))) {
		i = *next;
		if (i >= MAX_CALLS)
			break;
		error = one_call(memcg, &calls[i]);
		if (error) {
			args->error = error;
			args->failed = i;
			break;
		}
	}
	bpf_iter_num_destroy(&it);
	bpf_put_mem_cgroup(memcg);
	return 0;
}
