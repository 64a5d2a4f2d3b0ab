/* bundle.h - a container as the OCI runtime wants it: config.json.
 *
 * Merges image and container by docker's rules: an entryPoint drops the image's Cmd, a command replaces it;
 * the image's environment lies below the container's; docker's default capabilities, masked paths, mounts. */
#pragma once
#include "host/container.h"
#include "host/user.h"

struct syscalls;

struct bundle {
	const struct container *container;
	const struct oci_image_config *image;            /* or NULL */
	const struct user *user;
	struct str runtime_id;
	struct str cgroup;                               /* as cgroup.h names it: "TASK/C" */
	struct str netns;                                /* path; absent: the host's */
	struct str files;                                /* folder that holds hosts, hostname, resolv.conf */
	struct str volumes;                              /* folder that holds the task's anonymous volumes */
	struct str rootfs;
	struct syscalls *syscalls;
	bool runtime_takes_bpf;                          /* crun does */
};

/* Whom the image or the task definition wants, for user_find; absent: root. */
struct str bundle_user(const struct container *container, const struct oci_image_config *image);
/* Absolute. */
struct str bundle_folder(const struct container *container, const struct oci_image_config *image,
			 struct arena *arena);
struct str bundle_hostname(const struct container *container, struct str runtime_id, struct arena *arena);

/* Error texts are whole reasons. */
bool bundle_make(const struct bundle *bundle, struct arena *arena, struct oci_spec **ret_spec,
		 struct error *err);
/* Writes hosts, hostname and resolv.conf into bundle->files; `address` absent: none of its own. */
bool bundle_write_files(const struct bundle *bundle, struct str address, struct error *err);
