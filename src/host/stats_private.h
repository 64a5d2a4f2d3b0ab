/* stats_private.h - what stats.c (sampling) and stats_docker.c (docker's shape) share. */
#pragma once
#include "base/arena.h"
#include "host/stats.h"

/* The folders of our groups, by controller; absent when the machine lacks one. */
struct stats_view {
	bool v2;
	unsigned cores;
	struct str cpu, cpuacct, memory, blkio, pids;
};

/* Words of the kernel's tables: the next one of a line, empty at its end. */
struct str stats_next_word(struct str *line);
/* Of the line "KEY NUMBER"; of the text's only number when the key is empty. */
bool stats_find_number(struct str text, struct str key, uint64_t *ret_value);
/* A line of /proc/net/dev, what stands behind the link's name. */
void stats_parse_link(struct str numbers, struct stats_counters *counters);

/* `net_dev`: the text of /proc/net/dev in the container's namespace; absent: none of its own. */
struct metadata_stats *stats_docker(const struct stats_view *view, struct str group, const struct stats_counters *now,
				    const struct stats_counters *before, struct str net_dev, struct arena *arena);
