/* tables.h - route tables, for what they lead to and from. */
#pragma once
#include "control/ec2/state.h"

/* Takes the subnet out of its table: the VPC's main one holds for it then. */
void table_disassociate(struct call *call, struct table_entry *table, const struct subnet_entry *subnet);
