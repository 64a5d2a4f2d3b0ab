/* wherry image: what `docker load` and `docker images` are elsewhere. */
#include <stdio.h>
#include "host/image.h"
#include "main/commands.h"

static int say(const struct error *err)
{
	fprintf(stderr, "wherry: %s\n", err->text);
	return 1;
}

static int load(const struct options *options, struct images *images, struct arena *arena)
{
	struct error err;
	size_t count;

	if (options->rest_count != 2) {
		fprintf(stderr, "usage: wherry image load FILE [--name NAME]\n");
		return 2;
	}
	if (!images_load(images, str_of(options->rest[1]), options->name, arena, &count, &err))
		return say(&err);
	printf("loaded %zu image%s from %s\n", count, count == 1 ? "" : "s", options->rest[1]);
	return 0;
}

static int list(struct images *images, struct arena *arena)
{
	struct image *items;
	struct error err;
	size_t count;

	if (!images_list(images, arena, &items, &count, &err))
		return say(&err);
	for (size_t i = 0; i < count; i++)
		printf("%-60.*s %.19s\n", STR(items[i].name), items[i].digest.ptr);
	return 0;
}

static int run(const struct options *options, struct images *images, struct arena *arena)
{
	struct str verb = str_of(options->rest_count ? options->rest[0] : "");
	struct error err;

	if (str_equal(verb, S("load")))
		return load(options, images, arena);
	if (str_equal(verb, S("ls")))
		return list(images, arena);
	if (!str_equal(verb, S("rm")) || options->rest_count != 2) {
		fprintf(stderr, "usage: wherry image load FILE [--name NAME] | ls | rm NAME\n");
		return 2;
	}
	if (!images_remove(images, str_of(options->rest[1]), &err) || !images_collect(images, &(uint64_t){0}, &err))
		return say(&err);
	return 0;
}

int command_image(const struct options *options)
{
	auto_arena arena = {0};
	struct images *images;
	struct error err;
	int code;

	if (!images_open(&(struct images_options){.folder = arena_printf(&arena, "%.*s/images", STR(options->data))}, &images, &err))
		return say(&err);
	code = run(options, images, &arena);
	images_close(images);
	return code;
}
