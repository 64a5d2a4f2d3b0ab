/* gpu.h - GPUs by their ids: "GPU-6d4d…" as the driver names them, or "0" as the number of the device.
 *
 * `root`: "" for the machine; tests have one of their own. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { GPU_DEVICES_LIMIT = 64 };

/* The ids of this machine's GPUs, in the order of their devices' numbers: those whose device is there. At most
 * GPU_DEVICES_LIMIT. Empty without the driver. */
void gpu_list(const char *root, struct arena *arena, struct str ret_ids[GPU_DEVICES_LIMIT], size_t *ret_count);
/* The driver's version, "550.54.15"; absent without it. */
struct str gpu_driver_version(const char *root, struct arena *arena);
/* "/dev/nvidia3" of a GPU. Fails with a reason when this machine has no such. */
bool gpu_find(const char *root, struct str id, struct arena *arena, struct str *ret_device, struct error *err);
/* The driver's other devices that are there: whoever uses a GPU needs them. */
size_t gpu_companions(const char *root, struct arena *arena, struct str ret_devices[GPU_DEVICES_LIMIT]);
