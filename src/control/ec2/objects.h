/* objects.h - making and removing what the room keeps; checked before. */
#pragma once
#include "control/ec2/state.h"

struct vpc_entry *default_vpc_make(struct plane *plane, struct realm *realm);

/* A VPC with its main route table, default network ACL and default group. */
struct vpc_entry *vpc_make(struct plane *plane, struct realm *realm, struct ipv4_block block, bool is_default,
			   const struct ec2_tag_list *tags);
struct subnet_entry *subnet_make(struct plane *plane, struct vpc_entry *vpc, struct ipv4_block block, struct str zone, bool is_default,
				 const struct ec2_tag_list *tags);
/* One that allows everything out; a default one also everything in from itself. */
struct group_entry *group_make(struct plane *plane, struct vpc_entry *vpc, struct str name, struct str description,
			       bool is_default, const struct ec2_tag_list *tags);

bool public_address_find(struct plane *plane, struct str *ret_address, struct error *err);
/* NULL with AWS's error. */
struct interface_entry *interface_make(struct plane *plane, struct realm *realm, const struct interface_plan *plan,
				       struct str client_token, struct error *err);
void interface_delete(struct plane *plane, struct interface_entry *interface);  /* its elastic address stays */
