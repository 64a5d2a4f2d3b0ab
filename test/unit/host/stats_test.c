#include "host/stats.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/cgroup.h"
#include "host/stats_private.h"
#include "os/clock.h"
#include "test/test.h"

#define TASK "00000000000000007e57c64009000002"
#define GROUP TASK "/app"

enum { PATIENCE_SECONDS = 20, BALLAST = 16 << 20 };

static bool may(void)
{
	if (geteuid() == 0 && cgroup_mode() != CGROUP_NONE)
		return true;
	print_message("needs root and a cgroup hierarchy\n");
	return false;
}

/* A process in the group that has memory and uses its core. */
static pid_t start_busy(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!cgroup_join(S(GROUP), getpid(), NULL))
		_exit(1);
	/* Touched again and again, so that no compiler does without it. */
	for (volatile char *ballast = malloc(BALLAST);;)
		for (size_t i = 0; i < BALLAST; i += 4096)
			ballast[i]++;
}

static void end_busy(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cgroup_remove(S(TASK), NULL);
	cgroup_tidy();
}

static struct stats_report wait_for_report(struct stats *stats)
{
	usec give_up = clock_monotonic() + PATIENCE_SECONDS * USEC_PER_SEC;
	struct stats_report report = {0};

	while (!stats_take(stats, S(TASK), S("app"), &report) || report.memory_mib.max < 10) {
		if (clock_monotonic() > give_up)
			fail_msg("no report");
		clock_sleep(20 * USEC_PER_MSEC);
	}
	return report;
}

static void count_round(void *arg) { __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED); }

static pid_t make_group(void)
{
	const struct cgroup_limits limits = {.memory_bytes = 256 << 20};
	struct error err = {0};

	if (!cgroup_create(S(TASK), &(struct cgroup_limits){0}, &err) || !cgroup_create(S(GROUP), &limits, &err))
		fail_msg("%s", err.text);
	return start_busy();
}

TEST(a_busy_group_is_measured)
{
	int rounds = 0;
	const struct stats_options options = {.sampled = count_round, .arg = &rounds};
	struct stats *stats;
	struct stats_report report;
	struct stats_counters now, before;
	struct error err = {0};
	pid_t pid;

	if (!may())
		skip();
	pid = make_group();
	assert_true(stats_new(&options, &stats, &err));
	stats_watch(stats, S(TASK), S("app"), S("/proc/self/ns/net"));
	report = wait_for_report(stats);
	assert_true(report.cpu_percent.max > 0);
	assert_true(report.cpu_percent.max < 150);
	assert_true(report.memory_mib.min < 250);
	assert_true(report.has_network);
	assert_true(report.cpu_percent.count == report.memory_mib.count);
	assert_true(stats_latest(stats, S(TASK), S("app"), &now, &before));
	assert_true(now.at > before.at);
	assert_true(now.cpu_nsec > before.cpu_nsec);
	assert_true(__atomic_load_n(&rounds, __ATOMIC_RELAXED) > 0);
	stats_free(stats);
	end_busy(pid);
}

TEST(docker_would_tell_it_so)
{
	struct stats *stats;
	struct metadata_stats *told;
	auto_arena arena = {0};
	struct error err = {0};
	pid_t pid;

	if (!may())
		skip();
	pid = make_group();
	assert_true(stats_new(&(struct stats_options){0}, &stats, &err));
	stats_watch(stats, S(TASK), S("app"), STR_NONE);
	wait_for_report(stats);
	told = stats_describe(stats, S(TASK), S("app"), &arena);
	assert_non_null(told);
	assert_true(told->cpu_stats->cpu_usage->total_usage.value > told->precpu_stats->cpu_usage->total_usage.value);
	assert_true(told->cpu_stats->system_cpu_usage.value > told->precpu_stats->system_cpu_usage.value);
	assert_true(told->memory_stats->usage.value > 10 << 20);
	assert_int_equal(told->memory_stats->limit.value, 256 << 20);
	assert_true(told->memory_stats->stats.count > 5);
	assert_true(told->pids_stats->current.value >= 1);
	assert_non_null(told->blkio_stats->io_service_bytes_recursive.items);
	assert_int_equal(told->networks.count, 0);
	assert_null(told->networks.items);
	stats_forget(stats, S(TASK), S("app"));
	assert_null(stats_describe(stats, S(TASK), S("app"), &arena));
	stats_free(stats);
	end_busy(pid);
}

TEST(what_is_not_there_is_nothing)
{
	struct stats *stats;
	struct stats_report report;
	struct stats_counters now, before;
	struct error err = {0};

	assert_true(stats_new(&(struct stats_options){0}, &stats, &err));
	assert_false(stats_latest(stats, S("none"), S("none"), &now, &before));
	assert_false(stats_take(stats, S("none"), S("none"), &report));
	stats_watch(stats, S("none"), S("none"), S("/nowhere"));
	assert_true(stats_latest(stats, S("none"), S("none"), &now, &before));
	assert_true(now.cpu_nsec == 0 && now.memory_bytes == 0);
	assert_false(stats_take(stats, S("none"), S("none"), &report));
	stats_watch(stats, S("none"), S("none"), STR_NONE);
	stats_forget(stats, S("none"), S("none"));
	stats_forget(stats, S("none"), S("none"));
	stats_free(stats);
}

TEST(the_kernels_tables_are_read_by_their_keys)
{
	struct stats_counters counters = {0};
	struct str line = S("  8:0\tRead 4096");
	uint64_t value = 0;

	assert_true(stats_find_number(S("file 1\ninactive_file 22\nfile_mapped 3\n"), S("inactive_file"), &value));
	assert_int_equal(value, 22);
	assert_false(stats_find_number(S("inactive_files 22\n"), S("inactive_file"), &value));
	assert_true(stats_find_number(S("4711\n"), S(""), &value));
	assert_int_equal(value, 4711);
	assert_false(stats_find_number(S("max\n"), S(""), &value));
	assert_false(stats_find_number(S(""), S("x"), &value));
	EXPECT_STR(stats_next_word(&line), S("8:0"));
	EXPECT_STR(stats_next_word(&line), S("Read"));
	EXPECT_STR(stats_next_word(&line), S("4096"));
	EXPECT_STR(stats_next_word(&line), S(""));
	stats_parse_link(S("  100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0"), &counters);
	assert_int_equal(counters.rx_bytes, 100);
	assert_int_equal(counters.rx_dropped, 4);
	assert_int_equal(counters.tx_bytes, 500);
	assert_int_equal(counters.tx_dropped, 8);
}
