/* ec2.h - what the other rooms need of VPCs: subnets, security groups, network interfaces.
 *
 * The room itself answers the EC2 API (neighbours 8): VPCs, subnets, security groups and their rules, interfaces,
 * route tables, internet gateways, addresses, tags; each realm gets its default VPC when it is first used. */
#pragma once
#include "control/call.h"

struct wherry_watch_network_request;
struct wherry_watch_network_response;

enum {
	EC2_SUBNETS_PER_TASK_LIMIT = 16,
	EC2_GROUPS_PER_TASK_LIMIT = 5,
};

/* Checks an awsvpcConfiguration as RunTask and CreateService do (ecs-behaviour 2.4): subnets and groups exist, all in one VPC. */
bool ec2_check_network(struct call *call, const struct ecs_aws_vpc_configuration *network);

/* The zone of a subnet, "us-east-1a"; absent when there is no such subnet. */
struct str ec2_subnet_zone(struct plane *plane, const struct realm *realm, struct str subnet_id);

/* What an interface is made from. Strings are borrowed. */
struct interface_plan {
	struct str subnet_id;
	struct ecs_string_list groups;                   /* empty: the VPC's default group */
	struct str address;                              /* or absent: the next free one */
	bool public_address;                             /* and one that the world can reach */
	struct str description;
	/* Who uses it: told the machine that watches (WatchNetwork). Absent: not attached. */
	struct str instance_account, instance_region, instance_cluster, instance_id;
	bool requester_managed;                          /* Fargate, EFS */
	struct ec2_tag_list tags;
};

/* What a task's attachment shows, and what the agent is told of it (agent-protocol 2.4 ENI). In the step's arena. */
struct interface_view {
	struct str id, vpc_id, subnet_id;
	struct str mac_address;                          /* "02:…" */
	struct str private_address;                      /* "172.31.0.7" */
	struct str private_name;                         /* "ip-172-31-0-7.ec2.internal" */
	struct str public_address;                       /* or absent */
	struct str gateway;                              /* "172.31.0.1/20": the subnet's, with its prefix length */
	struct str resolver;                             /* of the VPC, "172.31.0.2"; absent when it has none */
	struct str domain;                               /* "ec2.internal" */
};

/* Makes a NETWORK_INTERFACE record. False with AWS's error when the subnet or a group is gone or no address is free. */
bool ec2_interface_create(struct plane *plane, struct realm *realm, const struct interface_plan *plan,
			  struct interface_view *ret_view, struct error *err);
bool ec2_interface_view(struct plane *plane, const struct realm *realm, struct str id, struct interface_view *ret_view);
void ec2_interface_delete(struct plane *plane, struct realm *realm, struct str id);      /* fine when there is none */

/* What the machine of a container instance is told of the VPCs (WatchNetwork): at once, or the call is parked. */
void ec2_watch(struct call *call, struct str cluster, struct str instance, const struct wherry_watch_network_request *in,
	       struct wherry_watch_network_response *out);

/* ---- for plane.c */
struct ec2;
struct ec2 *plane_ec2(const struct plane *plane);         /* the room's own memory */
struct ec2 *ec2_new(const struct plane_options *options);
void ec2_free(struct ec2 *ec2);
void ec2_start(struct plane *plane);
/* Before each EC2 call: the realm's DHCP options and default VPC, when it has never had them (neighbours 8.3). */
void ec2_realm_prepare(struct plane *plane, struct realm *realm);
void ec2_step_end(struct plane *plane);                  /* answers the WatchNetwork calls that have waited for this */
void ec2_stop(struct plane *plane);                      /* answers all of them; from now on none waits */
void ec2_check(const struct plane *plane);
