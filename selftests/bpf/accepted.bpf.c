// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that the verifier must accept: the kfuncs are registered for every type of program, and these are the ways in
 * which a program comes by a memcg. Those with a __retval are also run.
 */
#include "memcg_kfuncs.h"
#include "kfunctest.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

struct css_set {
	struct cgroup *dfl_cgrp;
} __kernel_type;

struct task_struct {
	struct css_set *cgroups;
} __kernel_type;

struct bpf_iter__cgroup {
	struct cgroup *cgroup;
} __kernel_type;

/* An event that every memcg tracks: of the series as posted, any other makes the kernel warn. */
enum vm_event_item___tracked {
	PGFAULT___tracked,
};

/* What the tracing programs saw. */
unsigned long seen_usage;

/* Usage of the root memcg, or of any that was got, may be read where nothing can sleep. */
static __always_inline int read_root(void)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	seen_usage = bpf_mem_cgroup_usage(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?syscall")
__success __retval(0)
int root_from_syscall(void *ctx)
{
	return read_root();
}

SEC("?tc")
__success __retval(0)
int root_from_tc(struct __sk_buff *skb)
{
	return read_root();
}

SEC("?xdp")
__success __retval(0)
int root_from_xdp(struct xdp_md *xdp)
{
	return read_root();
}

SEC("?socket")
__success __retval(0)
int root_from_socket_filter(struct __sk_buff *skb)
{
	return read_root();
}

SEC("?cgroup_skb/egress")
__success
int root_from_cgroup_skb(struct __sk_buff *skb)
{
	read_root();
	return 1;
}

SEC("?kprobe")
__success
int root_from_kprobe(void *ctx)
{
	return read_root();
}

SEC("?perf_event")
__success
int root_from_perf_event(void *ctx)
{
	return read_root();
}

SEC("?raw_tp/sys_enter")
__success __retval(0)
int root_from_raw_tracepoint(void *ctx)
{
	return read_root();
}

/* The arguments of a tracepoint are trusted: they need no get, and no put. */
SEC("?tp_btf/memcg_flush_stats")
__success
int BPF_PROG(tracepoint_argument_without_get, struct mem_cgroup *memcg)
{
	seen_usage = bpf_mem_cgroup_usage(memcg);
	return 0;
}

/* A program that cannot sleep runs under RCU as a whole, so get may follow pointers that RCU protects. */
SEC("?tp_btf/task_newtask")
__success
int BPF_PROG(get_of_current_without_sleeping)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct mem_cgroup *memcg = bpf_get_mem_cgroup(&task->cgroups->dfl_cgrp->self);

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}

/* A sleepable program takes the lock for it, and may sleep again with what it got. */
SEC("?syscall")
__success __retval(0)
int get_of_current_under_rcu(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct mem_cgroup *memcg;

	bpf_rcu_read_lock();
	memcg = bpf_get_mem_cgroup(&task->cgroups->dfl_cgrp->self);
	bpf_rcu_read_unlock();
	if (!memcg)
		return 1;
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* The iterator's cgroup is trusted; iter.s/ may sleep, and so flush. NULL marks the end of the iteration. */
SEC("?iter.s/cgroup")
__success
int flush_from_sleepable_iterator(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;
	struct mem_cgroup *memcg;

	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	if (!memcg)
		return 0;
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* All reads are allowed wherever get is, flush where the program sleeps. */
SEC("?syscall")
__success __retval(0)
int every_kfunc(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_mem_cgroup_usage(memcg);
	bpf_mem_cgroup_page_state(memcg, 0);
	bpf_mem_cgroup_vm_events(memcg, bpf_core_enum_value(enum vm_event_item___tracked, PGFAULT___tracked));
	/* Not in every revision of the patch. Whether it must be here is for test_presence.py to say. */
	if (bpf_ksym_exists(bpf_mem_cgroup_memory_events))
		bpf_mem_cgroup_memory_events(memcg, 0);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* An index need not be known when the program is loaded: the kfunc checks it, not the verifier. */
SEC("?syscall")
__success
int index_from_outside(__u64 *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (!memcg)
		return 1;
	*ctx = bpf_mem_cgroup_page_state(memcg, *ctx) + bpf_mem_cgroup_vm_events(memcg, *ctx);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

/* The cgroup may be given back before the memcg: each has a reference of its own. */
SEC("?syscall")
__success
int memcg_outlives_cgroup(__u64 *ctx)
{
	struct cgroup *cgroup = bpf_cgroup_from_id(*ctx);
	struct mem_cgroup *memcg;

	if (!cgroup)
		return 1;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	bpf_cgroup_release(cgroup);
	if (!memcg)
		return 2;
	*ctx = bpf_mem_cgroup_usage(memcg);
	bpf_put_mem_cgroup(memcg);
	return 0;
}

SEC("?lsm.s/file_open")
__success
int BPF_PROG(flush_from_sleepable_lsm_hook)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}
