#include "host/syscalls.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include "base/list.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/base64.h"

enum {
	SYSCALL_NUMBERS = 1024,                          /* of each architecture, looked through */
	FILTER_LIMIT = 1 << 20,                          /* bytes of BPF */
	FILTERS_LIMIT = 256,                             /* compiled ones kept: sets of capabilities in use */
	NEVER = 64,                                      /* no capability unlocks it */
};

/* What docker's default profile blocks (its documentation lists them), and what unlocks it. */
static const struct {
	const char *name;
	int capability;
} blocked[] = {
	{"acct", CAP_SYS_PACCT},
	{"add_key", NEVER},
	{"afs_syscall", NEVER},
	{"bpf", CAP_BPF},
	{"clock_adjtime", CAP_SYS_TIME},
	{"clock_adjtime64", CAP_SYS_TIME},
	{"clock_settime", CAP_SYS_TIME},
	{"clock_settime64", CAP_SYS_TIME},
	{"create_module", NEVER},
	{"delete_module", CAP_SYS_MODULE},
	{"fanotify_init", CAP_SYS_ADMIN},
	{"finit_module", CAP_SYS_MODULE},
	{"fsconfig", CAP_SYS_ADMIN},
	{"fsmount", CAP_SYS_ADMIN},
	{"fsopen", CAP_SYS_ADMIN},
	{"fspick", CAP_SYS_ADMIN},
	{"get_kernel_syms", NEVER},
	{"get_mempolicy", CAP_SYS_NICE},
	{"init_module", CAP_SYS_MODULE},
	{"io_uring_enter", NEVER},
	{"io_uring_register", NEVER},
	{"io_uring_setup", NEVER},
	{"ioperm", CAP_SYS_RAWIO},
	{"iopl", CAP_SYS_RAWIO},
	{"kcmp", CAP_SYS_PTRACE},
	{"kexec_file_load", CAP_SYS_BOOT},
	{"kexec_load", CAP_SYS_BOOT},
	{"keyctl", NEVER},
	{"lookup_dcookie", CAP_SYS_ADMIN},
	{"mbind", CAP_SYS_NICE},
	{"mount", CAP_SYS_ADMIN},
	{"mount_setattr", CAP_SYS_ADMIN},
	{"move_mount", CAP_SYS_ADMIN},
	{"move_pages", CAP_SYS_NICE},
	{"nfsservctl", NEVER},
	{"open_by_handle_at", CAP_DAC_READ_SEARCH},
	{"open_tree", CAP_SYS_ADMIN},
	{"perf_event_open", CAP_PERFMON},
	{"pivot_root", NEVER},
	{"query_module", NEVER},
	{"quotactl", CAP_SYS_ADMIN},
	{"quotactl_fd", CAP_SYS_ADMIN},
	{"reboot", CAP_SYS_BOOT},
	{"request_key", NEVER},
	{"set_mempolicy", CAP_SYS_NICE},
	{"set_mempolicy_home_node", CAP_SYS_NICE},
	{"setdomainname", CAP_SYS_ADMIN},
	{"sethostname", CAP_SYS_ADMIN},
	{"setns", CAP_SYS_ADMIN},
	{"settimeofday", CAP_SYS_TIME},
	{"stime", CAP_SYS_TIME},
	{"swapoff", NEVER},
	{"swapon", NEVER},
	{"_sysctl", NEVER},
	{"sysfs", NEVER},
	{"syslog", CAP_SYSLOG},
	{"umount", CAP_SYS_ADMIN},
	{"umount2", CAP_SYS_ADMIN},
	{"unshare", CAP_SYS_ADMIN},
	{"uselib", NEVER},
	{"userfaultfd", NEVER},
	{"ustat", NEVER},
	{"vhangup", CAP_SYS_TTY_CONFIG},
	{"vm86", NEVER},
	{"vm86old", NEVER},
	{"vserver", NEVER},
};

/* A namespace of its own makes a container's user root in it; clone3 hides its flags behind a pointer. */
#define NEW_NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static const uint64_t personalities[] = {PER_LINUX, PER_LINUX32, UNAME26, PER_LINUX32 | UNAME26, 0xffffffff};

struct filter {
	uint64_t key;
	struct buffer base64;
};

struct syscalls {
	pthread_mutex_t lock;
	LIST_OF(struct filter *) filters;
};

struct syscalls *syscalls_new(void)
{
	struct syscalls *syscalls = calloc(1, sizeof(*syscalls));

	if (!syscalls)
		abort();
	pthread_mutex_init(&syscalls->lock, NULL);
	return syscalls;
}

void syscalls_free(struct syscalls *syscalls)
{
	if (!syscalls)
		return;
	for (size_t i = 0; i < syscalls->filters.count; i++) {
		buffer_fini(&syscalls->filters.items[i]->base64);
		free(syscalls->filters.items[i]);
	}
	list_fini(&syscalls->filters);
	pthread_mutex_destroy(&syscalls->lock);
	free(syscalls);
}

static bool has(uint64_t capabilities, int capability)
{
	return capability != NEVER && capabilities & UINT64_C(1) << capability;
}

static bool is_blocked(const char *name, uint64_t capabilities)
{
	for (size_t i = 0; i < COUNT(blocked); i++)
		if (strcmp(blocked[i].name, name) == 0)
			return !has(capabilities, blocked[i].capability) &&
			       !(blocked[i].capability != NEVER && has(capabilities, CAP_SYS_ADMIN) &&
				 (strcmp(name, "bpf") == 0 || strcmp(name, "perf_event_open") == 0));
	return false;
}

/* Only what unlocks something tells filters apart. */
static uint64_t key_of(uint64_t capabilities)
{
	uint64_t key = capabilities & UINT64_C(1) << CAP_SYS_ADMIN;

	for (size_t i = 0; i < COUNT(blocked); i++)
		if (blocked[i].capability != NEVER)
			key |= capabilities & UINT64_C(1) << blocked[i].capability;
	return key;
}

static bool has_own_rules(const char *name, uint64_t capabilities)
{
	bool admin = has(capabilities, CAP_SYS_ADMIN);

	return strcmp(name, "personality") == 0 || (strcmp(name, "socket") == 0) ||
	       (!admin && (strcmp(name, "clone") == 0 || strcmp(name, "clone3") == 0));
}

/* A rule for a call that some architecture lacks is no error. */
static bool add(scmp_filter_ctx filter, uint32_t action, int number, unsigned count,
		const struct scmp_arg_cmp *arguments)
{
	int failed = seccomp_rule_add_array(filter, action, number, count, arguments);

	return failed == 0 || failed == -EEXIST || failed == -EDOM || failed == -EACCES;
}

static bool add_own_rules(scmp_filter_ctx filter, uint64_t capabilities)
{
	bool ok = true;

	for (size_t i = 0; i < COUNT(personalities); i++)
		ok = ok && add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
			       &SCMP_A0(SCMP_CMP_EQ, personalities[i]));
	ok = ok && add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, &SCMP_A0(SCMP_CMP_NE, AF_VSOCK));
	if (!has(capabilities, CAP_SYS_ADMIN))
		ok = ok && add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			       &SCMP_A0(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES, 0));
	return ok;                               /* clone3: ENOSYS, the default, makes libc use clone */
}

/* Calls `visit` for every call that libseccomp knows on `arch`. */
static bool each_call(uint32_t arch, bool (*visit)(const char *name, void *arg), void *arg)
{
	bool ok = true;

	for (int number = 0; number < SYSCALL_NUMBERS && ok; number++) {
		char *name = seccomp_syscall_resolve_num_arch(arch, number);

		ok = !name || visit(name, arg);
		free(name);
	}
	return ok;
}

struct compiling {
	scmp_filter_ctx filter;
	uint64_t capabilities;
};

static bool compile_call(const char *name, void *arg)
{
	struct compiling *compiling = arg;
	uint32_t action = SCMP_ACT_ALLOW;

	if (has_own_rules(name, compiling->capabilities))
		return true;
	if (is_blocked(name, compiling->capabilities))
		action = SCMP_ACT_ERRNO(EPERM);
	return add(compiling->filter, action, seccomp_syscall_resolve_name(name), 0, NULL);
}

static bool compile(scmp_filter_ctx filter, uint64_t capabilities)
{
	struct compiling compiling = {filter, capabilities};
	uint32_t native = seccomp_arch_native();

	if (native == SCMP_ARCH_X86_64 && seccomp_arch_add(filter, SCMP_ARCH_X86) < 0)
		return false;
	if (native == SCMP_ARCH_AARCH64 && seccomp_arch_add(filter, SCMP_ARCH_ARM) < 0)
		return false;
	/* Other ways in, as x32, do not exist for the container. */
	seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return add_own_rules(filter, capabilities) && each_call(native, compile_call, &compiling) &&
	       (native != SCMP_ARCH_X86_64 || each_call(SCMP_ARCH_X86, compile_call, &compiling)) &&
	       (native != SCMP_ARCH_AARCH64 || each_call(SCMP_ARCH_ARM, compile_call, &compiling));
}

static bool export(scmp_filter_ctx filter, struct buffer *out, struct error *err)
{
	auto_fd fd = memfd_create("seccomp", MFD_CLOEXEC);
	auto_arena arena = {0};
	struct str program;

	if (fd < 0 || seccomp_export_bpf(filter, fd) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return fail_os(err, errno, "write the seccomp filter");
	if (!file_read_fd(fd, FILTER_LIMIT, &arena, &program, err))
		return false;
	base64_encode(program, out);
	return true;
}

static struct filter *filter_new(uint64_t key, struct error *err)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	struct filter *filter = calloc(1, sizeof(*filter));

	if (!context || !filter)
		abort();
	filter->key = key;
	if (!compile(context, key)) {
		fail(err, ERROR_REFUSED, "the seccomp filter cannot be compiled");
	} else if (export(context, &filter->base64, err)) {
		seccomp_release(context);
		return filter;
	}
	seccomp_release(context);
	buffer_fini(&filter->base64);
	free(filter);
	return NULL;
}

static struct filter *find_or_compile(struct syscalls *syscalls, uint64_t key, struct error *err)
{
	struct filter *filter;

	for (size_t i = 0; i < syscalls->filters.count; i++)
		if (syscalls->filters.items[i]->key == key)
			return syscalls->filters.items[i];
	if (syscalls->filters.count == FILTERS_LIMIT) {
		fail(err, ERROR_REFUSED, "more than %d sets of capabilities are in use", FILTERS_LIMIT);
		return NULL;
	}
	filter = filter_new(key, err);
	if (filter)
		list_add(&syscalls->filters, filter);
	return filter;
}

bool syscalls_filter(struct syscalls *syscalls, uint64_t capabilities, struct str *ret_base64, struct error *err)
{
	struct filter *filter;

	pthread_mutex_lock(&syscalls->lock);
	filter = find_or_compile(syscalls, key_of(capabilities), err);
	pthread_mutex_unlock(&syscalls->lock);
	if (!filter)
		return false;
	*ret_base64 = buffer_str(&filter->base64);
	return true;
}

struct listing {
	struct arena *arena;
	uint64_t capabilities;
	struct oci_syscall *allowed, *refused;
};

static bool list_call(const char *name, void *arg)
{
	struct listing *listing = arg;
	bool refuse = is_blocked(name, listing->capabilities);
	struct oci_syscall *row = refuse ? listing->refused : listing->allowed;

	/* Told apart by name only: clone stays, or nothing could start a process. */
	if (strcmp(name, "clone3") != 0)
		row->names.items[row->names.count++] = arena_copy(listing->arena, str_of(name));
	return true;
}

struct oci_seccomp *syscalls_profile(uint64_t capabilities, struct arena *arena)
{
	struct oci_seccomp *profile = arena_new(arena, struct oci_seccomp);
	struct oci_syscall *rows = arena_array(arena, struct oci_syscall, 2);
	struct listing listing = {arena, capabilities, &rows[0], &rows[1]};

	for (size_t i = 0; i < 2; i++)
		rows[i].names.items = arena_array(arena, struct str, SYSCALL_NUMBERS);
	rows[0].action = S("SCMP_ACT_ALLOW");
	rows[1].action = S("SCMP_ACT_ERRNO");
	rows[1].errno_ret = (struct maybe_integer){EPERM, true};
	each_call(seccomp_arch_native(), list_call, &listing);
	profile->default_action = S("SCMP_ACT_ERRNO");
	profile->default_errno_ret = (struct maybe_integer){ENOSYS, true};
	profile->syscalls = (struct oci_syscalls){rows, rows[1].names.count > 0 ? 2 : 1};
	return profile;
}
