// SPDX-License-Identifier: GPL-2.0
/*
 * Memcgs through the cgroup iterator, as a monitoring tool reads them: one line for each cgroup that the link's order
 * visits, "<cgroup id> <usage in bytes>", or "<cgroup id> none" where there is no memcg.
 */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

struct seq_file {
} __kernel_type;

struct bpf_iter_meta {
	struct seq_file *seq;
} __kernel_type;

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
} __kernel_type;

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

struct memcg_vmstats {
	struct {
		__s64 counter;
	} stats_updates;
} __kernel_type;

struct mem_cgroup___with_vmstats {
	struct memcg_vmstats *vmstats;
} __kernel_type;

/* Flush each memcg before it is read. */
int flush;

/* The updates that the last flush was to find, as far as the CPUs had told of them: read in the same breath. */
__u64 pending;

/* How often the program was called, the call that ends the iteration among them. */
__u64 visits;

/* The usage of the cgroup visited last, in bytes: for readers that want no text. */
__u64 last_usage;

SEC("iter.s/cgroup")
int read_usage(struct bpf_iter__cgroup *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct cgroup *cgroup = ctx->cgroup;
	struct mem_cgroup *memcg;
	__u64 numbers[2];

	visits++;
	if (!cgroup)
		return 0;
	numbers[0] = ((struct cgroup___with_node *)cgroup)->kn->id;
	memcg = bpf_get_mem_cgroup(&cgroup->self);
	if (!memcg) {
		static const char none[] = "%llu none\n";

		bpf_seq_printf(seq, none, sizeof(none), numbers, sizeof(numbers[0]));
		return 0;
	}
	if (flush) {
		if (bpf_core_field_exists(struct memcg_vmstats, stats_updates))
			pending = ((struct mem_cgroup___with_vmstats *)memcg)->vmstats->stats_updates.counter;
		bpf_mem_cgroup_flush_stats(memcg);
	}
	static const char line[] = "%llu %llu\n";

	last_usage = numbers[1] = bpf_mem_cgroup_usage(memcg);
	bpf_seq_printf(seq, line, sizeof(line), numbers, sizeof(numbers));
	bpf_put_mem_cgroup(memcg);
	return 0;
}
