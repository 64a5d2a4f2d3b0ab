#include "api/logs_handlers.h"
#include "base/buffer.h"
#include "control/logs/state.h"
#include "model/log.h"

enum { DESCRIBE_LIMIT = 50, LIST_FALLBACK = 50, LIST_LIMIT = 1000, GROUPS_LIMIT = 1000000, PATTERN_BRANCHES_LIMIT = 5 };

static struct log_group_entry *group_at(const struct sorted_node *node)
{
	return CONTAINER_OF(node, struct log_group_entry, by_name);
}

/* ---- making and deleting */

static bool has_prefix(struct str name, struct str prefix)
{
	return str_starts(name, prefix) || str_equal(name, str_slice(prefix, 0, prefix.len - 1));
}

bool logs_create_log_group(struct call *call, const struct logs_create_log_group_request *in,
			   struct logs_create_log_group_response *out)
{
	struct log_group group = {
		.name = in->log_group_name,
		.id = {(int64_t)(random_next(plane_random(call->plane)) >> 1), true},
		.created_at = {plane_now(call->plane), true},
		.log_group_class = in->log_group_class ? in->log_group_class : LOGS_LOG_GROUP_CLASS_STANDARD,
		.deletion_protection = in->deletion_protection_enabled,
		.tags = in->tags,
	};

	if (!logs_check_group_name(call, in->log_group_name, "logGroupName") || !logs_check_tags(call, &in->tags))
		return false;
	if (has_prefix(in->log_group_name, S("aws/")))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Log groups starting with AWS/ are reserved for AWS.");
	if (str_has(in->kms_key_id))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Wherry has no KMS keys yet: make the log group without kmsKeyId.");
	if (entry_find(call->plane, call->realm, RECORD_LOG_GROUP, in->log_group_name))
		return fail(&call->error, ERROR_RESOURCE_ALREADY_EXISTS, "The specified log group already exists");
	if (call->realm->log_groups.count >= GROUPS_LIMIT)
		return fail(&call->error, ERROR_LIMIT_EXCEEDED, "Resource limit exceeded.");
	emit(call->plane, call->realm, RECORD_LOG_GROUP, group.name, &group);
	return true;
}

bool logs_delete_log_group(struct call *call, const struct logs_delete_log_group_request *in,
			   struct logs_delete_log_group_response *out)
{
	struct log_group_entry *group = logs_find_group(call, in->log_group_name, STR_NONE);

	if (!group)
		return false;
	if (group->record->deletion_protection.value)
		return fail(&call->error, ERROR_VALIDATION,
			    "The log group cannot be deleted because deletion protection is enabled.");
	log_group_emit_deletion(call->plane, group);
	return true;
}

bool logs_put_log_group_deletion_protection(struct call *call,
					    const struct logs_put_log_group_deletion_protection_request *in,
					    struct logs_put_log_group_deletion_protection_response *out)
{
	struct log_group_entry *group = logs_find_group(call, STR_NONE, in->log_group_identifier);
	struct log_group next;

	if (!group)
		return false;
	next = *group->record;
	next.deletion_protection = in->deletion_protection_enabled;
	emit(call->plane, call->realm, RECORD_LOG_GROUP, next.name, &next);
	return true;
}

/* ---- retention */

static bool fail_retention(struct call *call, int32_t days)
{
	auto_buffer words = {0};

	for (size_t i = 0; log_retention_days[i]; i++)
		buffer_printf(&words, "%s%d", i ? ", " : "", log_retention_days[i]);
	return fail(&call->error, ERROR_INVALID_PARAMETER,
		    "1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must "
		    "satisfy enum value set: [%.*s]", days, STR(buffer_str(&words)));
}

static bool check_retention(struct call *call, int32_t days)
{
	for (size_t i = 0; log_retention_days[i]; i++)
		if (log_retention_days[i] == days)
			return true;
	return fail_retention(call, days);
}

static bool set_retention(struct call *call, struct str name, struct maybe_integer days)
{
	struct log_group_entry *group = logs_find_group(call, name, STR_NONE);
	struct log_group next;

	if (!group)
		return false;
	next = *group->record;
	next.retention_in_days = days;
	emit(call->plane, call->realm, RECORD_LOG_GROUP, next.name, &next);
	return true;
}

bool logs_put_retention_policy(struct call *call, const struct logs_put_retention_policy_request *in,
			       struct logs_put_retention_policy_response *out)
{
	return check_retention(call, in->retention_in_days.value) &&
	       set_retention(call, in->log_group_name, in->retention_in_days);
}

bool logs_delete_retention_policy(struct call *call, const struct logs_delete_retention_policy_request *in,
				  struct logs_delete_retention_policy_response *out)
{
	return set_retention(call, in->log_group_name, (struct maybe_integer){0});
}

/* ---- describing */

static void describe_group(struct call *call, const struct log_group_entry *group, struct logs_log_group *out)
{
	struct str arn = logs_group_arn(call, group);

	*out = (struct logs_log_group){
		.log_group_name = group->record->name,
		.creation_time = {group->record->created_at.value / USEC_PER_MSEC, true},
		.retention_in_days = group->record->retention_in_days,
		.metric_filter_count = {0, true},
		.arn = ARENA_JOIN(call->arena, arn, S(":*")),
		.stored_bytes = {group->stored_bytes, true},
		.log_group_class = group->record->log_group_class,
		.log_group_arn = arn,
		.deletion_protection_enabled = {group->record->deletion_protection.value, true},
	};
}

struct wanted_groups { struct str pattern; enum logs_log_group_class class; };

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool contains_ignoring_case(struct str text, struct str part)
{
	for (size_t at = 0; at + part.len <= text.len; at++) {
		size_t i = 0;

		while (i < part.len && lower(text.ptr[at + i]) == lower(part.ptr[i]))
			i++;
		if (i == part.len)
			return true;
	}
	return false;
}

static bool group_fits(const struct sorted_node *node, const void *arg)
{
	const struct wanted_groups *wanted = arg;

	return (!wanted->class || group_at(node)->record->log_group_class == wanted->class) &&
	       (!str_has(wanted->pattern) || contains_ignoring_case(node->key, wanted->pattern));
}

static bool describe_named(struct call *call, const struct logs_describe_log_groups_log_group_identifiers *names,
			   struct logs_describe_log_groups_response *out)
{
	out->log_groups.items = arena_array(call->arena, struct logs_log_group, names->count);
	for (size_t i = 0; i < names->count; i++) {
		struct log_group_entry *group = logs_find_group(call, STR_NONE, names->items[i]);

		if (!group)
			return false;
		describe_group(call, group, &out->log_groups.items[out->log_groups.count++]);
	}
	return true;
}

bool logs_describe_log_groups(struct call *call, const struct logs_describe_log_groups_request *in,
			      struct logs_describe_log_groups_response *out)
{
	const struct wanted_groups wanted = {in->log_group_name_pattern, in->log_group_class};
	struct page_request request = {
		.list = arena_printf(call->arena, "DescribeLogGroups %.*s %.*s %d", STR(in->log_group_name_prefix),
				     STR(in->log_group_name_pattern), in->log_group_class),
		.token = in->next_token, .max_results = in->limit, .fallback = DESCRIBE_LIMIT, .limit = DESCRIBE_LIMIT,
		.prefix = in->log_group_name_prefix, .fits = group_fits, .arg = &wanted,
	};
	struct page page;

	if (str_has(in->log_group_name_prefix) && str_has(in->log_group_name_pattern))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.");
	if (in->log_group_identifiers.count)
		return describe_named(call, &in->log_group_identifiers, out);
	if ((str_has(in->log_group_name_prefix) &&
	     !logs_check_group_name(call, in->log_group_name_prefix, "logGroupNamePrefix")) ||
	    (str_has(in->log_group_name_pattern) &&
	     !logs_check_group_name(call, in->log_group_name_pattern, "logGroupNamePattern")) ||
	    !logs_page_take(call, &call->realm->log_groups, &request, &page))
		return false;
	out->log_groups.items = arena_array(call->arena, struct logs_log_group, page.count);
	out->log_groups.count = page.count;
	for (size_t i = 0; i < page.count; i++)
		describe_group(call, group_at(page.nodes[i]), &out->log_groups.items[i]);
	out->next_token = page.next_token;
	return true;
}

/* ---- listing */

struct listed_groups {
	struct str branches[PATTERN_BRANCHES_LIMIT];
	size_t branch_count;
	enum logs_log_group_class class;
	const struct logs_tag_filters *tags;
};

/* "^begin|part": up to five, each of 3 to 24 letters. */
static bool read_branches(struct call *call, struct str pattern, struct listed_groups *wanted)
{
	struct str rest = pattern, branch;

	while (str_cut(&rest, '|', &branch)) {
		struct str word = str_starts(branch, S("^")) ? str_slice(branch, 1, branch.len) : branch;

		if (wanted->branch_count == PATTERN_BRANCHES_LIMIT || word.len < 3 || word.len > 24)
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "1 validation error detected: Value '%.*s' at 'logGroupNamePattern' failed to satisfy "
				    "constraint: Member must satisfy regular expression pattern: "
				    "(\\^?[\\.\\-_\\/#A-Za-z0-9]{3,24})(\\|\\^?[\\.\\-_\\/#A-Za-z0-9]{3,24}){0,4}",
				    STR(pattern));
		if (!logs_check_group_name(call, word, "logGroupNamePattern"))
			return false;
		wanted->branches[wanted->branch_count++] = branch;
	}
	return true;
}

static bool name_fits(struct str name, const struct listed_groups *wanted)
{
	for (size_t i = 0; i < wanted->branch_count; i++) {
		struct str branch = wanted->branches[i];
		bool begin = str_starts(branch, S("^"));

		if (begin ? str_starts(name, str_slice(branch, 1, branch.len)) : str_contains(name, branch))
			return true;
	}
	return wanted->branch_count == 0;
}

/* "!": not; "*" at an end: anything. */
static bool value_fits(struct str value, struct str wanted)
{
	bool turned = str_starts(wanted, S("!"));
	struct str word = turned ? str_slice(wanted, 1, wanted.len) : wanted;
	bool open_front = str_starts(word, S("*")), open_end = word.len > 1 && str_ends(word, S("*"));
	struct str core = str_slice(word, open_front, word.len - open_end);
	bool fits = open_front && open_end ? str_contains(value, core)
		    : open_front	   ? str_ends(value, core)
		    : open_end		   ? str_starts(value, core)
					   : str_equal(value, core);

	return fits != turned;
}

static bool tag_fits(const struct logs_tags *tags, const struct logs_tag_filter *wanted)
{
	for (size_t i = 0; i < tags->count; i++) {
		if (!str_equal(tags->items[i].key, wanted->key))
			continue;
		if (!wanted->values.count)
			return true;
		for (size_t j = 0; j < wanted->values.count; j++)
			if (value_fits(tags->items[i].value, wanted->values.items[j]))
				return true;
	}
	return false;
}

static bool listed_fits(const struct sorted_node *node, const void *arg)
{
	const struct listed_groups *wanted = arg;
	const struct log_group *group = group_at(node)->record;

	for (size_t i = 0; i < wanted->tags->count; i++)
		if (!tag_fits(&group->tags, &wanted->tags->items[i]))
			return false;
	return (!wanted->class || group->log_group_class == wanted->class) && name_fits(node->key, wanted);
}

bool logs_list_log_groups(struct call *call, const struct logs_list_log_groups_request *in,
			  struct logs_list_log_groups_response *out)
{
	struct listed_groups wanted = {.class = in->log_group_class, .tags = &in->log_group_tags};
	struct page_request request = {
		.list = arena_printf(call->arena, "ListLogGroups %.*s %d %zu", STR(in->log_group_name_pattern),
				     in->log_group_class, in->log_group_tags.count),
		.token = in->next_token, .max_results = in->limit, .fallback = LIST_FALLBACK, .limit = LIST_LIMIT,
		.fits = listed_fits, .arg = &wanted,
	};
	struct page page;

	if ((str_has(in->log_group_name_pattern) && !read_branches(call, in->log_group_name_pattern, &wanted)) ||
	    !logs_page_take(call, &call->realm->log_groups, &request, &page))
		return false;
	out->log_groups.items = arena_array(call->arena, struct logs_log_group_summary, page.count);
	out->log_groups.count = page.count;
	for (size_t i = 0; i < page.count; i++) {
		const struct log_group_entry *group = group_at(page.nodes[i]);

		out->log_groups.items[i] = (struct logs_log_group_summary){
			.log_group_name = group->record->name, .log_group_arn = logs_group_arn(call, group),
			.log_group_class = group->record->log_group_class};
	}
	out->next_token = page.next_token;
	return true;
}
