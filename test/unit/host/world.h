/* world.h - a host of one's own for tests of the hands: folders, a network namespace, an image of busybox.
 *
 * Tests skip with a reason where they may not do what they need to. Everything goes away at the end. */
#pragma once
#include "host/hands.h"
#include "test/test.h"

/* A task's id: no other test's. */
#define WORLD_ID "00000000000000007e57ba5e0000cafe"

struct world {
	char folder[64];
	struct images *images;
	struct network *network;
	struct hands *hands;
	struct arena arena;
};

/* The test skips here when unprivileged or without crun or busybox. What a failed test left goes first. */
struct world *world_new(void);
void world_free(struct world *world);                    /* sweeps, and asserts that nothing is left */

void world_open(struct world *world);                    /* images, network and hands */
void world_close(struct world *world);                   /* as an agent that ends: containers go on */

/* A task of containers "image test/busybox:1": `json` is the payload's task. */
struct agent_task *world_task(struct world *world, const char *json);
void world_submit(struct world *world, enum job_kind kind, struct str id, struct agent_task *task,
		  uint32_t container, int signal);
/* The next fact of this kind within 20 s; others before it are an error. */
struct fact world_expect(struct world *world, enum fact_kind kind);
struct fact world_expect_any(struct world *world);
struct fact world_expect_ok(struct world *world, enum fact_kind kind);
/* PULL, CREATE and START of all containers. */
void world_run(struct world *world, struct str id, struct agent_task *task);
void world_wait_log(struct world *world, const char *container, const char *text);     /* of WORLD_ID; until it says so */
void world_wait_end(struct world *world, const char *container);         /* of WORLD_ID; as its keeper wrote it down */
struct str world_shell(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);  /* output of sh -c */
