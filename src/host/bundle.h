/* bundle.h - a container as the OCI runtime wants it: config.json.
 *
 * Merges image and container by docker's rules: an entryPoint drops the image's Cmd, a command replaces it;
 * the image's environment lies below the container's; docker's default capabilities, masked paths, mounts. */
#pragma once
#include "host/container.h"
#include "host/user.h"

struct syscalls;

enum { BUNDLE_FILES = 3 };

const char *bundle_file(size_t index);                   /* "hosts", "hostname", "resolv.conf" */
/* "SIGQUIT", "QUIT", "3", "SIGRTMIN+3" → number; 0 when there is no such signal. */
int bundle_signal(struct str name);
const char *bundle_sysctl_path(struct str key, struct arena *arena);     /* "net.core.somaxconn" → "/proc/sys/net/…" */

struct bundle_mount {
	struct str path, source;
	bool read_only;
};

struct bundle {
	const struct container *container;
	const struct oci_image_config *image;            /* or NULL */
	const struct user *user;
	struct str runtime_id;
	struct str cgroup;                               /* as cgroup.h names it: "TASK/C" */
	struct str netns;                                /* path; absent: the host's */
	struct str files;                                /* folder that holds hosts, hostname, resolv.conf */
	struct str rootfs;
	const struct bundle_mount *mounts;               /* volumes; at one place the later counts */
	size_t mount_count;
	struct str user_namespace, pid_namespace, ipc_namespace; /* paths; absent: the usual ones */
	int64_t map_base;                                /* the user that is root in user_namespace */
	struct str memory_files;                         /* the folder for /dev/shm when ipc is shared */
	struct str init;                                 /* the program for /sbin/docker-init, or absent */
	struct str *devices;                             /* more of the host's, for GPUs */
	size_t device_count;
	struct oci_strings files_environment;            /* of environment files: below the container's own */
	struct oci_strings links_environment;            /* of links: above the image's, below the container's */
	struct str devices_environment;                  /* one variable, above all others; absent: none */
	struct str mounted[BUNDLE_FILES];                /* where the container's mounts find the files; absent: in `files` */
	struct str extra_hosts;                          /* lines for /etc/hosts */
	const struct acs_elastic_network_interface *interface;   /* whose names and servers count, or NULL */
	struct oci_strings environment;                  /* "NAME=value": over what image and container say */
	struct oci_strings fallbacks;                    /* the same, of names that neither says */
	struct syscalls *syscalls;
	bool runtime_takes_bpf;                          /* crun does */
};

/* Whom the image or the task definition wants, for user_find; absent: root. */
struct str bundle_user(const struct container *container, const struct oci_image_config *image);
/* Absolute. */
struct str bundle_folder(const struct container *container, const struct oci_image_config *image,
			 struct arena *arena);
struct str bundle_hostname(const struct container *container, struct str runtime_id, struct arena *arena);
/* The process that runs a health check: docker's Test, as the container's own user. NULL: there is none to run. */
struct oci_process *bundle_probe(const struct container *container, const struct oci_process *process,
				 struct arena *arena);

/* Error texts are whole reasons. */
bool bundle_make(const struct bundle *bundle, struct arena *arena, struct oci_spec **ret_spec,
		 struct error *err);
/* Writes hosts, hostname and resolv.conf into bundle->files; `address` absent: none of its own. */
bool bundle_write_files(const struct bundle *bundle, struct str address, struct error *err);
