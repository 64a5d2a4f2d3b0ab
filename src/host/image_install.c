/* How images get here: from a registry, a docker archive or an OCI layout, by the same steps. */
#include "host/image_private.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "api/docker.h"
#include "host/unpack.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json.h"

enum {
	INDEX_DEPTH_LIMIT = 3,                           /* indexes in indexes */
	READ_SIZE = 256 << 10,
};
#define MANIFEST_PAUSE (200 * USEC_PER_MSEC)

/* ---- this machine's platform */

static struct oci_platform this_platform(void)
{
	static const struct { struct str machine, architecture, variant; } rows[] = {
		{STR_INIT("x86_64"), STR_INIT("amd64"), {NULL, 0}},
		{STR_INIT("aarch64"), STR_INIT("arm64"), STR_INIT("v8")},
		{STR_INIT("armv7l"), STR_INIT("arm"), STR_INIT("v7")},
		{STR_INIT("armv6l"), STR_INIT("arm"), STR_INIT("v6")},
		{STR_INIT("i686"), STR_INIT("386"), {NULL, 0}},
		{STR_INIT("ppc64le"), STR_INIT("ppc64le"), {NULL, 0}},
		{STR_INIT("s390x"), STR_INIT("s390x"), {NULL, 0}},
		{STR_INIT("riscv64"), STR_INIT("riscv64"), {NULL, 0}},
	};
	struct oci_platform platform = {.os = S("linux"), .architecture = S("unknown")};
	struct utsname name;

	if (uname(&name) < 0)
		return platform;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (str_equal(rows[i].machine, str_of(name.machine))) {
			platform.architecture = rows[i].architecture;
			platform.variant = rows[i].variant;
		}
	return platform;
}

static bool fail_platform(struct error *err)
{
	struct oci_platform here = this_platform();

	return fail(err, ERROR_NOT_FOUND,
		    "image Manifest does not contain descriptor matching platform '%.*s/%.*s'", STR(here.os),
		    STR(here.architecture));
}

/* 0: does not run here; more is better. */
static int platform_score(const struct oci_platform *platform)
{
	struct oci_platform here = this_platform();

	if (!platform || !str_equal(platform->os, here.os) ||
	    !str_equal(platform->architecture, here.architecture))
		return 0;
	if (str_equal(platform->variant, here.variant))
		return 3;
	if (str_empty(platform->variant))
		return 2;
	/* an older arm runs on a newer one, not the other way round */
	return !str_empty(here.variant) && str_compare(platform->variant, here.variant) > 0 ? 0 : 1;
}

static const struct oci_descriptor *platform_choose(const struct oci_descriptors *manifests)
{
	const struct oci_descriptor *best = NULL;

	for (size_t i = 0; i < manifests->count; i++) {
		int score = platform_score(manifests->items[i].platform);

		if (score > (best ? platform_score(best->platform) : 0))
			best = &manifests->items[i];
	}
	/* An index of one that says nothing of platforms is what tools make for this machine. */
	if (!best && manifests->count == 1 && !manifests->items[0].platform)
		best = &manifests->items[0];
	return best;
}

/* ---- layers */

struct installation {
	struct images *images;
	const struct image_source *source;
	const struct oci_manifest *manifest;
	const struct oci_image *config;
	const struct str *chains;

	atomic_size_t next;
	atomic_bool stopped;
	pthread_mutex_t lock;
	struct error failure;                            /* the first; under `lock` */
};

/* One layer on its way from the source onto the disk. */
struct transfer {
	struct installation *installation;
	struct unpack *unpack;
	uint64_t received, promised;
};

static bool transfer_write(void *arg, struct str bytes, struct error *err)
{
	struct transfer *transfer = arg;

	if (atomic_load(&transfer->installation->stopped))
		return fail(err, ERROR_CONFLICT, "given up: another layer failed");
	transfer->received += bytes.len;
	if (transfer->received > transfer->promised)
		return fail(err, ERROR_CORRUPT, "longer than the %llu bytes its manifest says",
			    (unsigned long long)transfer->promised);
	return unpack_write(transfer->unpack, bytes, err);
}

static bool digest_check(const char *what, struct str found, struct str wanted, struct error *err)
{
	if (str_equal(found, wanted))
		return true;
	return fail(err, ERROR_CORRUPT, "%s is %.*s, not %.*s", what, STR(found), (int)MIN(wanted.len, 80),
		    wanted.ptr);
}

static bool transfer_finish(struct transfer *transfer, size_t index, struct error *err)
{
	const struct installation *installation = transfer->installation;
	unsigned char hash[32], diff[32];
	auto_arena arena = {0};

	if (!installation->source->layers_are_plain && transfer->received != transfer->promised)
		return fail(err, ERROR_CORRUPT, "ends after %llu of %llu bytes",
			    (unsigned long long)transfer->received, (unsigned long long)transfer->promised);
	if (!unpack_finish(transfer->unpack, hash, diff, err))
		return false;
	return (installation->source->layers_are_plain ||
		digest_check("its digest", digest_of_hash(hash, &arena),
			     installation->manifest->layers.items[index].digest, err)) &&
	       digest_check("the digest of its tar", digest_of_hash(diff, &arena),
			    installation->config->rootfs->diff_ids.items[index], err);
}

static bool layer_receive(struct installation *installation, size_t index, int root_fd, struct error *err)
{
	const struct oci_descriptor *layer = &installation->manifest->layers.items[index];
	struct unpack_limits limits = {installation->images->options.layer_limit, IMAGE_ENTRIES_LIMIT};
	struct transfer transfer = {
		.installation = installation,
		.unpack = unpack_new(root_fd, &limits),
		.promised = installation->source->layers_are_plain ? UINT64_MAX : (uint64_t)layer->size.value,
	};
	struct registry_sink sink = {transfer_write, &transfer};
	bool done = installation->source->layer(installation->source->self, index, layer->digest, &sink, err) &&
		    transfer_finish(&transfer, index, err);

	unpack_free(transfer.unpack);
	return done;
}

/* Unpacks into stage/root, and makes that the layer. */
static bool layer_stage(struct installation *installation, size_t index, int stage_fd, const char *path,
			struct error *err)
{
	auto_fd root_fd = -1;

	if (!tree_remove(stage_fd, "root", err))
		return false;
	if (mkdirat(stage_fd, "root", 0755) < 0 || fchmodat(stage_fd, "root", 0755, 0) < 0)
		return fail_os(err, errno, "make the layer's folder");
	root_fd = openat(stage_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return fail_os(err, errno, "open the layer's folder");
	if (layer_receive(installation, index, root_fd, err)) {
		if (syncfs(root_fd) == 0 && renameat(stage_fd, "root", installation->images->fd, path) == 0 &&
		    syncfs(installation->images->fd) == 0)
			return true;
		fail_os(err, errno, "put the layer into its place");
	}
	tree_remove(stage_fd, "root", NULL);
	return false;
}

static bool layer_is_here(struct images *images, const char *path)
{
	return faccessat(images->fd, path, F_OK, 0) == 0;
}

/* The folder it is made in is locked, so that who else wants this layer waits and then finds it. */
static bool layer_install(struct installation *installation, size_t index, struct error *err)
{
	struct images *images = installation->images;
	auto_arena arena = {0};
	const char *path = image_path(&arena, "layers/sha256", installation->chains[index]);
	const char *stage = image_path(&arena, "tmp", installation->chains[index]);
	auto_fd stage_fd = -1;

	if (layer_is_here(images, path))
		return true;
	if (mkdirat(images->fd, stage, 0700) < 0 && errno != EEXIST)
		return fail_os(err, errno, "make '%s'", stage);
	stage_fd = openat(images->fd, stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (stage_fd < 0 || flock(stage_fd, LOCK_EX) < 0)
		return fail_os(err, errno, "lock '%s'", stage);
	if (layer_is_here(images, path) || layer_stage(installation, index, stage_fd, path, err))
		return true;
	return fail_context(err, "layer %.*s", STR(installation->manifest->layers.items[index].digest));
}

static void *layers_work(void *arg)
{
	struct installation *installation = arg;
	struct error error = {0};
	size_t index;

	while (!atomic_load(&installation->stopped)) {
		index = atomic_fetch_add(&installation->next, 1);
		if (index >= installation->manifest->layers.count)
			break;
		if (layer_install(installation, index, &error))
			continue;
		pthread_mutex_lock(&installation->lock);
		if (!atomic_exchange(&installation->stopped, true))
			installation->failure = error;
		pthread_mutex_unlock(&installation->lock);
	}
	return NULL;
}

/* This thread is one of the workers. */
static bool layers_install(struct installation *installation, struct error *err)
{
	size_t helpers = MIN(installation->manifest->layers.count, (size_t)IMAGE_PARALLEL_LAYERS) - 1, started = 0;
	pthread_t threads[IMAGE_PARALLEL_LAYERS];

	pthread_mutex_init(&installation->lock, NULL);
	while (started < helpers && pthread_create(&threads[started], NULL, layers_work, installation) == 0)
		started++;
	layers_work(installation);
	while (started > 0)
		pthread_join(threads[--started], NULL);
	pthread_mutex_destroy(&installation->lock);
	if (atomic_load(&installation->stopped) && err)
		*err = installation->failure;
	return !atomic_load(&installation->stopped);
}

/* ---- manifests */

static bool descriptor_check(const struct oci_descriptor *descriptor, const char *what, struct error *err)
{
	if (!descriptor || !is_digest(descriptor->digest))
		return fail(err, ERROR_REFUSED, "the image's manifest has no sha256 digest for its %s", what);
	if (!descriptor->size.has || descriptor->size.value < 0)
		return fail(err, ERROR_REFUSED, "the image's manifest has no size for its %s", what);
	if (str_contains(descriptor->media_type, S("+encrypted")))
		return fail(err, ERROR_REFUSED, "the image's %s is encrypted", what);
	return true;
}

static bool manifest_check(const struct oci_manifest *manifest, struct error *err)
{
	if (manifest->schema_version.has && manifest->schema_version.value == 1)
		return fail(err, ERROR_REFUSED, "manifests of docker's schema version 1 are not supported");
	if (!descriptor_check(manifest->config, "config", err))
		return false;
	if (manifest->layers.count == 0 || manifest->layers.count > IMAGE_LAYERS_LIMIT)
		return fail(err, ERROR_REFUSED, "the image has %zu layers; 1 to %d are supported",
			    manifest->layers.count, IMAGE_LAYERS_LIMIT);
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (!descriptor_check(&manifest->layers.items[i], "layer", err))
			return false;
	return true;
}

static bool config_fetch(struct images *images, const struct image_source *source, struct str digest,
			 struct arena *arena, struct oci_image **ret_config, struct error *err)
{
	struct str text;

	if (blob_read(images, digest, arena, &text, NULL))
		return config_decode(text, arena, ret_config, err);
	return source->config(source->self, digest, arena, &text, err) &&
	       digest_check("the digest of the config", digest_of_bytes(text, arena), digest, err) &&
	       config_decode(text, arena, ret_config, err) && blob_write(images, digest, text, err);
}

static bool config_check(const struct oci_manifest *manifest, const struct oci_image *config, struct error *err)
{
	struct oci_platform platform = {.os = config->os, .architecture = config->architecture};

	if (config->rootfs->diff_ids.count != manifest->layers.count)
		return fail(err, ERROR_REFUSED, "the image's manifest has %zu layers but its config %zu",
			    manifest->layers.count, config->rootfs->diff_ids.count);
	if (!str_empty(config->architecture) && !platform_score(&platform))
		return fail_platform(err);
	return true;
}

static bool manifest_install(struct images *images, const struct image_source *source, struct str text,
			     const struct oci_manifest *manifest, struct arena *arena, struct str *ret_digest,
			     struct error *err)
{
	struct installation installation = {.images = images, .source = source, .manifest = manifest};
	struct str digest = digest_of_bytes(text, arena);
	struct oci_image *config;

	if (!manifest_check(manifest, err) ||
	    !config_fetch(images, source, manifest->config->digest, arena, &config, err) ||
	    !config_check(manifest, config, err))
		return false;
	installation.config = config;
	installation.chains = chain_ids(config, arena);
	if (!layers_install(&installation, err) || !blob_write(images, digest, text, err))
		return false;
	*ret_digest = digest;
	return true;
}

bool image_install(struct images *images, const struct image_source *source, struct str text,
		   struct arena *arena, struct str *ret_digest, struct error *err)
{
	for (int depth = 0; depth < INDEX_DEPTH_LIMIT; depth++) {
		const struct oci_descriptor *chosen;
		struct oci_manifest *manifest;

		if (!manifest_decode(text, arena, &manifest, err))
			return false;
		if (manifest->manifests.count == 0)
			return manifest_install(images, source, text, manifest, arena, ret_digest, err);
		chosen = platform_choose(&manifest->manifests);
		if (!chosen)
			return fail_platform(err);
		if (!is_digest(chosen->digest))
			return fail(err, ERROR_REFUSED, "the image's index has a malformed digest");
		if (!source->manifest(source->self, chosen->digest, arena, &text, err) ||
		    !digest_check("the digest of the manifest", digest_of_bytes(text, arena), chosen->digest, err))
			return false;
	}
	return fail(err, ERROR_REFUSED, "the image's indexes are nested more than %d deep", INDEX_DEPTH_LIMIT);
}

/* ---- from a registry */

static bool remote_manifest(void *self, struct str digest, struct arena *arena, struct str *ret_text,
			    struct error *err)
{
	struct registry_document document;

	if (!registry_manifest(self, digest, IMAGE_MANIFEST_LIMIT, arena, &document, err))
		return fail_context(err, "pull image manifest %.*s", STR(digest));
	*ret_text = document.text;
	return true;
}

static bool collect_write(void *arg, struct str bytes, struct error *err)
{
	struct buffer *all = arg;

	if (bytes.len > IMAGE_MANIFEST_LIMIT - all->len)
		return fail(err, ERROR_REFUSED, "longer than %d bytes", IMAGE_MANIFEST_LIMIT);
	buffer_add(all, bytes);
	return true;
}

static bool remote_config(void *self, struct str digest, struct arena *arena, struct str *ret_text,
			  struct error *err)
{
	auto_buffer all = {0};
	struct registry_sink sink = {collect_write, &all};

	if (!registry_blob(self, digest, &sink, err))
		return fail_context(err, "pull image config %.*s", STR(digest));
	*ret_text = arena_copy(arena, buffer_str(&all));
	return true;
}

static bool remote_layer(void *self, size_t index, struct str digest, const struct registry_sink *sink,
			 struct error *err)
{
	return registry_blob(self, digest, sink, err);
}

/* Twice, as ECS does: registries that have just been pushed to may not know it yet. */
static bool resolve(struct registry *registry, const struct image_reference *reference, struct arena *arena,
		    struct registry_document *ret_document, struct error *err)
{
	struct str wanted = str_has(reference->digest) ? reference->digest : reference->tag;
	struct str text = reference_text(reference, arena);

	if (!registry_manifest(registry, wanted, IMAGE_MANIFEST_LIMIT, arena, ret_document, err)) {
		clock_sleep(MANIFEST_PAUSE);
		if (!registry_manifest(registry, wanted, IMAGE_MANIFEST_LIMIT, arena, ret_document, err)) {
			fail_context(err, "pull image manifest has been retried 1 time(s): failed to resolve ref "
				     "%.*s: %.*s", (int)MIN(text.len, 150), text.ptr, (int)MIN(text.len, 150),
				     text.ptr);
			return false;
		}
	}
	return !str_has(reference->digest) ||
	       digest_check("the digest of the manifest", ret_document->digest, reference->digest, err);
}

static bool pull_and_name(struct images *images, struct registry *registry,
			  const struct image_reference *reference, struct arena *arena, struct str *ret_digest,
			  struct error *err)
{
	struct image_source source = {registry, remote_manifest, remote_config, remote_layer, false};
	struct name_entry entry = {.name = reference_text(reference, arena)};
	struct registry_document document;

	if (!resolve(registry, reference, arena, &document, err) ||
	    !image_install(images, &source, document.text, arena, &entry.digest, err))
		return false;
	*ret_digest = entry.digest;
	return name_write(images, "names", &entry, err);
}

bool images_pull(struct images *images, struct str name, const struct image_login *login, struct arena *arena,
		 struct image *ret_image, struct error *err)
{
	struct image_reference reference;
	struct registry *registry;
	struct str digest;
	auto_fd lock = -1;
	bool done;

	if (!image_reference_parse(name, arena, &reference, err))
		return false;
	if (str_has(reference.digest) && images_find(images, name, arena, ret_image, NULL))
		return true;
	lock = images_lock(images, IMAGES_READ_OR_ADD, true);
	if (lock < 0)
		return fail_os(err, errno, "lock the images");
	registry = registry_new(&(struct registry_options){
		.host = reference.registry,
		.repository = reference.repository,
		.username = login ? login->username : STR_NONE,
		.password = login ? login->password : STR_NONE,
		.certificates = images->options.certificates,
		.allow_http = images->options.allow_http,
		.inactivity_seconds = images->options.inactivity_seconds,
	});
	done = pull_and_name(images, registry, &reference, arena, &digest, err) &&
	       image_describe(images, name, digest, arena, ret_image, err);
	registry_free(registry);
	return done;
}

/* ---- from a folder: an OCI layout, or what a docker archive unpacks to */

struct local {
	struct images *images;
	int fd;
	const struct docker_archive_image *archived;     /* docker archives: the image being imported */
	struct str config_digest, config_text;           /* likewise */
	struct str name;                                 /* the one asked for, or absent */
	struct arena *arena;
	size_t named;
};

/* Nothing in a stranger's folder may lead out of it, or be anything but a file. */
static bool local_open(struct local *local, struct str path, int *ret_fd, struct error *err)
{
	auto_fd fd = file_open_inside(local->fd, arena_cstr(local->arena, path), O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd < 0 && errno == ENOENT)
		return fail(err, ERROR_NOT_FOUND, "there is no '%.*s' in it", (int)MIN(path.len, 200), path.ptr);
	if (fd < 0 || fstat(fd, &status) < 0)
		return fail_os(err, errno, "open '%.*s'", (int)MIN(path.len, 200), path.ptr);
	if (!S_ISREG(status.st_mode))
		return fail(err, ERROR_REFUSED, "'%.*s' is no file", (int)MIN(path.len, 200), path.ptr);
	*ret_fd = take_fd(&fd);
	return true;
}

static bool local_read(struct local *local, struct str path, struct str *ret_text, struct error *err)
{
	auto_fd fd = -1;

	if (!local_open(local, path, &fd, err))
		return false;
	return file_read_fd(fd, IMAGE_MANIFEST_LIMIT, local->arena, ret_text, err) ||
	       fail_context(err, "'%.*s'", (int)MIN(path.len, 200), path.ptr);
}

static bool local_stream(struct local *local, struct str path, const struct registry_sink *sink,
			 struct error *err)
{
	auto_buffer block = {0};
	auto_fd fd = -1;
	ssize_t got;

	if (!local_open(local, path, &fd, err))
		return false;
	buffer_reserve(&block, READ_SIZE);
	while ((got = read(fd, block.bytes, READ_SIZE)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_os(err, errno, "read '%.*s'", (int)MIN(path.len, 200), path.ptr);
		if (!sink->write(sink->arg, (struct str){block.bytes, (size_t)got}, err))
			return false;
	}
	return true;
}

static struct str layout_path(struct str digest, struct arena *arena)
{
	return arena_printf(arena, "blobs/sha256/%.*s", STR(digest_hex(digest)));
}

static bool layout_document(void *self, struct str digest, struct arena *arena, struct str *ret_text,
			    struct error *err)
{
	struct local *local = self;

	return local_read(local, layout_path(digest, local->arena), ret_text, err);
}

/* On several threads at once, so nothing of `local` may change: its own arena and copy. */
static bool layout_layer(void *self, size_t index, struct str digest, const struct registry_sink *sink,
			 struct error *err)
{
	auto_arena arena = {0};
	struct local local = *(struct local *)self;

	local.arena = &arena;
	return local_stream(&local, layout_path(digest, &arena), sink, err);
}

static bool local_name(struct local *local, struct str name, struct str digest, struct error *err)
{
	struct name_entry entry = {.digest = digest, .imported = true};
	struct image_reference reference;

	if (!image_reference_parse(name, local->arena, &reference, err))
		return false;
	entry.name = reference_text(&reference, local->arena);
	if (!name_write(local->images, "names", &entry, err))
		return false;
	local->named++;
	return true;
}

static struct str annotation(const struct oci_descriptor *descriptor, struct str key)
{
	for (size_t i = 0; i < descriptor->annotations.count; i++)
		if (str_equal(descriptor->annotations.items[i].key, key))
			return descriptor->annotations.items[i].value;
	return STR_NONE;
}

/* The full name that docker and containerd write, else the layout's own word. */
static struct str layout_name(const struct oci_descriptor *descriptor)
{
	struct str name = annotation(descriptor, S("io.containerd.image.name"));

	return str_has(name) ? name : annotation(descriptor, S("org.opencontainers.image.ref.name"));
}

static bool layout_install(struct local *local, struct str text, struct str name, struct error *err)
{
	struct image_source source = {local, layout_document, layout_document, layout_layer, false};
	struct str digest;

	return image_install(local->images, &source, text, local->arena, &digest, err) &&
	       local_name(local, name, digest, err);
}

static bool layout_load(struct local *local, struct error *err)
{
	struct oci_manifest *index;
	struct str text;

	if (!local_read(local, S("index.json"), &text, err) || !manifest_decode(text, local->arena, &index, err))
		return false;
	if (str_has(local->name))
		return layout_install(local, text, local->name, err);
	for (size_t i = 0; i < index->manifests.count; i++) {
		struct str name = layout_name(&index->manifests.items[i]);
		struct str digest = index->manifests.items[i].digest, document;

		if (!str_has(name))
			continue;
		if (!is_digest(digest))
			return fail(err, ERROR_REFUSED, "the layout's index has a malformed digest");
		if (!layout_document(local, digest, local->arena, &document, err) ||
		    !digest_check("the digest of the manifest", digest_of_bytes(document, local->arena), digest,
				  err) ||
		    !layout_install(local, document, name, err))
			return false;
	}
	return true;
}

/* ---- docker archives: no digests but the diff ids, so we make the manifest */

static bool archive_config(void *self, struct str digest, struct arena *arena, struct str *ret_text,
			   struct error *err)
{
	*ret_text = ((struct local *)self)->config_text;
	return true;
}

static bool archive_manifest(void *self, struct str digest, struct arena *arena, struct str *ret_text,
			     struct error *err)
{
	return fail(err, ERROR_REFUSED, "docker archives have no manifests");
}

static bool archive_layer(void *self, size_t index, struct str digest, const struct registry_sink *sink,
			  struct error *err)
{
	auto_arena arena = {0};
	struct local local = *(struct local *)self;

	local.arena = &arena;
	return local_stream(&local, local.archived->layers.items[index], sink, err);
}

static bool file_size(struct local *local, struct str path, struct maybe_long *ret_size, struct error *err)
{
	struct stat status;
	auto_fd fd = -1;

	if (!local_open(local, path, &fd, err))
		return false;
	if (fstat(fd, &status) < 0)
		return fail_os(err, errno, "look at '%.*s'", (int)MIN(path.len, 200), path.ptr);
	*ret_size = (struct maybe_long){status.st_size, true};
	return true;
}

static bool archive_make_manifest(struct local *local, const struct oci_image *config, struct str *ret_text,
				  struct error *err)
{
	struct arena *arena = local->arena;
	size_t count = config->rootfs->diff_ids.count;
	struct oci_descriptor *layers = arena_array(arena, struct oci_descriptor, count);
	struct oci_descriptor own = {
		.media_type = S("application/vnd.oci.image.config.v1+json"),
		.digest = local->config_digest,
		.size = {(int64_t)local->config_text.len, true},
	};
	struct oci_manifest manifest = {
		.schema_version = {2, true},
		.media_type = S("application/vnd.oci.image.manifest.v1+json"),
		.config = &own,
		.layers = {layers, count},
	};
	auto_buffer text = {0};

	for (size_t i = 0; i < count; i++) {
		layers[i].media_type = S("application/vnd.oci.image.layer.v1.tar");
		layers[i].digest = config->rootfs->diff_ids.items[i];
		if (!file_size(local, local->archived->layers.items[i], &layers[i].size, err))
			return false;
	}
	json_encode(&shape_oci_manifest, &manifest, &text);
	*ret_text = arena_copy(arena, buffer_str(&text));
	return true;
}

static bool archive_install(struct local *local, struct str *ret_digest, struct error *err)
{
	struct image_source source = {local, archive_manifest, archive_config, archive_layer, true};
	struct oci_image *config;
	struct str text;

	if (!local_read(local, local->archived->config, &local->config_text, err) ||
	    !config_decode(local->config_text, local->arena, &config, err))
		return false;
	if (config->rootfs->diff_ids.count != local->archived->layers.count)
		return fail(err, ERROR_REFUSED, "the archive has %zu layers but the image's config %zu",
			    local->archived->layers.count, config->rootfs->diff_ids.count);
	local->config_digest = digest_of_bytes(local->config_text, local->arena);
	return archive_make_manifest(local, config, &text, err) &&
	       image_install(local->images, &source, text, local->arena, ret_digest, err);
}

static bool archive_image_load(struct local *local, struct error *err)
{
	const struct docker_strings *tags = &local->archived->repo_tags;
	struct str digest;

	if (!str_has(local->name) && tags->count == 0)
		return true;
	if (!archive_install(local, &digest, err))
		return false;
	if (str_has(local->name))
		return local_name(local, local->name, digest, err);
	for (size_t i = 0; i < tags->count; i++)
		if (!local_name(local, tags->items[i], digest, err))
			return false;
	return true;
}

static bool archive_load(struct local *local, struct str text, struct error *err)
{
	struct docker_archive_manifest list = {0};
	struct json_fault fault = {0};

	if (!json_decode_value(&shape_docker_archive_manifest, text, local->arena, &list, &fault))
		return fail(err, ERROR_REFUSED, "manifest.json is malformed: %s", fault.error.text);
	if (str_has(local->name) && list.count != 1)
		return fail(err, ERROR_INVALID_PARAMETER, "the archive has %zu images: they cannot have one name",
			    list.count);
	for (size_t i = 0; i < list.count; i++) {
		local->archived = &list.items[i];
		if (!archive_image_load(local, err))
			return false;
	}
	return true;
}

static bool folder_load(struct local *local, struct error *err)
{
	struct error error = {0};
	struct str text;
	bool done;

	if (local_read(local, S("manifest.json"), &text, &error))
		done = archive_load(local, text, err);
	else if (error.code != ERROR_NOT_FOUND)
		done = fail(err, error.code, "%s", error.text);
	else
		done = layout_load(local, err);
	if (done && local->named == 0)
		return fail(err, ERROR_INVALID_PARAMETER, "it names no image: say which name it shall have");
	return done;
}

/* ---- a tar is unpacked beside first, by the same rules as a layer */

static bool tar_stream(int fd, struct unpack *unpack, struct error *err)
{
	unsigned char hash[32], diff[32];
	auto_buffer block = {0};
	ssize_t got;

	buffer_reserve(&block, READ_SIZE);
	while ((got = read(fd, block.bytes, READ_SIZE)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_os(err, errno, "read");
		if (!unpack_write(unpack, (struct str){block.bytes, (size_t)got}, err))
			return false;
	}
	return unpack_finish(unpack, hash, diff, err);
}

static bool tar_load(struct local *local, int tar_fd, struct error *err)
{
	struct images *images = local->images;
	struct unpack_limits limits = {images->options.layer_limit, IMAGE_ENTRIES_LIMIT};
	struct unpack *unpack;
	uint64_t number;
	char path[40];
	bool done;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		abort();
	snprintf(path, sizeof(path), "tmp/load-%016llx", (unsigned long long)number);
	if (mkdirat(images->fd, path, 0700) < 0)
		return fail_os(err, errno, "make '%s'", path);
	local->fd = openat(images->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unpack = unpack_new(local->fd, &limits);
	done = tar_stream(tar_fd, unpack, err);
	unpack_free(unpack);
	done = done && folder_load(local, err);
	tree_remove(images->fd, path, NULL);
	return done;
}

bool images_load(struct images *images, struct str path, struct str name, struct arena *arena,
		 size_t *ret_count, struct error *err)
{
	auto_fd lock = images_lock(images, IMAGES_READ_OR_ADD, true);
	auto_fd fd = open(arena_cstr(arena, path), O_RDONLY | O_CLOEXEC);
	struct local local = {.images = images, .fd = -1, .name = name, .arena = arena};
	struct stat status;
	bool done;

	if (lock < 0)
		return fail_os(err, errno, "lock the images");
	if (fd < 0 || fstat(fd, &status) < 0)
		return fail_os(err, errno, "open '%.*s'", STR(path));
	if (S_ISDIR(status.st_mode)) {
		local.fd = take_fd(&fd);
		done = folder_load(&local, err);
	} else {
		done = tar_load(&local, fd, err);
	}
	fd_close(&local.fd);
	if (!done)
		return fail_context(err, "load '%.*s'", STR(path));
	*ret_count = local.named;
	return true;
}
