/* served.h - a server of its own for a benchmark, and what it costs. */
#pragma once
#include <sys/types.h>
#include "bench/client.h"

struct served {
	pid_t pid;
	struct target target;
};

/* On a free port, with its data in `folder`. It ends with this program, however that ends. */
void served_start(struct served *served, char *program, const char *folder, struct arena *arena);
void served_stop(struct served *served);
double served_cpu(const struct served *served);          /* of all its threads, in seconds */
