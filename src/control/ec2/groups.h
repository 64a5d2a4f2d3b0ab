/* groups.h - security groups and their rules (neighbours 8.2). */
#pragma once
#include "control/ec2/state.h"

/* By id, or by name in the default VPC. NULL with AWS's error. */
struct group_entry *group_named_by(struct call *call, struct str id, struct str name);
/* Rules of one direction, merged by protocol and ports. */
void describe_permissions(struct call *call, const struct group_entry *group, bool egress, struct ec2_ip_permission_list *list);
