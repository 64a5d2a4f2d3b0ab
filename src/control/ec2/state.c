#include "control/ec2/state.h"
#include <assert.h>
#include <stdio.h>
#include "control/internal.h"

enum { PUBLIC_BITS_MIN = 8, PUBLIC_BITS_MAX = 29 };

#define DEFAULT_PUBLIC_CIDR "198.18.0.0/15"

/* ---- finding */
struct sorted *ec2_objects(const struct realm *realm, enum record_kind kind)
{
	size_t place = (size_t)kind - RECORD_NETWORK_DEFAULTS;

	assert(place < COUNT(realm->network));
	return (struct sorted *)&realm->network[place];
}

struct vpc_entry *vpc_find(struct plane *plane, const struct realm *realm, struct str id)
{
	return entry_find(plane, realm, RECORD_VPC, id);
}

struct subnet_entry *subnet_find(struct plane *plane, const struct realm *realm, struct str id)
{
	return entry_find(plane, realm, RECORD_SUBNET, id);
}

struct group_entry *group_find(struct plane *plane, const struct realm *realm, struct str id)
{
	return entry_find(plane, realm, RECORD_SECURITY_GROUP, id);
}

struct interface_entry *interface_find(struct plane *plane, const struct realm *realm, struct str id)
{
	return entry_find(plane, realm, RECORD_NETWORK_INTERFACE, id);
}

struct group_entry *group_named(const struct vpc_entry *vpc, struct str name)
{
	struct sorted_node *node = sorted_get(&vpc->groups, name);

	return node ? CONTAINER_OF(node, struct group_entry, by_name) : NULL;
}

struct vpc_entry *default_vpc(const struct realm *realm)
{
	EC2_EACH(realm, RECORD_VPC, struct vpc_entry, vpc)
		if (vpc->record->is_default.value)
			return vpc;
	return NULL;
}

struct table_entry *subnet_table(const struct subnet_entry *subnet)
{
	return subnet->table ? subnet->table : subnet->vpc->main_table;
}

bool subnet_is_public(const struct subnet_entry *subnet)
{
	const struct table_entry *table = subnet_table(subnet);
	const struct gateway_entry *gateway = subnet->vpc->gateway;

	if (!table || !gateway)
		return false;
	for (size_t i = 0; i < table->record->routes.count; i++) {
		const struct vpc_route *route = &table->record->routes.items[i];

		if (str_equal(route->destination, S("0.0.0.0/0")))
			return str_equal(route->gateway, gateway->record->id);
	}
	return false;
}

struct str interface_public_address(const struct interface_entry *interface)
{
	return interface->elastic ? interface->elastic->record->address : interface->record->public_address;
}

/* ---- common parts of the index functions */
static void object_list(struct entry *entry, enum record_kind kind)
{
	struct object_entry *object = (struct object_entry *)entry;

	sorted_add(ec2_objects(entry->realm, kind), &object->by_id, entry_id(entry));
}

static void object_unlist(struct entry *entry, enum record_kind kind)
{
	sorted_remove(ec2_objects(entry->realm, kind), &((struct object_entry *)entry)->by_id);
}

static struct vpc_entry *vpc_of(struct plane *plane, const struct entry *entry, struct str id)
{
	struct vpc_entry *vpc = vpc_find(plane, entry->realm, id);

	assert(vpc);
	return vpc;
}

/* ---- what a realm has one of */
void ec2_defaults_attach(struct plane *plane, struct entry *entry) { object_list(entry, RECORD_NETWORK_DEFAULTS); }
void ec2_defaults_detach(struct plane *plane, struct entry *entry) { object_unlist(entry, RECORD_NETWORK_DEFAULTS); }
void ec2_defaults_add(struct plane *plane, struct entry *entry) {}
void ec2_defaults_remove(struct plane *plane, struct entry *entry) {}

/* ---- VPCs */
void ec2_vpc_attach(struct plane *plane, struct entry *entry)
{
	struct vpc_entry *vpc = (struct vpc_entry *)entry;

	chain_init(&vpc->subnets);
	chain_init(&vpc->tables);
	if (!ipv4_block_parse(vpc->record->block, &vpc->block))
		assert(!"the block of a VPC was checked when it was made");
	object_list(entry, RECORD_VPC);
}

void ec2_vpc_detach(struct plane *plane, struct entry *entry)
{
	object_unlist(entry, RECORD_VPC);
}

void ec2_vpc_add(struct plane *plane, struct entry *entry)
{
	watch_vpc_changed(plane, (struct vpc_entry *)entry);
}

void ec2_vpc_remove(struct plane *plane, struct entry *entry) {}

/* ---- subnets */
static void reserve_ends(struct subnet_entry *subnet)
{
	struct ipv4_block block = subnet->pool.block;

	for (uint32_t i = 0; i < SUBNET_RESERVED_HEAD; i++)
		pool_add(&subnet->pool, block.base + i);
	pool_add(&subnet->pool, block.base + (uint32_t)(ipv4_block_size(block) - 1));
	subnet->pool.next = SUBNET_RESERVED_HEAD;
}

void ec2_subnet_attach(struct plane *plane, struct entry *entry)
{
	struct subnet_entry *subnet = (struct subnet_entry *)entry;
	struct ipv4_block block;

	if (!ipv4_block_parse(subnet->record->block, &block))
		assert(!"the block of a subnet was checked when it was made");
	chain_init(&subnet->interfaces);
	pool_init(&subnet->pool, block);
	reserve_ends(subnet);
	subnet->vpc = vpc_of(plane, entry, subnet->record->vpc);
	chain_append(&subnet->vpc->subnets, &subnet->in_vpc);
	object_list(entry, RECORD_SUBNET);
}

void ec2_subnet_detach(struct plane *plane, struct entry *entry)
{
	struct subnet_entry *subnet = (struct subnet_entry *)entry;

	assert(chain_empty(&subnet->interfaces));
	pool_fini(&subnet->pool);
	link_remove(&subnet->in_vpc);
	object_unlist(entry, RECORD_SUBNET);
}

void ec2_subnet_add(struct plane *plane, struct entry *entry) {}
void ec2_subnet_remove(struct plane *plane, struct entry *entry) {}

/* ---- security groups */
void ec2_group_attach(struct plane *plane, struct entry *entry)
{
	struct group_entry *group = (struct group_entry *)entry;

	chain_init(&group->members);
	chain_init(&group->presences);
	group->vpc = vpc_of(plane, entry, group->record->vpc);
	object_list(entry, RECORD_SECURITY_GROUP);
}

void ec2_group_detach(struct plane *plane, struct entry *entry)
{
	struct group_entry *group = (struct group_entry *)entry;

	assert(chain_empty(&group->members) && chain_empty(&group->presences));
	link_remove(&group->dirty);
	list_fini(&group->referrers);
	list_fini(&group->changes);
	object_unlist(entry, RECORD_SECURITY_GROUP);
}

/* A group that a rule names may be linked later than the one with the rule: what it needs for that is valid when zeroed. */
static void refer(struct plane *plane, struct group_entry *group, struct str id)
{
	struct group_entry *other = group_find(plane, group->realm, id);

	assert(other);
	list_add(&other->referrers, group);
}

/* At the end of the plane the other one may be unlinked already. */
static void unrefer(struct plane *plane, struct group_entry *group, struct str id)
{
	struct group_entry *other = group_find(plane, group->realm, id);

	for (size_t i = 0; other && i < other->referrers.count; i++)
		if (other->referrers.items[i] == group) {
			list_remove_at(&other->referrers, i);
			return;
		}
}

void ec2_group_add(struct plane *plane, struct entry *entry)
{
	struct group_entry *group = (struct group_entry *)entry;
	const struct group_rules *rules = &group->record->rules;

	sorted_add(&group->vpc->groups, &group->by_name, group->record->name);
	for (size_t i = 0; i < rules->count; i++)
		if (str_has(rules->items[i].group))
			refer(plane, group, rules->items[i].group);
	watch_group_changed(plane, group);
}

void ec2_group_remove(struct plane *plane, struct entry *entry)
{
	struct group_entry *group = (struct group_entry *)entry;
	const struct group_rules *rules = &group->record->rules;

	sorted_remove(&group->vpc->groups, &group->by_name);
	for (size_t i = 0; i < rules->count; i++)
		if (str_has(rules->items[i].group))
			unrefer(plane, group, rules->items[i].group);
}

/* ---- interfaces: where one is, and whose, stays as it was made */
void ec2_interface_attach(struct plane *plane, struct entry *entry)
{
	struct interface_entry *interface = (struct interface_entry *)entry;
	bool free;

	interface->subnet = subnet_find(plane, entry->realm, interface->record->subnet);
	assert(interface->subnet);
	if (!ipv4_parse(interface->record->address, &interface->address))
		assert(!"the address of an interface was checked when it was made");
	free = pool_add(&interface->subnet->pool, interface->address);
	assert(free);
	chain_append(&interface->subnet->interfaces, &interface->in_subnet);
	if (str_has(interface->record->instance))
		watch_interface_added(plane, interface);
	object_list(entry, RECORD_NETWORK_INTERFACE);
}

void ec2_interface_detach(struct plane *plane, struct entry *entry)
{
	struct interface_entry *interface = (struct interface_entry *)entry;

	assert(!interface->elastic);
	if (interface->watch)
		watch_interface_removed(plane, interface);
	pool_remove(&interface->subnet->pool, interface->address);
	link_remove(&interface->in_subnet);
	object_unlist(entry, RECORD_NETWORK_INTERFACE);
}

/* Addresses of an earlier pool (plane_options.public_cidr) stay with who has them. */
static void book_public(struct plane *plane, struct str text, bool taken)
{
	struct pool *pool = &plane_ec2(plane)->public_addresses;
	uint32_t address;
	bool fits;

	if (!ipv4_parse(text, &address) || !ipv4_block_has(pool->block, address))
		return;
	fits = taken ? pool_add(pool, address) : pool_remove(pool, address);
	assert(fits);
}

void ec2_interface_add(struct plane *plane, struct entry *entry)
{
	struct interface_entry *interface = (struct interface_entry *)entry;
	const struct strings *groups = &interface->record->groups;

	assert(groups->count <= GROUPS_PER_INTERFACE_LIMIT);
	for (size_t i = 0; i < groups->count; i++) {
		struct membership *membership = &interface->memberships[i];

		membership->interface = interface;
		membership->group = group_find(plane, entry->realm, groups->items[i]);
		assert(membership->group);
		chain_append(&membership->group->members, &membership->in_group);
		membership->group->member_count++;
		watch_member_added(plane, membership);
	}
	if (str_has(interface->record->public_address))
		book_public(plane, interface->record->public_address, true);
	watch_interface_changed(plane, interface);
}

void ec2_interface_remove(struct plane *plane, struct entry *entry)
{
	struct interface_entry *interface = (struct interface_entry *)entry;

	for (size_t i = 0; i < interface->record->groups.count; i++) {
		struct membership *membership = &interface->memberships[i];

		link_remove(&membership->in_group);
		membership->group->member_count--;
		watch_member_removed(plane, membership);
		*membership = (struct membership){0};
	}
	if (str_has(interface->record->public_address))
		book_public(plane, interface->record->public_address, false);
}

/* ---- route tables */
void ec2_table_attach(struct plane *plane, struct entry *entry)
{
	struct table_entry *table = (struct table_entry *)entry;

	table->vpc = vpc_of(plane, entry, table->record->vpc);
	chain_append(&table->vpc->tables, &table->in_vpc);
	object_list(entry, RECORD_ROUTE_TABLE);
}

void ec2_table_detach(struct plane *plane, struct entry *entry)
{
	link_remove(&((struct table_entry *)entry)->in_vpc);
	object_unlist(entry, RECORD_ROUTE_TABLE);
}

static void associate(struct plane *plane, struct table_entry *table, struct table_entry *value)
{
	const struct route_associations *list = &table->record->associations;

	for (size_t i = 0; i < list->count; i++) {
		struct subnet_entry *subnet = subnet_find(plane, table->realm, list->items[i].subnet);

		assert(subnet);
		assert(subnet->table == (value ? NULL : table));
		subnet->table = value;
	}
	watch_vpc_changed(plane, table->vpc);
}

void ec2_table_add(struct plane *plane, struct entry *entry)
{
	struct table_entry *table = (struct table_entry *)entry;

	if (str_has(table->record->main_association)) {
		assert(!table->vpc->main_table);
		table->vpc->main_table = table;
	}
	associate(plane, table, table);
}

void ec2_table_remove(struct plane *plane, struct entry *entry)
{
	struct table_entry *table = (struct table_entry *)entry;

	if (table->vpc->main_table == table)
		table->vpc->main_table = NULL;
	associate(plane, table, NULL);
}

/* ---- internet gateways */
void ec2_gateway_attach(struct plane *plane, struct entry *entry) { object_list(entry, RECORD_INTERNET_GATEWAY); }
void ec2_gateway_detach(struct plane *plane, struct entry *entry) { object_unlist(entry, RECORD_INTERNET_GATEWAY); }

void ec2_gateway_add(struct plane *plane, struct entry *entry)
{
	struct gateway_entry *gateway = (struct gateway_entry *)entry;

	if (!str_has(gateway->record->vpc))
		return;
	gateway->vpc = vpc_of(plane, entry, gateway->record->vpc);
	assert(!gateway->vpc->gateway);
	gateway->vpc->gateway = gateway;
	watch_vpc_changed(plane, gateway->vpc);
}

void ec2_gateway_remove(struct plane *plane, struct entry *entry)
{
	struct gateway_entry *gateway = (struct gateway_entry *)entry;

	if (!gateway->vpc)
		return;
	gateway->vpc->gateway = NULL;
	watch_vpc_changed(plane, gateway->vpc);
	gateway->vpc = NULL;
}

/* ---- elastic addresses */
void ec2_elastic_attach(struct plane *plane, struct entry *entry)
{
	book_public(plane, ((struct elastic_entry *)entry)->record->address, true);
	object_list(entry, RECORD_ELASTIC_ADDRESS);
}

void ec2_elastic_detach(struct plane *plane, struct entry *entry)
{
	book_public(plane, ((struct elastic_entry *)entry)->record->address, false);
	object_unlist(entry, RECORD_ELASTIC_ADDRESS);
}

void ec2_elastic_add(struct plane *plane, struct entry *entry)
{
	struct elastic_entry *elastic = (struct elastic_entry *)entry;

	if (!str_has(elastic->record->interface))
		return;
	elastic->interface = interface_find(plane, entry->realm, elastic->record->interface);
	assert(elastic->interface && !elastic->interface->elastic);
	elastic->interface->elastic = elastic;
	watch_interface_changed(plane, elastic->interface);
}

void ec2_elastic_remove(struct plane *plane, struct entry *entry)
{
	struct elastic_entry *elastic = (struct elastic_entry *)entry;

	if (!elastic->interface)
		return;
	elastic->interface->elastic = NULL;
	watch_interface_changed(plane, elastic->interface);
	elastic->interface = NULL;
}

/* ---- the room's memory */
struct ec2 *ec2_new(const struct plane_options *options)
{
	struct ec2 *ec2 = calloc(1, sizeof(*ec2));
	struct ipv4_block block;

	if (!ec2)
		abort();
	if (!str_has(options->public_cidr))
		ipv4_block_parse(S(DEFAULT_PUBLIC_CIDR), &block);
	else if (!ipv4_block_parse(options->public_cidr, &block) || block.prefix < PUBLIC_BITS_MIN || block.prefix > PUBLIC_BITS_MAX)
		assert(!"public_cidr is an IPv4 block from /8 to /29");
	pool_init(&ec2->public_addresses, block);
	pool_add(&ec2->public_addresses, block.base);
	pool_add(&ec2->public_addresses, block.base + (uint32_t)(ipv4_block_size(block) - 1));
	watches_init(ec2);
	return ec2;
}

void ec2_free(struct ec2 *ec2)
{
	watches_fini(ec2);
	pool_fini(&ec2->public_addresses);
	free((void *)ec2->epoch.ptr);
	free(ec2);
}

void ec2_start(struct plane *plane)
{
	struct str epoch = random_hex(plane_random(plane), plane_arena(plane), 16);
	char *copy = malloc(epoch.len);

	if (!copy)
		abort();
	memcpy(copy, epoch.ptr, epoch.len);
	plane_ec2(plane)->epoch = (struct str){copy, epoch.len};
}

/* ---- everything agrees with everything */
static void check_subnet(const struct subnet_entry *subnet)
{
	struct pool pool;

	pool_init(&pool, subnet->pool.block);
	for (uint32_t i = 0; i < SUBNET_RESERVED_HEAD; i++)
		pool_add(&pool, pool.block.base + i);
	pool_add(&pool, pool.block.base + (uint32_t)(ipv4_block_size(pool.block) - 1));
	CHAIN_EACH(&subnet->interfaces, struct interface_entry, in_subnet, interface) {
		bool free = pool_add(&pool, interface->address);

		assert(free);
		assert(interface->subnet == subnet);
	}
	assert(pool.used == subnet->pool.used);
	assert(ipv4_block_contains(subnet->vpc->block, subnet->pool.block));
	CHAIN_EACH(&subnet->vpc->subnets, struct subnet_entry, in_vpc, other)
		assert(other == subnet || !ipv4_block_overlaps(other->pool.block, subnet->pool.block));
	assert(!subnet->table || subnet->table->vpc == subnet->vpc);
	pool_fini(&pool);
}

static void check_group(const struct group_entry *group)
{
	size_t members = 0, references = 0;

	CHAIN_EACH(&group->members, struct membership, in_group, membership) {
		assert(membership->group == group);
		assert(membership->interface->subnet->vpc == group->vpc);
		members++;
	}
	assert(members == group->member_count);
	assert(group->changes.count <= MEMBER_CHANGES_LIMIT);
	assert(group->record_changed <= group->changed && group->forgotten <= group->changed);
	assert(group_named(group->vpc, group->record->name) == group);
	for (size_t i = 0; i < group->referrers.count; i++)
		assert(group->referrers.items[i]->vpc == group->vpc);
	for (size_t i = 0; i < group->record->rules.count; i++)
		references += str_has(group->record->rules.items[i].group);
	assert(references <= RULES_PER_GROUP_LIMIT);
}

static void check_vpc(const struct vpc_entry *vpc)
{
	size_t mains = 0;

	assert(vpc->main_table);
	CHAIN_EACH(&vpc->tables, struct table_entry, in_vpc, table)
		mains += str_has(table->record->main_association);
	assert(mains == 1);
	assert(group_named(vpc, S("default")));
	assert(!vpc->gateway || vpc->gateway->vpc == vpc);
}

static size_t check_publics(const struct realm *realm, const struct pool *pool)
{
	size_t count = 0;
	uint32_t address;

	EC2_EACH(realm, RECORD_NETWORK_INTERFACE, struct interface_entry, interface)
		count += ipv4_parse(interface->record->public_address, &address) && pool_has(pool, address);
	EC2_EACH(realm, RECORD_ELASTIC_ADDRESS, struct elastic_entry, elastic) {
		count += ipv4_parse(elastic->record->address, &address) && pool_has(pool, address);
		assert(!elastic->interface || elastic->interface->elastic == elastic);
	}
	return count;
}

void ec2_check(const struct plane *plane)
{
	const struct pool *pool = &plane_ec2(plane)->public_addresses;
	struct realm *realm;
	size_t publics = 0;

	for (size_t cursor = 0; (realm = plane_next_realm(plane, &cursor));) {
		EC2_EACH(realm, RECORD_VPC, struct vpc_entry, vpc)
			check_vpc(vpc);
		EC2_EACH(realm, RECORD_SUBNET, struct subnet_entry, subnet)
			check_subnet(subnet);
		EC2_EACH(realm, RECORD_SECURITY_GROUP, struct group_entry, group)
			check_group(group);
		publics += check_publics(realm, pool);
	}
	/* Network and broadcast address are never given out. */
	assert(publics + 2 == pool->used);
	watches_check(plane);
}
