/* image.h - images on this machine: pulled, imported, unpacked once, shared by all.
 *
 * DATA/images/blobs/sha256/HEX       manifests and configs (layers are unpacked while they stream, and not kept)
 * DATA/images/layers/sha256/CHAIN/   unpacked layers, by chain id: lower directories for overlayfs
 * DATA/images/names/HEX              a file a name (HEX: its hash): the manifest's digest, the name, and
 *                                    "imported" when it came by images_load
 * DATA/images/holds/HEX              the same for owners of images in use
 * DATA/images/tmp/                   what is being made
 * Digests are always checked, of the compressed bytes and of the uncompressed (diff id). A layer appears
 * only whole: unpacked beside, synced, then renamed. Thread-safe; locks on files keep processes apart, and
 * two pulls of the same layer at once fetch it once. */
#pragma once
#include "api/oci.h"
#include "base/arena.h"
#include "base/error.h"

enum {
	IMAGE_NAME_LIMIT = 4096,                         /* bytes of a reference */
	IMAGE_MANIFEST_LIMIT = 4 << 20,                  /* bytes of a manifest, index or config */
	IMAGE_LAYERS_LIMIT = 127,
	IMAGE_ENTRIES_LIMIT = 4 << 20,                   /* members of one layer's tar */
	IMAGE_PARALLEL_LAYERS = 3,
	IMAGE_NAMES_LIMIT = 65536,                       /* names, and holders, on one machine */
};

#define IMAGE_LAYER_LIMIT (UINT64_C(64) << 30)           /* bytes one layer may unpack to */

struct images;

struct images_options {
	struct str folder;                               /* DATA/images */
	bool allow_http;                                 /* plain http also to other machines than this one */
	struct str certificates;                         /* HOST/ca.crt; absent: /etc/docker/certs.d */
	int inactivity_seconds;                          /* of a registry; 0: registry.h's */
	uint64_t layer_limit;                            /* bytes; 0: IMAGE_LAYER_LIMIT */
};

bool images_open(const struct images_options *options, struct images **ret_images, struct error *err);
void images_close(struct images *images);

struct image {
	struct str name;                                 /* as asked for; in a list "docker.io/library/busybox:1" */
	struct str digest;                               /* "sha256:…" of the manifest */
	struct str config_digest;                        /* "sha256:…": the image id */
	const struct oci_image *config;
	struct str *layers;                              /* folders, the lowest first */
	size_t layer_count;
	bool imported;                                   /* the name was given by images_load: no registry knows it */
};

/* "busybox", "busybox:1", "host:5000/a/b:tag", "…@sha256:…" → parts. A missing registry means docker.io,
 * a missing tag latest. Fails with a clear text on a malformed one. */
struct image_reference { struct str registry, repository, tag, digest; };
bool image_reference_parse(struct str text, struct arena *arena, struct image_reference *ret_reference,
			   struct error *err);

/* The image when it is here whole; ERROR_NOT_FOUND otherwise. Strings in `arena`. */
bool images_find(struct images *images, struct str name, struct arena *arena, struct image *ret_image,
		 struct error *err);

struct image_login { struct str username, password; };   /* absent: anonymous */

/* Logins by registry, named as image_reference_parse does. */
struct image_logins {
	struct image_registry_login { struct str registry; struct image_login login; } *items;
	size_t count;
};

/* "host:5000", "https://index.docker.io/v1/" → registry, as people write it next to a login. */
bool image_registry_parse(struct str text, struct str *ret_registry);
/* NULL when there is none for the registry of this image. */
const struct image_login *image_login_find(const struct image_logins *logins, struct str name, struct arena *arena);

/* Pulls unless a digest in the name says that it is here already; fetches only what is not here. Error texts follow agent-protocol 5.3 after
 * "CannotPullContainerError: " (which the caller puts before): "pull image manifest …", "… not found". */
bool images_pull(struct images *images, struct str name, const struct image_login *login, struct arena *arena,
		 struct image *ret_image, struct error *err);

/* Imports a docker archive (`docker save`) or an OCI layout, a folder or a tar of one (gzip and zstd too), as
 * `name`, or when absent as the names inside. Says how many names it gave. */
bool images_load(struct images *images, struct str path, struct str name, struct arena *arena,
		 size_t *ret_count, struct error *err);

/* Names and digests of what is here, sorted by name. */
bool images_list(struct images *images, struct arena *arena, struct image **ret_list, size_t *ret_count,
		 struct error *err);
bool images_remove(struct images *images, struct str name, struct error *err);   /* the name; collect frees layers */

/* Keeps collect's hands off an image's layers while containers use them; ERROR_NOT_FOUND when they are gone.
 * An owner holds one image. Releasing what is not held is fine. */
bool images_hold(struct images *images, struct str owner, const struct image *image, struct error *err);
bool images_release(struct images *images, struct str owner, struct error *err);

/* Removes layers and blobs that no name and no holder needs, and what a crash left half-made. Does nothing
 * while a pull or an import is under way. */
bool images_collect(struct images *images, uint64_t *ret_freed_bytes, struct error *err);
