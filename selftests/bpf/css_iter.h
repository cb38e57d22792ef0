/* SPDX-License-Identifier: GPL-2.0 */
/* Walking memcgs from inside a program, under RCU: bpf_for_each(css, ...) as kfuncs. Dying ones are met as well. */
#ifndef KFUNCTEST_CSS_ITER_H
#define KFUNCTEST_CSS_ITER_H

#include "memcg_kfuncs.h"

#define DESCENDANTS_PRE 2	/* BPF_CGROUP_ITER_DESCENDANTS_PRE, linux/bpf.h */

struct bpf_iter_css___any {
	__u64 opaque[3];
} __attribute__((aligned(8)));

extern int bpf_iter_css_new(struct bpf_iter_css___any *it, struct cgroup_subsys_state *start,
			    unsigned int flags) __ksym;
extern struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css___any *it) __ksym;
extern void bpf_iter_css_destroy(struct bpf_iter_css___any *it) __ksym;

#endif
