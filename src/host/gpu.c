#include "host/gpu.h"
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
