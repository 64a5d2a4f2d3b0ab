#include "model/region.h"

#define OPTED_IN(name) {STR_INIT(name), true}
#define ON_REQUEST(name) {STR_INIT(name), false}

const struct region regions[REGIONS_COUNT] = {
	ON_REQUEST("af-south-1"),     ON_REQUEST("ap-east-1"),      ON_REQUEST("ap-east-2"),
	OPTED_IN("ap-northeast-1"),   OPTED_IN("ap-northeast-2"),   OPTED_IN("ap-northeast-3"),
	OPTED_IN("ap-south-1"),       ON_REQUEST("ap-south-2"),     OPTED_IN("ap-southeast-1"),
	OPTED_IN("ap-southeast-2"),   ON_REQUEST("ap-southeast-3"), ON_REQUEST("ap-southeast-4"),
	ON_REQUEST("ap-southeast-5"), ON_REQUEST("ap-southeast-6"), ON_REQUEST("ap-southeast-7"),
	OPTED_IN("ca-central-1"),     ON_REQUEST("ca-west-1"),      ON_REQUEST("cn-north-1"),
	ON_REQUEST("cn-northwest-1"), OPTED_IN("eu-central-1"),     ON_REQUEST("eu-central-2"),
	OPTED_IN("eu-north-1"),       ON_REQUEST("eu-south-1"),     ON_REQUEST("eu-south-2"),
	OPTED_IN("eu-west-1"),        OPTED_IN("eu-west-2"),        OPTED_IN("eu-west-3"),
	ON_REQUEST("il-central-1"),   ON_REQUEST("me-central-1"),   ON_REQUEST("me-south-1"),
	ON_REQUEST("mx-central-1"),   OPTED_IN("sa-east-1"),        OPTED_IN("us-east-1"),
	OPTED_IN("us-east-2"),        ON_REQUEST("us-gov-east-1"),  ON_REQUEST("us-gov-west-1"),
	OPTED_IN("us-west-1"),        OPTED_IN("us-west-2"),
};

const struct region *region_find(struct str name)
{
	for (size_t i = 0; i < COUNT(regions); i++)
		if (str_equal(regions[i].name, name))
			return &regions[i];
	return NULL;
}
