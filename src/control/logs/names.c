#include "api/logs.h"
#include "control/logs/state.h"
#include "model/log.h"
#include "wire/utf8.h"

struct str logs_group_arn(struct call *call, const struct log_group_entry *group)
{
	return arena_printf(call->arena, LOG_ARN_FORMAT, STR(group->realm->region), STR(group->realm->account),
			    STR(group->record->name));
}

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    !memchr("._-/#", c, 5))
			return false;
	}
	return true;
}

static bool fail_pattern(struct call *call, struct str value, const char *member, const char *pattern)
{
	return fail(&call->error, ERROR_INVALID_PARAMETER,
		    "1 validation error detected: Value '%.*s' at '%s' failed to satisfy constraint: Member must satisfy "
		    "regular expression pattern: %s", STR(str_slice(value, 0, 200)), member, pattern);
}

/* Lengths are the front door's. */
bool logs_check_group_name(struct call *call, struct str name, const char *member)
{
	return is_name(name) || fail_pattern(call, name, member, "[\\.\\-_/#A-Za-z0-9]+");
}

bool logs_check_stream_name(struct call *call, struct str name)
{
	if (memchr(name.ptr, ':', name.len) || memchr(name.ptr, '*', name.len) || !utf8_check(name))
		return fail_pattern(call, name, "logStreamName", "[^:*]*");
	return true;
}

static struct log_group_entry *no_group(struct call *call)
{
	fail(&call->error, ERROR_RESOURCE_NOT_FOUND, "The specified log group does not exist.");
	return NULL;
}

static struct log_group_entry *group_by_name(struct call *call, struct str name)
{
	struct log_group_entry *group = entry_find(call->plane, call->realm, RECORD_LOG_GROUP, name);

	return group ? group : no_group(call);
}

/* What stands behind the realm's part of an ARN; absent when it is another's. */
static struct str name_in_arn(struct call *call, struct str arn)
{
	struct str front = arena_printf(call->arena, LOG_ARN_FORMAT, STR(call->realm->region), STR(call->realm->account),
					STR(S("")));

	return str_starts(arn, front) ? str_slice(arn, front.len, arn.len) : STR_NONE;
}

struct log_group_entry *logs_find_group(struct call *call, struct str name, struct str identifier)
{
	struct str found = name;

	if (str_has(name) && str_has(identifier)) {
		fail(&call->error, ERROR_INVALID_PARAMETER,
		     "LogGroup name and LogGroup identifier are mutually exclusive parameters. You must specify only one.");
		return NULL;
	}
	if (!str_has(name) && !str_has(identifier)) {
		fail(&call->error, ERROR_INVALID_PARAMETER, "Log group name or log group identifier is required.");
		return NULL;
	}
	if (str_starts(identifier, S("arn:"))) {
		found = name_in_arn(call, identifier);
		if (!str_has(found))
			return no_group(call);
	} else if (str_has(identifier)) {
		found = identifier;
	}
	if (!logs_check_group_name(call, found, str_has(name) ? "logGroupName" : "logGroupIdentifier"))
		return NULL;
	return group_by_name(call, found);
}

struct log_stream_entry *logs_find_stream(struct call *call, struct log_group_entry *group, struct str name)
{
	struct sorted_node *node = sorted_get(&group->streams, name);

	if (node)
		return CONTAINER_OF(node, struct log_stream_entry, by_name);
	fail(&call->error, ERROR_RESOURCE_NOT_FOUND, "The specified log stream does not exist.");
	return NULL;
}

bool logs_page_take(struct call *call, const struct sorted *tree, const struct page_request *request, struct page *ret_page)
{
	if (page_take(call, tree, request, ret_page))
		return true;
	call->error.code = ERROR_NONE;
	return fail(&call->error, ERROR_INVALID_PARAMETER, "The specified nextToken is invalid.");
}
