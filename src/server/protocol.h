/* protocol.h - how a service's requests, replies and errors lie in HTTP messages.
 *
 * One row a protocol: awsJson now; Query/XML, EC2, REST and CBOR are one more row and file each. Which protocol a
 * request speaks is found from its head alone (front.c walks `protocols`). */
#pragma once
#include "base/error.h"
#include "base/shape.h"
#include "server/http.h"

struct protocol_error {
	struct error error;
	bool front_door;                                 /* from before the service: names get their namespace */
	const struct str *resource_ids;                  /* a modelled extra of ConflictException; or NULL */
	size_t resource_id_count;
};

struct protocol {
	struct str name, content_type;
	/* Whether the request speaks it. */
	bool (*speaks)(const struct http_request *request);
	/* Which operation of the services is asked for; NULL: none of that name. */
	const struct operation *(*find)(const struct http_request *request, const struct api *const *services,
					size_t count);
	/* Fills `ret_input`, a struct by operation->input. */
	bool (*read_request)(const struct http_request *request, const struct operation *operation,
			     struct arena *arena, void **ret_input, struct error *err);
	void (*write_reply)(const struct operation *operation, const void *output, struct buffer *out);
	void (*write_error)(const struct protocol_error *error, struct buffer *out);
};

extern const struct protocol protocol_json_1_1, protocol_json_1_0;
