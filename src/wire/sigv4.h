/* sigv4.h - AWS Signature Version 4: checking requests and signing our own.
 *
 * Rules: ecs-behaviour 1.5. Pure: keys and the time are given. A `struct sigv4` holds the digest contexts
 * and the derived keys of one thread (1.2 µs a check against 6 naive); never shared between threads. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/time.h"

enum {
	SIGV4_SKEW_SECONDS = 300,
	SIGV4_SIGNED_HEADERS_LIMIT = 64,
	SIGV4_DERIVED_KEYS = 256,                        /* cached a thread */
};

struct sigv4;

struct sigv4 *sigv4_new(void);
void sigv4_free(struct sigv4 *sigv4);

struct sigv4_header { struct str name, value; };                 /* as received; names in any case */

struct sigv4_request {
	struct str method, path, query;                  /* as on the wire, query without '?' */
	const struct sigv4_header *headers;
	size_t header_count;
	struct str body;                                 /* or … */
	const unsigned char *body_sha256;                /* … its digest (32 bytes), when it was streamed */
	bool tls;                                        /* UNSIGNED-PAYLOAD is taken only then */
};

/* What the Authorization header claims, before it is believed. */
struct sigv4_claim {
	struct str key_id, date, region, service, signed_headers, signature, timestamp, session_token;
};

/* Reads the claim. Fails with MissingAuthenticationToken, IncompleteSignature, … (ecs-behaviour 1.4). */
bool sigv4_read(const struct sigv4_request *request, struct arena *arena, struct sigv4_claim *ret_claim,
		struct error *err);

/* Checks the claim against the secret key, the clock and the scope. `service` is what the operation is
 * signed for, `region_known` says whether the region in the scope exists. Error texts: ecs-behaviour 1.4. */
bool sigv4_verify(struct sigv4 *sigv4, const struct sigv4_request *request, const struct sigv4_claim *claim,
		  struct str secret, struct str service, bool region_known, usec now, struct arena *arena,
		  struct error *err);

struct sigv4_credentials { struct str key_id, secret, session_token; };

/* Gives the headers to add (X-Amz-Date, Authorization and, for session keys, X-Amz-Security-Token) to a
 * request whose `headers` has Host and what else is to be signed. At most 3; strings in `arena`. */
size_t sigv4_sign(struct sigv4 *sigv4, const struct sigv4_request *request,
		  const struct sigv4_credentials *credentials, struct str region, struct str service, usec now,
		  struct arena *arena, struct sigv4_header ret_headers[3]);

void sigv4_sha256(struct sigv4 *sigv4, struct str bytes, unsigned char ret_digest[32]);
