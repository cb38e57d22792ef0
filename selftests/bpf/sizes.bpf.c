// SPDX-License-Identifier: GPL-2.0
/* What a memcg keeps for each CPU, in bytes, by the kernel's own BTF. */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

struct memcg_vmstats_percpu {
	unsigned long stats_updates;
} __kernel_type;

struct lruvec_stats_percpu {
	long state[1];
} __kernel_type;

struct memcg1_events_percpu {
	unsigned long nr_page_events;
} __kernel_type;

struct sizes_args {
	__u64 of_memcg;		/* out: its counters, ... */
	__u64 of_node;		/* out: ... those of each node, ... */
	__u64 of_v1;		/* out: ... and what v1 counts beside them, with CONFIG_MEMCG_V1; else 0 */
};

SEC("?syscall")
int tell_sizes(struct sizes_args *args)
{
	args->of_memcg = bpf_core_type_size(struct memcg_vmstats_percpu);
	args->of_node = bpf_core_type_size(struct lruvec_stats_percpu);
	args->of_v1 = bpf_core_type_size(struct memcg1_events_percpu);
	return 0;
}
