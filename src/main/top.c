/* top: what tasks use, every second. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "api/wherry.h"
#include "base/buffer.h"
#include "main/commands.h"

enum { TEXT_SIZE = 16, REFRESH_MSEC = 1000 };

static int by_place(const void *left, const void *right)
{
	const struct wherry_telemetry_row *a = left, *b = right;
	int order = str_compare(a->cluster, b->cluster);

	if (!order)
		order = str_compare(a->service, b->service);
	if (!order)
		order = str_compare(a->task, b->task);
	return order ? order : str_compare(a->container, b->container);
}

/* "1.5M": three digits and a unit, of 1024 each; "-" when it was not told. */
static const char *size_text(char text[TEXT_SIZE], struct maybe_double value)
{
	static const char units[] = " KMGTP";
	size_t unit = 0;
	double number = value.value;

	while (number >= 999.5 && unit < sizeof(units) - 2) {
		number /= 1024;
		unit++;
	}
	if (!value.has)
		snprintf(text, TEXT_SIZE, "-");
	else if (unit == 0)
		snprintf(text, TEXT_SIZE, "%.0f", number);
	else
		snprintf(text, TEXT_SIZE, number < 9.95 ? "%.1f%c" : "%.0f%c", number, units[unit]);
	return text;
}

static const char *mib_text(char text[TEXT_SIZE], struct maybe_double mib)
{
	mib.value *= 1 << 20;
	return size_text(text, mib);
}

static void print_name(struct str name, int width, struct buffer *out)
{
	buffer_printf(out, "%-*.*s ", width, (int)MIN(name.len, (size_t)width), str_has(name) ? name.ptr : "");
}

static void print_row(const struct wherry_telemetry_row *row, struct buffer *out)
{
	char memory[TEXT_SIZE], limit[TEXT_SIZE], rx[TEXT_SIZE], tx[TEXT_SIZE], in[TEXT_SIZE], wrote[TEXT_SIZE];

	print_name(row->task, 12, out);
	print_name(row->container, 16, out);
	print_name(row->service, 16, out);
	buffer_printf(out, "%6.1f %7s %7s %7s %7s %7s %7s %8lld %.*s\n", row->cpu.value, mib_text(memory, row->memory),
		      mib_text(limit, row->memory_limit), size_text(rx, row->rx_rate), size_text(tx, row->tx_rate),
		      size_text(in, row->read_rate), size_text(wrote, row->write_rate), (long long)row->restarts.value,
		      STR(row->health));
}

/* `lines` 0: all of them. */
static void print_table(const struct wherry_telemetry_response *answer, size_t lines, struct buffer *out)
{
	size_t count = lines ? MIN(answer->tasks.count, MAX(lines, 3) - 2) : answer->tasks.count;

	buffer_printf(out, "%-12s %-16s %-16s %6s %7s %7s %7s %7s %7s %7s %8s %s\n", "TASK", "CONTAINER", "SERVICE", "CPU %",
		      "MEMORY", "LIMIT", "RX/s", "TX/s", "READ/s", "WRITE/s", "RESTARTS", "HEALTH");
	for (size_t i = 0; i < count; i++)
		print_row(&answer->tasks.items[i], out);
	if (count < answer->tasks.count || answer->truncated.value)
		buffer_printf(out, "… and more\n");
}

static size_t screen_lines(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : 24;
}

static bool show(struct client *client, const struct options *options, bool live, struct error *err)
{
	const struct wherry_telemetry_request request = {.cluster = options->cluster};
	struct wherry_telemetry_response *answer;
	auto_arena arena = {0};
	auto_buffer out = {0};

	if (!client_call(client, api_find(&api_wherry, S("Telemetry")), &request, &arena, (void **)&answer, err))
		return false;
	if (answer->tasks.count)
		qsort(answer->tasks.items, answer->tasks.count, sizeof(*answer->tasks.items), by_place);
	if (live)
		buffer_add(&out, S("\033[H\033[2J"));
	print_table(answer, live ? screen_lines() : 0, &out);
	fwrite(out.bytes, 1, out.len, stdout);
	fflush(stdout);
	return true;
}

/* Whether "q" or the end of the input came within a second. */
static bool wants_out(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char c;

	return poll(&input, 1, REFRESH_MSEC) > 0 && (read(STDIN_FILENO, &c, 1) != 1 || c == 'q');
}

int command_top(const struct options *options)
{
	bool live = !options->once && isatty(STDOUT_FILENO);
	auto_arena arena = {0};
	struct client *client = options_client(options, &arena);
	struct error err;
	bool ok;

	do
		ok = show(client, options, live, &err);
	while (ok && live && !wants_out());
	if (!ok)
		fprintf(stderr, "wherry: %s\n", err.text);
	client_free(client);
	return ok ? 0 : 1;
}
