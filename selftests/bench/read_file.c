// SPDX-License-Identifier: GPL-2.0
/*
 * The control: memory.stat of one cgroup, or of many, read again and again.
 *
 *   read_file sscanf|hand|raw PASSES FILE...
 *
 * Each file is opened once. A pass reads each of them whole and goes back to its start. "sscanf": fgets() and sscanf() for
 * each line, as in the patch's experiment; "hand": one read(), and as little decoding as finds every number; "raw": one
 * read() and no decoding.
 *
 * Prints what the passes took, and the values that the last one found, a line for each file. Raw has none.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "measured.h"

#define MAX_KEYS 256

struct reading {
	int count;
	char keys[MAX_KEYS][48];
	unsigned long long values[MAX_KEYS];
};

struct file {
	const char *path;
	FILE *stream;
	int fd;
	struct reading found;
};

static char text[1 << 16];

static int by_sscanf(struct file *file)
{
	struct reading *found = &file->found;
	char line[256];

	found->count = 0;
	while (fgets(line, sizeof(line), file->stream)) {
		if (found->count == MAX_KEYS)
			return -1;
		if (sscanf(line, "%47s %llu", found->keys[found->count], &found->values[found->count]) != 2)
			return -1;
		found->count++;
	}
	rewind(file->stream);
	return 0;
}

static ssize_t whole(struct file *file)
{
	ssize_t size = 0, more;

	while ((more = read(file->fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += more;
	if (more < 0 || lseek(file->fd, 0, SEEK_SET))
		return -1;
	text[size] = 0;
	return size;
}

static int by_hand(struct file *file)
{
	struct reading *found = &file->found;
	const char *at = text;

	if (whole(file) < 0)
		return -1;
	/* The order of the lines is the kernel's and does not change: the keys are kept from the first pass. */
	for (found->count = 0; *at; found->count++) {
		unsigned long long value = 0;
		const char *key = at;

		if (found->count == MAX_KEYS)
			return -1;
		while (*at && *at != ' ')
			at++;
		if (!found->keys[found->count][0])
			snprintf(found->keys[found->count], sizeof(found->keys[0]), "%.*s", (int)(at - key), key);
		for (at += *at == ' '; *at >= '0' && *at <= '9'; at++)
			value = 10 * value + *at - '0';
		if (*at++ != '\n')
			return -1;
		found->values[found->count] = value;
	}
	return 0;
}

static int raw(struct file *file)
{
	return whole(file) > 0 ? 0 : -1;
}

static void print(const struct file *file)
{
	int i;

	printf("row");
	for (i = 0; i < file->found.count; i++)
		printf(" %s=%llu", file->found.keys[i], file->found.values[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct measured start, end;
	int (*way)(struct file *);
	struct file *files;
	long pass, passes;
	int i, count;

	if (argc < 4)
		return 2;
	way = !strcmp(argv[1], "sscanf") ? by_sscanf : !strcmp(argv[1], "hand") ? by_hand : raw;
	passes = atol(argv[2]);
	count = argc - 3;
	files = calloc(count, sizeof(*files));
	if (!files)
		fail("memory");
	for (i = 0; i < count; i++) {
		files[i].path = argv[3 + i];
		files[i].fd = open(files[i].path, O_RDONLY);
		if (files[i].fd < 0 || (way == by_sscanf && !(files[i].stream = fdopen(files[i].fd, "r"))))
			fail(files[i].path);
	}
	take(&start);
	for (pass = 0; pass < passes; pass++)
		for (i = 0; i < count; i++)
			if (way(&files[i]))
				fail(files[i].path);
	take(&end);
	tell(&start, &end);
	for (i = 0; way != raw && i < count; i++)
		print(&files[i]);
	return 0;
}
