/* names.h - how EC2 calls things: ids, ARNs, DNS names, zones (neighbours 8.1, 8.2). Texts are in the arena. */
#pragma once
#include "control/room.h"

struct call;

struct str object_id(struct plane *plane, struct str prefix);    /* "vpc" → "vpc-" and 17 random hex digits */
/* "TYPE/ID" → "arn:aws:ec2:REGION:ACCOUNT:TYPE/ID". */
struct str object_arn(struct plane *plane, const struct realm *realm, struct str type, struct str id);

bool object_is_missing(struct error *err, enum record_kind kind, struct str id);         /* false, with AWS's error */
/* The object of an id; NULL with the error of a missing, malformed or unknown one. `parameter`: as the request has it. */
void *object_find(struct call *call, enum record_kind kind, struct str id, const char *parameter);
/* PREFIX-hex; also for things that are no records: rules, associations, network ACLs. */
bool id_has_form(struct str id, struct str prefix);
bool refuse_id(struct error *err, enum error_code code, struct str id, struct str prefix);

struct str private_domain(struct arena *arena, const struct realm *realm);       /* "ec2.internal" */
struct str private_name(struct arena *arena, const struct realm *realm, uint32_t address);
struct str public_name(struct arena *arena, const struct realm *realm, struct str address);

/* Zones a, b, c of each region: "us-east-1a" is "use1-az1". */
struct str zone_name(struct arena *arena, struct str region, int number);
struct str zone_id(struct arena *arena, struct str region, int number);
/* Of a zone's name or id; -1: not one of the region's. */
int zone_number(struct arena *arena, struct str region, struct str zone);
