// SPDX-License-Identifier: GPL-2.0
/* kfuncs are for programs under the GPL. The license counts for a whole object, so this program has one of its own. */
#include "memcg_kfuncs.h"
#include "kfunctest.h"

char _license[] SEC("license") = "Proprietary";

SEC("?syscall")
__failure __errno(EINVAL) __msg("cannot call kernel function from non-GPL compatible program")
int kfunc_without_gpl(void *ctx)
{
	struct mem_cgroup *memcg = bpf_get_root_mem_cgroup();

	if (memcg)
		bpf_put_mem_cgroup(memcg);
	return 0;
}
