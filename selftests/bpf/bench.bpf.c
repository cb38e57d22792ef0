// SPDX-License-Identifier: GPL-2.0
/*
 * The experiment of the patch: for each cgroup that the iterator visits get its memcg, flush, read the items, put. The
 * values stay in mapped memory; nothing is printed.
 *
 * The settings are constants when the program is loaded, so the verifier takes out what is switched off, and knows how
 * often the loops run.
 */
#include "memcg_kfuncs.h"
#include "bench.h"

char _license[] SEC("license") = "GPL";

struct bpf_iter__cgroup {
	void *meta;
	struct cgroup *cgroup;
} __kernel_type;

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

const volatile struct bench_setup setup;
struct bench_result result;

SEC("iter.s/cgroup")
int read_items(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;
	struct mem_cgroup *memcg;
	struct bench_row *row;
	__u64 at;
	__u32 i;

	if (!setup.get || !cgroup)
		return 0;
	at = result.visited;
	if (at >= BENCH_MEMCGS)
		return 0;
	row = &result.rows[at];
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	if (!memcg)
		return 0;
	row->id = ((struct cgroup___with_node *)cgroup)->kn->id;
	if (setup.flush)
		bpf_mem_cgroup_flush_stats(memcg);
	for (i = 0; i < setup.nstates && i < BENCH_ITEMS; i++)
		row->values[i] = bpf_mem_cgroup_page_state(memcg, setup.items[i]);
	for (; i < setup.nitems && i < BENCH_ITEMS; i++)
		row->values[i] = bpf_mem_cgroup_vm_events(memcg, setup.items[i]);
	bpf_put_mem_cgroup(memcg);
	result.visited = at + 1;
	return 0;
}
