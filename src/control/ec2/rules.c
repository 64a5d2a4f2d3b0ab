/* Rules of security groups: one record's list, shown as permissions (merged) and as rules (each with its id). */
#include <assert.h>
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/groups.h"
#include "control/ec2/listing.h"
#include "control/ec2/names.h"
#include "control/ec2/tags.h"
#include "control/paging.h"

enum { DESCRIPTION_LIMIT = 255, PORT_MAX = 65535, ICMP_MAX = 255, PROTOCOL_MAX = 255 };

/* What the four calls share. */
struct rules_request {
	bool egress;
	struct str group_id, group_name;
	struct ec2_ip_permission_list permissions;
	struct str protocol, block, source_name, source_owner;   /* the old form of one permission */
	struct maybe_integer from_port, to_port;
};

#define RULES_REQUEST(in, direction, name) \
	(struct rules_request){ \
		.egress = (direction), .group_id = (in)->group_id, .group_name = (name), .permissions = (in)->ip_permissions, \
		.protocol = (in)->ip_protocol, .block = (in)->cidr_ip, .source_name = (in)->source_security_group_name, \
		.source_owner = (in)->source_security_group_owner_id, .from_port = (in)->from_port, .to_port = (in)->to_port}

/* ---- from permissions to rules */
static const struct { struct str name, word; } protocols[] = {
	{STR_INIT("all"), STR_INIT("-1")}, {STR_INIT("6"), STR_INIT("tcp")}, {STR_INIT("17"), STR_INIT("udp")},
	{STR_INIT("1"), STR_INIT("icmp")}, {STR_INIT("58"), STR_INIT("icmpv6")}, {STR_INIT("-1"), STR_INIT("-1")},
	{STR_INIT("tcp"), STR_INIT("tcp")}, {STR_INIT("udp"), STR_INIT("udp")}, {STR_INIT("icmp"), STR_INIT("icmp")},
	{STR_INIT("icmpv6"), STR_INIT("icmpv6")},
};

static bool settle_protocol(struct call *call, struct str protocol, struct str *ret_protocol)
{
	uint64_t number;

	if (str_empty(protocol))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter ipProtocol");
	for (size_t i = 0; i < COUNT(protocols); i++)
		if (str_equal_ignoring_case(protocol, protocols[i].name)) {
			*ret_protocol = protocols[i].word;
			return true;
		}
	if (!str_to_unsigned(protocol, &number) || number > PROTOCOL_MAX)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid value '%.*s' for IP protocol. Unknown protocol.",
			    STR(protocol));
	*ret_protocol = arena_printf(call->arena, "%u", (unsigned)number);
	return true;
}

static bool check_ports(struct call *call, int32_t from, int32_t to)
{
	if (from < 0 || from > PORT_MAX || to < 0 || to > PORT_MAX)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "TCP/UDP port (%d) out of range",
			    from < 0 || from > PORT_MAX ? from : to);
	if (from > to)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid TCP/UDP port range (%d:%d)", from, to);
	return true;
}

/* icmp: type and code, -1 for any. Protocols without ports lose what was said of them. */
static bool settle_ports(struct call *call, const struct ec2_ip_permission *permission, struct group_rule *rule)
{
	bool icmp = str_starts(rule->protocol, S("icmp"));
	struct maybe_integer from = permission->from_port, to = permission->to_port;

	if (!icmp && !str_equal(rule->protocol, S("tcp")) && !str_equal(rule->protocol, S("udp")))
		return true;
	if (!icmp && (!from.has || !to.has))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid value 'Must specify both from and to ports with "
			    "TCP/UDP.' for portRange.");
	rule->from_port = (struct maybe_integer){from.has ? from.value : -1, true};
	rule->to_port = (struct maybe_integer){to.has ? to.value : -1, true};
	if (!icmp)
		return check_ports(call, from.value, to.value);
	if (rule->from_port.value < -1 || rule->from_port.value > ICMP_MAX || rule->to_port.value < -1 ||
	    rule->to_port.value > ICMP_MAX)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "ICMP code (%d) out of range", rule->to_port.value);
	return true;
}

static bool check_description(struct call *call, struct str description)
{
	if (description.len > DESCRIPTION_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid rule description. Rule descriptions may have up to %d "
			    "characters.", DESCRIPTION_LIMIT);
	return true;
}

static bool settle_block(struct call *call, struct str text, struct str *ret_block)
{
	struct ipv4_block block;

	if (!ipv4_block_parse(text, &block))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "CIDR block %.*s is malformed", STR(text));
	*ret_block = ipv4_block_text(call->arena, block);
	return true;
}

static bool settle_block6(struct call *call, struct str text, struct str *ret_block)
{
	char *lower = arena_cstr(call->arena, text);

	if (!block6_is_valid(text))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "CIDR block %.*s is malformed", STR(text));
	for (size_t i = 0; i < text.len; i++)
		lower[i] = lower[i] >= 'A' && lower[i] <= 'F' ? (char)(lower[i] - 'A' + 'a') : lower[i];
	*ret_block = (struct str){lower, text.len};
	return true;
}

static bool settle_group(struct call *call, const struct group_entry *group, const struct ec2_user_id_group_pair *pair,
			 struct str *ret_group)
{
	const struct group_entry *other = NULL;

	if (!str_empty(pair->user_id) && !str_equal(pair->user_id, call->realm->account))
		return object_is_missing(&call->error, RECORD_SECURITY_GROUP, pair->group_id);
	if (!str_empty(pair->group_id))
		other = object_find(call, RECORD_SECURITY_GROUP, pair->group_id, "groupId");
	else if (str_empty(pair->group_name))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter groupId");
	else if (!(other = group_named(group->vpc, pair->group_name)))
		return object_is_missing(&call->error, RECORD_SECURITY_GROUP, pair->group_name);
	if (!other)
		return false;
	if (other->vpc != group->vpc)
		return fail(&call->error, ERROR_GROUP_NOT_FOUND, "You have specified two resources that belong to different networks.");
	*ret_group = other->record->id;
	return true;
}

static size_t count_sources(const struct ec2_ip_permission *permission)
{
	return permission->ip_ranges.count + permission->ipv6_ranges.count + permission->user_id_group_pairs.count;
}

/* Appends a rule for each source of the permission; there is room. */
static bool add_permission(struct call *call, const struct group_entry *group, bool egress,
			   const struct ec2_ip_permission *permission, struct group_rules *rules)
{
	struct group_rule rule = {.egress = {egress, true}};

	if (!settle_protocol(call, permission->ip_protocol, &rule.protocol) || !settle_ports(call, permission, &rule))
		return false;
	if (permission->prefix_list_ids.count)
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry has no prefix lists.");
	if (!count_sources(permission))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "Missing source specification: include source security group or CIDR "
			    "information");
	for (size_t i = 0; i < permission->ip_ranges.count; i++) {
		struct group_rule *next = &rules->items[rules->count++];

		*next = rule;
		next->description = permission->ip_ranges.items[i].description;
		if (!settle_block(call, permission->ip_ranges.items[i].cidr_ip, &next->block))
			return false;
	}
	for (size_t i = 0; i < permission->ipv6_ranges.count; i++) {
		struct group_rule *next = &rules->items[rules->count++];

		*next = rule;
		next->description = permission->ipv6_ranges.items[i].description;
		if (!settle_block6(call, permission->ipv6_ranges.items[i].cidr_ipv6, &next->block6))
			return false;
	}
	for (size_t i = 0; i < permission->user_id_group_pairs.count; i++) {
		struct group_rule *next = &rules->items[rules->count++];

		*next = rule;
		next->description = permission->user_id_group_pairs.items[i].description;
		if (!settle_group(call, group, &permission->user_id_group_pairs.items[i], &next->group))
			return false;
	}
	return true;
}

/* The old form as a permission. */
static struct ec2_ip_permission plain_permission(struct call *call, const struct rules_request *request)
{
	struct ec2_ip_permission permission = {.ip_protocol = request->protocol, .from_port = request->from_port,
					       .to_port = request->to_port};

	if (str_has(request->block)) {
		permission.ip_ranges.items = arena_array(call->arena, struct ec2_ip_range, 1);
		permission.ip_ranges.items[permission.ip_ranges.count++].cidr_ip = request->block;
	}
	if (str_has(request->source_name)) {
		permission.user_id_group_pairs.items = arena_array(call->arena, struct ec2_user_id_group_pair, 1);
		permission.user_id_group_pairs.items[permission.user_id_group_pairs.count++] =
			(struct ec2_user_id_group_pair){.group_name = request->source_name, .user_id = request->source_owner};
		if (str_empty(permission.ip_protocol))
			permission.ip_protocol = S("-1");
	}
	return permission;
}

static bool same_rule(const struct group_rule *a, const struct group_rule *b)
{
	return a->egress.value == b->egress.value && str_equal(a->protocol, b->protocol) &&
	       a->from_port.has == b->from_port.has && a->from_port.value == b->from_port.value &&
	       a->to_port.has == b->to_port.has && a->to_port.value == b->to_port.value && str_equal(a->block, b->block) &&
	       str_equal(a->block6, b->block6) && str_equal(a->group, b->group);
}

static size_t find_same(const struct group_rules *rules, size_t count, const struct group_rule *rule)
{
	size_t at = 0;

	while (at < count && !same_rule(&rules->items[at], rule))
		at++;
	return at;
}

static bool check_rules(struct call *call, const struct group_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		if (find_same(rules, i, &rules->items[i]) < i)
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "The same permission must not appear multiple times");
		if (!check_description(call, rules->items[i].description))
			return false;
	}
	return true;
}

static bool read_rules(struct call *call, const struct group_entry *group, const struct rules_request *request,
		       struct group_rules *ret_rules)
{
	struct ec2_ip_permission plain = plain_permission(call, request);
	struct ec2_ip_permission_list list = request->permissions;
	struct group_rules rules = {0};
	size_t sources = 0;

	if (!list.count && (str_has(request->protocol) || count_sources(&plain)))
		list = (struct ec2_ip_permission_list){&plain, 1};
	if (!list.count)
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter ipPermissions");
	for (size_t i = 0; i < list.count; i++)
		sources += count_sources(&list.items[i]);
	if (sources > RULES_PER_GROUP_LIMIT)
		return fail(&call->error, ERROR_RULES_LIMIT_EXCEEDED, "The maximum number of rules per security group has been reached.");
	rules.items = arena_array(call->arena, struct group_rule, sources);
	for (size_t i = 0; i < list.count; i++)
		if (!add_permission(call, group, request->egress, &list.items[i], &rules))
			return false;
	*ret_rules = rules;
	return check_rules(call, &rules);
}

/* ---- describing */
static struct ec2_referenced_security_group *describe_reference(struct call *call, const struct group_entry *group,
								 struct str id)
{
	struct ec2_referenced_security_group *out;

	if (!str_has(id))
		return NULL;
	out = arena_new(call->arena, struct ec2_referenced_security_group);
	*out = (struct ec2_referenced_security_group){.group_id = id, .user_id = group->realm->account,
						      .vpc_id = group->record->vpc};
	return out;
}

/* Ports of all: -1. */
static struct maybe_integer port_shown(struct maybe_integer port)
{
	return port.has ? port : (struct maybe_integer){-1, true};
}

static void describe_rule(struct call *call, const struct group_entry *group, const struct group_rule *rule,
			  struct ec2_security_group_rule *out)
{
	*out = (struct ec2_security_group_rule){
		.security_group_rule_id = rule->id, .group_id = group->record->id, .group_owner_id = group->realm->account,
		.is_egress = {rule->egress.value, true}, .ip_protocol = rule->protocol, .from_port = port_shown(rule->from_port),
		.to_port = port_shown(rule->to_port), .cidr_ipv4 = rule->block, .cidr_ipv6 = rule->block6,
		.referenced_group_info = describe_reference(call, group, rule->group), .description = rule->description,
		.tags = tags_shown(call, &rule->tags),
		.security_group_rule_arn = object_arn(call->plane, group->realm, S("security-group-rule"), rule->id)};
}

static const struct filter_row rule_filters[] = {
	{STR_INIT("group-id"), "groupId"}, {STR_INIT("security-group-rule-id"), "securityGroupRuleId"},
};

/* The rules of many groups in the order of their ids. */
struct rule_node {
	struct sorted_node node;
	struct ec2_security_group_rule row;
};

static void gather_rules(struct call *call, const struct ec2_describe_security_group_rules_request *in,
			 const struct group_entry *group, struct sorted *tree)
{
	const struct group_rules *rules = &group->record->rules;

	for (size_t i = 0; i < rules->count; i++) {
		const struct ec2_security_group_rule_id_list *ids = &in->security_group_rule_ids;
		struct rule_node *node;

		if (ids->count && !str_listed(ids->items, ids->count, rules->items[i].id))
			continue;
		node = arena_new(call->arena, struct rule_node);
		describe_rule(call, group, &rules->items[i], &node->row);
		if (filters_fit(&in->filters, rule_filters, COUNT(rule_filters), &shape_ec2_security_group_rule, &node->row))
			sorted_add(tree, &node->node, rules->items[i].id);
	}
}

static bool check_rule_ids(struct call *call, const struct ec2_security_group_rule_id_list *ids, const struct sorted *tree)
{
	for (size_t i = 0; i < ids->count; i++) {
		if (!id_has_form(ids->items[i], S("sgr")))
			return refuse_id(&call->error, ERROR_RULE_MALFORMED, ids->items[i], S("sgr"));
		if (!sorted_get(tree, ids->items[i]))
			return fail(&call->error, ERROR_RULE_NOT_FOUND, "The security group rule ID '%.*s' does not exist",
				    STR(ids->items[i]));
	}
	return true;
}

bool ec2_describe_security_group_rules(struct call *call, const struct ec2_describe_security_group_rules_request *in,
				       struct ec2_describe_security_group_rules_result *out)
{
	struct sorted tree = {0};
	struct page page;
	int32_t all;

	if (!filters_check(call, &in->filters, rule_filters, COUNT(rule_filters)))
		return false;
	EC2_EACH(call->realm, RECORD_SECURITY_GROUP, struct group_entry, group)
		gather_rules(call, in, group, &tree);
	if ((!in->filters.count && !check_rule_ids(call, &in->security_group_rule_ids, &tree)) || !dry_run_ends(call, in->dry_run))
		return false;
	all = (int32_t)MAX(tree.count, (size_t)PAGE_LIMIT);
	if (!page_take(call, &tree, &(struct page_request){.list = S("DescribeSecurityGroupRules"), .token = in->next_token,
							   .max_results = {in->max_results.value, in->max_results.has},
							   .fallback = all, .limit = all}, &page))
		return fail(&call->error, ERROR_INVALID_NEXT_TOKEN, "The specified NextToken is not valid.");
	out->security_group_rules.items = arena_array(call->arena, struct ec2_security_group_rule, page.count);
	for (size_t i = 0; i < page.count; i++)
		out->security_group_rules.items[out->security_group_rules.count++] =
			CONTAINER_OF(page.nodes[i], struct rule_node, node)->row;
	out->next_token = page.next_token;
	return true;
}

/* ---- authorizing */
static struct str rule_source(const struct group_rule *rule)
{
	return str_has(rule->block) ? rule->block : str_has(rule->block6) ? rule->block6 : rule->group;
}

static bool refuse_duplicate(struct call *call, const struct group_rule *rule)
{
	char *protocol = arena_cstr(call->arena, str_equal(rule->protocol, S("-1")) ? S("ALL") : rule->protocol);
	struct str ports = STR_INIT("");

	for (char *c = protocol; *c; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
	if (rule->from_port.has)
		ports = arena_printf(call->arena, "from port: %d, to port: %d, ", rule->from_port.value, rule->to_port.value);
	return fail(&call->error, ERROR_PERMISSION_DUPLICATE, "the specified rule \"peer: %.*s, %s, %.*sALLOW\" already exists",
		    STR(rule_source(rule)), protocol, STR(ports));
}

static struct group_entry *authorize(struct call *call, const struct rules_request *request,
				     const struct ec2_tag_specification_list *specifications, struct maybe_boolean dry_run,
				     struct ec2_security_group_rule_list *ret_rules)
{
	struct group_entry *group = group_named_by(call, request->group_id, request->group_name);
	struct ec2_tag_list tags;
	struct group_rules rules;
	struct security_group next;

	if (!group || !read_rules(call, group, request, &rules) ||
	    !tags_of_request(call, specifications, EC2_RESOURCE_TYPE_SECURITY_GROUP_RULE, &tags))
		return NULL;
	next = *group->record;
	for (size_t i = 0; i < rules.count; i++)
		if (find_same(&next.rules, next.rules.count, &rules.items[i]) < next.rules.count)
			return refuse_duplicate(call, &rules.items[i]), NULL;
	if (next.rules.count + rules.count > RULES_PER_GROUP_LIMIT)
		return fail(&call->error, ERROR_RULES_LIMIT_EXCEEDED,
			    "The maximum number of rules per security group has been reached."), NULL;
	if (!dry_run_ends(call, dry_run))
		return NULL;
	next.rules.items = arena_array(call->arena, struct group_rule, next.rules.count + rules.count);
	for (size_t i = 0; i < next.rules.count; i++)
		next.rules.items[i] = group->record->rules.items[i];
	ret_rules->items = arena_array(call->arena, struct ec2_security_group_rule, rules.count);
	for (size_t i = 0; i < rules.count; i++) {
		rules.items[i].id = object_id(call->plane, S("sgr"));
		rules.items[i].tags = tags;
		next.rules.items[next.rules.count++] = rules.items[i];
		describe_rule(call, group, &rules.items[i], &ret_rules->items[ret_rules->count++]);
	}
	return emit(call->plane, call->realm, RECORD_SECURITY_GROUP, next.id, &next);
}

bool ec2_authorize_security_group_ingress(struct call *call, const struct ec2_authorize_security_group_ingress_request *in,
					  struct ec2_authorize_security_group_ingress_result *out)
{
	struct rules_request request = RULES_REQUEST(in, false, in->group_name);

	if (!authorize(call, &request, &in->tag_specifications, in->dry_run, &out->security_group_rules))
		return false;
	out->return_ = (struct maybe_boolean){true, true};
	return true;
}

bool ec2_authorize_security_group_egress(struct call *call, const struct ec2_authorize_security_group_egress_request *in,
					 struct ec2_authorize_security_group_egress_result *out)
{
	struct rules_request request = RULES_REQUEST(in, true, STR_NONE);

	if (!authorize(call, &request, &in->tag_specifications, in->dry_run, &out->security_group_rules))
		return false;
	out->return_ = (struct maybe_boolean){true, true};
	return true;
}

/* ---- revoking */
static bool mark_ids(struct call *call, const struct group_entry *group, bool egress,
		     const struct ec2_security_group_rule_id_list *ids, bool *marks)
{
	const struct group_rules *rules = &group->record->rules;

	for (size_t i = 0; i < ids->count; i++) {
		size_t at = 0;

		if (!id_has_form(ids->items[i], S("sgr")))
			return refuse_id(&call->error, ERROR_RULE_MALFORMED, ids->items[i], S("sgr"));
		while (at < rules->count && !(str_equal(rules->items[at].id, ids->items[i]) && rules->items[at].egress.value == egress))
			at++;
		if (at == rules->count)
			return fail(&call->error, ERROR_RULE_NOT_FOUND, "The security group rule ID '%.*s' does not exist",
				    STR(ids->items[i]));
		marks[at] = true;
	}
	return true;
}

static bool mark_rules(struct call *call, const struct group_entry *group, const struct rules_request *request, bool *marks)
{
	const struct group_rules *have = &group->record->rules;
	struct group_rules rules;

	if (!read_rules(call, group, request, &rules))
		return false;
	for (size_t i = 0; i < rules.count; i++) {
		size_t at = find_same(have, have->count, &rules.items[i]);

		if (at == have->count)
			return fail(&call->error, ERROR_PERMISSION_NOT_FOUND, "The specified rule does not exist in this security group.");
		marks[at] = true;
	}
	return true;
}

static struct ec2_revoked_security_group_rule revoked_rule(const struct group_entry *group, const struct group_rule *rule)
{
	return (struct ec2_revoked_security_group_rule){
		.security_group_rule_id = rule->id, .group_id = group->by_id.key, .is_egress = {rule->egress.value, true},
		.ip_protocol = rule->protocol, .from_port = port_shown(rule->from_port), .to_port = port_shown(rule->to_port),
		.cidr_ipv4 = rule->block, .cidr_ipv6 = rule->block6, .referenced_group_id = rule->group,
		.description = rule->description};
}

static bool revoke(struct call *call, const struct rules_request *request, const struct ec2_security_group_rule_id_list *ids,
		   struct maybe_boolean dry_run, struct ec2_revoked_security_group_rule_list *ret_revoked)
{
	struct group_entry *group = group_named_by(call, request->group_id, request->group_name);
	const struct group_rules *rules;
	struct security_group next;
	bool *marks;

	if (!group)
		return false;
	rules = &group->record->rules;
	marks = arena_array(call->arena, bool, rules->count);
	if (ids->count ? !mark_ids(call, group, request->egress, ids, marks) : !mark_rules(call, group, request, marks))
		return false;
	if (!dry_run_ends(call, dry_run))
		return false;
	next = *group->record;
	next.rules = (struct group_rules){arena_array(call->arena, struct group_rule, rules->count), 0};
	ret_revoked->items = arena_array(call->arena, struct ec2_revoked_security_group_rule, rules->count);
	for (size_t i = 0; i < rules->count; i++)
		if (marks[i])
			ret_revoked->items[ret_revoked->count++] = revoked_rule(group, &rules->items[i]);
		else
			next.rules.items[next.rules.count++] = rules->items[i];
	emit(call->plane, call->realm, RECORD_SECURITY_GROUP, next.id, &next);
	return true;
}

bool ec2_revoke_security_group_ingress(struct call *call, const struct ec2_revoke_security_group_ingress_request *in,
				       struct ec2_revoke_security_group_ingress_result *out)
{
	struct rules_request request = RULES_REQUEST(in, false, in->group_name);

	if (!revoke(call, &request, &in->security_group_rule_ids, in->dry_run, &out->revoked_security_group_rules))
		return false;
	out->return_ = (struct maybe_boolean){true, true};
	return true;
}

bool ec2_revoke_security_group_egress(struct call *call, const struct ec2_revoke_security_group_egress_request *in,
				      struct ec2_revoke_security_group_egress_result *out)
{
	struct rules_request request = RULES_REQUEST(in, true, STR_NONE);

	if (!revoke(call, &request, &in->security_group_rule_ids, in->dry_run, &out->revoked_security_group_rules))
		return false;
	out->return_ = (struct maybe_boolean){true, true};
	return true;
}
