/* form.h - application/x-www-form-urlencoded bodies and query strings to described values.
 *
 * Two ways to name the same things (neighbours 0.3, 0.4): EC2 counts its lists ("Filter.1.Value.2") and begins every
 * name with a capital; AWS Query puts a word between ("Tags.member.1.Key", "Attributes.entry.1.key"). Parameters may come
 * in any order; the items of a list are taken in the order of their numbers, which may have gaps. Of a parameter that is
 * sent twice the last one counts. Decoding goes by descriptor straight into arena structs. */
#pragma once
#include "wire/json.h"

enum {
	FORM_PAIRS_LIMIT = 10000,
	FORM_NAME_LIMIT = 512,                           /* bytes of a parameter's name */
	FORM_DEPTH_LIMIT = 16,                           /* structures in lists in structures … */
	FORM_STORAGE_LIMIT = 64 << 20,                   /* bytes of structs and arrays made from one form */
};

enum form_style { FORM_EC2, FORM_QUERY };

/* The value of a parameter as it stands in the text, not decoded; absent when there is none. For what chooses the
 * operation, before anything is known of the rest. */
struct str form_raw_value(struct str text, struct str name);

/* A structure: *ret_value is a new struct in `arena`. Action, Version and what a presigned URL carries are passed over.
 * What EC2 does not know is refused, AWS Query takes no notice. Why a form was refused is told as JSON's decoder does:
 * `error` (MalformedQueryString, UnknownParameter, InvalidParameterValue), or a word that an enum does not have, in
 * `violation` with the parameter's name as its path. */
bool form_decode(const struct shape *shape, struct str text, enum form_style style, struct arena *arena,
		 void **ret_value, struct json_fault *fault);
