/* process.h - programs started without fork. */
#pragma once
#include <sys/types.h>
#include "base/error.h"
#include "base/time.h"

/* Own session, default signals, /dev/null for input and output, `error_fd` (or -1: /dev/null) as stderr;
 * nothing else is inherited but descriptors without O_CLOEXEC. argv[0] is the path. */
bool process_spawn(char *const argv[], int error_fd, pid_t *ret_pid, struct error *err);
/* For programs that `wherry up` starts (WHERRY_SUPERVISED is set): end by SIGTERM when it is gone, so that the next one finds
 * no strays. */
void process_end_with_parent(void);
/* As many descriptors as the machine gives; gives that number. */
unsigned long process_raise_descriptors(void);

/* The exit code, 128 + signal when killed; fails (and kills it) when it takes longer. */
bool process_wait(pid_t pid, usec timeout, int *ret_code, struct error *err);
