#include "image_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>
#include "os/file.h"
#include "test/test.h"

enum { BLOCK = 512 };

static void folder_remove(void *path)
{
	tree_remove(AT_FDCWD, path, NULL);
}

const char *scratch_folder(struct arena *arena)
{
	const char *base = getenv("TMPDIR");
	char *path = arena_cstr(arena, arena_printf(arena, "%s/wherry-images-XXXXXX", base ? base : "/tmp"));

	assert_non_null(mkdtemp(path));
	arena_defer(arena, folder_remove, path);
	return path;
}

struct str run_output(struct arena *arena, const char *format, ...)
{
	struct str command, output;
	va_list args;
	FILE *pipe;

	va_start(args, format);
	command = arena_vprintf(arena, format, args);
	va_end(args);
	pipe = popen(arena_cstr(arena, command), "re");
	assert_non_null(pipe);
	assert_true(file_read_fd(fileno(pipe), FILE_READ_LIMIT, arena, &output, NULL));
	if (pclose(pipe) != 0)
		fail_msg("failed: %.*s\n%.*s", STR(command), STR(output));
	return output;
}

struct str folder_listing(struct arena *arena, const char *folder)
{
	return run_output(arena, "cd '%s' && find . -printf '%%y %%m %%s %%p %%l\\n' | LC_ALL=C sort", folder);
}

static void put_octal(char *field, size_t size, uint64_t value)
{
	snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

static void pad(struct buffer *tar)
{
	static const char zeros[BLOCK];

	buffer_append(tar, zeros, (BLOCK - tar->len % BLOCK) % BLOCK);
}

static void tar_add_bytes(struct buffer *tar, const struct tar_member *member, struct str data)
{
	char head[BLOCK] = {0};
	unsigned sum = 0;

	snprintf(head, 100, "%s", member->name);
	put_octal(head + 100, 8, member->mode ? member->mode : member->type == '5' ? 0755 : 0644);
	put_octal(head + 108, 8, member->uid);
	put_octal(head + 116, 8, member->gid);
	put_octal(head + 124, 12, member->size ? member->size : data.len);
	put_octal(head + 136, 12, (uint64_t)member->mtime);
	head[156] = member->type ? member->type : '0';
	snprintf(head + 157, 100, "%s", member->link ? member->link : "");
	memcpy(head + 257, "ustar\00000", 8);
	put_octal(head + 329, 8, member->device_major);
	put_octal(head + 337, 8, member->device_minor);
	memset(head + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)head[i];
	put_octal(head + 148, 7, sum);
	buffer_append(tar, head, BLOCK);
	buffer_add(tar, data);
	pad(tar);
}

void tar_add(struct buffer *tar, const struct tar_member *member)
{
	tar_add_bytes(tar, member, str_of(member->data ? member->data : ""));
}

void tar_add_pax(struct buffer *tar, const char *key, struct str value)
{
	size_t len = strlen(key) + value.len + 3, total = len + 1;
	auto_buffer record = {0};
	char digits[24];

	while ((size_t)snprintf(digits, sizeof(digits), "%zu", total) + len != total)
		total++;
	buffer_printf(&record, "%zu %s=", total, key);
	buffer_add(&record, value);
	buffer_add_char(&record, '\n');
	tar_add_bytes(tar, &(struct tar_member){.name = "pax", .type = 'x'}, buffer_str(&record));
}

void tar_end(struct buffer *tar)
{
	static const char zeros[2 * BLOCK];

	buffer_append(tar, zeros, sizeof(zeros));
}

/* ---- registries */

static struct arena forever;                             /* of the test program */

static void forever_fini(void) { arena_fini(&forever); }

static void registry_start(struct test_registry *registry, const char *more)
{
	int ends[2];
	pid_t pid;
	FILE *answer;

	if (!forever.head)
		atexit(forever_fini);
	registry->layout = scratch_folder(&forever);
	run_output(&forever, "python3 '" WHERRY_SOURCE "/test/support/make_image.py' '%s'", registry->layout);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		const char *command = arena_cstr(&forever, arena_printf(&forever,
			"exec python3 '" WHERRY_SOURCE "/test/support/registry.py' '%s' %s", registry->layout, more));

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	answer = fdopen(ends[0], "re");
	assert_int_equal(fscanf(answer, "%d %d", &registry->port, &registry->other_port), 2);
	fclose(answer);
}

const struct test_registry *test_registry(void)
{
	static struct test_registry registry;

	if (!registry.port)
		registry_start(&registry, "");
	return &registry;
}

static const char *tls;

const struct test_registry *test_registry_tls(void)
{
	static struct test_registry registry;
	const char *more;

	if (registry.port)
		return &registry;
	tls = scratch_folder(&forever);
	run_output(&forever, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
		   "-addext subjectAltName=IP:127.0.0.1 -keyout '%s/key' -out '%s/ca.crt' 2>&1", tls, tls);
	more = arena_cstr(&forever, arena_printf(&forever, "'%s/ca.crt' '%s/key'", tls, tls));
	registry_start(&registry, more);
	run_output(&forever, "mkdir '%s/127.0.0.1:%d' && cp '%s/ca.crt' '%s/127.0.0.1:%d/'", tls, registry.port, tls, tls,
		   registry.port);
	return &registry;
}

const char *tls_folder(void) { return tls; }

int test_registry_blobs(const struct test_registry *registry)
{
	auto_arena arena = {0};
	struct str count = run_output(&arena, "curl -sS --noproxy '*' http://127.0.0.1:%d/requests", registry->port);

	return atoi(arena_cstr(&arena, count));
}
