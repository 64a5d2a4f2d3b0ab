/* local.h - what containers and people on this machine may ask the agent (agent-protocol 7): task metadata, stats,
 * credentials, task protection at http://169.254.170.2 in every container's network; the introspection API on localhost.
 *
 * A container is known by an id that nobody can guess, in its environment, made from a key of this agent's: it stays the
 * same when the agent starts again. An id counts only in the network that it was given out for, so that no task reads
 * another's; on the host's network, which tasks share, the id is all there is. */
#pragma once
#include "agent/agent.h"
#include "host/hands.h"
#include "runner/calls.h"

struct local;
struct stats;

struct local_options {
	uv_loop_t *loop;
	const struct agent *agent;
	struct stats *stats;
	struct calls *calls;
	struct str data, run, region;
	struct str table;                                /* of nft, for the address */
	uint16_t introspection_port;                     /* 0: none */
	void (*say)(const char *format, ...) PRINTF_LIKE(1, 2);
};

/* Opens the address of the host's network and the introspection's port; what cannot be opened is said, and no failure. */
bool local_new(const struct local_options *options, struct local **ret_local, struct error *err);
void local_stop(struct local *local);                    /* hands its handles back to the loop */
void local_free(struct local *local);                    /* after the loop has ended */
/* The address off the host: `wherry down`. */
bool local_remove(struct str table, struct error *err);

/* hands_options.introduce, with the local as its argument. */
bool local_introduce(void *local, const struct hands_guest *guest, struct arena *arena, struct oci_strings *ret_fixed,
		     struct oci_strings *ret_fallbacks, struct error *err);
/* After a restart of the agent: a container that runs. */
void local_found(struct local *local, struct str task_id, struct str container);
/* It runs now; and it has ended, or never started. Both keep its stats, too. */
void local_started(struct local *local, struct str task_id, struct str container);
void local_ended(struct local *local, struct str task_id, struct str container);
