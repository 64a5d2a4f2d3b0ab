/* watch.h - between the two halves of WatchNetwork: watch.c, whom a change concerns and who waits; news.c, what they are told. */
#pragma once
#include "api/wherry.h"
#include "control/ec2/state.h"

struct gone { char id[24]; uint64_t version; };

/* A group on a machine: what tells the machines that a group concerns without a look at all of its members. */
struct presence {
	struct link in_group, in_watch;
	struct watch *watch;
	struct group_entry *group;
	size_t count;                                    /* of the machine's interfaces in the group */
	uint64_t since;                                  /* who knows this version or a later one knows of the group */
};

/* A container instance. */
struct watch {
	struct str key;                                  /* owned */
	struct link interfaces;                          /* interface_entry.in_watch, the one that changed last at the end */
	struct link presences;
	size_t interface_count;
	LIST_OF(struct gone) gone;                       /* the oldest first */
	uint64_t forgotten;                              /* who knows less than this is told everything */
	uint64_t newest;                                 /* of what concerns it */
	bool parked;
	uint64_t ticket, since;                          /* parked: of the call; the version that the machine knows */
	struct link dirty;
	struct wake wake;                                /* parked: the answer; otherwise the end, when nothing is here */
};

/* Everything, or what is newer than `since`. */
void watch_tell(struct plane *plane, struct watch *watch, bool full, uint64_t since, struct wherry_watch_network_response *out);
