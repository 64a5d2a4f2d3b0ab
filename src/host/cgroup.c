#include "host/cgroup.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

enum {
	HIERARCHIES_LIMIT = 32,
	CGROUP_PATH_LIMIT = 1024,
	CGROUP_FILE_LIMIT = 1 << 20,
	CGROUP_DEPTH_LIMIT = 16,
	MAKE_TRIES = 10,
	MOUNTINFO_LIMIT = 16 << 20,
	CPU_PERIOD_USEC = 100000,
	CPU_QUOTA_LEAST_USEC = 1000,
};

#define KILL_PATIENCE (5 * USEC_PER_SEC)
#define REMOVE_PATIENCE (2 * USEC_PER_SEC)

/* Where one hierarchy is mounted, and which controllers are on it ("memory", "cpu,cpuacct"; v2: absent). */
struct hierarchy {
	struct str folder, controllers;
};

struct hierarchies {
	struct hierarchy rows[HIERARCHIES_LIMIT];
	size_t count;
	bool v2;                                         /* the only one is the unified one, with controllers */
	enum cgroup_mode mode;
};

static bool has_controller(const struct hierarchy *row, const char *name)
{
	struct str rest = row->controllers, piece;

	while (str_cut(&rest, ',', &piece))
		if (str_equal(piece, str_of(name)))
			return true;
	return false;
}

/* The later mount of a folder covers the earlier. */
static void add_hierarchy(struct hierarchies *all, struct hierarchy row)
{
	for (size_t i = 0; i < all->count; i++)
		if (str_equal(all->rows[i].folder, row.folder) ||
		    str_equal(all->rows[i].controllers, row.controllers)) {
			all->rows[i] = row;
			return;
		}
	if (all->count < HIERARCHIES_LIMIT)
		all->rows[all->count++] = row;
}

static bool is_mount_flag(struct str option)
{
	static const struct str flags[] = {STR_INIT("rw"), STR_INIT("ro"), STR_INIT("xattr"),
					   STR_INIT("noprefix"), STR_INIT("clone_children")};

	for (size_t i = 0; i < COUNT(flags); i++)
		if (str_equal(option, flags[i]))
			return true;
	return str_starts(option, S("release_agent="));
}

static struct str controllers_of(struct str options, struct arena *arena)
{
	struct str found = S(""), piece;

	while (str_cut(&options, ',', &piece))
		if (!is_mount_flag(piece))
			found = arena_printf(arena, "%.*s%s%.*s", STR(found), found.len ? "," : "",
					     STR(piece));
	return found;
}

/* A line of mountinfo: "36 35 98:0 ROOT FOLDER FLAGS [TAGS...] - TYPE SOURCE OPTIONS". */
static bool parse_mount(struct str line, struct str *ret_folder, struct str *ret_type, struct str *ret_options)
{
	struct str piece, source;

	for (int i = 0; i < 5; i++)
		if (!str_cut(&line, ' ', ret_folder))
			return false;
	do {
		if (!str_cut(&line, ' ', &piece))
			return false;
	} while (!str_equal(piece, S("-")));
	return str_cut(&line, ' ', ret_type) && str_cut(&line, ' ', &source) &&
	       str_cut(&line, ' ', ret_options);
}

static bool is_mount_of(const char *folder, unsigned long type)
{
	struct statfs status;

	return statfs(folder, &status) == 0 && (unsigned long)status.f_type == type;
}

static void settle_mode(struct hierarchies *all, struct str unified)
{
	if (all->count > 0) {
		all->mode = str_has(unified) ? CGROUP_HYBRID : CGROUP_V1;
	} else if (str_has(unified)) {
		all->mode = CGROUP_V2;
		all->v2 = true;
		all->rows[all->count++] = (struct hierarchy){.folder = unified};
	}
}

/* Where everybody mounts them. The list of mounts would say it for any machine, but is as long as tasks are many. Lines of
 * /proc/self/cgroup: "4:cpu,cpuacct:/PATH", "1:name=systemd:/PATH", "0::/PATH" (v2). */
static bool find_usual_hierarchies(struct arena *arena, struct hierarchies *all)
{
	struct str text, line, number, controllers, unified = STR_NONE;

	if (is_mount_of("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC))
		unified = S("/sys/fs/cgroup");
	else if (is_mount_of("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC))
		unified = S("/sys/fs/cgroup/unified");
	if (!file_read(AT_FDCWD, "/proc/self/cgroup", CGROUP_FILE_LIMIT, arena, &text, NULL))
		return false;
	while (str_cut(&text, '\n', &line)) {
		struct str name, folder;

		if (!str_cut(&line, ':', &number) || !str_cut(&line, ':', &controllers) || str_empty(controllers))
			continue;
		name = str_starts(controllers, S("name=")) ? str_slice(controllers, 5, controllers.len) : controllers;
		folder = arena_printf(arena, "/sys/fs/cgroup/%.*s", STR(name));
		if (all->count == HIERARCHIES_LIMIT || !is_mount_of(arena_cstr(arena, folder), CGROUP_SUPER_MAGIC))
			return false;
		all->rows[all->count++] = (struct hierarchy){folder, controllers};
	}
	settle_mode(all, unified);
	return all->mode != CGROUP_NONE;
}

static bool find_hierarchies(struct arena *arena, struct hierarchies *all, struct error *err)
{
	struct str text, line, folder, type, options, unified = STR_NONE;

	memset(all, 0, sizeof(*all));
	if (find_usual_hierarchies(arena, all))
		return true;
	memset(all, 0, sizeof(*all));
	if (!file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_LIMIT, arena, &text, err))
		return false;
	while (str_cut(&text, '\n', &line)) {
		if (!parse_mount(line, &folder, &type, &options))
			continue;
		if (str_equal(type, S("cgroup")))
			add_hierarchy(all, (struct hierarchy){folder, controllers_of(options, arena)});
		else if (str_equal(type, S("cgroup2")))
			unified = folder;
	}
	settle_mode(all, unified);
	return all->mode != CGROUP_NONE || fail(err, ERROR_NOT_FOUND, "no cgroup hierarchy is mounted");
}

enum cgroup_mode cgroup_mode(void)
{
	auto_arena arena = {0};
	struct hierarchies all;

	return find_hierarchies(&arena, &all, NULL) ? all.mode : CGROUP_NONE;
}

static const char *path_of(const struct hierarchy *row, struct str name, const char *file, struct arena *arena)
{
	return arena_printf(arena, "%.*s/wherry%s%.*s%s%s%c", STR(row->folder), name.len ? "/" : "",
			    STR(name), *file ? "/" : "", file, '\0').ptr;
}

static bool put(const struct hierarchy *row, struct str name, const char *file, struct str value,
		struct arena *arena, struct error *err)
{
	return file_put(AT_FDCWD, path_of(row, name, file, arena), value, err);
}

static bool put_number(const struct hierarchy *row, struct str name, const char *file, int64_t value,
		       struct arena *arena, struct error *err)
{
	return put(row, name, file, arena_printf(arena, "%lld", (long long)value), arena, err);
}

/* A new v1 cpuset is empty and takes no process before it has its parent's cpus and nodes. */
static bool inherit_cpuset(const struct hierarchy *row, const char *parent, const char *child,
			   struct arena *arena, struct error *err)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};

	for (size_t i = 0; i < COUNT(files); i++) {
		const char *from = arena_printf(arena, "%s/%s%c", parent, files[i], '\0').ptr;
		const char *to = arena_printf(arena, "%s/%s%c", child, files[i], '\0').ptr;
		struct str value, own;

		if (!file_read(AT_FDCWD, to, CGROUP_FILE_LIMIT, arena, &own, err) ||
		    !file_read(AT_FDCWD, from, CGROUP_FILE_LIMIT, arena, &value, err))
			return false;
		if (str_trim(own).len == 0 && !file_put(AT_FDCWD, to, value, err))
			return false;
	}
	return true;
}

/* On v2 a parent hands controllers down one by one; those that the machine lacks are found out when a
 * limit needs them. */
static void hand_down(const char *folder, struct arena *arena)
{
	static const struct str controllers[] = {STR_INIT("+cpu"), STR_INIT("+memory"), STR_INIT("+pids"),
						 STR_INIT("+io"), STR_INIT("+cpuset")};
	const char *path = arena_printf(arena, "%s/cgroup.subtree_control%c", folder, '\0').ptr;

	for (size_t i = 0; i < COUNT(controllers); i++)
		file_put(AT_FDCWD, path, controllers[i], NULL);
}

static bool try_make_group(const struct hierarchy *row, bool v2, struct str name, struct arena *arena,
			   struct error *err)
{
	const char *top = arena_cstr(arena, row->folder), *ours = path_of(row, STR_NONE, "", arena);
	const char *group = path_of(row, name, "", arena), *levels[] = {top, ours, group};

	for (size_t i = 1; i < COUNT(levels); i++) {
		if (v2)
			hand_down(levels[i - 1], arena);
		if (mkdir(levels[i], 0755) < 0 && errno != EEXIST)
			return fail_os(err, errno, "make cgroup '%s'", levels[i]);
		if (has_controller(row, "cpuset") &&
		    !inherit_cpuset(row, levels[i - 1], levels[i], arena, err))
			return false;
		/* What is made below has our cpus and nodes at once; each change of them costs the kernel a new order of work. */
		if (i == 1 && has_controller(row, "cpuset"))
			put(row, STR_NONE, "cgroup.clone_children", S("1"), arena, NULL);
		/* Needed before Linux 5.11 only, where it is always so. */
		if (i == 1 && has_controller(row, "memory"))
			put(row, STR_NONE, "memory.use_hierarchy", S("1"), arena, NULL);
	}
	if (!v2)
		return true;
	hand_down(group, arena);
	if (mkdir(path_of(row, name, ".keeper", arena), 0755) < 0 && errno != EEXIST)
		return fail_os(err, errno, "make the keeper's cgroup");
	return true;
}

/* Another task's end may tidy wherry/ away just before ours is made in it. */
static bool make_group(const struct hierarchy *row, bool v2, struct str name, struct arena *arena,
		       struct error *err)
{
	struct error first = {0};

	for (int i = 0; i < MAKE_TRIES; i++) {
		if (try_make_group(row, v2, name, arena, &first))
			return true;
		if (first.os != ENOENT && first.code != ERROR_NOT_FOUND)
			break;
	}
	if (err)
		*err = first;
	return false;
}

static int64_t quota_of(int64_t cpu_units)
{
	return MAX(cpu_units * CPU_PERIOD_USEC / 1024, CPU_QUOTA_LEAST_USEC);
}

/* The kernel's ranges: shares 2..262144 are weights 1..10000. */
static int64_t weight_of(int64_t shares) { return 1 + (MIN(MAX(shares, 2), 262144) - 2) * 9999 / 262142; }

static bool limit_v1(const struct hierarchy *row, struct str name, const struct cgroup_limits *limits,
		     struct arena *arena, struct error *err)
{
	bool cpu = has_controller(row, "cpu"), ok = true;

	if (cpu && limits->cpu_units > 0)
		ok = put_number(row, name, "cpu.cfs_period_us", CPU_PERIOD_USEC, arena, err) &&
		     put_number(row, name, "cpu.cfs_quota_us", quota_of(limits->cpu_units), arena, err);
	else if (cpu && limits->cpu_shares > 0)
		ok = put_number(row, name, "cpu.shares", MIN(limits->cpu_shares, 262144), arena, err);
	if (ok && has_controller(row, "memory") && limits->memory_bytes > 0)
		ok = put_number(row, name, "memory.limit_in_bytes", limits->memory_bytes, arena, err);
	if (ok && has_controller(row, "pids") && limits->pids > 0)
		ok = put_number(row, name, "pids.max", limits->pids, arena, err);
	return ok;
}

static bool limit_v2(const struct hierarchy *row, struct str name, const struct cgroup_limits *limits,
		     struct arena *arena, struct error *err)
{
	if (limits->cpu_units > 0 &&
	    !put(row, name, "cpu.max", arena_printf(arena, "%lld %d", (long long)quota_of(limits->cpu_units),
						    CPU_PERIOD_USEC), arena, err))
		return false;
	if (limits->cpu_units == 0 && limits->cpu_shares > 0 &&
	    !put_number(row, name, "cpu.weight", weight_of(limits->cpu_shares), arena, err))
		return false;
	if (limits->memory_bytes > 0 &&
	    !put_number(row, name, "memory.max", limits->memory_bytes, arena, err))
		return false;
	return limits->pids == 0 || put_number(row, name, "pids.max", limits->pids, arena, err);
}

bool cgroup_create(struct str name, const struct cgroup_limits *limits, struct error *err)
{
	auto_arena arena = {0};
	struct hierarchies all;

	if (!find_hierarchies(&arena, &all, err))
		return false;
	for (size_t i = 0; i < all.count; i++) {
		const struct hierarchy *row = &all.rows[i];

		if (!make_group(row, all.v2, name, &arena, err))
			return false;
		if (!(all.v2 ? limit_v2 : limit_v1)(row, name, limits, &arena, err))
			return false;
	}
	return true;
}

bool cgroup_join_files(struct str name, struct arena *arena, struct str **ret_files, size_t *ret_count,
		       struct error *err)
{
	struct hierarchies all;
	struct str *files;

	if (!find_hierarchies(arena, &all, err))
		return false;
	files = arena_array(arena, struct str, all.count);
	for (size_t i = 0; i < all.count; i++)
		files[i] = str_of(path_of(&all.rows[i], name, all.v2 ? ".keeper/cgroup.procs" : "cgroup.procs",
					  arena));
	*ret_files = files;
	*ret_count = all.count;
	return true;
}

bool cgroup_join(struct str name, int pid, struct error *err)
{
	auto_arena arena = {0};
	struct str *files;
	size_t count;

	if (!cgroup_join_files(name, &arena, &files, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!file_put(AT_FDCWD, files[i].ptr, arena_printf(&arena, "%d", pid), err))
			return false;
	return true;
}

static const struct hierarchy *find_controller(const struct hierarchies *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->v2 || has_controller(&all->rows[i], name))
			return &all->rows[i];
	return NULL;
}

bool cgroup_own_file(struct arena *arena, struct str *ret_file, struct error *err)
{
	struct str text, line, number, controllers;
	struct hierarchies all;

	if (!find_hierarchies(arena, &all, err) ||
	    !file_read(AT_FDCWD, "/proc/self/cgroup", CGROUP_FILE_LIMIT, arena, &text, err))
		return false;
	while (str_cut(&text, '\n', &line)) {
		if (!str_cut(&line, ':', &number) || !str_cut(&line, ':', &controllers) ||
		    !str_equal(controllers, all.rows[0].controllers))
			continue;
		*ret_file = arena_printf(arena, "%.*s%.*s/cgroup.procs", STR(all.rows[0].folder), STR(line));
		return true;
	}
	return fail(err, ERROR_NOT_FOUND, "this process is in no group of '%.*s'", STR(all.rows[0].folder));
}

bool cgroup_memory_files(struct str name, struct arena *arena, struct str *ret_folder, struct str *ret_file,
			 struct error *err)
{
	struct hierarchies all;
	const struct hierarchy *row;

	if (!find_hierarchies(arena, &all, err))
		return false;
	row = find_controller(&all, "memory");
	if (!row)
		return fail(err, ERROR_NOT_FOUND, "no memory cgroup hierarchy is mounted");
	*ret_folder = str_of(path_of(row, name, "", arena));
	*ret_file = all.v2 ? S("memory.events") : S("memory.oom_control");
	return true;
}

bool cgroup_controller_folder(const char *controller, struct arena *arena, struct str *ret_folder, struct error *err)
{
	struct hierarchies all;
	const struct hierarchy *row;

	if (!find_hierarchies(arena, &all, err))
		return false;
	row = find_controller(&all, controller);
	if (!row)
		return fail(err, ERROR_NOT_FOUND, "no %s cgroup hierarchy is mounted", controller);
	*ret_folder = arena_printf(arena, "%.*s/wherry", STR(row->folder));
	return true;
}

/* Calls `visit` for a group and all below it, the deepest first. */
static bool walk(const char *folder, int depth, bool (*visit)(const char *folder, void *arg), void *arg)
{
	char below[CGROUP_PATH_LIMIT];
	DIR *list = opendir(folder);
	struct dirent *entry;
	bool ok = true;

	while (list && (entry = readdir(list))) {
		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (depth < CGROUP_DEPTH_LIMIT &&
		    snprintf(below, sizeof(below), "%s/%s", folder, entry->d_name) < (int)sizeof(below))
			ok = walk(below, depth + 1, visit, arg) && ok;
	}
	if (!list)
		return errno == ENOENT;
	closedir(list);
	return visit(folder, arg) && ok;
}

static bool kill_members(const char *folder, void *arg)
{
	size_t *found = arg;
	char path[CGROUP_PATH_LIMIT + 16];
	FILE *members;
	int pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	members = fopen(path, "re");
	if (!members)
		return true;
	while (fscanf(members, "%d", &pid) == 1) {
		++*found;
		if (pid > 0)
			kill(pid, SIGKILL);
	}
	fclose(members);
	return true;
}

/* Again until there is none: a group's members may fork while they are being killed. */
static bool kill_until_empty(const char *folder, struct error *err)
{
	usec give_up = clock_monotonic() + KILL_PATIENCE;
	size_t found;

	for (;;) {
		found = 0;
		walk(folder, 0, kill_members, &found);
		if (found == 0)
			return true;
		if (clock_monotonic() > give_up)
			return fail(err, ERROR_REFUSED, "%zu processes in '%s' do not die", found, folder);
		clock_sleep(2 * USEC_PER_MSEC);
	}
}

bool cgroup_kill(struct str name, struct error *err)
{
	auto_arena arena = {0};
	struct hierarchies all;

	if (!find_hierarchies(&arena, &all, err))
		return false;
	for (size_t i = 0; i < all.count; i++) {
		/* Linux 5.14 and newer, v2: all at once. */
		if (all.v2)
			put(&all.rows[i], name, "cgroup.kill", S("1"), &arena, NULL);
		if (!kill_until_empty(path_of(&all.rows[i], name, "", &arena), err))
			return false;
	}
	return true;
}

static bool remove_group(const char *folder, void *arg)
{
	int *failed = arg;

	if (rmdir(folder) == 0 || errno == ENOENT)
		return true;
	*failed = errno;
	return false;
}

/* A dead process leaves its group a moment after it was reaped. */
static bool remove_all(const char *folder, struct error *err)
{
	usec give_up = clock_monotonic() + REMOVE_PATIENCE;
	int failed = EIO;

	while (!walk(folder, 0, remove_group, &failed)) {
		if (failed != EBUSY || clock_monotonic() > give_up)
			return fail_os(err, failed, "remove cgroup '%s'", folder);
		clock_sleep(2 * USEC_PER_MSEC);
	}
	return true;
}

bool cgroup_remove(struct str name, struct error *err)
{
	auto_arena arena = {0};
	struct hierarchies all;
	bool ok = true;

	if (!find_hierarchies(&arena, &all, err))
		return false;
	for (size_t i = 0; i < all.count; i++)
		ok = remove_all(path_of(&all.rows[i], name, "", &arena), err) && ok;
	return ok;
}

void cgroup_tidy(void)
{
	auto_arena arena = {0};
	struct hierarchies all;

	if (!find_hierarchies(&arena, &all, NULL))
		return;
	for (size_t i = 0; i < all.count; i++)
		rmdir(path_of(&all.rows[i], STR_NONE, "", &arena));
}

/* The number after `key` in a file of "key number" lines, or the only number when `key` is empty. */
static bool read_number(const struct hierarchy *row, struct str name, const char *file, struct str key,
			struct arena *arena, uint64_t *ret_value)
{
	struct str text, line, word;

	if (!row || !file_read(AT_FDCWD, path_of(row, name, file, arena), CGROUP_FILE_LIMIT, arena, &text, NULL))
		return false;
	while (str_cut(&text, '\n', &line)) {
		if (key.len > 0 && (!str_cut(&line, ' ', &word) || !str_equal(word, key)))
			continue;
		return str_to_unsigned(str_trim(line), ret_value);
	}
	return false;
}

bool cgroup_saw_oom(struct str name)
{
	auto_arena arena = {0};
	struct hierarchies all;
	uint64_t count = 0;

	return find_hierarchies(&arena, &all, NULL) &&
	       read_number(find_controller(&all, "memory"), name,
			   all.v2 ? "memory.events" : "memory.oom_control", S("oom_kill"), &arena, &count) &&
	       count > 0;
}

static void read_usage_v1(const struct hierarchies *all, struct str name, struct arena *arena,
			  struct cgroup_usage *usage)
{
	const struct hierarchy *memory = find_controller(all, "memory");

	if (read_number(find_controller(all, "cpuacct"), name, "cpuacct.usage", S(""), arena,
			&usage->cpu_usec))
		usage->cpu_usec /= 1000;
	read_number(memory, name, "memory.usage_in_bytes", S(""), arena, &usage->memory_bytes);
	read_number(memory, name, "memory.stat", S("total_cache"), arena, &usage->memory_cache_bytes);
	read_number(memory, name, "memory.max_usage_in_bytes", S(""), arena, &usage->memory_peak_bytes);
}

static void read_usage_v2(const struct hierarchies *all, struct str name, struct arena *arena,
			  struct cgroup_usage *usage)
{
	const struct hierarchy *row = &all->rows[0];

	read_number(row, name, "cpu.stat", S("usage_usec"), arena, &usage->cpu_usec);
	read_number(row, name, "memory.current", S(""), arena, &usage->memory_bytes);
	read_number(row, name, "memory.stat", S("file"), arena, &usage->memory_cache_bytes);
	read_number(row, name, "memory.peak", S(""), arena, &usage->memory_peak_bytes);
}

bool cgroup_read_usage(struct str name, struct cgroup_usage *ret_usage, struct error *err)
{
	auto_arena arena = {0};
	struct hierarchies all;
	struct cgroup_usage usage = {0};

	if (!find_hierarchies(&arena, &all, err))
		return false;
	if (access(path_of(&all.rows[0], name, "", &arena), F_OK) < 0)
		return fail(err, ERROR_NOT_FOUND, "there is no cgroup '%.*s'", STR(name));
	(all.v2 ? read_usage_v2 : read_usage_v1)(&all, name, &arena, &usage);
	*ret_usage = usage;
	return true;
}
