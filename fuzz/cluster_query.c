/* Any bytes as a cluster query, asked of an instance. */
#include "wire/cluster_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool attribute(void *self, struct str name, struct str *ret_value)
{
	*ret_value = name.len % 3 ? S("value-1.2") : STR_NONE;
	return name.len % 2;
}

static bool any_group(void *self, bool (*test)(void *arg, struct str group), void *arg)
{
	return test(arg, S("service:web"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct cluster_query_subject subject = {
		.attribute = attribute, .any_group = any_group, .agent_version = S("1.2.3"),
		.ec2_instance_id = S("i-1234"), .running_tasks = 2,
	};
	const struct cluster_query *query;
	auto_arena arena = {0};
	struct error err;

	if (cluster_query_parse((struct str){(const char *)data, size}, &arena, &query, &err))
		cluster_query_matches(query, &subject);
	return 0;
}
