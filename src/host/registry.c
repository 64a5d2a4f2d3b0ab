#include "host/registry.h"
#include <assert.h>
#include <curl/curl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "api/oci.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/time.h"
#include "os/clock.h"
#include "wire/base64.h"
#include "wire/json.h"

#define RETRY_PAUSE (250 * USEC_PER_MSEC)                /* doubled each time */
#define MANIFEST_TYPES \
	"Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.docker.distribution.manifest.v2+json"

enum { SAID_LIMIT = 4096, SAID_SHOWN = 160 };

enum scheme { SCHEME_UNKNOWN, SCHEME_HTTPS, SCHEME_HTTP };

struct registry {
	struct arena arena;
	struct str name;                                 /* as in image names: docker.io */
	struct str host;                                 /* who is asked: registry-1.docker.io */
	struct str repository, username, password;
	const char *authority_file;                      /* NULL: the system's */
	bool may_http;
	long inactivity_seconds;

	pthread_mutex_t lock;                            /* of all below */
	enum scheme scheme;                              /* what it was found to speak */
	char *authorization;                             /* "Authorization: …", malloc'd, or NULL */
	LIST_OF(CURL *) idle;
};

/* One request and what came of it. */
struct exchange {
	struct registry *registry;
	CURL *curl;
	char problem[CURL_ERROR_SIZE];

	long status;
	struct buffer challenge, media_type, digest;     /* headers */
	struct buffer said;                              /* the start of a body that is no success */
	struct buffer body;                              /* when there is no sink */
	size_t body_limit;
	const struct registry_sink *sink;
	uint64_t offset, skip;                           /* bytes the sink has; bytes to leave out, it has them */
	bool refused;                                    /* the sink did; or we, for size */
	struct error refusal;
};

/* ---- connections */

static void curl_start(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

bool registry_host_is_here(struct str host)
{
	struct str name = str_starts(host, S("[")) ? str_slice(host, 0, str_find(host, ']') + 1)
						   : str_slice(host, 0, str_find(host, ':'));
	unsigned char parts[4];
	char text[64], end;

	if (str_equal_ignoring_case(name, S("localhost")) || str_equal(name, S("[::1]")))
		return true;
	if (name.len >= sizeof(text))
		return false;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	return sscanf(text, "%hhu.%hhu.%hhu.%hhu%c", &parts[0], &parts[1], &parts[2], &parts[3], &end) == 4 &&
	       parts[0] == 127;
}

static const char *authority_file(struct arena *arena, struct str folder, struct str host)
{
	const char *path;

	if (!str_has(folder))
		return NULL;
	path = arena_cstr(arena, arena_printf(arena, "%.*s/%.*s/ca.crt", STR(folder), STR(host)));
	return access(path, R_OK) == 0 ? path : NULL;
}

struct registry *registry_new(const struct registry_options *options)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct registry *registry = calloc(1, sizeof(*registry));

	pthread_once(&once, curl_start);
	if (!registry)
		abort();
	pthread_mutex_init(&registry->lock, NULL);
	registry->name = arena_copy(&registry->arena, options->host);
	registry->host = str_equal(options->host, S("docker.io")) ? S("registry-1.docker.io") : registry->name;
	registry->repository = arena_copy(&registry->arena, options->repository);
	registry->username = arena_copy(&registry->arena, options->username);
	registry->password = arena_copy(&registry->arena, options->password);
	registry->authority_file = authority_file(&registry->arena, options->certificates, options->host);
	registry->may_http = options->allow_http || registry_host_is_here(registry->host);
	registry->inactivity_seconds =
		options->inactivity_seconds ? options->inactivity_seconds : REGISTRY_INACTIVITY_SECONDS;
	return registry;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < registry->idle.count; i++)
		curl_easy_cleanup(registry->idle.items[i]);
	list_fini(&registry->idle);
	free(registry->authorization);
	pthread_mutex_destroy(&registry->lock);
	arena_fini(&registry->arena);
	free(registry);
}

static CURL *connection_take(struct registry *registry)
{
	CURL *curl = NULL;

	pthread_mutex_lock(&registry->lock);
	if (registry->idle.count > 0)
		curl = registry->idle.items[--registry->idle.count];
	pthread_mutex_unlock(&registry->lock);
	if (!curl)
		curl = curl_easy_init();
	if (!curl)
		abort();
	curl_easy_reset(curl); /* keeps the connection */
	return curl;
}

static void exchange_init(struct exchange *exchange, struct registry *registry)
{
	*exchange = (struct exchange){.registry = registry, .curl = connection_take(registry)};
}

static void exchange_fini(struct exchange *exchange)
{
	pthread_mutex_lock(&exchange->registry->lock);
	list_add(&exchange->registry->idle, exchange->curl);
	pthread_mutex_unlock(&exchange->registry->lock);
	buffer_fini(&exchange->challenge);
	buffer_fini(&exchange->media_type);
	buffer_fini(&exchange->digest);
	buffer_fini(&exchange->said);
	buffer_fini(&exchange->body);
}

#define auto_exchange __attribute__((cleanup(exchange_fini))) struct exchange

static enum scheme scheme_get(struct registry *registry)
{
	enum scheme scheme;

	pthread_mutex_lock(&registry->lock);
	scheme = registry->scheme;
	pthread_mutex_unlock(&registry->lock);
	return scheme;
}

/* ---- what the server sends */

static void header_keep(struct str line, struct str name, struct buffer *value)
{
	if (line.len <= name.len || line.len > REGISTRY_HEADER_LIMIT || line.ptr[name.len] != ':' ||
	    !str_equal_ignoring_case(str_slice(line, 0, name.len), name))
		return;
	buffer_clear(value);
	buffer_add(value, str_trim(str_slice(line, name.len + 1, line.len)));
}

/* A registry may challenge with several schemes; the token is the one it really means. */
static void challenge_keep(struct str line, struct buffer *challenge)
{
	struct str had = buffer_str(challenge);

	if (had.len >= 6 && str_equal_ignoring_case(str_slice(had, 0, 6), S("Bearer")))
		return;
	header_keep(line, S("WWW-Authenticate"), challenge);
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
	struct exchange *exchange = arg;
	struct str line = {bytes, size * count};

	challenge_keep(line, &exchange->challenge);
	header_keep(line, S("Content-Type"), &exchange->media_type);
	header_keep(line, S("Docker-Content-Digest"), &exchange->digest);
	return line.len;
}

static bool sink_write(struct exchange *exchange, struct str bytes)
{
	size_t left_out = (size_t)MIN((uint64_t)bytes.len, exchange->skip);

	exchange->skip -= left_out;
	bytes = str_slice(bytes, left_out, bytes.len);
	if (!str_empty(bytes) && !exchange->sink->write(exchange->sink->arg, bytes, &exchange->refusal))
		return false;
	exchange->offset += bytes.len;
	return true;
}

static bool body_write(struct exchange *exchange, struct str bytes)
{
	if (bytes.len > exchange->body_limit - exchange->body.len)
		return fail(&exchange->refusal, ERROR_REFUSED, "the registry's answer is longer than %zu bytes",
			    exchange->body_limit);
	buffer_add(&exchange->body, bytes);
	return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct exchange *exchange = arg;
	struct str part = {bytes, size * count};
	long status = 0;

	curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 && status != 206) {
		buffer_add(&exchange->said, str_slice(part, 0, SAID_LIMIT - exchange->said.len));
		return part.len;
	}
	if (status == 206 && exchange->skip > 0)
		exchange->skip = 0; /* it goes on where we asked */
	exchange->refused = !(exchange->sink ? sink_write(exchange, part) : body_write(exchange, part));
	return exchange->refused ? CURL_WRITEFUNC_ERROR : part.len;
}

/* ---- one request */

static bool is_same_origin(const char *a, const char *b)
{
	static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
	CURLU *left = curl_url(), *right = curl_url();
	bool same = curl_url_set(left, CURLUPART_URL, a, 0) == CURLUE_OK &&
		    curl_url_set(right, CURLUPART_URL, b, 0) == CURLUE_OK;

	for (size_t i = 0; i < COUNT(parts) && same; i++) {
		char *one = NULL, *other = NULL;

		same = curl_url_get(left, parts[i], &one, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		       curl_url_get(right, parts[i], &other, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		       str_equal_ignoring_case(str_of(one), str_of(other));
		curl_free(one);
		curl_free(other);
	}
	curl_url_cleanup(left);
	curl_url_cleanup(right);
	return same;
}

static void protocols_allow(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void exchange_prepare(struct exchange *exchange, const char *url)
{
	CURL *curl = exchange->curl;
	struct registry *registry = exchange->registry;

	curl_easy_reset(curl);
	protocols_allow(curl);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "wherry/" WHERRY_VERSION);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->problem);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)REGISTRY_CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, registry->inactivity_seconds);
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
	if (registry->authority_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, registry->authority_file);
	if (registry_host_is_here(registry->host))
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

/* Asks for `url`, with `authorization` when not NULL; no redirects. A success is that it answered. */
static CURLcode exchange_once(struct exchange *exchange, const char *url, const char *authorization)
{
	struct curl_slist *headers = curl_slist_append(NULL, MANIFEST_TYPES);
	char range[32];
	CURLcode result;

	exchange_prepare(exchange, url);
	buffer_clear(&exchange->challenge);
	buffer_clear(&exchange->media_type);
	buffer_clear(&exchange->digest);
	buffer_clear(&exchange->said);
	buffer_clear(&exchange->body);
	exchange->problem[0] = '\0';
	exchange->skip = exchange->offset;
	if (authorization)
		headers = curl_slist_append(headers, authorization);
	curl_easy_setopt(exchange->curl, CURLOPT_HTTPHEADER, headers);
	if (exchange->offset > 0) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)exchange->offset);
		curl_easy_setopt(exchange->curl, CURLOPT_RANGE, range);
	}
	result = curl_easy_perform(exchange->curl);
	curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
	curl_slist_free_all(headers);
	return result;
}

static bool fail_curl(struct exchange *exchange, const char *url, CURLcode result, struct error *err)
{
	if (exchange->refused) {
		if (err)
			*err = exchange->refusal;
		return false;
	}
	return fail(err, ERROR_NETWORK, "failed to do request: Get \"%.200s\": %s", url,
		    exchange->problem[0] ? exchange->problem : curl_easy_strerror(result));
}

static bool is_plain(const char *url) { return str_starts(str_of(url), S("http://")); }

/* Follows redirects; the login goes only to where it belongs. */
static bool exchange_run(struct exchange *exchange, struct str first, const char *authorization,
			 CURLcode *ret_result, struct error *err)
{
	auto_arena arena = {0};
	const char *start = arena_cstr(&arena, first), *url = start;

	for (int i = 0; i <= REGISTRY_REDIRECTS_LIMIT; i++) {
		char *next = NULL;

		*ret_result = exchange_once(exchange, url,
					    is_same_origin(start, url) ? authorization : NULL);
		if (*ret_result != CURLE_OK)
			return fail_curl(exchange, url, *ret_result, err);
		curl_easy_getinfo(exchange->curl, CURLINFO_REDIRECT_URL, &next);
		if (exchange->status / 100 != 3 || !next)
			return true;
		if (is_plain(next) && !is_plain(start))
			return fail(err, ERROR_REFUSED, "the registry redirects from https to \"%.200s\"", next);
		url = arena_cstr(&arena, str_of(next));
	}
	return fail(err, ERROR_NETWORK, "the registry redirects more than %d times", REGISTRY_REDIRECTS_LIMIT);
}

/* ---- logins */

static struct str challenge_value(struct str *rest, struct arena *arena)
{
	char *value;
	size_t len = 0, i = 1;

	if (!str_starts(*rest, S("\""))) {
		struct str bare = str_slice(*rest, 0, str_find(*rest, ','));

		*rest = str_slice(*rest, bare.len, rest->len);
		return str_trim(bare);
	}
	value = arena_alloc_bytes(arena, rest->len);
	for (; i < rest->len && rest->ptr[i] != '"'; i++) {
		if (rest->ptr[i] == '\\' && i + 1 < rest->len)
			i++;
		value[len++] = rest->ptr[i];
	}
	*rest = str_slice(*rest, i + 1, rest->len);
	return (struct str){value, len};
}

bool registry_challenge_parse(struct str header, struct arena *arena, struct registry_challenge *ret_challenge)
{
	struct str rest = str_trim(header);
	struct registry_challenge challenge = {.scheme = str_slice(rest, 0, str_find(rest, ' '))};
	struct { struct str name, *value; } parts[] = {
		{S("realm"), &challenge.realm}, {S("service"), &challenge.service}, {S("scope"), &challenge.scope},
	};

	if (str_empty(challenge.scheme))
		return false;
	rest = str_slice(rest, challenge.scheme.len, rest.len);
	while (!str_empty(rest = str_trim(rest))) {
		size_t sign = str_find(rest, '=');
		struct str name = str_trim(str_slice(rest, 0, sign)), value;

		if (sign == rest.len)
			break;
		rest = str_slice(rest, sign + 1, rest.len);
		value = challenge_value(&rest, arena);
		for (size_t i = 0; i < COUNT(parts); i++)
			if (str_equal_ignoring_case(name, parts[i].name))
				*parts[i].value = value;
		rest = str_trim(rest);
		rest = str_slice(rest, str_starts(rest, S(",")) ? 1 : 0, rest.len);
	}
	*ret_challenge = challenge;
	return true;
}

static char *basic_header(struct registry *registry, struct arena *arena)
{
	auto_buffer encoded = {0};

	if (!str_has(registry->username))
		return NULL;
	base64_encode(arena_printf(arena, "%.*s:%.*s", STR(registry->username), STR(registry->password)), &encoded);
	return arena_cstr(arena, arena_printf(arena, "Authorization: Basic %.*s", STR(buffer_str(&encoded))));
}

static void query_add(struct buffer *url, const char *name, struct str value)
{
	char *escaped;

	if (str_empty(value))
		return;
	escaped = curl_easy_escape(NULL, value.ptr, (int)value.len);
	buffer_printf(url, "%c%s=%s", str_contains(buffer_str(url), S("?")) ? '&' : '?', name, escaped);
	curl_free(escaped);
}

static bool is_header_safe(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
			return false;
	return s.len > 0;
}

static bool token_decode(struct str text, struct arena *arena, struct str *ret_token, struct error *err)
{
	struct json_fault fault = {0};
	struct oci_token *token;
	void *value;

	if (!json_decode(&shape_oci_token, text, arena, &value, &fault))
		return fail(err, ERROR_NETWORK, "the token server's answer is no token: %s", fault.error.text);
	token = value;
	*ret_token = str_has(token->token) ? token->token : token->access_token;
	if (!is_header_safe(*ret_token))
		return fail(err, ERROR_NETWORK, "the token server gave no token");
	return true;
}

static bool token_fetch(struct registry *registry, const struct registry_challenge *challenge,
			struct arena *arena, struct str *ret_token, struct error *err)
{
	auto_exchange exchange;
	auto_buffer url = {0};
	CURLcode result;

	exchange_init(&exchange, registry);
	buffer_add(&url, challenge->realm);
	query_add(&url, "service", challenge->service);
	query_add(&url, "scope", challenge->scope);
	exchange.body_limit = REGISTRY_TOKEN_LIMIT;
	if (!str_starts(challenge->realm, S("https://")) &&
	    !(scheme_get(registry) == SCHEME_HTTP && str_starts(challenge->realm, S("http://"))))
		return fail(err, ERROR_REFUSED, "the registry names a token server without https: '%.*s'",
			    (int)MIN(challenge->realm.len, 200), challenge->realm.ptr);
	if (!exchange_run(&exchange, buffer_str(&url), basic_header(registry, arena), &result, err))
		return fail_context(err, "failed to authorize: failed to fetch token");
	if (exchange.status != 200)
		return fail(err, ERROR_ACCESS_DENIED,
			    "failed to authorize: failed to fetch %s token: unexpected status: %ld",
			    str_has(registry->username) ? "oauth" : "anonymous", exchange.status);
	return token_decode(arena_copy(arena, buffer_str(&exchange.body)), arena, ret_token, err);
}

static bool authorization_set(struct registry *registry, const char *authorization)
{
	char *copy = authorization ? strdup(authorization) : NULL;

	pthread_mutex_lock(&registry->lock);
	free(registry->authorization);
	registry->authorization = copy;
	pthread_mutex_unlock(&registry->lock);
	return copy != NULL;
}

static const char *authorization_get(struct registry *registry, struct arena *arena)
{
	const char *copy;

	pthread_mutex_lock(&registry->lock);
	copy = registry->authorization ? arena_cstr(arena, str_of(registry->authorization)) : NULL;
	pthread_mutex_unlock(&registry->lock);
	return copy;
}

/* Answers the challenge. False without an error of its own when there is no login to answer with. */
static bool authorize(struct registry *registry, struct str header, struct arena *arena, struct error *err)
{
	struct registry_challenge challenge;
	struct str token;

	if (!registry_challenge_parse(header, arena, &challenge))
		return fail(err, ERROR_ACCESS_DENIED, "the registry asks for a login but not for which");
	if (str_equal_ignoring_case(challenge.scheme, S("Basic")) && str_has(registry->username))
		return authorization_set(registry, basic_header(registry, arena));
	if (str_equal_ignoring_case(challenge.scheme, S("Basic")))
		return fail(err, ERROR_ACCESS_DENIED, "no basic auth credentials");
	if (!str_equal_ignoring_case(challenge.scheme, S("Bearer")) || str_empty(challenge.realm))
		return fail(err, ERROR_ACCESS_DENIED, "the registry asks for a login of kind '%.*s'",
			    (int)MIN(challenge.scheme.len, 40), challenge.scheme.ptr);
	if (!token_fetch(registry, &challenge, arena, &token, err))
		return false;
	return authorization_set(registry,
				 arena_cstr(arena, arena_printf(arena, "Authorization: Bearer %.*s", STR(token))));
}

/* ---- requests to the registry */

/* The message in {"errors":[{"code":…,"message":…}]}, else the start of the text, printable. */
static struct str said_text(struct exchange *exchange, struct arena *arena)
{
	struct str list = json_member_text(buffer_str(&exchange->said), S("errors")), text;
	struct str raw = json_member_text(str_slice(list, 1, list.len), S("message"));
	char *shown;

	if (!str_has(raw) || !json_string_value(raw, arena, &text))
		text = buffer_str(&exchange->said);
	text = arena_copy(arena, str_trim(str_slice(text, 0, SAID_SHOWN)));
	shown = (char *)(uintptr_t)text.ptr;
	for (size_t i = 0; i < text.len; i++)
		if (shown[i] < ' ' || shown[i] >= 0x7f)
			shown[i] = '?';
	return text;
}

static bool fail_status(struct exchange *exchange, struct str path, struct arena *arena, struct error *err)
{
	struct str said = said_text(exchange, arena);

	switch (exchange->status) {
	case 401:
	case 403:
		return fail(err, ERROR_ACCESS_DENIED,
			    "pull access denied, repository does not exist or may require authorization: "
			    "server message: %.*s", STR(said));
	case 404: return fail(err, ERROR_NOT_FOUND, "not found");
	case 429: return fail(err, ERROR_THROTTLING, "toomanyrequests: %.*s", STR(said));
	default:
		return fail(err, exchange->status >= 500 ? ERROR_NETWORK : ERROR_REFUSED,
			    "pulling from host %.*s failed with status code [%.*s]: %ld %.*s",
			    STR(exchange->registry->host), (int)MIN(path.len, 120), path.ptr, exchange->status,
			    STR(said));
	}
}

static void scheme_set(struct registry *registry, enum scheme scheme)
{
	pthread_mutex_lock(&registry->lock);
	if (registry->scheme == SCHEME_UNKNOWN)
		registry->scheme = scheme;
	pthread_mutex_unlock(&registry->lock);
}

/* One request with the login we have; the status may be anything. */
static bool exchange_try(struct exchange *exchange, enum scheme scheme, struct str path, struct arena *arena,
			 CURLcode *ret_result, struct error *err)
{
	struct registry *registry = exchange->registry;
	struct str url = arena_printf(arena, "%s://%.*s/v2/%.*s/%.*s", scheme == SCHEME_HTTP ? "http" : "https",
				      STR(registry->host), STR(registry->repository), STR(path));

	if (!exchange_run(exchange, url, authorization_get(registry, arena), ret_result, err))
		return false;
	scheme_set(registry, scheme);
	return true;
}

/* How https fails when the other side speaks plain http or does not listen. */
static bool may_be_plain(struct registry *registry, CURLcode result)
{
	return registry->may_http && scheme_get(registry) == SCHEME_UNKNOWN &&
	       (result == CURLE_SSL_CONNECT_ERROR || result == CURLE_COULDNT_CONNECT);
}

/* The same, logging in when it is asked for. */
static bool exchange_ask(struct exchange *exchange, struct str path, struct arena *arena, struct error *err)
{
	struct registry *registry = exchange->registry;
	CURLcode result;
	bool done = exchange_try(exchange, scheme_get(registry), path, arena, &result, err);

	if (!done && may_be_plain(registry, result))
		done = exchange_try(exchange, SCHEME_HTTP, path, arena, &result, err);
	if (!done || exchange->status != 401 || exchange->challenge.len == 0)
		return done;
	return authorize(registry, arena_copy(arena, buffer_str(&exchange->challenge)), arena, err) &&
	       exchange_try(exchange, scheme_get(registry), path, arena, &result, err);
}

static bool is_worth_retrying(const struct exchange *exchange, bool answered, const struct error *error)
{
	if (answered)
		return exchange->status >= 500 || exchange->status == 429 || exchange->status == 408;
	return !exchange->refused && error->code == ERROR_NETWORK;
}

/* GETs `path` below the repository until it is whole. */
static bool exchange_get(struct exchange *exchange, struct str path, struct error *err)
{
	auto_arena arena = {0};
	struct error error = {0};
	int tries = 0;

	for (int i = 0; i < REGISTRY_RESUMES_LIMIT; i++) {
		uint64_t before = exchange->offset;
		bool answered = exchange_ask(exchange, path, &arena, &error);

		if (answered && (exchange->status == 200 || exchange->status == 206))
			return true;
		tries = exchange->offset > before ? 1 : tries + 1;
		if (tries >= REGISTRY_TRIES || !is_worth_retrying(exchange, answered, &error)) {
			if (answered)
				fail_status(exchange, path, &arena, &error);
			break;
		}
		clock_sleep(RETRY_PAUSE << tries);
	}
	if (err)
		*err = error;
	return false;
}

static struct str digest_of(struct str text, struct arena *arena)
{
	unsigned char hash[32];
	char *digest = arena_alloc_bytes(arena, 7 + 2 * sizeof(hash) + 1);

	EVP_Digest(text.ptr, text.len, hash, NULL, EVP_sha256(), NULL);
	memcpy(digest, "sha256:", 7);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(digest + 7 + 2 * i, 3, "%02x", hash[i]);
	return (struct str){digest, 7 + 2 * sizeof(hash)};
}

bool registry_manifest(struct registry *registry, struct str reference, size_t limit, struct arena *arena,
		       struct registry_document *ret_document, struct error *err)
{
	auto_exchange exchange;
	struct registry_document document;
	struct str said;

	exchange_init(&exchange, registry);
	exchange.body_limit = limit;
	if (!exchange_get(&exchange, arena_printf(arena, "manifests/%.*s", STR(reference)), err))
		return false;
	document.text = arena_copy(arena, buffer_str(&exchange.body));
	document.media_type = arena_copy(arena, buffer_str(&exchange.media_type));
	document.digest = digest_of(document.text, arena);
	said = buffer_str(&exchange.digest);
	if (str_starts(said, S("sha256:")) && !str_equal(said, document.digest))
		return fail(err, ERROR_CORRUPT, "the manifest's digest is %.*s, not %.*s as the registry says",
			    STR(document.digest), (int)MIN(said.len, 80), said.ptr);
	*ret_document = document;
	return true;
}

bool registry_blob(struct registry *registry, struct str digest, const struct registry_sink *sink,
		   struct error *err)
{
	auto_arena arena = {0};
	auto_exchange exchange;

	exchange_init(&exchange, registry);
	exchange.sink = sink;
	return exchange_get(&exchange, arena_printf(&arena, "blobs/%.*s", STR(digest)), err);
}
