// SPDX-License-Identifier: GPL-2.0
/* The flushes of one memcg that were forced: those of the kernel's own flusher, of root. And how long it waits then. */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

struct kernfs_node {
	__u64 id;
} __kernel_type;

struct cgroup___with_node {
	struct kernfs_node *kn;
} __kernel_type;

struct timer_list {
	unsigned long expires;
} __kernel_type;

struct work_struct {
	void (*func)(struct work_struct *work);
} __kernel_type;

struct delayed_work {
	struct work_struct work;
	struct timer_list timer;
} __kernel_type;

/* The flusher's function, mm/memcontrol.c; a kernel that has it under another name is seen to set no timer of it. */
extern const void flush_memcg_stats_dwork __ksym __weak;

/* The cgroup id of the memcg that is watched. */
__u64 watched;

/* How many forced flushes of it there were. */
__u32 forced;

SEC("?tp_btf/memcg_flush_stats")
int BPF_PROG(on_flush, struct mem_cgroup *memcg, __s64 stats_updates, _Bool force, _Bool needs_flush)
{
	if (force && ((struct cgroup___with_node *)memcg->css.cgroup)->kn->id == watched)
		forced++;
	return 0;
}

/* How often the flusher's timer was set, and for how many jiffies ahead at most: fewer where a tick came in between. */
__u32 armed;
__u64 ahead;

SEC("?tp_btf/timer_start")
int BPF_PROG(on_timer, struct timer_list *timer)
{
	struct delayed_work *work = (void *)timer - bpf_core_field_offset(struct delayed_work, timer);
	__u64 left = timer->expires - bpf_jiffies64();

	/* Of most timers this is other memory. */
	if (BPF_CORE_READ(work, work.func) != &flush_memcg_stats_dwork)
		return 0;
	if (left > ahead)
		ahead = left;
	armed++;
	return 0;
}
