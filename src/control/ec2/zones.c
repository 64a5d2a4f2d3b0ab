/* Regions, availability zones, attributes of the account (neighbours 8.2). */
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/names.h"
#include "model/region.h"

/* ---- regions */
static const struct filter_row region_filters[] = {
	{STR_INIT("endpoint"), "regionEndpoint"}, {STR_INIT("opt-in-status"), "optInStatus"}, {STR_INIT("region-name"), "regionName"},
};

static void add_region(struct call *call, const struct ec2_describe_regions_request *in, struct str name,
		       struct ec2_region_list *list)
{
	struct ec2_region region = {.region_name = name, .opt_in_status = S("opt-in-not-required"),
				    .endpoint = ARENA_JOIN(call->arena, S("ec2."), name, S(".amazonaws.com"))};

	if (in->region_names.count && !str_listed(in->region_names.items, in->region_names.count, name))
		return;
	if (filters_fit(&in->filters, region_filters, COUNT(region_filters), &shape_ec2_region, &region))
		list->items[list->count++] = region;
}

/* The realm's own is one of them in any case, even when AWS has none of that name. */
static bool is_listed(const struct realm *realm, struct str name)
{
	const struct region *region = region_find(name);

	return (region && region->opted_in) || str_equal(name, realm->region);
}

bool ec2_describe_regions(struct call *call, const struct ec2_describe_regions_request *in,
			  struct ec2_describe_regions_result *out)
{
	if (!filters_check(call, &in->filters, region_filters, COUNT(region_filters)))
		return false;
	for (size_t i = 0; i < in->region_names.count; i++)
		if (!is_listed(call->realm, in->region_names.items[i]))
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid region provided: [%.*s]",
				    STR(in->region_names.items[i]));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	out->regions.items = arena_array(call->arena, struct ec2_region, REGIONS_COUNT + 1);
	for (size_t i = 0; i < REGIONS_COUNT; i++)
		if (is_listed(call->realm, regions[i].name))
			add_region(call, in, regions[i].name, &out->regions);
	if (!region_find(call->realm->region))
		add_region(call, in, call->realm->region, &out->regions);
	return true;
}

/* ---- zones */
static const struct filter_row zone_filters[] = {
	{STR_INIT("group-name"), "groupName"}, {STR_INIT("message"), "messageSet.message"},
	{STR_INIT("opt-in-status"), "optInStatus"}, {STR_INIT("region-name"), "regionName"}, {STR_INIT("state"), "zoneState"},
	{STR_INIT("zone-id"), "zoneId"}, {STR_INIT("zone-name"), "zoneName"}, {STR_INIT("zone-type"), "zoneType"},
};

static struct ec2_availability_zone describe_zone(struct call *call, int number)
{
	struct str region = call->realm->region;

	return (struct ec2_availability_zone){
		.opt_in_status = EC2_AVAILABILITY_ZONE_OPT_IN_STATUS_OPT_IN_NOT_REQUIRED,
		.messages = {arena_array(call->arena, struct ec2_availability_zone_message, 0), 0}, .region_name = region,
		.zone_name = zone_name(call->arena, region, number), .zone_id = zone_id(call->arena, region, number),
		.group_name = ARENA_JOIN(call->arena, region, S("-zg-1")), .network_border_group = region,
		.zone_type = S("availability-zone"), .state = EC2_AVAILABILITY_ZONE_STATE_AVAILABLE};
}

static bool check_zones(struct call *call, const struct str *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (zone_number(call->arena, call->realm->region, names[i]) < 0)
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid availability zone: [%.*s]", STR(names[i]));
	return true;
}

static bool is_asked(const struct ec2_describe_availability_zones_request *in, const struct ec2_availability_zone *zone)
{
	return (!in->zone_names.count || str_listed(in->zone_names.items, in->zone_names.count, zone->zone_name)) &&
	       (!in->zone_ids.count || str_listed(in->zone_ids.items, in->zone_ids.count, zone->zone_id)) &&
	       filters_fit(&in->filters, zone_filters, COUNT(zone_filters), &shape_ec2_availability_zone, zone);
}

bool ec2_describe_availability_zones(struct call *call, const struct ec2_describe_availability_zones_request *in,
				     struct ec2_describe_availability_zones_result *out)
{
	if (!filters_check(call, &in->filters, zone_filters, COUNT(zone_filters)) ||
	    !check_zones(call, in->zone_names.items, in->zone_names.count) ||
	    !check_zones(call, in->zone_ids.items, in->zone_ids.count) || !dry_run_ends(call, in->dry_run))
		return false;
	out->availability_zones.items = arena_array(call->arena, struct ec2_availability_zone, ZONES_PER_REGION);
	for (int i = 0; i < ZONES_PER_REGION; i++) {
		struct ec2_availability_zone zone = describe_zone(call, i);

		if (is_asked(in, &zone))
			out->availability_zones.items[out->availability_zones.count++] = zone;
	}
	return true;
}

/* ---- the account */
static void add_attribute(struct call *call, const struct ec2_describe_account_attributes_request *in,
			  enum ec2_account_attribute_name name, struct str value, struct ec2_account_attribute_list *list)
{
	struct ec2_account_attribute *attribute;
	bool asked = !in->attribute_names.count;

	for (size_t i = 0; i < in->attribute_names.count; i++)
		asked = asked || in->attribute_names.items[i] == name;
	if (!asked)
		return;
	attribute = &list->items[list->count++];
	attribute->attribute_name = shape_word_text(&shape_ec2_account_attribute_name, (int32_t)name);
	attribute->attribute_values.items = arena_array(call->arena, struct ec2_account_attribute_value, 1);
	attribute->attribute_values.items[attribute->attribute_values.count++].attribute_value = value;
}

bool ec2_describe_account_attributes(struct call *call, const struct ec2_describe_account_attributes_request *in,
				     struct ec2_describe_account_attributes_result *out)
{
	const struct vpc_entry *vpc = default_vpc(call->realm);

	if (!dry_run_ends(call, in->dry_run))
		return false;
	out->account_attributes.items = arena_array(call->arena, struct ec2_account_attribute, 2);
	add_attribute(call, in, EC2_ACCOUNT_ATTRIBUTE_NAME_SUPPORTED_PLATFORMS, S("VPC"), &out->account_attributes);
	add_attribute(call, in, EC2_ACCOUNT_ATTRIBUTE_NAME_DEFAULT_VPC, vpc ? vpc->record->id : S("none"),
		      &out->account_attributes);
	return true;
}
