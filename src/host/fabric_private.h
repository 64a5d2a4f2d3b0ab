/* fabric_private.h - between the parts of the fabric: what the server said, and the namespaces that follow from it.
 *
 * All of it is guarded by fabric->mutex. fabric.c: lifecycle, attach and detach, what follows in the kernel. fabric_told.c and
 * fabric_groups.c: what the server said. fabric_rules.c: nft tables. fabric_vpc.c: namespaces and links. */
#pragma once
#include <pthread.h>
#include "base/buffer.h"
#include "base/ipv4.h"
#include "base/list.h"
#include "base/map.h"
#include "host/fabric.h"
#include "host/resolver.h"
#include "os/netlink.h"
#include "os/nft.h"

enum {
	VPC_BLOCKS_LIMIT = 8,
	VPC_ID_LIMIT = 28,                               /* "vpc-" and 17 digits, with room; they become names of files, */
	GROUP_ID_LIMIT = 27,                             /* … and of nft chains, with "out-" before */
	FABRIC_VPCS_LIMIT = 1024,
	FABRIC_INTERFACES_LIMIT = 16384,
	FABRIC_GROUPS_LIMIT = 16384,
	GROUP_MEMBERS_LIMIT = 65536,
	GROUP_RULES_LIMIT = 1000,                        /* each way, blocks and groups counted one by one: AWS's most is 1000 */
};

/* Of the way out: the host's end has this address, in each VPC the next hop of everything else. */
#define WAY_OUT_LINK S("out0")
#define WAY_OUT_ADDRESS UINT32_C(0xa9fe0001)             /* 169.254.0.1 */
#define VPC_TABLE S("vpc")
#define VPC_LINK_FILE ".link"                            /* in a VPC's folder: its link_try; no owner has a name with a dot */

struct interface {
	struct wherry_interface *said;
	uint32_t address, gateway;
	uint32_t public_address;                         /* 0: the world does not reach it, nor it the world */
	unsigned prefix;                                 /* of its subnet */
	struct netlink_mac mac;
	bool stale;
};

struct group {
	struct wherry_group *said;
	uint32_t *members;                               /* sorted, each once */
	size_t member_count;
	bool stale, named;                               /* named: by an interface; both only while something is looked at */
	struct link spare;                               /* in fabric->spare_groups: no interface here needs it, nobody is in it */
	usec spare_since;
};

struct vpc {
	struct arena arena;
	struct str id, folder, link;                     /* folder: RUN/vpc/ID; link: of the way out, on the host */
	uint64_t link_try;                               /* of this many tries the names were another VPC's */
	struct ipv4_block blocks[VPC_BLOCKS_LIMIT];
	size_t block_count;
	bool told, stale, wants_resolver;
	bool on_disk;                                    /* its folder may be there */

	size_t attached, interfaces;                     /* owners here; interfaces told */
	struct link empty;                               /* in fabric->empty_vpcs: neither, but made and kept */
	usec empty_since;
	bool made;                                       /* the namespace is as it should be, but for: */
	bool outdated;                                   /* the whole table, or */
	LIST_OF(struct nft_element) changes;             /* … these of its elements */
	int netns;
	struct netlink nft;
	uint32_t generation;                             /* connections that were let through under another are judged anew */
};

struct owner {
	struct str id;
	struct vpc *vpc;
};

struct fabric {
	struct arena arena;
	struct str folder, prefix, table, resolv_conf;
	struct ipv4_block public_block;
	pthread_mutex_t mutex;
	pthread_cond_t told;                             /* something new was said */
	struct map vpcs, interfaces, groups, owners;
	struct link empty_vpcs, spare_groups;            /* the oldest first */
	size_t empty_count, spare_count;
	struct netlink host;
	bool host_is_ready, impatient;
	bool heard;                                      /* all there is, once */
	struct resolver *resolver;
};

/* --- fabric.c --- */

/* The known one or a new one. NULL: it is not named like a VPC, or there are too many. */
struct vpc *vpc_of(struct fabric *fabric, struct str id);
/* Brings the kernel in line with what is told and who is attached. */
void settle_all(struct fabric *fabric, struct error *first);

/* --- fabric_told.c --- */

void keep_first(struct error *first, const struct error *next);
void told_forget(struct fabric *fabric);                 /* as if the server had told that there is nothing */
void told_free(struct fabric *fabric);                   /* leaves the kernel's part as it is */

/* --- fabric_groups.c --- */

/* A group that cannot be understood is closed: nobody is in it, nothing is allowed. */
void groups_take(struct fabric *fabric, const struct wherry_groups *said, struct error *first);
/* The server tells of a group as long as an interface here is in it, or in one whose rules name it. The others become spare:
 * what was said of them may not be true any more. */
void groups_sort_out(struct fabric *fabric);
void groups_settle(struct fabric *fabric, usec now);     /* drops spare ones that are too old */
void group_drop(struct fabric *fabric, struct group *group);
void group_free(struct group *group);

/* --- fabric_rules.c --- */

/* Replaces the VPC's whole table; its conntrack entries stay, and are judged anew. */
bool rules_replace(struct fabric *fabric, struct vpc *vpc, struct error *err);
/* Brings the table in line: by elements when that is enough. */
bool rules_update(struct fabric *fabric, struct vpc *vpc, struct error *err);
/* Whether the text of the group's rules can be made. */
bool rules_check(const struct wherry_group *group, struct error *err);
struct str rules_set_of(const struct group *group);
bool rules_host_table(struct fabric *fabric, bool wanted, struct error *err);

/* --- fabric_vpc.c --- */

struct vpc *vpc_new(struct fabric *fabric, struct str id);       /* with a link's name that no known VPC has */
void vpc_name_link(struct fabric *fabric, struct vpc *vpc, uint64_t try);
void vpc_free(struct vpc *vpc);                          /* leaves the kernel's part as it is */
/* Makes what is missing of the namespace, all but the table. */
bool vpc_make(struct fabric *fabric, struct vpc *vpc, struct error *err);
bool vpc_remove(struct fabric *fabric, struct vpc *vpc, struct error *err);
/* The host's road to a public address. */
bool vpc_publish(struct fabric *fabric, struct vpc *vpc, uint32_t address, bool wanted, struct error *err);
/* The veth and what belongs to it at both ends. Needs no mutex: nothing of the fabric changes. */
bool vpc_connect(int vpc_netns, int task_netns, const struct interface *interface, struct error *err);
bool vpc_host_ready(struct fabric *fabric, struct error *err);
