/* tags.h - tags of everything that EC2 has (neighbours 8.1). */
#pragma once
#include "control/ec2/state.h"

/* The tags of the one TagSpecification that a create call may have: its type must be `type`. */
bool tags_of_request(struct call *call, const struct ec2_tag_specification_list *specifications, enum ec2_resource_type type,
		     struct ec2_tag_list *ret_tags);
/* As they are shown: never absent. */
struct ec2_tag_list tags_shown(struct call *call, const struct ec2_tag_list *tags);
