/* image_private.h - what the files of image.h share. */
#pragma once
#include "host/image.h"
#include "host/registry.h"

struct images {
	struct arena arena;
	struct images_options options;
	int fd;                                          /* of the folder */
};

enum images_lock { IMAGES_READ_OR_ADD, IMAGES_REMOVE };

/* -1 with errno; closing it unlocks. Adders share the lock; removing whatever is unneeded excludes them. */
int images_lock(struct images *images, enum images_lock lock, bool wait);

bool is_digest(struct str text);                         /* "sha256:" and 64 lower-case hex digits */
struct str digest_of_bytes(struct str bytes, struct arena *arena);
struct str digest_of_hash(const unsigned char hash[32], struct arena *arena);
static inline struct str digest_hex(struct str digest) { return str_slice(digest, 7, digest.len); }

struct str reference_text(const struct image_reference *reference, struct arena *arena);

/* "layers/sha256/HEX" and the like, NUL-terminated. */
const char *image_path(struct arena *arena, const char *folder, struct str digest);
bool blob_read(struct images *images, struct str digest, struct arena *arena, struct str *ret_text,
	       struct error *err);
bool blob_write(struct images *images, struct str digest, struct str text, struct error *err);

/* A file of names/ or holds/. */
struct name_entry { struct str name, digest; bool imported; };
bool name_write(struct images *images, const char *folder, const struct name_entry *entry, struct error *err);

bool manifest_decode(struct str text, struct arena *arena, struct oci_manifest **ret_manifest,
		     struct error *err);
bool config_decode(struct str text, struct arena *arena, struct oci_image **ret_config, struct error *err);
/* Chain ids as digests, one a diff id. */
struct str *chain_ids(const struct oci_image *config, struct arena *arena);

/* The image of a manifest that is here; ERROR_NOT_FOUND when a part of it is not. */
bool image_describe(struct images *images, struct str name, struct str digest, struct arena *arena,
		    struct image *ret_image, struct error *err);

/* Where an image comes from. */
struct image_source {
	void *self;
	bool (*manifest)(void *self, struct str digest, struct arena *arena, struct str *ret_text,
			 struct error *err);
	bool (*config)(void *self, struct str digest, struct arena *arena, struct str *ret_text,
		       struct error *err);
	bool (*layer)(void *self, size_t index, struct str digest, const struct registry_sink *sink,
		      struct error *err);
	bool layers_are_plain;                           /* docker archives: only the diff id is known */
};

/* Brings in what a manifest or an index (`text`) describes, all digests checked, and gives the digest of the
 * manifest for this machine. Names nothing. */
bool image_install(struct images *images, const struct image_source *source, struct str text,
		   struct arena *arena, struct str *ret_digest, struct error *err);
