/* main.c - wherry-sim: runs seeds, each in a process of its own, and shows how to run a bad one again. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/random.h"
#include "sim/sim.h"

enum { SEED_SECONDS = 60, JOBS_LIMIT = 64, FAILURES_SHOWN = 5 };

static struct sim *running;
static uint64_t running_seed;

static void show_failure(const char *what)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		_exit(2);
	fprintf(out, "\n---- seed %llu failed\n", (unsigned long long)running_seed);
	sim_print_tail(running, out);
	fprintf(out, "seed %llu: %s\nagain: build/sim/wherry-sim --seed %llu --trace\n", (unsigned long long)running_seed,
		what, (unsigned long long)running_seed);
	fclose(out);
	for (size_t done = 0; done < size;) {
		ssize_t n = write(STDOUT_FILENO, text + done, size - done);

		if (n <= 0)
			_exit(2);
		done += (size_t)n;
	}
}

/* A brain's assertion, or a seed that does not end. What is read here was written before; the process ends after it. */
static void died(int signal_number)
{
	signal(signal_number, SIG_DFL);
	if (running)
		show_failure(signal_number == SIGALRM ? "does not end" : "an assertion failed, or memory was misused");
	_exit(1);
}

static int run_seed(uint64_t seed, FILE *trace, bool brief)
{
	bool good;

	running_seed = seed;
	running = sim_new(&(struct sim_options){.seed = seed, .trace = trace});
	good = sim_run(running);
	if (!good && brief)
		printf("seed %llu: %s\n", (unsigned long long)seed, sim_failure(running));
	else if (!good)
		show_failure(sim_failure(running));
	sim_free(running);
	fflush(stdout);
	return good ? 0 : 1;
}

static void watch(void)
{
	static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};

	for (size_t i = 0; i < COUNT(signals); i++)
		signal(signals[i], died);
}

static void start_worker(uint64_t seed, bool brief)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0) {
		fprintf(stderr, "wherry-sim: fork: %s\n", strerror(errno));
		exit(2);
	}
	if (child > 0)
		return;
	watch();
	alarm(SEED_SECONDS);
	exit(run_seed(seed, NULL, brief));
}

static int run_seeds(uint64_t from, uint64_t to, unsigned jobs, bool stop_early)
{
	uint64_t next = from, passed = 0, failed = 0;
	struct timespec begin, end;
	unsigned active = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (active || next <= to) {
		int status;

		while (active < jobs && next <= to && !(stop_early && failed)) {
			start_worker(next++, failed >= FAILURES_SHOWN);
			active++;
		}
		if (active == 0)
			break;
		if (wait(&status) < 0)
			break;
		active--;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			passed++;
		else
			failed++;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%llu seeds passed, %llu failed, in %.1f s\n", (unsigned long long)passed, (unsigned long long)failed,
	       (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	return failed ? 1 : 0;
}

static int usage(FILE *out)
{
	fprintf(out, "usage: wherry-sim --seed N [--trace]\n"
		     "       wherry-sim --seeds A..B [--jobs N] [--first]\n"
		     "Runs the server's and the agents' brains in a simulated world.\n"
		     "  --seed N      one world\n"
		     "  --trace       show everything that happens in it\n"
		     "  --seeds A..B  many worlds\n"
		     "  --jobs N      so many at a time (2)\n"
		     "  --first       stop at the first failure\n");
	return out == stdout ? 0 : 2;
}

static bool parse_range(struct str text, uint64_t *ret_from, uint64_t *ret_to)
{
	size_t dot = str_find(text, '.');

	return dot + 2 < text.len && text.ptr[dot + 1] == '.' && str_to_unsigned(str_slice(text, 0, dot), ret_from) &&
	       str_to_unsigned(str_slice(text, dot + 2, text.len), ret_to) && *ret_from <= *ret_to;
}

int main(int count, char **arguments)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},  {"seeds", required_argument, NULL, 'S'},
		{"jobs", required_argument, NULL, 'j'},  {"trace", no_argument, NULL, 't'},
		{"first", no_argument, NULL, 'f'},       {"help", no_argument, NULL, 'h'}, {0},
	};
	uint64_t from = 0, to = 0, jobs = 2;
	bool one = false, many = false, show = false, first = false;
	int option;

	while ((option = getopt_long(count, arguments, "", options, NULL)) >= 0) {
		if (option == 'h')
			return usage(stdout);
		if (option == 's')
			one = str_to_unsigned(str_of(optarg), &from);
		else if (option == 'S')
			many = parse_range(str_of(optarg), &from, &to);
		else if (option == 'j' && !str_to_unsigned(str_of(optarg), &jobs))
			return usage(stderr);
		show |= option == 't';
		first |= option == 'f';
	}
	if (one == many || jobs < 1 || jobs > JOBS_LIMIT)
		return usage(stderr);
	if (many)
		return run_seeds(from, to, (unsigned)jobs, first);
	watch();
	return run_seed(from, show ? stdout : NULL, show);
}
