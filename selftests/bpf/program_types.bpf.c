// SPDX-License-Identifier: GPL-2.0
/*
 * Which type of program may call which kfunc. The callers below are loaded as every type in turn: what they do is the
 * same everywhere, since none looks at its context. The places say what the types are, by their sections; they are never
 * loaded as they stand, except where a type must be told from a caller that it refuses.
 */
#include "memcg_kfuncs.h"
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

/* An event that every memcg tracks: of the series as posted, any other makes the kernel warn. */
enum vm_event_item___tracked {
	PGFAULT___tracked,
};

#define EVENT bpf_core_enum_value(enum vm_event_item___tracked, PGFAULT___tracked)

/* Each caller has the root memcg, which any program can get, and so the css in it. */
#define caller(kfunc, calls)						\
	SEC("?syscall") int call_##kfunc(void *ctx)			\
	{								\
		struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();	\
									\
		if (!memcg)						\
			return 0;					\
		calls							\
		bpf_put_mem_cgroup(memcg);				\
		return 0;						\
	}

#define GET								\
	struct mem_cgroup *got = bpf_get_mem_cgroup(&memcg->css);	\
									\
	if (got)							\
		bpf_put_mem_cgroup(got);

caller(get_root, )
caller(put, )
caller(get, GET)
caller(vm_events, bpf_mem_cgroup_vm_events(memcg, EVENT);)
caller(memory_events, bpf_mem_cgroup_memory_events(memcg, 0);)
caller(usage, bpf_mem_cgroup_usage(memcg);)
caller(page_state, bpf_mem_cgroup_page_state(memcg, 0);)
caller(flush_stats, bpf_mem_cgroup_flush_stats(memcg);)

/* All but flush in one: a type that takes this one takes each of them. */
caller(everything_but_flush,
	GET
	bpf_mem_cgroup_usage(memcg);
	bpf_mem_cgroup_page_state(memcg, 0);
	bpf_mem_cgroup_vm_events(memcg, EVENT);
	/* Not in every revision. Whether it must be here is for test_presence.py to say. */
	if (bpf_ksym_exists(bpf_mem_cgroup_memory_events))
		bpf_mem_cgroup_memory_events(memcg, 0);
)

#define place(name, section) \
	SEC("?" section) int at_##name(void *ctx) { return 0; }

place(syscall, "syscall")
place(socket, "socket")
place(tc, "tc")
place(tcx, "tcx/ingress")
place(netkit, "netkit/primary")
place(action, "action")
place(xdp, "xdp")
place(cgroup_skb, "cgroup_skb/ingress")
place(cgroup_sock, "cgroup/sock_create")
place(cgroup_connect4, "cgroup/connect4")
place(cgroup_sendmsg6, "cgroup/sendmsg6")
place(cgroup_dev, "cgroup/dev")
place(cgroup_sysctl, "cgroup/sysctl")
place(cgroup_getsockopt, "cgroup/getsockopt")
place(cgroup_setsockopt, "cgroup/setsockopt")
place(sockops, "sockops")
place(sk_skb_parser, "sk_skb/stream_parser")
place(sk_skb_verdict, "sk_skb/stream_verdict")
place(sk_msg, "sk_msg")
place(sk_reuseport, "sk_reuseport")
place(sk_lookup, "sk_lookup")
place(flow_dissector, "flow_dissector")
place(netfilter, "netfilter")
place(lwt_in, "lwt_in")
place(lwt_out, "lwt_out")
place(lwt_xmit, "lwt_xmit")
place(lwt_seg6local, "lwt_seg6local")
place(lirc_mode2, "lirc_mode2")
place(kprobe, "kprobe")
place(kprobe_multi, "kprobe.multi/x")
place(uprobe, "uprobe")
place(uprobe_s, "uprobe.s")
place(tracepoint, "tracepoint/sched/sched_switch")
place(tracepoint_s, "tracepoint.s/syscalls/sys_enter_getpid")
place(raw_tp, "raw_tp/sched_switch")
place(raw_tp_s, "raw_tp.s/sys_enter")
place(raw_tp_w, "raw_tp.w/sched_switch")
place(perf_event, "perf_event")
place(tp_btf, "tp_btf/task_newtask")
place(tp_btf_s, "tp_btf.s/sys_enter")
place(fentry, "fentry/bpf_fentry_test1")
place(fentry_s, "fentry.s/bpf_fentry_test1")
place(fexit, "fexit/bpf_fentry_test1")
place(fexit_s, "fexit.s/bpf_fentry_test1")
place(fmod_ret, "fmod_ret/bpf_modify_return_test")
place(fmod_ret_s, "fmod_ret.s/bpf_fentry_test1")
place(iter, "iter/cgroup")
place(iter_s, "iter.s/cgroup")
place(lsm, "lsm/file_open")
place(lsm_s, "lsm.s/file_open")
place(lsm_cgroup, "lsm_cgroup/file_open")

struct bpf_dummy_ops_state {
	int val;
};

struct bpf_dummy_ops {
	int (*test_1)(struct bpf_dummy_ops_state *state);
	int (*test_sleepable)(struct bpf_dummy_ops_state *state);
};

place(struct_ops, "struct_ops/test_1")
place(struct_ops_s, "struct_ops.s/test_sleepable")

/* What a program of struct_ops is a member of. The kernel implements these for its own tests. */
SEC(".struct_ops")
struct bpf_dummy_ops dummy = {
	.test_1 = (void *)at_struct_ops,
	.test_sleepable = (void *)at_struct_ops_s,
};
