/* rest.h - requests of REST-JSON services: which operation a path means, and where its members lie.
 *
 * operation->http says "GET /v1/things/{Id}/parts/{Name+} 200": a label takes one segment, one with a plus the rest of
 * the path. Where two operations fit, the one with more literal segments is meant. A slash at the end does not count;
 * segments are decoded after they were cut apart, so a label may hold an ARN with its slashes escaped. */
#pragma once
#include "wire/json.h"
#include "wire/sigv4.h"

enum { REST_LABELS_LIMIT = 8 };

struct rest_label { struct str name, value; };           /* the value not decoded */

struct rest_match {
	const struct operation *operation;
	struct rest_label labels[REST_LABELS_LIMIT];
	size_t label_count, literals;
};

/* False when no operation of the API has this method and path. */
bool rest_find(const struct api *api, struct str method, struct str path, struct rest_match *ret_match);
/* The same for one operation's line, which may be malformed: then it fits nothing. */
bool rest_fits(struct str http, struct str method, struct str path, struct rest_match *ret_match);

/* What stands around a body. */
struct rest_request {
	struct str query;                                /* without '?' */
	const struct sigv4_header *headers;
	size_t header_count;
	struct str body;                                 /* JSON, or empty */
};

/* Fills a struct by operation->input: members bound to labels, the query string (lists by repetition) and headers from
 * there, the others from the body. Fails as json_decode does. */
bool rest_decode(const struct rest_match *match, const struct rest_request *request, struct arena *arena,
		 void **ret_value, struct json_fault *fault);

/* The status of a good answer: what ends the operation's line, or 200. */
int rest_status(const struct operation *operation);
