/* watch.h - hears from the server what this machine's part of the VPCs must be, and tells the fabric.
 *
 * A thread with a client of its own that calls wherry's WatchNetwork again and again; the server answers when there is news,
 * mostly with what changed, of which agent/network_view.h makes a whole. What could not be done is asked for again, whole.
 * A server that does not answer is asked again, ever more rarely; one that does not know the call (AWS) every few minutes. */
#pragma once
#include "client/client.h"

struct fabric;
struct watch;

struct watch_options {
	const struct client_options *client;             /* outlives the watch; its timeout does not count */
	struct str cluster, instance_arn;                /* copied */
	struct fabric *fabric;
	void (*report)(const struct error *err);         /* in the thread; once for failures that repeat */
};

bool watch_start(const struct watch_options *options, struct watch **ret_watch, struct error *err);
/* The instance that it watches for. */
struct str watch_instance(const struct watch *watch);
/* At once, also in the middle of a call. NULL is fine. */
void watch_stop(struct watch *watch);
