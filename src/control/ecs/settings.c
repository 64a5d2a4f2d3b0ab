#include "api/ecs_handlers.h"
#include "control/ecs/settings.h"
#include <assert.h>
#include "control/ecs/state.h"
#include "control/paging.h"

enum { SETTINGS_PAGE = 10, PRINCIPAL_LIMIT = 512 + 64 }; /* IAM: a path and a name */

/* In the order of the names, as effective settings are listed. `values` is what may be put. */
static const struct setting_row {
	enum ecs_setting_name name;
	struct str word, fallback, values;
	bool read_only;     /* AWS manages it */
	bool whole_account; /* only the root principal has it */
} rows[] = {
	{ECS_SETTING_NAME_AWSVPC_TRUNKING, STR_INIT("awsvpcTrunking"), STR_INIT("disabled"),
	 STR_INIT("enabled,disabled")},
	{ECS_SETTING_NAME_CONTAINER_INSIGHTS, STR_INIT("containerInsights"), STR_INIT("disabled"),
	 STR_INIT("enabled,disabled,enhanced")},
	{ECS_SETTING_NAME_CONTAINER_INSTANCE_LONG_ARN_FORMAT,
	 STR_INIT("containerInstanceLongArnFormat"), STR_INIT("enabled"),
	 STR_INIT("enabled,disabled")},
	{ECS_SETTING_NAME_DEFAULT_LOG_DRIVER_MODE, STR_INIT("defaultLogDriverMode"),
	 STR_INIT("non-blocking"), STR_INIT("blocking,non-blocking")},
	{ECS_SETTING_NAME_FARGATE_EVENT_WINDOWS, STR_INIT("fargateEventWindows"),
	 STR_INIT("disabled"), STR_INIT("enabled,disabled")},
	{ECS_SETTING_NAME_FARGATE_FIPS_MODE, STR_INIT("fargateFIPSMode"), STR_INIT("disabled"),
	 STR_INIT("enabled,disabled,on,off")},
	{ECS_SETTING_NAME_FARGATE_TASK_RETIREMENT_WAIT_PERIOD,
	 STR_INIT("fargateTaskRetirementWaitPeriod"), STR_INIT("7"), STR_INIT("0,7,14"),
	 .whole_account = true},
	{ECS_SETTING_NAME_GUARD_DUTY_ACTIVATE, STR_INIT("guardDutyActivate"), STR_INIT("off"),
	 STR_INIT(""), .read_only = true},
	{ECS_SETTING_NAME_SERVICE_LONG_ARN_FORMAT, STR_INIT("serviceLongArnFormat"),
	 STR_INIT("enabled"), STR_INIT("enabled,disabled")},
	{ECS_SETTING_NAME_TAG_RESOURCE_AUTHORIZATION, STR_INIT("tagResourceAuthorization"),
	 STR_INIT("on"), STR_INIT("on,off")},
	{ECS_SETTING_NAME_TASK_LONG_ARN_FORMAT, STR_INIT("taskLongArnFormat"), STR_INIT("enabled"),
	 STR_INIT("enabled,disabled")},
};

static const struct setting_row *row_of(enum ecs_setting_name name)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		if (rows[i].name == name)
			return &rows[i];
	return NULL;
}

static struct str root_arn(struct call *call)
{
	return arena_printf(call->arena, "arn:aws:iam::%.*s:root", STR(call->realm->account));
}

static const struct account_setting *explicit_setting(struct call *call, struct str principal,
						      const struct setting_row *row)
{
	struct setting_entry *entry = entry_findf(call->plane, call->realm, RECORD_ACCOUNT_SETTING,
						  "%.*s/%.*s", STR(principal), STR(row->word));

	return entry ? entry->record : NULL;
}

static struct ecs_setting effective_setting(struct call *call, struct str principal,
					    const struct setting_row *row)
{
	const struct account_setting *set = explicit_setting(call, principal, row);
	struct ecs_setting setting = {
		.name = row->name, .value = row->fallback, .principal_arn = root_arn(call)};

	if (!set)
		set = explicit_setting(call, setting.principal_arn, row);
	if (set) {
		setting.value = set->value;
		setting.principal_arn = set->principal_arn;
	}
	setting.type = row->read_only ? ECS_SETTING_TYPE_AWS_MANAGED : ECS_SETTING_TYPE_USER;
	return setting;
}

struct str setting_value(struct call *call, enum ecs_setting_name name)
{
	assert(row_of(name));
	return effective_setting(call, call->caller->arn, row_of(name)).value;
}

struct str setting_of_account(struct plane *plane, struct realm *realm, enum ecs_setting_name name)
{
	struct call call = {.plane = plane, .realm = realm, .arena = plane_arena(plane)};

	assert(row_of(name));
	return effective_setting(&call, root_arn(&call), row_of(name)).value;
}

static bool word_is_listed(struct str words, struct str word)
{
	struct str rest = words, piece;

	while (str_cut(&rest, ',', &piece))
		if (!str_empty(piece) && str_equal(piece, word))
			return true;
	return false;
}

static bool check_name(struct call *call, enum ecs_setting_name name,
		       const struct setting_row **ret_row)
{
	*ret_row = row_of(name);
	return *ret_row ||
	       fail(&call->error, ERROR_INVALID_PARAMETER, "Setting name can not be null.");
}

/* "root", "user/PATH/NAME" or "role/PATH/NAME". */
static bool is_principal(struct str who)
{
	if (!str_equal(who, S("root")) && !str_starts(who, S("user/")) &&
	    !str_starts(who, S("role/")))
		return false;
	for (size_t i = 0; i < who.len; i++) {
		char c = who.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr("_+=,.@/-", c))))
			return false;
	}
	return who.len > 0 && who.len <= PRINCIPAL_LIMIT && who.ptr[who.len - 1] != '/';
}

/* Absent: the caller. Only the root user may name somebody else, of the same account. */
static bool check_principal(struct call *call, struct str asked, struct str *ret_principal)
{
	struct str head =
		arena_printf(call->arena, "arn:aws:iam::%.*s:", STR(call->realm->account));
	struct str who = str_slice(asked, head.len, asked.len);

	if (str_empty(asked) || str_equal(asked, call->caller->arn)) {
		*ret_principal = call->caller->arn;
		return true;
	}
	if (!str_starts(asked, head) || !is_principal(who))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid principal arn: %.*s",
			    STR(asked));
	if (call->caller->kind != CALLER_ROOT)
		return fail(
			&call->error, ERROR_ACCESS_DENIED,
			"Only the root user can use the account settings of another principal.");
	*ret_principal = asked;
	return true;
}

static bool check_value(struct call *call, const struct setting_row *row, struct str principal,
			struct str value)
{
	if (row->read_only)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "The setting %.*s is read-only.",
			    STR(row->word));
	if (row->whole_account && !str_equal(principal, root_arn(call)))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The setting %.*s can only be set for the root user of the account.",
			    STR(row->word));
	if (!word_is_listed(row->values, value))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The value for the setting %.*s should be one of [%.*s]",
			    STR(row->word), STR(row->values));
	return true;
}

static struct ecs_setting *shown(struct call *call, struct ecs_setting setting)
{
	struct ecs_setting *copy = arena_new(call->arena, struct ecs_setting);

	*copy = setting;
	return copy;
}

static struct ecs_setting *put(struct call *call, const struct setting_row *row,
			       struct str principal, struct str value)
{
	struct account_setting next = {
		.name = row->word, .value = value, .principal_arn = principal};

	emit(call->plane, call->realm, RECORD_ACCOUNT_SETTING,
	     arena_printf(call->arena, "%.*s/%.*s", STR(principal), STR(row->word)), &next);
	return shown(call, (struct ecs_setting){.name = row->name,
						.value = value,
						.principal_arn = principal,
						.type = ECS_SETTING_TYPE_USER});
}

bool ecs_put_account_setting(struct call *call, const struct ecs_put_account_setting_request *in,
			     struct ecs_put_account_setting_response *out)
{
	const struct setting_row *row;
	struct str principal;

	if (!check_name(call, in->name, &row) ||
	    !check_principal(call, in->principal_arn, &principal) ||
	    !check_value(call, row, principal, in->value))
		return false;
	out->setting = put(call, row, principal, in->value);
	return true;
}

bool ecs_put_account_setting_default(struct call *call,
				     const struct ecs_put_account_setting_default_request *in,
				     struct ecs_put_account_setting_default_response *out)
{
	const struct setting_row *row;

	if (!check_name(call, in->name, &row) || !check_value(call, row, root_arn(call), in->value))
		return false;
	out->setting = put(call, row, root_arn(call), in->value);
	return true;
}

/* Deleting what was never put answers with what holds. */
bool ecs_delete_account_setting(struct call *call,
				const struct ecs_delete_account_setting_request *in,
				struct ecs_delete_account_setting_response *out)
{
	const struct account_setting *set;
	const struct setting_row *row;
	struct str principal;

	if (!check_name(call, in->name, &row) ||
	    !check_principal(call, in->principal_arn, &principal))
		return false;
	set = explicit_setting(call, principal, row);
	if (!set) {
		out->setting = shown(call, effective_setting(call, principal, row));
		return true;
	}
	out->setting = shown(call, (struct ecs_setting){.name = row->name,
							.value = set->value,
							.principal_arn = principal,
							.type = ECS_SETTING_TYPE_USER});
	emit(call->plane, call->realm, RECORD_ACCOUNT_SETTING,
	     arena_printf(call->arena, "%.*s/%.*s", STR(principal), STR(row->word)), NULL);
	return true;
}

struct filter {
	struct str principal, word, value; /* absent word or value: any */
};

static bool setting_fits(const struct sorted_node *node, const void *arg)
{
	const struct account_setting *setting =
		CONTAINER_OF(node, struct setting_entry, by_key)->record;
	const struct filter *filter = arg;

	return str_equal(setting->principal_arn, filter->principal) &&
	       (!str_has(filter->word) || str_equal(setting->name, filter->word)) &&
	       (!str_has(filter->value) || str_equal(setting->value, filter->value));
}

struct effective {
	struct sorted_node by_word;
	struct ecs_setting setting;
};

static bool effective_fits(const struct sorted_node *node, const void *arg)
{
	const struct ecs_setting *setting = &CONTAINER_OF(node, struct effective, by_word)->setting;
	const struct filter *filter = arg;

	return (!str_has(filter->word) || str_equal(node->key, filter->word)) &&
	       (!str_has(filter->value) || str_equal(setting->value, filter->value));
}

static struct ecs_setting explicit_at(struct call *call, const struct sorted_node *node)
{
	const struct account_setting *setting =
		CONTAINER_OF(node, struct setting_entry, by_key)->record;

	for (size_t i = 0; i < COUNT(rows); i++)
		if (str_equal(rows[i].word, setting->name))
			return (struct ecs_setting){.name = rows[i].name,
						    .value = setting->value,
						    .principal_arn = setting->principal_arn,
						    .type = ECS_SETTING_TYPE_USER};
	assert(!"a stored setting has a row");
	return (struct ecs_setting){0};
}

static void sort_effective(struct call *call, struct str principal, struct sorted *ret_tree)
{
	struct effective *settings = arena_array(call->arena, struct effective, COUNT(rows));

	for (size_t i = 0; i < COUNT(rows); i++) {
		settings[i].setting = effective_setting(call, principal, &rows[i]);
		sorted_add(ret_tree, &settings[i].by_word, rows[i].word);
	}
}

bool ecs_list_account_settings(struct call *call,
			       const struct ecs_list_account_settings_request *in,
			       struct ecs_list_account_settings_response *out)
{
	const struct setting_row *row = row_of(in->name);
	struct filter filter = {.word = row ? row->word : STR_NONE, .value = in->value};
	bool effective = in->effective_settings.value;
	struct sorted all = {0};
	struct page page;

	if (str_has(in->value) && !row)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Setting name must be specified when a setting value is specified.");
	if (!check_principal(call, in->principal_arn, &filter.principal))
		return false;
	if (effective)
		sort_effective(call, filter.principal, &all);
	struct page_request request = {
		.list = arena_printf(call->arena, "ListAccountSettings/%d/%.*s/%.*s/%.*s",
				     effective, STR(filter.principal), STR(filter.word),
				     STR(filter.value)),
		.token = in->next_token,
		.max_results = in->max_results,
		.fallback = SETTINGS_PAGE,
		.limit = SETTINGS_PAGE,
		.fits = effective ? effective_fits : setting_fits,
		.arg = &filter,
	};

	if (!page_take(call, effective ? &all : &call->realm->settings, &request, &page))
		return false;
	out->settings.items = arena_array(call->arena, struct ecs_setting, page.count);
	out->settings.count = page.count;
	for (size_t i = 0; i < page.count; i++)
		out->settings.items[i] =
			effective ? CONTAINER_OF(page.nodes[i], struct effective, by_word)->setting
				  : explicit_at(call, page.nodes[i]);
	out->next_token = page.next_token;
	return true;
}
