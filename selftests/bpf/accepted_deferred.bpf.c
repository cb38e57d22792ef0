// SPDX-License-Identifier: GPL-2.0
/*
 * What a program leaves to be done later: by a kernel thread, or by a task on its way to user space. Both may sleep, even
 * for a program that may not, so both may flush.
 *
 * The last argument of these kfuncs is the verifier's own. A kernel whose BTF was made by an older pahole shows it to
 * programs too, and lacks the other name by which the verifier knows it: no program can call them there.
 */
/* linux/bpf.h has these since 6.10 and 6.18; on a given machine they may or may not be there. */
#define bpf_wq header_bpf_wq
#define bpf_task_work header_bpf_task_work
#include "memcg_kfuncs.h"
#undef bpf_wq
#undef bpf_task_work
#include "kfunctest.h"

char _license[] SEC("license") = "GPL";

struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_task_work {
	__u64 __opaque;
} __attribute__((aligned(8)));

struct bpf_map {
	int id;
} __kernel_type;

struct task_struct {
	int pid;
} __kernel_type;

struct queued {
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct queued);
} queue_map SEC(".maps");

struct returning {
	struct bpf_task_work work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct returning);
} task_map SEC(".maps");

extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) __ksym __weak;
extern int bpf_wq_set_callback(struct bpf_wq *wq, int (callback)(void *map, int *key, void *value),
			       unsigned int flags) __ksym __weak;
extern int bpf_task_work_schedule_signal(struct task_struct *task, struct bpf_task_work *work, void *map__map,
					 int (callback)(struct bpf_map *map, void *key, void *value)) __ksym __weak;

static __always_inline int flush_root(void)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg) {
		bpf_mem_cgroup_flush_stats(memcg);
		bpf_put_mem_cgroup(memcg);
	}
	return 0;
}

static int flush_in_thread(void *map, int *key, void *value)
{
	return flush_root();
}

SEC("?tc")
__success
__needs_kfunc(bpf_wq_set_callback)
__needs_kfunc(bpf_wq_set_callback_impl)
int flush_from_work_queue(struct __sk_buff *skb)
{
	struct queued *queued;
	__u32 key = 0;

	queued = bpf_map_lookup_elem(&queue_map, &key);
	if (!queued)
		return 1;
	if (bpf_wq_init(&queued->work, &queue_map, 0))
		return 2;
	return bpf_wq_set_callback(&queued->work, flush_in_thread, 0);
}

static int flush_in_task(struct bpf_map *map, void *key, void *value)
{
	return flush_root();
}

SEC("?tp_btf/task_newtask")
__success
__needs_kfunc(bpf_task_work_schedule_signal)
__needs_kfunc(bpf_task_work_schedule_signal_impl)
int flush_from_task_work(void *ctx)
{
	struct returning *returning;
	__u32 key = 0;

	returning = bpf_map_lookup_elem(&task_map, &key);
	if (!returning)
		return 0;
	bpf_task_work_schedule_signal((void *)bpf_get_current_task_btf(), &returning->work, &task_map, flush_in_task);
	return 0;
}
