/* Any bytes as a form, read by both ways of naming; what is read can be written. The first byte chooses the shape. */
#include <stdlib.h>
#include "api/ec2.h"
#include "api/ecs.h"
#include "wire/form.h"
#include "wire/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct shape *const shapes[] = {
	&shape_ec2_describe_vpcs_request, &shape_ec2_authorize_security_group_ingress_request,
	&shape_ec2_create_tags_request, &shape_ecs_register_task_definition_request,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct shape *shape = shapes[size ? data[0] % COUNT(shapes) : 0];
	struct str text = {(const char *)data + (size > 0), size - (size > 0)};

	for (enum form_style style = FORM_EC2; style <= FORM_QUERY; style++) {
		auto_arena arena = {0};
		auto_buffer out = {0};
		struct json_fault fault;
		void *value;

		if (form_decode(shape, text, style, &arena, &value, &fault))
			xml_encode(shape, value, &out);
		else if (!fault.unknown_word && !fault.error.code)
			abort();
	}
	return 0;
}
