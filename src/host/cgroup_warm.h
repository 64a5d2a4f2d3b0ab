/* cgroup_warm.h - moves of processes between control groups that do not wait.
 *
 * The first move after a quiet spell waits until all processors have passed through a grace period (6-20 ms: the kernel
 * makes its lock for readers into one that can be written); a move soon after another finds it so and takes 0.1 ms.
 * A launch makes two moves, its keeper's and its container's. So while tasks are being launched a thread moves this process into
 * the group that it is in, which changes nothing else: the wait is over before the launch comes to its own moves.
 * A machine where that cannot be done is only slower. */
#pragma once

struct cgroup_warmer;

struct cgroup_warmer *cgroup_warmer_new(void);           /* NULL: no thread to be had */
void cgroup_warmer_free(struct cgroup_warmer *warmer);   /* NULL is fine */
/* Something will be launched soon. Any thread, at any time; NULL is fine. */
void cgroup_warmer_ask(struct cgroup_warmer *warmer);
