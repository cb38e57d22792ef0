// SPDX-License-Identifier: GPL-2.0
/*
 * The program by which the verifier's generation is told: a number where a kfunc wants a kernel object. No memcg kfunc is
 * called, since those are what is judged. The next generation gets the next wording here, and its name in GENERATIONS of
 * kfunctest/verifier_annotations.py.
 */
#include "memcg_kfuncs.h"
#include "kfunctest.h"

char _license[] SEC("license") = "GPL";

extern struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) __ksym;

SEC("?syscall")
__failure __errno(EINVAL) __msg("R1 is scalar expected STRUCT cgroup")
__msg_until("7.2", "R1 pointer type STRUCT cgroup must point to scalar, or struct with scalar")
__msg_until("6.12", "arg#0 pointer type STRUCT cgroup must point to scalar, or struct with scalar")
int probe(void *ctx)
{
	struct cgroup *cgroup = bpf_cgroup_acquire((void *)0x1000);

	if (cgroup)
		bpf_cgroup_release(cgroup);
	return 0;
}
