/* gpu.h - GPUs by their ids: "GPU-6d4d…" as the driver names them, or "0" as the number of the device.
 *
 * `root`: "" for the machine; tests have one of their own. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { GPU_DEVICES_LIMIT = 64 };

/* "/dev/nvidia3" of a GPU. Fails with a reason when this machine has no such. */
bool gpu_find(const char *root, struct str id, struct arena *arena, struct str *ret_device, struct error *err);
/* The driver's other devices that are there: whoever uses a GPU needs them. */
size_t gpu_companions(const char *root, struct arena *arena, struct str ret_devices[GPU_DEVICES_LIMIT]);
