/* state.h - the EC2 room's entries and their indexes.
 *
 * Who points to whom: vpc ⊃ subnets, groups, tables, and its gateway; subnet ⊃ interfaces, and has a pool of addresses;
 * group ⊃ its interfaces, and knows the groups whose rules name it. What containers of tasks need is told to the
 * machines by WatchNetwork (watch.c): entries that matter there know the version at which they changed last. */
#pragma once
#include "base/list.h"
#include "control/ec2/address.h"
#include "control/ec2/ec2.h"
#include "control/room.h"

enum {
	VPCS_LIMIT = 1000,                               /* of a realm, as the next ones */
	GROUPS_LIMIT = 10000,
	GATEWAYS_LIMIT = 1000,
	ROUTE_TABLES_LIMIT = 10000,
	INTERFACES_LIMIT = 100000,
	ELASTIC_ADDRESSES_LIMIT = 10000,
	SUBNETS_PER_VPC_LIMIT = 200,
	ROUTES_PER_TABLE_LIMIT = 100,
	RULES_PER_GROUP_LIMIT = 120,                     /* both directions */
	GROUPS_PER_INTERFACE_LIMIT = 5,
	TAGS_PER_RESOURCE_LIMIT = 50,
	SUBNET_RESERVED_HEAD = 4,                        /* network, router, DNS, one more; and the last of a subnet */
	ZONES_PER_REGION = 3,
	MEMBER_CHANGES_LIMIT = 256,                      /* of a group, that are remembered one by one */
};

/* An address came to a group, or left it. */
struct member_change {
	uint64_t version;
	uint32_t address;
	bool added;
};

/* The head of the room's entries: found by id, listed in its order. */
#define EC2_ENTRY_OF(type) \
	ENTRY_OF(type); \
	struct sorted_node by_id

struct object_entry {
	struct entry entry;
	struct sorted_node by_id;
};

struct gateway_entry;
struct table_entry;
struct elastic_entry;
struct watch;

struct defaults_entry {
	EC2_ENTRY_OF(network_defaults);
};

struct vpc_entry {
	EC2_ENTRY_OF(vpc);
	struct ipv4_block block;
	struct link subnets, tables;                     /* in_vpc of each */
	struct sorted groups;                            /* group_entry.by_name */
	struct table_entry *main_table;
	struct gateway_entry *gateway;                   /* attached, or NULL */
	uint64_t changed;
	uint64_t told;                                   /* in the answer of this number (watch.c) */
};

struct subnet_entry {
	EC2_ENTRY_OF(subnet);
	struct vpc_entry *vpc;
	struct link in_vpc;
	struct pool pool;
	struct link interfaces;                          /* interface_entry.in_subnet */
	struct table_entry *table;                       /* associated; NULL: the VPC's main one */
};

struct group_entry {
	EC2_ENTRY_OF(security_group);
	struct vpc_entry *vpc;
	struct sorted_node by_name;
	struct link members;                             /* membership.in_group */
	size_t member_count;
	struct link presences;                           /* presence.in_group */
	LIST_OF(struct group_entry *) referrers;         /* whose rules name it: once a rule */
	struct link dirty;                               /* changed in this step */
	uint64_t changed;                                /* its members or anything else of it */
	uint64_t record_changed;
	LIST_OF(struct member_change) changes;           /* of members, the oldest first */
	uint64_t forgotten;                              /* who knows less than this cannot be told by `changes` */
	uint64_t told, known;                            /* as the VPC's; the machine holds it as it was */
};

/* An interface in a group. */
struct membership {
	struct link in_group;
	struct interface_entry *interface;
	struct group_entry *group;
	struct presence *presence;                       /* on the machine of the interface, or NULL */
};

struct interface_entry {
	EC2_ENTRY_OF(network_interface);
	struct subnet_entry *subnet;
	struct link in_subnet;
	uint32_t address;
	struct membership memberships[GROUPS_PER_INTERFACE_LIMIT];
	struct elastic_entry *elastic;                   /* associated, or NULL */
	struct watch *watch;                             /* of the container instance that it is attached to, or NULL */
	struct link in_watch;
	uint64_t changed;
};

struct table_entry {
	EC2_ENTRY_OF(route_table);
	struct vpc_entry *vpc;
	struct link in_vpc;
};

struct gateway_entry {
	EC2_ENTRY_OF(internet_gateway);
	struct vpc_entry *vpc;
};

struct elastic_entry {
	EC2_ENTRY_OF(elastic_address);
	struct interface_entry *interface;
};

/* The room's own memory. */
struct ec2 {
	struct pool public_addresses;                    /* of all realms */
	struct str epoch;                                /* of this life of the plane; owned */
	uint64_t version;                                /* counts changes of what machines are told */
	uint64_t answer;                                 /* counts answers of WatchNetwork: what `told` is compared with */
	struct map watches;                              /* by "ACCOUNT/REGION/CLUSTER/INSTANCE" */
	struct link dirty_watches, dirty_groups;         /* of this step */
	bool stopping;                                   /* nobody waits any more */
};

/* Runs a body for each of a realm's objects of a kind, in the order of their ids. */
#define EC2_EACH(realm, kind, type, item) \
	for (struct sorted_node *item##_node = sorted_first(ec2_objects(realm, kind)), *item##_once; item##_node; \
	     item##_node = sorted_after(ec2_objects(realm, kind), item##_node->key)) \
		for (type *item = (item##_once = item##_node, CONTAINER_OF(item##_node, type, by_id)); item##_once; \
		     item##_once = NULL)

/* ---- Finding. `kind`: one of this room's. */
struct sorted *ec2_objects(const struct realm *realm, enum record_kind kind);
struct vpc_entry *vpc_find(struct plane *plane, const struct realm *realm, struct str id);
struct subnet_entry *subnet_find(struct plane *plane, const struct realm *realm, struct str id);
struct group_entry *group_find(struct plane *plane, const struct realm *realm, struct str id);
struct interface_entry *interface_find(struct plane *plane, const struct realm *realm, struct str id);
struct group_entry *group_named(const struct vpc_entry *vpc, struct str name);
struct vpc_entry *default_vpc(const struct realm *realm);        /* NULL: deleted */

struct table_entry *subnet_table(const struct subnet_entry *subnet);      /* its own or the VPC's main one */
bool subnet_is_public(const struct subnet_entry *subnet);        /* its table leads to the VPC's internet gateway */
struct str interface_public_address(const struct interface_entry *interface);   /* or absent */

/* ---- What machines are told (watch.c): called by the index functions. */
void watch_interface_added(struct plane *plane, struct interface_entry *interface);
void watch_interface_removed(struct plane *plane, struct interface_entry *interface);
void watch_interface_changed(struct plane *plane, struct interface_entry *interface);
void watch_member_added(struct plane *plane, struct membership *membership);
void watch_member_removed(struct plane *plane, struct membership *membership);
void watch_group_changed(struct plane *plane, struct group_entry *group);
void watch_vpc_changed(struct plane *plane, struct vpc_entry *vpc);      /* and all interfaces in it */
void watches_init(struct ec2 *ec2);
void watches_fini(struct ec2 *ec2);
void watches_check(const struct plane *plane);

/* ---- Rows of entry_kinds */
#define EC2_KIND_FUNCTIONS(name) \
	void name##_attach(struct plane *plane, struct entry *entry); \
	void name##_detach(struct plane *plane, struct entry *entry); \
	void name##_add(struct plane *plane, struct entry *entry); \
	void name##_remove(struct plane *plane, struct entry *entry)
EC2_KIND_FUNCTIONS(ec2_defaults);
EC2_KIND_FUNCTIONS(ec2_vpc);
EC2_KIND_FUNCTIONS(ec2_subnet);
EC2_KIND_FUNCTIONS(ec2_group);
EC2_KIND_FUNCTIONS(ec2_interface);
EC2_KIND_FUNCTIONS(ec2_table);
EC2_KIND_FUNCTIONS(ec2_gateway);
EC2_KIND_FUNCTIONS(ec2_elastic);

#define EC2_KIND(type, entry, name) {&shape_##type, sizeof(struct entry), name##_attach, name##_detach, name##_add, name##_remove}
#define EC2_ENTRY_KINDS \
	[RECORD_NETWORK_DEFAULTS] = EC2_KIND(network_defaults, defaults_entry, ec2_defaults), \
	[RECORD_VPC] = EC2_KIND(vpc, vpc_entry, ec2_vpc), \
	[RECORD_SUBNET] = EC2_KIND(subnet, subnet_entry, ec2_subnet), \
	[RECORD_SECURITY_GROUP] = EC2_KIND(security_group, group_entry, ec2_group), \
	[RECORD_NETWORK_INTERFACE] = EC2_KIND(network_interface, interface_entry, ec2_interface), \
	[RECORD_ROUTE_TABLE] = EC2_KIND(route_table, table_entry, ec2_table), \
	[RECORD_INTERNET_GATEWAY] = EC2_KIND(internet_gateway, gateway_entry, ec2_gateway), \
	[RECORD_ELASTIC_ADDRESS] = EC2_KIND(elastic_address, elastic_entry, ec2_elastic)
