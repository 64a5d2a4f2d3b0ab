/* disk.c - the committer of a shell: what waits for the disk, and what a crash leaves of it. */
#include "sim/world.h"

struct commit_done {
	struct happening happening;
	struct committer *committer;
	uint64_t life;
	void *owner;
	void (*on_failure)(struct sim *sim, void *owner);
};

static struct batch *batch_new(void)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		abort();
	return batch;
}

static void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	for (size_t i = 0; i < batch->leaving.count; i++)
		free(batch->leaving.items[i]);
	list_fini(&batch->leaving);
	list_fini(&batch->changes);
	arena_fini(&batch->arena);
	free(batch);
}

void committer_init(struct committer *committer)
{
	committer->store = store_open_memory();
	committer->open = batch_new();
}

void committer_fini(struct committer *committer)
{
	batch_free(committer->open);
	batch_free(committer->flying);
	store_close(committer->store);
	*committer = (struct committer){0};
}

void committer_crash(struct sim *sim, struct committer *committer)
{
	struct batch *flying = committer->flying;
	struct error error;

	if (flying && !committer->failed && chance(sim, 500))
		store_append(committer->store, flying->changes.items, flying->changes.count, &error);
	batch_free(committer->flying);
	batch_free(committer->open);
	committer->flying = NULL;
	committer->open = batch_new();
	committer->failed = false;
	committer->life++;
}

void committer_put(struct committer *committer, uint32_t kind, struct str key, const struct shape *shape,
		   const void *value)
{
	struct batch *batch = committer->open;
	struct store_change change = {.kind = kind, .key = arena_copy(&batch->arena, key)};
	auto_buffer text = {0};

	if (value) {
		json_encode(shape, value, &text);
		change.value = arena_copy(&batch->arena, buffer_str(&text));
	}
	list_add(&batch->changes, change);
}

void *committer_leaving(struct committer *committer, size_t size,
			void (*go)(struct sim *sim, void *owner, struct leaving *self))
{
	struct leaving *leaving = calloc(1, size);

	if (!leaving)
		abort();
	leaving->go = go;
	list_add(&committer->open->leaving, leaving);
	return leaving;
}

/* What leaves may crash its owner, by way of a checker: then the rest stays. */
static void release(struct sim *sim, struct committer *committer, struct batch *batch, void *owner)
{
	uint64_t life = committer->life;

	for (size_t i = 0; i < batch->leaving.count && committer->life == life && !sim->failed; i++)
		batch->leaving.items[i]->go(sim, owner, batch->leaving.items[i]);
	batch_free(batch);
}

static usec delay_of(struct sim *sim, const struct committer *committer)
{
	if (committer->fixed_delay)
		return committer->fixed_delay;
	if (sim->weather.slow_disk)
		return between(sim, MSECS(1), chance(sim, 100) ? sim->weather.slow_disk : MSECS(20));
	return MSECS(1);
}

static void commit_done(struct sim *sim, struct happening *happening)
{
	struct commit_done *done = (struct commit_done *)happening;
	struct committer *committer = done->committer;
	struct batch *batch = committer->flying;
	struct error error;

	if (committer->life != done->life)
		return;
	if (!store_append(committer->store, batch->changes.items, batch->changes.count, &error)) {
		trace(sim, "disk: %s", error.text);
		committer->failed = true;
		done->on_failure(sim, done->owner);
		return;
	}
	committer->flying = NULL;
	release(sim, committer, batch, done->owner);
	if (committer->life == done->life)
		committer_push(sim, committer, done->owner, done->on_failure);
}

void committer_push(struct sim *sim, struct committer *committer, void *owner, void (*on_failure)(struct sim *, void *))
{
	struct batch *batch = committer->open;
	struct commit_done *done;

	if (committer->flying || (batch->changes.count == 0 && batch->leaving.count == 0))
		return;
	committer->open = batch_new();
	if (batch->changes.count == 0) {
		release(sim, committer, batch, owner);
		return;
	}
	committer->flying = batch;
	done = happen(sim, delay_of(sim, committer), struct commit_done, commit_done);
	done->committer = committer;
	done->life = committer->life;
	done->owner = owner;
	done->on_failure = on_failure;
}
