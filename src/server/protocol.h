/* protocol.h - how a service's requests, replies and errors lie in HTTP messages.
 *
 * One row a protocol: awsJson, EC2, Query and REST-JSON now; CBOR is one more row and file. Which protocol a request
 * speaks is found from its head and, for forms, their Action (front.c walks `protocols`; neighbours 0.2). */
#pragma once
#include "base/error.h"
#include "base/shape.h"
#include "server/http.h"

struct protocol_error {
	struct error error;
	bool front_door;                                 /* from before the service: names get their namespace */
	const struct operation *operation;               /* NULL: it is not known */
	struct str request_id;
	const struct str *resource_ids;                  /* a modelled extra of ConflictException; or NULL */
	size_t resource_id_count;
};

/* The services that a server answers for. */
struct service_list {
	const struct api *const *items;
	size_t count;
};

/* What an error is called. */
struct error_form {
	struct str name;
	int status;
};

struct protocol {
	struct str name, content_type;
	bool post_only;                                  /* other methods: 405 */
	/* Whether the request speaks it. */
	bool (*speaks)(const struct http_request *request, const struct service_list *services);
	/* Which operation of the services is asked for; NULL: none, and the error says so. */
	const struct operation *(*find)(const struct http_request *request, const struct service_list *services,
					struct error *err);
	/* Fills `ret_input`, a struct by operation->input. */
	bool (*read_request)(const struct http_request *request, const struct operation *operation,
			     struct arena *arena, void **ret_input, struct error *err);
	int (*reply_status)(const struct operation *operation);
	void (*write_reply)(const struct operation *operation, const void *output, struct str request_id,
			    struct buffer *out);
	/* The names and statuses of base/error.h, but where this protocol has others. */
	struct error_form (*error_form)(const struct error *error);
	void (*write_error)(const struct protocol_error *error, struct buffer *out);
};

extern const struct protocol protocol_json_1_1, protocol_json_1_0, protocol_ec2, protocol_query, protocol_rest_json;

/* ---- what several protocols need (protocol.c) */

/* The service in the scope of a request's signature, before it is believed; absent when it is not signed. */
struct str protocol_signed_service(const struct http_request *request);
struct error_form protocol_plain_error(const struct error *error);
int protocol_status_ok(const struct operation *operation);       /* 200 */
