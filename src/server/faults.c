#include "server/faults.h"
#include <ctype.h>
#include <stdio.h>

enum {
	WORDS_BYTES_LIMIT = 360,                         /* of a list of words in a text */
	NAME_BYTES_LIMIT = 128,
};

/* Known wordings of a missing member. `operation` absent: of any. A row without a text leaves the
 * check to the handler, which must then look at the member. */
static const struct {
	struct str operation, path;
	enum error_code code;
	const char *text;
} required[] = {
	{STR_NONE, STR_INIT("tasks"), ERROR_INVALID_PARAMETER, "Tasks cannot be empty."},
	{STR_NONE, STR_INIT("services"), ERROR_INVALID_PARAMETER, "Services cannot be empty."},
	{STR_NONE, STR_INIT("containerInstances"), ERROR_INVALID_PARAMETER,
	 "Container Instances cannot be empty."},
	{STR_NONE, STR_INIT("networkConfiguration.awsvpcConfiguration.subnets"),
	 ERROR_INVALID_PARAMETER, "subnets can not be empty."},
	{STR_INIT("DeleteTaskDefinitions"), STR_INIT("taskDefinitions"), ERROR_INVALID_PARAMETER,
	 "References cannot be empty."},
	{STR_INIT("PutAttributes"), STR_INIT("attributes"), ERROR_INVALID_PARAMETER,
	 "attributes can not be empty"},
	{STR_INIT("RegisterTaskDefinition"), STR_INIT("containerDefinitions"), ERROR_CLIENT,
	 "Container list cannot be empty."},
	{STR_INIT("RegisterTaskDefinition"), STR_INIT("family"), ERROR_CLIENT,
	 "Family should not be null or empty."},
	{STR_INIT("DeregisterTaskDefinition"), STR_INIT("taskDefinition"), ERROR_NONE, NULL},
	{STR_INIT("DescribeTaskDefinition"), STR_INIT("taskDefinition"), ERROR_NONE, NULL},
	{STR_INIT("UpdateContainerInstancesState"), STR_INIT("status"), ERROR_INVALID_PARAMETER,
	 "Container instance status should be one of [ACTIVE, DRAINING]"},
};

/* How a member is spoken of in "… should be one of [...]", where it is not by its own name, and its
 * words where they are not the model's (FMI is AWS's internal name for managed instances, and on
 * the wire of the error). */
static const struct {
	struct str shape;
	const char *name, *words;
} words[] = {
	{STR_INIT("LaunchType"), "launch type", "EC2,FARGATE,EXTERNAL,FMI,MANAGED_INSTANCES"},
	{STR_INIT("SchedulingStrategy"), "Scheduling strategy", NULL},
	{STR_INIT("ContainerInstanceStatus"), "Container instance status", "ACTIVE, DRAINING"},
};

/* How a service words what breaks its model, where it has no words of its own for the case. */
enum style { STYLE_ECS, STYLE_EC2, STYLE_CONSTRAINT };

static const struct {
	struct str service;
	enum style style;
	enum error_code code;                            /* of a value that is not allowed */
} services[] = {
	{STR_INIT("ecs"), STYLE_ECS, ERROR_INVALID_PARAMETER},
	{STR_INIT("ec2"), STYLE_EC2, ERROR_INVALID_PARAMETER_VALUE},
	{STR_INIT("elasticfilesystem"), STYLE_CONSTRAINT, ERROR_EFS_BAD_REQUEST},
	{STR_INIT("logs"), STYLE_CONSTRAINT, ERROR_INVALID_PARAMETER},
};

/* A service without a row speaks as ECS does: Wherry's own. */
static size_t find_service(const struct operation *operation)
{
	for (size_t i = 0; i < COUNT(services); i++)
		if (str_equal(services[i].service, operation->api->name))
			return i;
	return 0;
}

static bool is_row(size_t i, const struct operation *operation, struct str path)
{
	return str_equal(required[i].path, path) &&
	       (!str_has(required[i].operation) ||
		str_equal(required[i].operation, operation->name));
}

static bool fail_required(const struct operation *operation, const struct violation *violation,
			  struct error *err)
{
	struct str name = violation->member ? violation->member->name : violation->path;
	bool many = violation->member && (violation->member->shape->kind == SHAPE_LIST ||
					  violation->member->shape->kind == SHAPE_MAP);
	enum error_code code = str_equal(operation->name, S("RegisterTaskDefinition"))
				       ? ERROR_CLIENT
				       : ERROR_INVALID_PARAMETER;

	for (size_t i = 0; i < COUNT(required); i++) {
		if (!is_row(i, operation, violation->path))
			continue;
		return !required[i].text || fail(err, required[i].code, "%s", required[i].text);
	}
	if (name.len == 0)
		return fail(err, code, "A required member is missing.");
	return fail(err, code, "%c%.*s can not be %s.", toupper((unsigned char)name.ptr[0]),
		    STR(str_slice(name, 1, name.len)), many ? "empty" : "blank");
}

static size_t join_words(const struct shape *shape, const char *between, char text[WORDS_BYTES_LIMIT])
{
	size_t used = 0;

	for (uint32_t i = 0; i < shape->word_count; i++) {
		struct str word = shape->words[i];

		if (used + word.len + 5 > WORDS_BYTES_LIMIT)
			return used +
			       (size_t)snprintf(text + used, WORDS_BYTES_LIMIT - used, ",...");
		used += (size_t)snprintf(text + used, WORDS_BYTES_LIMIT - used, "%s%.*s",
					 i ? between : "", STR(word));
	}
	return used;
}

static bool word_ecs(const struct violation *violation, struct error *err)
{
	const struct shape *shape = violation->shape;
	struct str name = violation->member ? violation->member->name : violation->path;
	char text[WORDS_BYTES_LIMIT] = "";

	join_words(shape, ",", text);
	/* The name of a setting that does not exist stands where the member's name would. */
	if (str_equal(shape->name, S("SettingName")))
		name = str_slice(violation->value, 0, 64);
	for (size_t i = 0; i < COUNT(words); i++)
		if (str_equal(words[i].shape, shape->name))
			return fail(err, ERROR_INVALID_PARAMETER, "%s should be one of [%s]",
				    words[i].name, words[i].words ? words[i].words : text);
	return fail(err, ERROR_INVALID_PARAMETER, "%.*s should be one of [%s]", STR(name), text);
}

/* The name of a parameter, as EC2 speaks of it: the innermost member's, with a capital. */
static struct str parameter_name(const struct violation *violation, char text[NAME_BYTES_LIMIT])
{
	struct str name = violation->member ? violation->member->name : violation->path;

	name = str_slice(name, 0, NAME_BYTES_LIMIT);
	if (!name.len)
		return name;
	memcpy(text, name.ptr, name.len);
	text[0] = (char)toupper((unsigned char)text[0]);
	return (struct str){text, name.len};
}

/* "1 validation error detected: …", which most services share. */
static bool fail_constraint(const struct violation *violation, enum error_code code, const char *rule,
			    struct error *err)
{
	struct str path = str_slice(violation->path, 0, 128), value = str_slice(violation->value, 0, 128);

	return fail(err, code,
		    "1 validation error detected: Value %s%.*s%s at '%.*s' failed to satisfy constraint: Member must %s",
		    str_has(value) ? "'" : "", STR(str_has(value) ? value : S("null")), str_has(value) ? "'" : "",
		    STR(path), rule);
}

static bool word_constraint(const struct violation *violation, enum error_code code, struct error *err)
{
	char text[WORDS_BYTES_LIMIT] = "", rule[WORDS_BYTES_LIMIT + 64];

	join_words(violation->shape, ", ", text);
	snprintf(rule, sizeof(rule), "satisfy enum value set: [%s]", text);
	return fail_constraint(violation, code, rule, err);
}

bool fault_word(const struct operation *operation, const struct violation *violation,
		struct error *err)
{
	size_t service = find_service(operation);
	char name[NAME_BYTES_LIMIT];

	switch (services[service].style) {
	case STYLE_EC2:
		return fail(err, services[service].code, "Invalid value '%.*s' for %.*s",
			    STR(str_slice(violation->value, 0, 128)), STR(parameter_name(violation, name)));
	case STYLE_CONSTRAINT:
		return word_constraint(violation, services[service].code, err);
	default:
		return word_ecs(violation, err);
	}
}

/* Below the least that is allowed; the other reason for a range or a length is that it is above the most. */
static bool is_below(const struct violation *violation)
{
	return violation->shape->has_min && violation->size < violation->shape->min;
}

static bool check_ec2(const struct violation *violation, struct error *err)
{
	const struct shape *shape = violation->shape;
	char text[NAME_BYTES_LIMIT];
	struct str name = parameter_name(violation, text), value = str_slice(violation->value, 0, 128);

	if (violation->kind == VIOLATION_REQUIRED)
		return fail(err, ERROR_MISSING_PARAMETER, "The request must contain the parameter %.*s", STR(name));
	if (violation->kind == VIOLATION_RANGE && is_below(violation))
		return fail(err, ERROR_INVALID_PARAMETER_VALUE,
			    "Value ( %.*s ) for parameter %.*s is invalid. Expecting a value greater than or equal to %.0f.",
			    STR(value), STR(name), shape->min);
	if (violation->kind == VIOLATION_RANGE)
		return fail(err, ERROR_INVALID_PARAMETER_VALUE,
			    "Value ( %.*s ) for parameter %.*s is invalid. Expecting a value less than or equal to %.0f.",
			    STR(value), STR(name), shape->max);
	return fail(err, ERROR_INVALID_PARAMETER_VALUE, "Value ( %.*s ) for parameter %.*s is invalid.", STR(value),
		    STR(name));
}

static bool check_constraint(const struct violation *violation, enum error_code code, struct error *err)
{
	const struct shape *shape = violation->shape;
	bool length = violation->kind == VIOLATION_LENGTH, below = is_below(violation);
	char rule[96];

	if (violation->kind == VIOLATION_REQUIRED)
		return fail_constraint(violation, code, "not be null", err);
	if (violation->kind == VIOLATION_PATTERN)
		return fail_constraint(violation, code, "satisfy regular expression pattern", err);
	snprintf(rule, sizeof(rule), "have %s %s than or equal to %.0f", length ? "length" : "value",
		 below ? "greater" : "less", below ? shape->min : shape->max);
	return fail_constraint(violation, code, rule, err);
}

static bool fail_limit(const struct violation *violation, struct error *err)
{
	const struct shape *shape = violation->shape;
	bool many = shape->kind == SHAPE_LIST || shape->kind == SHAPE_MAP;
	const char *unit = many ? "items" : "characters";
	struct str path = str_slice(violation->path, 0, 200);

	if (violation->kind == VIOLATION_PATTERN)
		return fail(err, ERROR_INVALID_PARAMETER, "%.*s is not valid.", STR(path));
	if (violation->kind == VIOLATION_RANGE && shape->has_min && shape->has_max)
		return fail(err, ERROR_INVALID_PARAMETER, "%.*s must be between %.0f and %.0f",
			    STR(path), shape->min, shape->max);
	if (violation->kind == VIOLATION_RANGE)
		return fail(err, ERROR_INVALID_PARAMETER, "%.*s must be at %s %.0f", STR(path),
			    shape->has_min ? "least" : "most",
			    shape->has_min ? shape->min : shape->max);
	if (!shape->has_max)
		return fail(err, ERROR_INVALID_PARAMETER, "%.*s must have at least %.0f %s.",
			    STR(path), shape->min, unit);
	return fail(err, ERROR_INVALID_PARAMETER, "%.*s can have at most %.0f %s.", STR(path),
		    shape->max, unit);
}

bool fault_check(const struct operation *operation, const void *input, struct arena *arena,
		 struct error *err)
{
	size_t service = find_service(operation);
	struct violation violation = {0};

	if (operation->unbuilt || shape_check(operation->input, input, arena, &violation))
		return true;
	switch (services[service].style) {
	case STYLE_EC2:
		return check_ec2(&violation, err);
	case STYLE_CONSTRAINT:
		return check_constraint(&violation, services[service].code, err);
	default:
		return violation.kind == VIOLATION_REQUIRED ? fail_required(operation, &violation, err) :
							      fail_limit(&violation, err);
	}
}
