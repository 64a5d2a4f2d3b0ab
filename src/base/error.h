/* error.h - why something failed, from system call to AWS reply.
 *
 * `bool` says whether, `struct error` says why; it is the caller's, of fixed size, cannot fail and
 * cannot leak. A wrong caller or peer is `fail`; a wrong *us* is `assert`. Wire names are those of
 * the public AWS models; ERROR_OS and the rows below it never reach a client by these names: the
 * server answers ServerException and logs them. */
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
	X(CLUSTER_CONTAINS_CAPACITY_PROVIDER, "ClusterContainsCapacityProviderException", 400) \
	X(CLUSTER_CONTAINS_CONTAINER_INSTANCES, "ClusterContainsContainerInstancesException", 400) \
	X(CLUSTER_CONTAINS_SERVICES,    "ClusterContainsServicesException",              400) \
	X(CLUSTER_CONTAINS_TASKS,       "ClusterContainsTasksException",                 400) \
	X(CLUSTER_NOT_FOUND,            "ClusterNotFoundException",                      400) \
	X(CONFLICT,                     "ConflictException",                             400) \
	X(LIMIT_EXCEEDED,               "LimitExceededException",                        400) \
	X(PLATFORM_UNKNOWN,             "PlatformUnknownException",                      400) \
	X(PLATFORM_TASK_DEFINITION_INCOMPATIBILITY, "PlatformTaskDefinitionIncompatibilityException", 400) \
	X(RESOURCE_IN_USE,              "ResourceInUseException",                        400) \
	X(RESOURCE_NOT_FOUND,           "ResourceNotFoundException",                     400) \
	X(SERVICE_NOT_ACTIVE,           "ServiceNotActiveException",                     400) \
	X(SERVICE_NOT_FOUND,            "ServiceNotFoundException",                      400) \
	X(TARGET_NOT_FOUND,             "TargetNotFoundException",                       400) \
	X(TARGET_NOT_CONNECTED,         "TargetNotConnectedException",                   400) \
	X(UNSUPPORTED_FEATURE,          "UnsupportedFeatureException",                   400) \
	X(UPDATE_IN_PROGRESS,           "UpdateInProgressException",                     400) \
	X(NO_UPDATE_AVAILABLE,          "NoUpdateAvailableException",                    400) \
	X(MISSING_VERSION,              "MissingVersionException",                       400) \
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
	X(INTERNAL_FAILURE,             "InternalFailure",                               500) \
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
