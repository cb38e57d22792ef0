// SPDX-License-Identifier: GPL-2.0
/*
 * A map whose memory is charged to the memcg of who makes it, and vmalloc'ed because it is large.
 */
#include "memcg_kfuncs.h"

char _license[] SEC("license") = "GPL";

struct element {
	char bytes[4096];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct element);
} large SEC(".maps");

SEC("syscall")
int use_map(void *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&large, &key) ? 0 : 1;
}
