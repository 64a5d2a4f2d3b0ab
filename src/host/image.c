/* What is on the disk: names, blobs, layers, holds. How images get there is in image_install.c. */
#include "host/image_private.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/map.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json.h"

enum { ENTRY_LIMIT = 8192, FILES_LIMIT = 1 << 20 };      /* of a name's file; of files in one folder */

/* ---- digests */

struct str digest_of_hash(const unsigned char hash[32], struct arena *arena)
{
	static const char digits[] = "0123456789abcdef";
	char *text = arena_alloc_bytes(arena, 7 + 64);

	memcpy(text, "sha256:", 7);
	for (size_t i = 0; i < 32; i++) {
		text[7 + 2 * i] = digits[hash[i] >> 4];
		text[8 + 2 * i] = digits[hash[i] & 15];
	}
	return (struct str){text, 7 + 64};
}

struct str digest_of_bytes(struct str bytes, struct arena *arena)
{
	unsigned char hash[32];

	if (EVP_Digest(bytes.ptr, bytes.len, hash, NULL, EVP_sha256(), NULL) != 1)
		abort();
	return digest_of_hash(hash, arena);
}

struct str *chain_ids(const struct oci_image *config, struct arena *arena)
{
	size_t count = config->rootfs->diff_ids.count;
	struct str *ids = arena_array(arena, struct str, count);

	for (size_t i = 0; i < count; i++)
		ids[i] = i == 0 ? config->rootfs->diff_ids.items[0]
				: digest_of_bytes(arena_printf(arena, "%.*s %.*s", STR(ids[i - 1]),
							       STR(config->rootfs->diff_ids.items[i])),
						  arena);
	return ids;
}

const char *image_path(struct arena *arena, const char *folder, struct str digest)
{
	return arena_cstr(arena, arena_printf(arena, "%s/%.*s", folder, STR(digest_hex(digest))));
}

/* ---- opening */

int images_lock(struct images *images, enum images_lock lock, bool wait)
{
	auto_fd fd = openat(images->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int result;

	if (fd < 0)
		return -1;
	do
		result = flock(fd, (lock == IMAGES_REMOVE ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB));
	while (result < 0 && errno == EINTR);
	return result < 0 ? -1 : take_fd(&fd);
}

static bool folders_make(struct images *images, struct error *err)
{
	static const char *const folders[] = {"blobs/sha256", "layers/sha256", "names", "holds", "tmp"};
	auto_arena arena = {0};

	for (size_t i = 0; i < COUNT(folders); i++) {
		struct str path = arena_printf(&arena, "%.*s/%s", STR(images->options.folder), folders[i]);

		if (!folder_make(arena_cstr(&arena, path), 0700, err))
			return false;
	}
	images->fd = open(arena_cstr(&arena, images->options.folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return images->fd >= 0 || fail_os(err, errno, "open '%.*s'", STR(images->options.folder));
}

bool images_open(const struct images_options *options, struct images **ret_images, struct error *err)
{
	struct images *images = calloc(1, sizeof(*images));

	if (!images)
		abort();
	images->fd = -1;
	images->options = *options;
	images->options.folder = arena_copy(&images->arena, options->folder);
	images->options.certificates = str_has(options->certificates)
		? arena_copy(&images->arena, options->certificates) : S("/etc/docker/certs.d");
	if (!images->options.layer_limit)
		images->options.layer_limit = IMAGE_LAYER_LIMIT;
	if (!folders_make(images, err)) {
		images_close(images);
		return fail_context(err, "open images");
	}
	*ret_images = images;
	return true;
}

void images_close(struct images *images)
{
	if (!images)
		return;
	fd_close(&images->fd);
	arena_fini(&images->arena);
	free(images);
}

/* ---- small files, whole and synced */

static bool folder_sync(int folder_fd, const char *path)
{
	auto_fd fd = openat(folder_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && fsync(fd) == 0;
}

static bool file_write_synced(struct images *images, const char *folder, const char *path, struct str text,
			      struct error *err)
{
	uint64_t number;
	char fresh[40];
	auto_fd fd = -1;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		abort();
	snprintf(fresh, sizeof(fresh), "tmp/file-%016llx", (unsigned long long)number);
	fd = openat(images->fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && file_write_all(fd, text) && fsync(fd) == 0 && renameat(images->fd, fresh, images->fd, path) == 0 &&
	    folder_sync(images->fd, folder))
		return true;
	fail_os(err, errno, "write '%s'", path);
	unlinkat(images->fd, fresh, 0);
	return false;
}

bool blob_write(struct images *images, struct str digest, struct str text, struct error *err)
{
	auto_arena arena = {0};

	return file_write_synced(images, "blobs/sha256", image_path(&arena, "blobs/sha256", digest), text, err);
}

bool blob_read(struct images *images, struct str digest, struct arena *arena, struct str *ret_text,
	       struct error *err)
{
	struct str text;

	if (!is_digest(digest))
		return fail(err, ERROR_CORRUPT, "'%.*s' is no digest", (int)MIN(digest.len, 100), digest.ptr);
	if (!file_read(images->fd, image_path(arena, "blobs/sha256", digest), IMAGE_MANIFEST_LIMIT, arena, &text, err))
		return false;
	if (!str_equal(digest_of_bytes(text, arena), digest))
		return fail(err, ERROR_CORRUPT, "blob %.*s was changed on this machine", STR(digest));
	*ret_text = text;
	return true;
}

/* A name's file: the digest and the name, each with a line end; then the same with "imported" if it was. */
static const char *name_path(struct arena *arena, const char *folder, struct str name)
{
	return image_path(arena, folder, digest_of_bytes(name, arena));
}

bool name_write(struct images *images, const char *folder, const struct name_entry *entry, struct error *err)
{
	auto_arena arena = {0};

	return file_write_synced(images, folder, name_path(&arena, folder, entry->name),
				 arena_printf(&arena, "%.*s\n%.*s\n%s", STR(entry->digest), STR(entry->name),
					      entry->imported ? "imported\n" : ""), err);
}

static bool entry_read(struct images *images, const char *path, struct arena *arena, struct name_entry *ret_entry,
		       struct error *err)
{
	struct name_entry entry;
	struct str text;

	if (!file_read(images->fd, path, ENTRY_LIMIT, arena, &text, err))
		return false;
	if (!str_cut(&text, '\n', &entry.digest) || !str_cut(&text, '\n', &entry.name) || !is_digest(entry.digest))
		return fail(err, ERROR_CORRUPT, "'%s' was changed on this machine", path);
	entry.imported = str_equal(text, S("imported\n"));
	*ret_entry = entry;
	return true;
}

/* ---- documents */

static bool decode(const struct shape *shape, const char *what, struct str text, struct arena *arena,
		   void **ret_value, struct error *err)
{
	struct json_fault fault = {0};

	if (json_decode(shape, text, arena, ret_value, &fault))
		return true;
	return fail(err, ERROR_REFUSED, "the image's %s is malformed: %s", what, fault.error.text);
}

bool manifest_decode(struct str text, struct arena *arena, struct oci_manifest **ret_manifest, struct error *err)
{
	void *value;

	if (!decode(&shape_oci_manifest, "manifest", text, arena, &value, err))
		return false;
	*ret_manifest = value;
	return true;
}

bool config_decode(struct str text, struct arena *arena, struct oci_image **ret_config, struct error *err)
{
	struct oci_image *config;
	void *value;

	if (!decode(&shape_oci_image, "config", text, arena, &value, err))
		return false;
	config = value;
	if (!config->rootfs || config->rootfs->diff_ids.count == 0)
		return fail(err, ERROR_REFUSED, "it is not a container image: its config names no layers");
	if (config->rootfs->diff_ids.count > IMAGE_LAYERS_LIMIT)
		return fail(err, ERROR_REFUSED, "the image has more than %d layers", IMAGE_LAYERS_LIMIT);
	for (size_t i = 0; i < config->rootfs->diff_ids.count; i++)
		if (!is_digest(config->rootfs->diff_ids.items[i]))
			return fail(err, ERROR_REFUSED, "the image's config has a malformed diff id");
	*ret_config = config;
	return true;
}

static bool layers_describe(struct images *images, const struct oci_image *config, struct arena *arena,
			    struct image *image, struct error *err)
{
	struct str *chains = chain_ids(config, arena);

	image->layer_count = config->rootfs->diff_ids.count;
	image->layers = arena_array(arena, struct str, image->layer_count);
	for (size_t i = 0; i < image->layer_count; i++) {
		const char *path = image_path(arena, "layers/sha256", chains[i]);

		if (faccessat(images->fd, path, F_OK, 0) < 0)
			return fail(err, ERROR_NOT_FOUND, "layer %.*s is not here", STR(chains[i]));
		image->layers[i] = arena_printf(arena, "%.*s/%s", STR(images->options.folder), path);
	}
	return true;
}

bool image_describe(struct images *images, struct str name, struct str digest, struct arena *arena,
		    struct image *ret_image, struct error *err)
{
	struct image image = {.name = arena_copy(arena, name), .digest = arena_copy(arena, digest)};
	struct oci_manifest *manifest;
	struct oci_image *config;
	struct str text;

	if (!blob_read(images, digest, arena, &text, err) || !manifest_decode(text, arena, &manifest, err))
		return false;
	if (!manifest->config)
		return fail(err, ERROR_CORRUPT, "manifest %.*s has no config", STR(digest));
	image.config_digest = manifest->config->digest;
	if (!blob_read(images, image.config_digest, arena, &text, err) ||
	    !config_decode(text, arena, &config, err) || !layers_describe(images, config, arena, &image, err))
		return false;
	image.config = config;
	*ret_image = image;
	return true;
}

/* ---- finding and naming */

static bool canonical_name(struct str name, struct arena *arena, struct str *ret_canonical, struct error *err)
{
	struct image_reference reference;

	if (!image_reference_parse(name, arena, &reference, err))
		return false;
	*ret_canonical = reference_text(&reference, arena);
	return true;
}

bool images_find(struct images *images, struct str name, struct arena *arena, struct image *ret_image,
		 struct error *err)
{
	struct name_entry entry;
	struct str canonical;

	if (!canonical_name(name, arena, &canonical, err))
		return false;
	if (!entry_read(images, name_path(arena, "names", canonical), arena, &entry, err))
		return err && err->code == ERROR_NOT_FOUND
			? fail(err, ERROR_NOT_FOUND, "No such image: %.*s", STR(name)) : false;
	if (!image_describe(images, name, entry.digest, arena, ret_image, err))
		return false;
	ret_image->imported = entry.imported;
	return true;
}

static int compare_images(const void *a, const void *b)
{
	return str_compare(((const struct image *)a)->name, ((const struct image *)b)->name);
}

bool images_list(struct images *images, struct arena *arena, struct image **ret_list, size_t *ret_count,
		 struct error *err)
{
	struct str *files;
	struct image *list;
	size_t count, kept = 0;

	if (!folder_list(images->fd, "names", IMAGE_NAMES_LIMIT, arena, &files, &count, err))
		return false;
	list = arena_array(arena, struct image, count);
	for (size_t i = 0; i < count; i++) {
		const char *path = arena_cstr(arena, arena_printf(arena, "names/%.*s", STR(files[i])));
		struct name_entry entry;

		if (entry_read(images, path, arena, &entry, NULL) &&
		    image_describe(images, entry.name, entry.digest, arena, &list[kept], NULL))
			list[kept++].imported = entry.imported;
	}
	qsort(list, kept, sizeof(*list), compare_images);
	*ret_list = list;
	*ret_count = kept;
	return true;
}

bool images_remove(struct images *images, struct str name, struct error *err)
{
	auto_arena arena = {0};
	struct str canonical;

	if (!canonical_name(name, &arena, &canonical, err))
		return false;
	if (unlinkat(images->fd, name_path(&arena, "names", canonical), 0) == 0)
		return true;
	if (errno == ENOENT)
		return fail(err, ERROR_NOT_FOUND, "No such image: %.*s", STR(name));
	return fail_os(err, errno, "remove image '%.*s'", STR(name));
}

bool images_hold(struct images *images, struct str owner, const struct image *image, struct error *err)
{
	auto_arena arena = {0};
	auto_fd lock = images_lock(images, IMAGES_READ_OR_ADD, true);
	struct image here;

	if (lock < 0)
		return fail_os(err, errno, "lock the images");
	return image_describe(images, image->name, image->digest, &arena, &here, err) &&
	       name_write(images, "holds", &(struct name_entry){.name = owner, .digest = image->digest}, err);
}

bool images_release(struct images *images, struct str owner, struct error *err)
{
	auto_arena arena = {0};

	if (unlinkat(images->fd, name_path(&arena, "holds", owner), 0) == 0 || errno == ENOENT)
		return true;
	return fail_os(err, errno, "release the image of '%.*s'", STR(owner));
}

/* ---- collecting */

struct collection {
	struct images *images;
	struct arena arena;
	struct map needed;                               /* hex of blobs and chains */
	uint64_t freed_bytes;
};

static void need(struct collection *collection, struct str digest)
{
	map_put(&collection->needed, digest_hex(digest), collection);
}

/* An image that is not whole any more needs its documents at most. */
static void need_image(struct collection *collection, struct str digest)
{
	struct arena *arena = &collection->arena;
	struct oci_manifest *manifest;
	struct oci_image *config;
	struct str text, *chains;

	need(collection, digest);
	if (!blob_read(collection->images, digest, arena, &text, NULL) ||
	    !manifest_decode(text, arena, &manifest, NULL) || !manifest->config)
		return;
	need(collection, manifest->config->digest);
	if (!blob_read(collection->images, manifest->config->digest, arena, &text, NULL) ||
	    !config_decode(text, arena, &config, NULL))
		return;
	chains = chain_ids(config, arena);
	for (size_t i = 0; i < config->rootfs->diff_ids.count; i++)
		need(collection, chains[i]);
}

static bool need_named(struct collection *collection, const char *folder, struct error *err)
{
	struct arena *arena = &collection->arena;
	struct name_entry entry;
	struct str *files;
	size_t count;

	if (!folder_list(collection->images->fd, folder, IMAGE_NAMES_LIMIT, arena, &files, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		const char *path = arena_cstr(arena, arena_printf(arena, "%s/%.*s", folder, STR(files[i])));

		if (!entry_read(collection->images, path, arena, &entry, err))
			return false;
		need_image(collection, entry.digest);
	}
	return true;
}

static uint64_t tree_bytes(struct collection *collection, const char *path)
{
	struct str whole = arena_printf(&collection->arena, "%.*s/%s", STR(collection->images->options.folder), path);
	char *roots[] = {arena_cstr(&collection->arena, whole), NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	uint64_t bytes = 0;
	FTSENT *entry;

	while (walk && (entry = fts_read(walk)))
		if (entry->fts_info == FTS_F && entry->fts_statp->st_nlink == 1)
			bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
	if (walk)
		fts_close(walk);
	return bytes;
}

/* By way of tmp/, so that a crash in the middle leaves no half layer under a good name. */
static bool discard(struct collection *collection, const char *folder, struct str file, struct error *err)
{
	struct arena *arena = &collection->arena;
	const char *path = arena_cstr(arena, arena_printf(arena, "%s/%.*s", folder, STR(file)));
	const char *gone = arena_cstr(arena, arena_printf(arena, "tmp/gone-%.*s", STR(file)));
	uint64_t bytes = tree_bytes(collection, path);

	if (strcmp(folder, "tmp") == 0)
		gone = path;
	else if (renameat(collection->images->fd, path, collection->images->fd, gone) < 0)
		return fail_os(err, errno, "remove '%s'", path);
	if (!tree_remove(collection->images->fd, gone, err))
		return false;
	collection->freed_bytes += bytes;
	return true;
}

static bool discard_unneeded(struct collection *collection, const char *folder, struct error *err)
{
	struct str *files;
	size_t count;

	if (!folder_list(collection->images->fd, folder, FILES_LIMIT, &collection->arena, &files, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!map_get(&collection->needed, files[i]) && !discard(collection, folder, files[i], err))
			return false;
	return true;
}

bool images_collect(struct images *images, uint64_t *ret_freed_bytes, struct error *err)
{
	auto_fd lock = images_lock(images, IMAGES_REMOVE, false);
	struct collection collection = {.images = images};
	bool done;

	if (lock < 0 && errno != EWOULDBLOCK)
		return fail_os(err, errno, "lock the images");
	done = lock < 0 || (need_named(&collection, "names", err) && need_named(&collection, "holds", err));
	if (lock >= 0 && done) {
		/* tmp last: what crashed pulls staged by chain id is never needed under that name */
		done = discard_unneeded(&collection, "layers/sha256", err) &&
		       discard_unneeded(&collection, "blobs/sha256", err);
		map_fini(&collection.needed);
		done = done && discard_unneeded(&collection, "tmp", err);
	}
	map_fini(&collection.needed);
	arena_fini(&collection.arena);
	if (done)
		*ret_freed_bytes = collection.freed_bytes;
	return done;
}
