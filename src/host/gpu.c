#include "host/gpu.h"
#include <stdlib.h>
#include <unistd.h>
#include "os/file.h"

enum { INFORMATION_LIMIT = 16 << 10, GPUS_LIMIT = 1024 };

/* "GPU UUID: \t GPU-…" in a file of the driver. */
static struct str line_value(struct str text, struct str key)
{
	struct str line, name;

	while (str_cut(&text, '\n', &line))
		if (str_cut(&line, ':', &name) && str_equal(str_trim(name), key) && str_has(line))
			return str_trim(line);
	return STR_NONE;
}

static bool number_of(const char *root, struct str id, struct arena *arena, int64_t *ret_number)
{
	const char *folder = arena_printf(arena, "%s/proc/driver/nvidia/gpus%c", root, '\0').ptr;
	struct str *names, text;
	size_t count;

	if (str_to_long(id, ret_number))
		return *ret_number >= 0;
	if (!folder_list(AT_FDCWD, folder, GPUS_LIMIT, arena, &names, &count, NULL))
		return false;
	for (size_t i = 0; i < count; i++) {
		const char *path = arena_printf(arena, "%s/%.*s/information%c", folder, STR(names[i]), '\0').ptr;

		if (file_read(AT_FDCWD, path, INFORMATION_LIMIT, arena, &text, NULL) &&
		    str_equal(line_value(text, S("GPU UUID")), id))
			return str_to_long(line_value(text, S("Device Minor")), ret_number);
	}
	return false;
}

struct gpu { struct str id; int64_t number; };

static bool read_gpu(const char *root, struct str name, struct arena *arena, struct gpu *ret_gpu)
{
	const char *path = arena_printf(arena, "%s/proc/driver/nvidia/gpus/%.*s/information%c", root, STR(name), '\0').ptr;
	struct error ignored;
	struct str text, device;

	if (!file_read(AT_FDCWD, path, INFORMATION_LIMIT, arena, &text, NULL) ||
	    !str_to_long(line_value(text, S("Device Minor")), &ret_gpu->number))
		return false;
	ret_gpu->id = line_value(text, S("GPU UUID"));
	return !str_empty(ret_gpu->id) && gpu_find(root, ret_gpu->id, arena, &device, &ignored);
}

static int by_number(const void *a, const void *b)
{
	int64_t one = ((const struct gpu *)a)->number, other = ((const struct gpu *)b)->number;

	return (one > other) - (one < other);
}

void gpu_list(const char *root, struct arena *arena, struct str ret_ids[GPU_DEVICES_LIMIT], size_t *ret_count)
{
	const char *folder = arena_printf(arena, "%s/proc/driver/nvidia/gpus%c", root, '\0').ptr;
	struct gpu gpus[GPU_DEVICES_LIMIT] = {0};
	size_t count = 0, name_count = 0;
	struct str *names;

	if (!folder_list(AT_FDCWD, folder, GPUS_LIMIT, arena, &names, &name_count, NULL))
		name_count = 0;
	for (size_t i = 0; i < name_count && count < GPU_DEVICES_LIMIT; i++)
		if (read_gpu(root, names[i], arena, &gpus[count]))
			count++;
	qsort(gpus, count, sizeof(*gpus), by_number);
	for (size_t i = 0; i < count; i++)
		ret_ids[i] = gpus[i].id;
	*ret_count = count;
}

/* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …": the first word that begins with a digit and has a dot. */
struct str gpu_driver_version(const char *root, struct arena *arena)
{
	const char *path = arena_printf(arena, "%s/proc/driver/nvidia/version%c", root, '\0').ptr;
	struct str text, rest, word;

	if (!file_read(AT_FDCWD, path, INFORMATION_LIMIT, arena, &text, NULL))
		return STR_NONE;
	rest = line_value(text, S("NVRM version"));
	while (str_cut(&rest, ' ', &word))
		if (word.len && word.ptr[0] >= '0' && word.ptr[0] <= '9' && str_contains(word, S(".")))
			return word;
	return STR_NONE;
}

bool gpu_find(const char *root, struct str id, struct arena *arena, struct str *ret_device, struct error *err)
{
	int64_t number;

	if (!number_of(root, id, arena, &number))
		return fail(err, ERROR_REFUSED, "this machine has no GPU '%.*s'", STR(id));
	*ret_device = arena_printf(arena, "/dev/nvidia%lld", (long long)number);
	return access(arena_printf(arena, "%s%.*s%c", root, STR(*ret_device), '\0').ptr, F_OK) == 0 ||
	       fail(err, ERROR_REFUSED, "GPU '%.*s' has no device %.*s on this machine", STR(id), STR(*ret_device));
}

size_t gpu_companions(const char *root, struct arena *arena, struct str ret_devices[GPU_DEVICES_LIMIT])
{
	static const char *const names[] = {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools",
					    "/dev/nvidia-modeset"};
	size_t count = 0;

	for (size_t i = 0; i < COUNT(names); i++)
		if (access(arena_printf(arena, "%s%s%c", root, names[i], '\0').ptr, F_OK) == 0)
			ret_devices[count++] = str_of(names[i]);
	return count;
}
