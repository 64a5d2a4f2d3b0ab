/* registry.h - one repository of an OCI distribution registry, for reading.
 *
 * Anonymous, basic and bearer-token logins, asked for by the registry's own challenge. Plain http only to
 * this machine itself or when allowed. Redirects are followed without telling another host the login, and never
 * from https to http. A stream that breaks is taken up again where it broke. Thread-safe. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum {
	REGISTRY_INACTIVITY_SECONDS = 60,                /* of silence; options can say another */
	REGISTRY_CONNECT_SECONDS = 20,
	REGISTRY_TRIES = 4,                              /* in a row without a byte more */
	REGISTRY_RESUMES_LIMIT = 100,                    /* of one stream, however much each brings */
	REGISTRY_REDIRECTS_LIMIT = 5,
	REGISTRY_TOKEN_LIMIT = 256 << 10,                /* bytes of a token server's answer */
	REGISTRY_HEADER_LIMIT = 16 << 10,                /* bytes of a challenge */
};

struct registry;

struct registry_options {
	struct str host;                                 /* "docker.io", "localhost:5000" */
	struct str repository;                           /* "library/busybox" */
	struct str username, password;                   /* absent: anonymous */
	struct str certificates;                         /* folder with HOST/ca.crt: more trusted authorities */
	bool allow_http;
	int inactivity_seconds;                          /* 0: REGISTRY_INACTIVITY_SECONDS */
};

struct registry *registry_new(const struct registry_options *options);
void registry_free(struct registry *registry);

/* A manifest or index, by tag or digest, at most `limit` bytes. What the registry says its digest is has
 * been checked; a caller who asked by digest compares *ret_digest ("sha256:…") with what it wants. */
struct registry_document { struct str text, media_type, digest; };
bool registry_manifest(struct registry *registry, struct str reference, size_t limit, struct arena *arena,
		       struct registry_document *ret_document, struct error *err);

/* Streams a blob; what `write` refuses ends it with its error. Not checked against the digest. */
struct registry_sink {
	bool (*write)(void *arg, struct str bytes, struct error *err);
	void *arg;
};
bool registry_blob(struct registry *registry, struct str digest, const struct registry_sink *sink,
		   struct error *err);

/* Parts of a WWW-Authenticate header: `Bearer realm="…",service="…",scope="…"`. Absent when not given. */
struct registry_challenge { struct str scheme, realm, service, scope; };
bool registry_challenge_parse(struct str header, struct arena *arena, struct registry_challenge *ret_challenge);

bool registry_host_is_here(struct str host);             /* localhost, 127.…, [::1], with or without port */
