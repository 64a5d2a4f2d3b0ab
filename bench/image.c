/* MB/s from an OCI layout on disk to unpacked layers: gzip, zstd and plain, one layer and several. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "host/image.h"
#include "os/clock.h"
#include "os/file.h"

enum { LAYERS = 4, LAYER_MIB = 64 };

/* Half a layer compresses well and half does not, in files of 128 KiB. */
static void make(const char *folder)
{
	auto_arena arena = {0};
	const char *script = arena_cstr(&arena, arena_printf(&arena,
		"set -e; cd '%s'; for l in $(seq %d); do mkdir tree$l; head -c %dM /dev/urandom >noise; "
		"{ cat noise; base64 -w 0 noise | tr A-Z a | head -c %dM; } | split -b 128K - tree$l/f; tar -C tree$l -cf $l.tar .; "
		"gzip -k $l.tar; zstd -qk $l.tar; rm -r tree$l noise; done", folder, LAYERS, LAYER_MIB / 2, LAYER_MIB / 2));

	if (system(script) != 0)
		exit(1);
}

/* A docker archive's folder: manifest.json, a config, and the tars just as they are. */
static void describe(const char *folder, int layers, const char *ending)
{
	auto_arena arena = {0};
	const char *script = arena_cstr(&arena, arena_printf(&arena,
		"set -e; cd '%s'; d=; f=; for l in $(seq %d); do d=\"$d,\\\"sha256:$(sha256sum <$l.tar | cut -c-64)\\\"\"; "
		"f=\"$f,\\\"$l.tar%s\\\"\"; done; "
		"printf '{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%%s]}}' \"${d#,}\" >config.json; "
		"printf '[{\"Config\":\"config.json\",\"RepoTags\":[\"bench\"],\"Layers\":[%%s]}]' \"${f#,}\" >manifest.json",
		folder, layers, ending));

	if (system(script) != 0)
		exit(1);
}

static void measure(const char *folder, int layers, const char *ending)
{
	auto_arena arena = {0};
	struct error error = {0};
	struct images *images;
	size_t count;
	usec started, took;

	describe(folder, layers, ending);
	started = clock_monotonic();
	if (!images_open(&(struct images_options){.folder = arena_printf(&arena, "%s/images", folder)}, &images, &error) ||
	    !images_load(images, str_of(folder), STR_NONE, &arena, &count, &error)) {
		fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	took = clock_monotonic() - started;
	printf("image unpack  %-5s %d layer(s) of %d MiB, files of 128 KiB, synced: %7.1f MB/s of plain tar\n",
	       *ending ? ending + 1 : "plain", layers, LAYER_MIB,
	       (double)layers * LAYER_MIB * 1048576 / (double)took);
	images_close(images);
	tree_remove(AT_FDCWD, arena_cstr(&arena, arena_printf(&arena, "%s/images", folder)), NULL);
}

int main(void)
{
	static const char *const endings[] = {"", ".gz", ".zst"};
	char folder[] = "/tmp/wherry-bench-image-XXXXXX";

	if (!mkdtemp(folder))
		return 1;
	make(folder);
	for (size_t i = 0; i < COUNT(endings); i++) {
		measure(folder, 1, endings[i]);
		measure(folder, LAYERS, endings[i]);
	}
	tree_remove(AT_FDCWD, folder, NULL);
	return 0;
}
