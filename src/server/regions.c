#include "server/regions.h"

static const struct str regions[] = {
	STR_INIT("af-south-1"),     STR_INIT("ap-east-1"),      STR_INIT("ap-east-2"),
	STR_INIT("ap-northeast-1"), STR_INIT("ap-northeast-2"), STR_INIT("ap-northeast-3"),
	STR_INIT("ap-south-1"),     STR_INIT("ap-south-2"),     STR_INIT("ap-southeast-1"),
	STR_INIT("ap-southeast-2"), STR_INIT("ap-southeast-3"), STR_INIT("ap-southeast-4"),
	STR_INIT("ap-southeast-5"), STR_INIT("ap-southeast-6"), STR_INIT("ap-southeast-7"),
	STR_INIT("ca-central-1"),   STR_INIT("ca-west-1"),      STR_INIT("cn-north-1"),
	STR_INIT("cn-northwest-1"), STR_INIT("eu-central-1"),   STR_INIT("eu-central-2"),
	STR_INIT("eu-north-1"),     STR_INIT("eu-south-1"),     STR_INIT("eu-south-2"),
	STR_INIT("eu-west-1"),      STR_INIT("eu-west-2"),      STR_INIT("eu-west-3"),
	STR_INIT("il-central-1"),   STR_INIT("me-central-1"),   STR_INIT("me-south-1"),
	STR_INIT("mx-central-1"),   STR_INIT("sa-east-1"),      STR_INIT("us-east-1"),
	STR_INIT("us-east-2"),      STR_INIT("us-gov-east-1"),  STR_INIT("us-gov-west-1"),
	STR_INIT("us-west-1"),      STR_INIT("us-west-2"),
};

bool region_is_known(struct str region)
{
	for (size_t i = 0; i < COUNT(regions); i++)
		if (str_equal(regions[i], region))
			return true;
	return false;
}
