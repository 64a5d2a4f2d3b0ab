/* error.h - why something failed, from system call to AWS reply.
 *
 * `bool` says whether, `struct error` says why; it is the caller's, of fixed size, cannot fail and
 * cannot leak. A wrong caller or peer is `fail`; a wrong *us* is `assert`. Wire names are those of
 * the public AWS models; ERROR_OS and the rows below it never reach a client by these names: the
 * server answers ServerException and logs them. A service with names of its own has rows of its own
 * (EC2, EFS); a name that several services use has one row. Front-door rows are written by the name
 * that JSON has for them; each protocol knows what else they are called (src/server/aws_*.c). */
#pragma once
#include <stdarg.h>
#include "base/str.h"

/*        name                          wire name                                        http */
#define ERRORS(X) \
	X(INVALID_PARAMETER,            "InvalidParameterException",                     400) \
	X(CLIENT,                       "ClientException",                               400) \
	X(SERVER,                       "ServerException",                               500) \
	X(ACCESS_DENIED,                "AccessDeniedException",                         400) \
	X(ATTRIBUTE_LIMIT_EXCEEDED,     "AttributeLimitExceededException",               400) \
	X(CLUSTER_CONTAINS_CONTAINER_INSTANCES, "ClusterContainsContainerInstancesException", 400) \
	X(CLUSTER_CONTAINS_SERVICES,    "ClusterContainsServicesException",              400) \
	X(CLUSTER_CONTAINS_TASKS,       "ClusterContainsTasksException",                 400) \
	X(CLUSTER_NOT_FOUND,            "ClusterNotFoundException",                      400) \
	X(CONFLICT,                     "ConflictException",                             400) \
	X(LIMIT_EXCEEDED,               "LimitExceededException",                        400) \
	X(PLATFORM_UNKNOWN,             "PlatformUnknownException",                      400) \
	X(RESOURCE_NOT_FOUND,           "ResourceNotFoundException",                     400) \
	X(SERVICE_NOT_ACTIVE,           "ServiceNotActiveException",                     400) \
	X(SERVICE_NOT_FOUND,            "ServiceNotFoundException",                      400) \
	X(TARGET_NOT_FOUND,             "TargetNotFoundException",                       400) \
	X(UNSUPPORTED_FEATURE,          "UnsupportedFeatureException",                   400) \
	/* the front door: spec ecs-behaviour 1.4 */ \
	X(UNKNOWN_OPERATION,            "UnknownOperationException",                     400) \
	X(SERIALIZATION,                "SerializationException",                        400) \
	X(MISSING_AUTHENTICATION_TOKEN, "MissingAuthenticationTokenException",           400) \
	X(INCOMPLETE_SIGNATURE,         "IncompleteSignatureException",                  400) \
	X(UNRECOGNIZED_CLIENT,          "UnrecognizedClientException",                   400) \
	X(INVALID_SIGNATURE,            "InvalidSignatureException",                     400) \
	X(EXPIRED_TOKEN,                "ExpiredTokenException",                         400) \
	X(THROTTLING,                   "ThrottlingException",                           400) \
	X(VALIDATION,                   "ValidationException",                           400) \
	X(REQUEST_ENTITY_TOO_LARGE,     "RequestEntityTooLargeException",                413) \
	X(SERVICE_UNAVAILABLE,          "ServiceUnavailableException",                   503) \
	/* the Query protocols, EC2 and VPC: spec neighbours 0.7, 8.1 */ \
	X(MALFORMED_QUERY_STRING,       "MalformedQueryString",                          400) \
	X(MISSING_ACTION,               "MissingAction",                                 400) \
	X(NO_SUCH_VERSION,              "NoSuchVersion",                                 400) \
	X(MISSING_PARAMETER,            "MissingParameter",                              400) \
	X(INVALID_PARAMETER_VALUE,      "InvalidParameterValue",                         400) \
	X(INVALID_PARAMETER_COMBINATION, "InvalidParameterCombination",                  400) \
	X(UNKNOWN_PARAMETER,            "UnknownParameter",                              400) \
	X(UNSUPPORTED,                  "UnsupportedOperation",                          400) \
	X(OPERATION_NOT_PERMITTED,      "OperationNotPermitted",                         400) \
	X(DRY_RUN,                      "DryRunOperation",                               412) \
	X(IDEMPOTENT_PARAMETER_MISMATCH, "IdempotentParameterMismatch",                  400) \
	X(INVALID_NEXT_TOKEN,           "InvalidNextToken",                              400) \
	X(INVALID_ID,                   "InvalidID",                                     400) \
	X(FILTER_LIMIT_EXCEEDED,        "FilterLimitExceeded",                           400) \
	X(TAG_LIMIT_EXCEEDED,           "TagLimitExceeded",                              400) \
	X(DEPENDENCY_VIOLATION,         "DependencyViolation",                           400) \
	X(CANNOT_DELETE,                "CannotDelete",                                  400) \
	X(RESOURCE_ALREADY_ASSOCIATED,  "Resource.AlreadyAssociated",                    400) \
	X(VPC_MALFORMED,                "InvalidVpcID.Malformed",                        400) \
	X(VPC_NOT_FOUND,                "InvalidVpcID.NotFound",                         400) \
	X(VPC_RANGE,                    "InvalidVpc.Range",                              400) \
	X(VPC_LIMIT_EXCEEDED,           "VpcLimitExceeded",                              400) \
	X(DEFAULT_VPC_ALREADY_EXISTS,   "DefaultVpcAlreadyExists",                       400) \
	X(DEFAULT_VPC_NOT_FOUND,        "DefaultVpcDoesNotExist",                        400) \
	X(SUBNET_MALFORMED,             "InvalidSubnetID.Malformed",                     400) \
	X(SUBNET_NOT_FOUND,             "InvalidSubnetID.NotFound",                      400) \
	X(SUBNET_CONFLICT,              "InvalidSubnet.Conflict",                        400) \
	X(SUBNET_RANGE,                 "InvalidSubnet.Range",                           400) \
	X(SUBNET_LIMIT_EXCEEDED,        "SubnetLimitExceeded",                           400) \
	X(INSUFFICIENT_FREE_ADDRESSES,  "InsufficientFreeAddressesInSubnet",             400) \
	X(ADDRESS_NOT_FOUND,            "InvalidAddress.NotFound",                       400) \
	X(NAT_GATEWAY_NOT_FOUND,        "NatGatewayNotFound",                            400) \
	X(VPC_ENDPOINT_NOT_FOUND,       "InvalidVpcEndpointId.NotFound",                 400) \
	X(VPC_NOT_SPECIFIED,            "VPCIdNotSpecified",                             400) \
	X(ADDRESS_LIMIT_EXCEEDED,       "AddressLimitExceeded",                          400) \
	X(ADDRESS_IN_USE,               "InvalidIPAddress.InUse",                        400) \
	X(GROUP_MALFORMED,              "InvalidGroupId.Malformed",                      400) \
	X(GROUP_NOT_FOUND,              "InvalidGroup.NotFound",                         400) \
	X(GROUP_DUPLICATE,              "InvalidGroup.Duplicate",                        400) \
	X(GROUP_RESERVED,               "InvalidGroup.Reserved",                         400) \
	X(GROUP_LIMIT_EXCEEDED,         "SecurityGroupLimitExceeded",                    400) \
	X(GROUPS_PER_INTERFACE_LIMIT_EXCEEDED, "SecurityGroupsPerInterfaceLimitExceeded", 400) \
	X(RULE_MALFORMED,               "InvalidSecurityGroupRuleId.Malformed",          400) \
	X(RULE_NOT_FOUND,               "InvalidSecurityGroupRuleId.NotFound",           400) \
	X(RULES_LIMIT_EXCEEDED,         "RulesPerSecurityGroupLimitExceeded",            400) \
	X(PERMISSION_NOT_FOUND,         "InvalidPermission.NotFound",                    400) \
	X(PERMISSION_DUPLICATE,         "InvalidPermission.Duplicate",                   400) \
	X(INTERFACE_MALFORMED,          "InvalidNetworkInterfaceId.Malformed",           400) \
	X(INTERFACE_NOT_FOUND,          "InvalidNetworkInterfaceID.NotFound",            400) \
	X(INTERFACE_LIMIT_EXCEEDED,     "NetworkInterfaceLimitExceeded",                 400) \
	X(ROUTE_TABLE_MALFORMED,        "InvalidRouteTableId.Malformed",                 400) \
	X(ROUTE_TABLE_NOT_FOUND,        "InvalidRouteTableID.NotFound",                  400) \
	X(ROUTE_TABLE_LIMIT_EXCEEDED,   "RouteTableLimitExceeded",                       400) \
	X(ROUTE_LIMIT_EXCEEDED,         "RouteLimitExceeded",                            400) \
	X(ROUTE_ALREADY_EXISTS,         "RouteAlreadyExists",                            400) \
	X(ROUTE_NOT_FOUND,              "InvalidRoute.NotFound",                         400) \
	X(ASSOCIATION_NOT_FOUND,        "InvalidAssociationID.NotFound",                 400) \
	X(GATEWAY_MALFORMED,            "InvalidInternetGatewayId.Malformed",            400) \
	X(GATEWAY_NOT_FOUND,            "InvalidInternetGatewayID.NotFound",             400) \
	X(GATEWAY_NOT_ATTACHED,         "Gateway.NotAttached",                           400) \
	X(GATEWAY_LIMIT_EXCEEDED,       "InternetGatewayLimitExceeded",                  400) \
	X(NETWORK_ACL_NOT_FOUND,        "InvalidNetworkAclID.NotFound",                  400) \
	X(DHCP_OPTIONS_NOT_FOUND,       "InvalidDhcpOptionID.NotFound",                  400) \
	X(ALLOCATION_NOT_FOUND,         "InvalidAllocationID.NotFound",                  400) \
	X(INSTANCE_NOT_FOUND,           "InvalidInstanceID.NotFound",                    400) \
	/* EFS: spec neighbours 9 */ \
	X(EFS_BAD_REQUEST,              "BadRequest",                                    400) \
	X(EFS_FILE_SYSTEM_NOT_FOUND,    "FileSystemNotFound",                            404) \
	X(EFS_ACCESS_POINT_NOT_FOUND,   "AccessPointNotFound",                           404) \
	X(EFS_MOUNT_TARGET_NOT_FOUND,   "MountTargetNotFound",                           404) \
	X(EFS_POLICY_NOT_FOUND,         "PolicyNotFound",                                404) \
	X(EFS_REPLICATION_NOT_FOUND,    "ReplicationNotFound",                           404) \
	X(EFS_FILE_SYSTEM_ALREADY_EXISTS, "FileSystemAlreadyExists",                     409) \
	X(EFS_ACCESS_POINT_ALREADY_EXISTS, "AccessPointAlreadyExists",                   409) \
	X(EFS_FILE_SYSTEM_IN_USE,       "FileSystemInUse",                               409) \
	X(EFS_MOUNT_TARGET_CONFLICT,    "MountTargetConflict",                           409) \
	X(EFS_IP_ADDRESS_IN_USE,        "IpAddressInUse",                                409) \
	X(EFS_NO_FREE_ADDRESSES,        "NoFreeAddressesInSubnet",                       409) \
	X(EFS_SUBNET_NOT_FOUND,         "SubnetNotFound",                                400) \
	X(EFS_SECURITY_GROUP_NOT_FOUND, "SecurityGroupNotFound",                         400) \
	X(EFS_SECURITY_GROUP_LIMIT_EXCEEDED, "SecurityGroupLimitExceeded",               400) \
	X(EFS_FILE_SYSTEM_LIMIT_EXCEEDED, "FileSystemLimitExceeded",                     403) \
	X(EFS_ACCESS_POINT_LIMIT_EXCEEDED, "AccessPointLimitExceeded",                   403) \
	X(EFS_AVAILABILITY_ZONES_MISMATCH, "AvailabilityZonesMismatch",                  400) \
	X(EFS_UNSUPPORTED_AVAILABILITY_ZONE, "UnsupportedAvailabilityZone",              400) \
	/* Logs: spec neighbours 4.1 */ \
	X(RESOURCE_ALREADY_EXISTS,      "ResourceAlreadyExistsException",                400) \
	X(TOO_MANY_TAGS,                "TooManyTagsException",                          400) \
	/* our own: never on the wire by these names */ \
	X(OS,                           "ServerException",                               500) \
	X(CORRUPT,                      "ServerException",                               500) \
	X(NETWORK,                      "ServerException",                               500) \
	X(NOT_FOUND,                    "ServerException",                               500) \
	X(REFUSED,                      "ServerException",                               500)

enum error_code {
	ERROR_NONE = 0,
#define X(name, wire, http) ERROR_##name,
	ERRORS(X)
#undef X
	ERROR_CODE_COUNT
};

struct error {
	enum error_code code;
	int os;                                          /* errno, for ERROR_OS */
	char text[496];                                  /* UTF-8, cut off when longer */
};

/* All return false, so that a failure is one line: return fail(err, …); `err` may be NULL. */
bool fail(struct error *err, enum error_code code, const char *format, ...) PRINTF_LIKE(3, 4);
bool fail_os(struct error *err, int os, const char *format, ...) PRINTF_LIKE(3, 4);  /* "…: No such file" */
bool fail_context(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);     /* "…: what it said" */

/* What the analyser cannot see from another file: they never return true. */
#ifdef __clang_analyzer__
#define fail(...) ((fail)(__VA_ARGS__), false)
#define fail_os(...) ((fail_os)(__VA_ARGS__), false)
#define fail_context(...) ((fail_context)(__VA_ARGS__), false)
#endif

struct str error_wire_name(enum error_code code);
int error_http_status(enum error_code code);
