/* Manifests, indexes, configs, image references and challenges, all from strangers. */
#include <assert.h>
#include "host/image_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reference(struct str text, struct arena *arena)
{
	struct image_reference reference, again;
	struct str canonical;

	if (!image_reference_parse(text, arena, &reference, NULL))
		return;
	canonical = reference_text(&reference, arena);
	assert(image_reference_parse(canonical, arena, &again, NULL));
	assert(str_equal(reference_text(&again, arena), canonical));
	for (size_t i = 0; i < canonical.len; i++)
		assert(canonical.ptr[i] > ' ' && canonical.ptr[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena arena = {0};
	struct str text = arena_copy(&arena, (struct str){(const char *)data, size});
	struct registry_challenge challenge;
	struct oci_manifest *manifest;
	struct oci_image *config;
	struct error error;

	check_reference(text, &arena);
	registry_challenge_parse(text, &arena, &challenge);
	if (manifest_decode(text, &arena, &manifest, &error))
		for (size_t i = 0; i < manifest->manifests.count; i++)
			is_digest(manifest->manifests.items[i].digest);
	if (config_decode(text, &arena, &config, &error))
		assert(is_digest(chain_ids(config, &arena)[config->rootfs->diff_ids.count - 1]));
	return 0;
}
