/* syscalls.h - the system calls that a container may make unless it is privileged.
 *
 * Everything that libseccomp knows is allowed, but for what docker's default profile keeps from containers
 * (EPERM; some only without a capability). What libseccomp does not know is ENOSYS, so that programs
 * fall back. Compiling costs more than starting a container: it is done once for each set of
 * capabilities, and given to crun ready-made. */
#pragma once
#include "api/oci.h"
#include "base/arena.h"
#include "base/error.h"

struct syscalls;

struct syscalls *syscalls_new(void);
void syscalls_free(struct syscalls *syscalls);              /* and the filters it gave */

/* BPF in base64, for the annotation run.oci.seccomp_bpf_data; lives as long as `syscalls`. Thread-safe. */
bool syscalls_filter(struct syscalls *syscalls, uint64_t capabilities, struct str *ret_base64, struct error *err);
/* The same for runtimes that do not know the annotation; calls are told apart by name only. */
struct oci_seccomp *syscalls_profile(uint64_t capabilities, struct arena *arena);
