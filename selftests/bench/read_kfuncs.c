// SPDX-License-Identifier: GPL-2.0
/*
 * The experiment: memcgs read through bench.bpf.c.
 *
 *   read_kfuncs OBJECT CGROUP self|tree PASSES PARTS STATES EVENTS [stats]
 *
 * One link is made. A pass makes an iterator of it, reads that, which prints nothing, and closes it; the values appear in
 * the mapped memory. PARTS is a number: 1 gets and puts the memcg, 2 flushes. STATES and EVENTS are the items' numbers,
 * with commas between them, or "-". "stats": the kernel takes the time of the program itself too, which costs time.
 *
 * Prints what the passes took, and what the last one found, a line for each memcg.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench.h"
#include "measured.h"

static void add_items(struct bench_setup *setup, char *list)
{
	char *word;

	if (!strcmp(list, "-"))
		return;
	for (word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		if (setup->nitems == BENCH_ITEMS) {
			fprintf(stderr, "more than %d items\n", BENCH_ITEMS);
			exit(1);
		}
		setup->items[setup->nitems++] = atoi(word);
	}
}

static struct bpf_link *attach(struct bpf_object *object, const char *cgroup, int tree)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts);
	union bpf_iter_link_info info = {};
	struct bpf_program *program;
	struct bpf_link *link;

	program = bpf_object__find_program_by_name(object, "read_items");
	if (!program)
		fail("read_items");
	info.cgroup.cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY);
	if ((int)info.cgroup.cgroup_fd < 0)
		fail(cgroup);
	info.cgroup.order = tree ? BPF_CGROUP_ITER_DESCENDANTS_PRE : BPF_CGROUP_ITER_SELF_ONLY;
	opts.link_info = &info;
	opts.link_info_len = sizeof(info);
	link = bpf_program__attach_iter(program, &opts);
	if (!link)
		fail("attach");
	return link;
}

static int pass(int link, volatile struct bench_result *result, char *buffer, size_t size)
{
	ssize_t got;
	int fd;

	result->visited = 0;
	fd = bpf_iter_create(link);
	if (fd < 0)
		return -1;
	/* With no room for output a read ends behind the first cgroup, which is all there is in the patch's experiment. */
	got = read(fd, buffer, size);
	close(fd);
	return got ? -1 : 0;
}

static void tell_program(struct bpf_object *object)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(bpf_object__find_program_by_name(object, "read_items")), &info, &size))
		fail("info");
	printf("program %llu\nruns %llu\n", info.run_time_ns, info.run_cnt);
}

static void print(const volatile struct bench_result *result, __u32 nitems)
{
	__u64 at;
	__u32 i;

	for (at = 0; at < result->visited; at++) {
		printf("row %llu", result->rows[at].id);
		for (i = 0; i < nitems; i++)
			printf(" %llu", result->rows[at].values[i]);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	struct bench_setup setup = {};
	struct bench_result *result;
	struct measured start, end;
	struct bpf_object *object;
	struct bpf_map *constants;
	static char buffer[4096];
	struct bpf_link *link;
	long done, passes;
	int tree, stats;
	size_t size;
	void *at;

	if (argc < 8)
		return 2;
	tree = !strcmp(argv[3], "tree");
	passes = atol(argv[4]);
	setup.get = atoi(argv[5]) & 1;
	setup.flush = !!(atoi(argv[5]) & 2);
	add_items(&setup, argv[6]);
	setup.nstates = setup.nitems;
	add_items(&setup, argv[7]);
	stats = argc > 8;

	object = bpf_object__open_file(argv[1], NULL);
	if (!object)
		fail(argv[1]);
	constants = bpf_object__find_map_by_name(object, ".rodata");
	at = constants ? (void *)bpf_map__initial_value(constants, &size) : NULL;
	if (!at || size < sizeof(setup))
		fail(".rodata");
	memcpy(at, &setup, sizeof(setup));
	if (bpf_object__load(object))
		fail("load");
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED,
		      bpf_map__fd(bpf_object__find_map_by_name(object, ".bss")), 0);
	if (result == MAP_FAILED)
		fail(".bss");
	link = attach(object, argv[2], tree);
	if (stats && bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		fail("bpf_enable_stats");
	take(&start);
	for (done = 0; done < passes; done++)
		if (pass(bpf_link__fd(link), result, buffer, tree ? sizeof(buffer) : 0))
			fail("read");
	take(&end);
	tell(&start, &end);
	if (stats)
		tell_program(object);
	print(result, setup.nitems);
	bpf_link__destroy(link);
	bpf_object__close(object);
	return 0;
}
