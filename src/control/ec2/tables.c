/* Route tables and their routes (neighbours 8.2). */
#include "control/ec2/tables.h"
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/objects.h"
#include "control/ec2/tags.h"

/* ---- describing */
static struct ec2_route_table_association_state *associated(struct call *call)
{
	struct ec2_route_table_association_state *state = arena_new(call->arena, struct ec2_route_table_association_state);

	state->state = EC2_ROUTE_TABLE_ASSOCIATION_STATE_CODE_ASSOCIATED;
	return state;
}

static void describe_associations(struct call *call, const struct route_table *table,
				  struct ec2_route_table_association_list *list)
{
	list->items = arena_array(call->arena, struct ec2_route_table_association, table->associations.count + 1);
	if (str_has(table->main_association))
		list->items[list->count++] = (struct ec2_route_table_association){
			.main = {true, true}, .route_table_association_id = table->main_association, .route_table_id = table->id,
			.association_state = associated(call)};
	for (size_t i = 0; i < table->associations.count; i++)
		list->items[list->count++] = (struct ec2_route_table_association){
			.main = {false, true}, .route_table_association_id = table->associations.items[i].id,
			.route_table_id = table->id, .subnet_id = table->associations.items[i].subnet,
			.association_state = associated(call)};
}

/* A route whose target is gone leads nowhere. */
static enum ec2_route_state route_state(struct call *call, const struct table_entry *table, const struct vpc_route *route)
{
	const struct gateway_entry *gateway = table->vpc->gateway;
	bool active = str_has(route->gateway) ? gateway && str_equal(gateway->record->id, route->gateway)
					      : interface_find(call->plane, table->realm, route->interface) != NULL;

	return active ? EC2_ROUTE_STATE_ACTIVE : EC2_ROUTE_STATE_BLACKHOLE;
}

static void describe_routes(struct call *call, const struct table_entry *table, struct ec2_route_list *list)
{
	const struct vpc_routes *routes = &table->record->routes;

	list->items = arena_array(call->arena, struct ec2_route, routes->count + 1);
	list->items[list->count++] = (struct ec2_route){
		.destination_cidr_block = table->vpc->record->block, .gateway_id = S("local"),
		.origin = EC2_ROUTE_ORIGIN_CREATE_ROUTE_TABLE, .state = EC2_ROUTE_STATE_ACTIVE};
	for (size_t i = 0; i < routes->count; i++)
		list->items[list->count++] = (struct ec2_route){
			.destination_cidr_block = routes->items[i].destination, .gateway_id = routes->items[i].gateway,
			.network_interface_id = routes->items[i].interface, .origin = EC2_ROUTE_ORIGIN_CREATE_ROUTE,
			.state = route_state(call, table, &routes->items[i])};
}

static void describe_table(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct table_entry *table = (const struct table_entry *)entry;
	struct ec2_route_table *out = ret_description;

	*out = (struct ec2_route_table){
		.propagating_vgws = {arena_array(call->arena, struct ec2_propagating_vgw, 0), 0},
		.route_table_id = table->record->id, .tags = tags_shown(call, &table->record->tags),
		.vpc_id = table->record->vpc, .owner_id = entry->realm->account};
	describe_associations(call, table->record, &out->associations);
	describe_routes(call, table, &out->routes);
}

static const struct filter_row table_filters[] = {
	{STR_INIT("association.gateway-id"), "associationSet.gatewayId"}, {STR_INIT("association.main"), "associationSet.main"},
	{STR_INIT("association.route-table-association-id"), "associationSet.routeTableAssociationId"},
	{STR_INIT("association.route-table-id"), "associationSet.routeTableId"},
	{STR_INIT("association.subnet-id"), "associationSet.subnetId"}, {STR_INIT("owner-id"), "ownerId"},
	{STR_INIT("route-table-id"), "routeTableId"},
	{STR_INIT("route.destination-cidr-block"), "routeSet.destinationCidrBlock"},
	{STR_INIT("route.destination-ipv6-cidr-block"), "routeSet.destinationIpv6CidrBlock"},
	{STR_INIT("route.destination-prefix-list-id"), "routeSet.destinationPrefixListId"},
	{STR_INIT("route.gateway-id"), "routeSet.gatewayId"}, {STR_INIT("route.instance-id"), "routeSet.instanceId"},
	{STR_INIT("route.nat-gateway-id"), "routeSet.natGatewayId"},
	{STR_INIT("route.transit-gateway-id"), "routeSet.transitGatewayId"}, {STR_INIT("route.origin"), "routeSet.origin"},
	{STR_INIT("route.state"), "routeSet.state"},
	{STR_INIT("route.vpc-peering-connection-id"), "routeSet.vpcPeeringConnectionId"}, {STR_INIT("vpc-id"), "vpcId"},
};

static const struct listing table_listing = {RECORD_ROUTE_TABLE, &shape_ec2_route_table, table_filters, COUNT(table_filters),
					     describe_table, "routeTableId"};

bool ec2_describe_route_tables(struct call *call, const struct ec2_describe_route_tables_request *in,
			       struct ec2_describe_route_tables_result *out)
{
	return listing_take(call, &table_listing, LISTING_REQUEST(in, route_table_ids), &out->route_tables, &out->next_token);
}

/* ---- tables */
/* A request with the token of an earlier one has its answer. */
static bool repeat_table(struct call *call, const struct ec2_create_route_table_request *in, const struct table_entry **ret_table)
{
	*ret_table = NULL;
	if (str_empty(in->client_token))
		return true;
	EC2_EACH(call->realm, RECORD_ROUTE_TABLE, struct table_entry, table)
		if (str_equal(table->record->client_token, in->client_token))
			*ret_table = table;
	return !*ret_table || str_equal((*ret_table)->record->vpc, in->vpc_id) || refuse_repeat(call);
}

static struct ec2_route_table *described_table(struct call *call, const struct table_entry *table)
{
	struct ec2_route_table *out = arena_new(call->arena, struct ec2_route_table);

	describe_table(call, &table->entry, out);
	return out;
}

bool ec2_create_route_table(struct call *call, const struct ec2_create_route_table_request *in,
			    struct ec2_create_route_table_result *out)
{
	const struct vpc_entry *vpc = object_find(call, RECORD_VPC, in->vpc_id, "vpcId");
	struct route_table record = {0};
	const struct table_entry *table;

	if (!vpc || !tags_of_request(call, &in->tag_specifications, EC2_RESOURCE_TYPE_ROUTE_TABLE, &record.tags) ||
	    !repeat_table(call, in, &table))
		return false;
	out->client_token = in->client_token;
	if (table) {
		out->route_table = described_table(call, table);
		return true;
	}
	if (ec2_objects(call->realm, RECORD_ROUTE_TABLE)->count >= ROUTE_TABLES_LIMIT)
		return fail(&call->error, ERROR_ROUTE_TABLE_LIMIT_EXCEEDED, "The maximum number of route tables has been reached.");
	if (!dry_run_ends(call, in->dry_run))
		return false;
	record.id = object_id(call->plane, S("rtb"));
	record.vpc = vpc->record->id;
	record.client_token = in->client_token;
	table = emit(call->plane, call->realm, RECORD_ROUTE_TABLE, record.id, &record);
	out->route_table = described_table(call, table);
	return true;
}

bool ec2_delete_route_table(struct call *call, const struct ec2_delete_route_table_request *in,
			    struct ec2_delete_route_table_response *out)
{
	const struct table_entry *table = object_find(call, RECORD_ROUTE_TABLE, in->route_table_id, "routeTableId");

	if (!table)
		return false;
	if (str_has(table->record->main_association) || table->record->associations.count)
		return fail(&call->error, ERROR_DEPENDENCY_VIOLATION, "The routeTable '%.*s' has dependencies and cannot be deleted.",
			    STR(in->route_table_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	emit(call->plane, call->realm, RECORD_ROUTE_TABLE, table->by_id.key, NULL);
	return true;
}

/* ---- associations */
bool ec2_associate_route_table(struct call *call, const struct ec2_associate_route_table_request *in,
			       struct ec2_associate_route_table_result *out)
{
	const struct table_entry *table = object_find(call, RECORD_ROUTE_TABLE, in->route_table_id, "routeTableId");
	const struct subnet_entry *subnet;
	struct route_table next;

	if (!table)
		return false;
	if (str_has(in->gateway_id) || str_has(in->public_ipv4_pool))
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry associates route tables with subnets only.");
	subnet = object_find(call, RECORD_SUBNET, in->subnet_id, "subnetId");
	if (!subnet)
		return false;
	if (subnet->vpc != table->vpc)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Route table %.*s and subnet %.*s belong to different networks",
			    STR(in->route_table_id), STR(in->subnet_id));
	if (subnet->table)
		return fail(&call->error, ERROR_RESOURCE_ALREADY_ASSOCIATED, "the specified association for route table %.*s conflicts "
			    "with an existing association", STR(in->route_table_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	next = *table->record;
	next.associations.items = arena_array(call->arena, struct route_association, next.associations.count + 1);
	for (size_t i = 0; i < next.associations.count; i++)
		next.associations.items[i] = table->record->associations.items[i];
	out->association_id = object_id(call->plane, S("rtbassoc"));
	out->association_state = associated(call);
	next.associations.items[next.associations.count++] =
		(struct route_association){.id = out->association_id, .subnet = subnet->record->id};
	emit(call->plane, call->realm, RECORD_ROUTE_TABLE, next.id, &next);
	return true;
}

void table_disassociate(struct call *call, struct table_entry *table, const struct subnet_entry *subnet)
{
	const struct route_associations *old = &table->record->associations;
	struct route_table next = *table->record;

	next.associations = (struct route_associations){arena_array(call->arena, struct route_association, old->count), 0};
	for (size_t i = 0; i < old->count; i++)
		if (!str_equal(old->items[i].subnet, subnet->record->id))
			next.associations.items[next.associations.count++] = old->items[i];
	emit(call->plane, call->realm, RECORD_ROUTE_TABLE, next.id, &next);
}

bool ec2_disassociate_route_table(struct call *call, const struct ec2_disassociate_route_table_request *in,
				  struct ec2_disassociate_route_table_response *out)
{
	struct table_entry *found = NULL;
	struct str subnet = STR_NONE;

	EC2_EACH(call->realm, RECORD_ROUTE_TABLE, struct table_entry, table) {
		if (str_has(in->association_id) && str_equal(table->record->main_association, in->association_id))
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE,
				    "cannot disassociate the main route table association %.*s", STR(in->association_id));
		for (size_t i = 0; i < table->record->associations.count; i++)
			if (str_equal(table->record->associations.items[i].id, in->association_id)) {
				found = table;
				subnet = table->record->associations.items[i].subnet;
			}
	}
	if (!found)
		return fail(&call->error, ERROR_ASSOCIATION_NOT_FOUND, "The association ID '%.*s' does not exist",
			    STR(in->association_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	table_disassociate(call, found, subnet_find(call->plane, call->realm, subnet));
	return true;
}

/* ---- routes */
struct route_request {
	struct str table, destination, gateway, interface;
	bool others;                                     /* a target that Wherry does not have */
	struct str nat_gateway, destination6;
};

#define ROUTE_REQUEST(in) \
	(struct route_request){ \
		.table = (in)->route_table_id, .destination = (in)->destination_cidr_block, .gateway = (in)->gateway_id, \
		.interface = (in)->network_interface_id, .nat_gateway = (in)->nat_gateway_id, \
		.destination6 = (in)->destination_ipv6_cidr_block, \
		.others = str_has((in)->vpc_endpoint_id) || str_has((in)->transit_gateway_id) || \
			  str_has((in)->local_gateway_id) || str_has((in)->carrier_gateway_id) || str_has((in)->core_network_arn) || \
			  str_has((in)->odb_network_arn) || str_has((in)->egress_only_internet_gateway_id) || \
			  str_has((in)->instance_id) || str_has((in)->vpc_peering_connection_id) || \
			  str_has((in)->destination_prefix_list_id)}

static bool refuse_destination(struct call *call, struct str text)
{
	return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Value (%.*s) for parameter destinationCidrBlock is invalid. This is "
		    "not a valid CIDR block.", STR(text));
}

/* In its canonical form. */
static bool check_destination(struct call *call, struct str text, struct str *ret_destination)
{
	struct ipv4_block block;

	if (str_empty(text))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter destinationCidrBlock");
	if (!ipv4_block_parse(text, &block))
		return refuse_destination(call, text);
	*ret_destination = ipv4_block_text(call->arena, block);
	return true;
}

static bool check_gateway(struct call *call, const struct table_entry *table, struct str id)
{
	const struct gateway_entry *gateway = object_find(call, RECORD_INTERNET_GATEWAY, id, "gatewayId");

	if (!gateway)
		return false;
	if (gateway->vpc != table->vpc)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "route table %.*s and network gateway %.*s belong to different "
			    "networks", STR(table->record->id), STR(id));
	return true;
}

static bool check_interface(struct call *call, const struct table_entry *table, struct str id)
{
	const struct interface_entry *interface = object_find(call, RECORD_NETWORK_INTERFACE, id, "networkInterfaceId");

	if (!interface)
		return false;
	if (interface->subnet->vpc != table->vpc)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "route table %.*s and interface %.*s belong to different "
			    "networks", STR(table->record->id), STR(id));
	return true;
}

static bool check_target(struct call *call, const struct table_entry *table, const struct route_request *request)
{
	int count = str_has(request->gateway) + str_has(request->interface) + str_has(request->nat_gateway);

	if (request->others || str_has(request->destination6))
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry's routes lead from IPv4 blocks to internet gateways and network "
			    "interfaces.");
	if (count == 0)
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain exactly one of gatewayId, natGatewayId, "
			    "networkInterfaceId, vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, "
			    "localGatewayId, carrierGatewayId or instanceId");
	if (count > 1)
		return fail(&call->error, ERROR_INVALID_PARAMETER_COMBINATION, "The request must contain exactly one target");
	if (str_has(request->nat_gateway))
		return fail(&call->error, ERROR_NAT_GATEWAY_NOT_FOUND, "NatGateway %.*s was not found", STR(request->nat_gateway));
	if (str_has(request->interface))
		return check_interface(call, table, request->interface);
	return check_gateway(call, table, request->gateway);
}

static bool check_not_local(struct call *call, const struct table_entry *table, struct str destination)
{
	struct ipv4_block block;

	if (!ipv4_block_parse(destination, &block))
		return refuse_destination(call, destination);
	if (str_equal(destination, table->vpc->record->block))
		return fail(&call->error, ERROR_ROUTE_ALREADY_EXISTS, "The route identified by %.*s already exists.", STR(destination));
	if (ipv4_block_contains(table->vpc->block, block))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "The destination CIDR block %.*s is equal to or more specific "
			    "than one of this VPC's CIDR blocks. This route can target only an interface or an instance.",
			    STR(destination));
	return true;
}

/* Where the route to `destination` stands in the table, or its count. */
static size_t find_route(const struct table_entry *table, struct str destination)
{
	const struct vpc_routes *routes = &table->record->routes;
	size_t at = 0;

	while (at < routes->count && !str_equal(routes->items[at].destination, destination))
		at++;
	return at;
}

static void put_route(struct call *call, const struct table_entry *table, size_t at, const struct route_request *request,
		      struct str destination)
{
	struct route_table next = *table->record;

	next.routes.items = arena_array(call->arena, struct vpc_route, next.routes.count + 1);
	for (size_t i = 0; i < next.routes.count; i++)
		next.routes.items[i] = table->record->routes.items[i];
	next.routes.items[at] = (struct vpc_route){.destination = destination, .gateway = request->gateway,
						   .interface = request->interface};
	next.routes.count = MAX(next.routes.count, at + 1);
	emit(call->plane, call->realm, RECORD_ROUTE_TABLE, next.id, &next);
}

static struct table_entry *check_route(struct call *call, const struct route_request *request, struct str *ret_destination)
{
	struct table_entry *table = object_find(call, RECORD_ROUTE_TABLE, request->table, "routeTableId");

	if (!table || !check_target(call, table, request) || !check_destination(call, request->destination, ret_destination))
		return NULL;
	return table;
}

bool ec2_create_route(struct call *call, const struct ec2_create_route_request *in, struct ec2_create_route_result *out)
{
	struct route_request request = ROUTE_REQUEST(in);
	struct str destination;
	const struct table_entry *table = check_route(call, &request, &destination);
	size_t at;

	if (!table || !check_not_local(call, table, destination))
		return false;
	at = find_route(table, destination);
	if (at < table->record->routes.count)
		return fail(&call->error, ERROR_ROUTE_ALREADY_EXISTS, "The route identified by %.*s already exists.", STR(destination));
	if (at >= ROUTES_PER_TABLE_LIMIT)
		return fail(&call->error, ERROR_ROUTE_LIMIT_EXCEEDED, "The maximum number of routes in a route table has been reached.");
	if (!dry_run_ends(call, in->dry_run))
		return false;
	put_route(call, table, at, &request, destination);
	out->return_ = (struct maybe_boolean){true, true};
	return true;
}

static bool refuse_route(struct call *call, const struct table_entry *table, struct str destination)
{
	return fail(&call->error, ERROR_ROUTE_NOT_FOUND, "no route with destination-cidr-block %.*s in route table %.*s",
		    STR(destination), STR(table->record->id));
}

bool ec2_replace_route(struct call *call, const struct ec2_replace_route_request *in, struct ec2_replace_route_response *out)
{
	struct route_request request = ROUTE_REQUEST(in);
	struct str destination;
	const struct table_entry *table;
	size_t at;

	request.others = request.others || in->local_target.value;
	table = check_route(call, &request, &destination);
	if (!table)
		return false;
	at = find_route(table, destination);
	if (at == table->record->routes.count)
		return refuse_route(call, table, destination);
	if (!dry_run_ends(call, in->dry_run))
		return false;
	put_route(call, table, at, &request, destination);
	return true;
}

bool ec2_delete_route(struct call *call, const struct ec2_delete_route_request *in, struct ec2_delete_route_response *out)
{
	const struct table_entry *table = object_find(call, RECORD_ROUTE_TABLE, in->route_table_id, "routeTableId");
	struct route_table next;
	struct str destination;
	size_t at;

	if (!table || !check_destination(call, in->destination_cidr_block, &destination))
		return false;
	if (str_equal(destination, table->vpc->record->block))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "cannot remove local route %.*s in route table %.*s",
			    STR(destination), STR(in->route_table_id));
	at = find_route(table, destination);
	if (at == table->record->routes.count)
		return refuse_route(call, table, destination);
	if (!dry_run_ends(call, in->dry_run))
		return false;
	next = *table->record;
	next.routes = (struct vpc_routes){arena_array(call->arena, struct vpc_route, at + next.routes.count), 0};
	for (size_t i = 0; i < table->record->routes.count; i++)
		if (i != at)
			next.routes.items[next.routes.count++] = table->record->routes.items[i];
	emit(call->plane, call->realm, RECORD_ROUTE_TABLE, next.id, &next);
	return true;
}
