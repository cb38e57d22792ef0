/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memcg kfuncs and the few kernel types that a program needs around them.
 *
 * There is no vmlinux.h: one object serves every kernel. Fields are relocated when the object is loaded (CO-RE), kfuncs
 * are weak, so that a kernel without one still loads what does not call it; test with bpf_ksym_exists().
 */
#ifndef KFUNCTEST_MEMCG_KFUNCS_H
#define KFUNCTEST_MEMCG_KFUNCS_H

#include <linux/types.h>
#include <linux/bpf.h>
/*
 * libbpf declares the number iterator since 1.2, for the struct that linux/bpf.h has since 6.4: on a given machine one,
 * both or neither may be there. Its declarations are put aside under other names; ours are below, complete for all.
 */
#define bpf_iter_num_new libbpf_iter_num_new
#define bpf_iter_num_next libbpf_iter_num_next
#define bpf_iter_num_destroy libbpf_iter_num_destroy
#include <bpf/bpf_helpers.h>
#undef bpf_iter_num_new
#undef bpf_iter_num_next
#undef bpf_iter_num_destroy
#include <bpf/bpf_tracing.h>

#define __kernel_type __attribute__((preserve_access_index))

/* One field, though no program reads it: clang 19 crashes on the address of a member that has no size. */
struct cgroup_subsys_state {
	struct cgroup *cgroup;
} __kernel_type;

/*
 * Defined, with the css first as in the kernel's: libbpf takes a forward declaration in a kfunc's prototype for another
 * type than the kernel's struct.
 */
struct mem_cgroup {
	struct cgroup_subsys_state css;
} __kernel_type;

struct cgroup {
	struct cgroup_subsys_state self;
} __kernel_type;

/* Indices come from the running kernel's BTF, as numbers; the names only make the prototypes what they are. */
enum vm_event_item { KFUNCTEST_VM_EVENT_ITEM };
enum memcg_memory_event { KFUNCTEST_MEMCG_MEMORY_EVENT };

extern struct mem_cgroup *bpf_get_root_mem_cgroup(void) __ksym __weak;
extern struct mem_cgroup *bpf_get_mem_cgroup(struct cgroup_subsys_state *css) __ksym __weak;
extern void bpf_put_mem_cgroup(struct mem_cgroup *memcg) __ksym __weak;
extern unsigned long bpf_mem_cgroup_vm_events(struct mem_cgroup *memcg, enum vm_event_item event) __ksym __weak;
extern unsigned long bpf_mem_cgroup_memory_events(struct mem_cgroup *memcg,
						  enum memcg_memory_event event) __ksym __weak;
extern unsigned long bpf_mem_cgroup_usage(struct mem_cgroup *memcg) __ksym __weak;
extern unsigned long bpf_mem_cgroup_page_state(struct mem_cgroup *memcg, int idx) __ksym __weak;
extern void bpf_mem_cgroup_flush_stats(struct mem_cgroup *memcg) __ksym __weak;

/* Older than the memcg kfuncs, in every kernel that this project judges. */
extern struct cgroup *bpf_cgroup_from_id(__u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

/* The suffix keeps it apart from the one in linux/bpf.h; libbpf drops it when it looks for the kernel's. */
struct bpf_iter_num___any {
	__u64 opaque;
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num___any *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num___any *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num___any *it) __ksym;

/* libbpf's headers have these two since 1.2 and 1.3. */
#ifndef bpf_ksym_exists
#define bpf_ksym_exists(sym) (!!(sym))
#endif

#endif
