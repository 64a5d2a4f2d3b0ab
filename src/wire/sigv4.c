#include "wire/sigv4.h"
#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include "base/buffer.h"
#include "wire/percent.h"
#include "wire/timestamp.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"

enum {
	DIGEST_SIZE = 32, HEX_SIZE = 2 * DIGEST_SIZE,
	SCOPE_LIMIT = 256,                               /* bytes of secret and scope in the cache; longer is not kept */
	QUERY_LIMIT = 256,                               /* parameters */
};

static const char mismatch[] =
	"The request signature we calculated does not match the signature you provided. Check your AWS Secret "
	"Access Key and signing method. Consult the service documentation for details.";

/* A signing key, ready in a context: what it was derived from, and the context. */
struct derived {
	char scope[SCOPE_LIMIT];
	size_t scope_len;                                /* 0: free */
	EVP_MAC_CTX *mac;
};

struct sigv4 {
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
	EVP_MAC *hmac;
	EVP_MAC_CTX *mac;                                /* for deriving, and for what is not cached */
	struct buffer text, scope;                       /* scratch, reused */
	struct derived derived[SIGV4_DERIVED_KEYS];
};

/* The library fails only without memory or without its own algorithms. */
static void must(bool worked)
{
	if (!worked)
		abort();
}

static EVP_MAC_CTX *mac_new(EVP_MAC *hmac)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);

	must(mac && EVP_MAC_CTX_set_params(mac, params));
	return mac;
}

struct sigv4 *sigv4_new(void)
{
	struct sigv4 *sigv4 = calloc(1, sizeof(*sigv4));

	must(sigv4);
	sigv4->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	sigv4->digest = EVP_MD_CTX_new();
	sigv4->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	must(sigv4->sha256 && sigv4->digest && sigv4->hmac);
	sigv4->mac = mac_new(sigv4->hmac);
	return sigv4;
}

static void cleanse(struct buffer *buffer)
{
	if (buffer->bytes)
		OPENSSL_cleanse(buffer->bytes, buffer->capacity);
	buffer_fini(buffer);
}

void sigv4_free(struct sigv4 *sigv4)
{
	if (!sigv4)
		return;
	for (size_t i = 0; i < SIGV4_DERIVED_KEYS; i++)
		EVP_MAC_CTX_free(sigv4->derived[i].mac);
	EVP_MAC_CTX_free(sigv4->mac);
	EVP_MAC_free(sigv4->hmac);
	EVP_MD_CTX_free(sigv4->digest);
	EVP_MD_free(sigv4->sha256);
	cleanse(&sigv4->text);
	cleanse(&sigv4->scope);
	OPENSSL_cleanse(sigv4, sizeof(*sigv4));
	free(sigv4);
}

void sigv4_sha256(struct sigv4 *sigv4, struct str bytes, unsigned char ret_digest[32])
{
	must(EVP_DigestInit_ex2(sigv4->digest, sigv4->sha256, NULL) &&
	     EVP_DigestUpdate(sigv4->digest, bytes.ptr, bytes.len) &&
	     EVP_DigestFinal_ex(sigv4->digest, ret_digest, NULL));
}

static void put_hex(const unsigned char digest[DIGEST_SIZE], char text[HEX_SIZE])
{
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		text[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
}

static void add_hex(struct buffer *out, const unsigned char digest[DIGEST_SIZE])
{
	buffer_reserve(out, HEX_SIZE);
	put_hex(digest, out->bytes + out->len);
	out->len += HEX_SIZE;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static const struct sigv4_header *find_header(const struct sigv4_request *request, struct str name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (str_equal_ignoring_case(request->headers[i].name, name))
			return &request->headers[i];
	return NULL;
}

static struct str header_value(const struct sigv4_request *request, struct str name)
{
	const struct sigv4_header *header = find_header(request, name);

	return header ? str_trim(header->value) : STR_NONE;
}

/* Reading the claim. */

struct parameters {
	struct str credential, signed_headers, signature;
};

static struct str after(struct str text, struct str front)
{
	return str_slice(text, front.len, text.len);
}

static bool read_parameters(struct str rest, struct parameters *parameters)
{
	struct str piece;

	while (str_cut(&rest, ',', &piece)) {
		piece = str_trim(piece);
		if (str_starts(piece, S("Credential=")))
			parameters->credential = after(piece, S("Credential="));
		else if (str_starts(piece, S("SignedHeaders=")))
			parameters->signed_headers = after(piece, S("SignedHeaders="));
		else if (str_starts(piece, S("Signature=")))
			parameters->signature = after(piece, S("Signature="));
		else if (piece.len)
			return false;
	}
	return true;
}

static bool incomplete(struct error *err, const struct parameters *parameters, bool dated)
{
	return fail(err, ERROR_INCOMPLETE_SIGNATURE, "%s%s%s%s",
		    parameters->credential.len ? "" : "Authorization header requires 'Credential' parameter. ",
		    parameters->signature.len ? "" : "Authorization header requires 'Signature' parameter. ",
		    parameters->signed_headers.len ? "" :
						     "Authorization header requires 'SignedHeaders' parameter. ",
		    dated ? "" : "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
}

static bool read_credential(struct str text, struct sigv4_claim *claim, struct error *err)
{
	struct str rest = text, terminator;

	if (!str_cut(&rest, '/', &claim->key_id) || !str_cut(&rest, '/', &claim->date) ||
	    !str_cut(&rest, '/', &claim->region) || !str_cut(&rest, '/', &claim->service) ||
	    !str_cut(&rest, '/', &terminator) || str_has(rest))
		return fail(err, ERROR_INCOMPLETE_SIGNATURE,
			    "Credential must have exactly 5 slash-delimited elements, e.g. "
			    "keyid/date/region/service/term, got '%.*s'", STR(text));
	if (!str_equal(terminator, S(TERMINATOR)))
		return fail(err, ERROR_INVALID_SIGNATURE,
			    "Credential should be scoped with a valid terminator: '" TERMINATOR "', not '%.*s'.",
			    STR(terminator));
	return true;
}

/* X-Amz-Date, else Date, which may be in the form of HTTP. */
static bool read_date(struct str text, struct arena *arena, struct str *ret_timestamp, struct error *err)
{
	char basic[TIMESTAMP_TEXT_SIZE];
	usec time;

	if (timestamp_parse_basic(text, &time)) {
		*ret_timestamp = text;
		return true;
	}
	if (!timestamp_parse_http(text, &time))
		return fail(err, ERROR_INCOMPLETE_SIGNATURE,
			    "Date must be in ISO-8601 'basic format'. Got '%.*s'. See "
			    "http://en.wikipedia.org/wiki/ISO_8601", STR(text));
	*ret_timestamp = arena_copy(arena, (struct str){basic, timestamp_format_basic(time, basic)});
	return true;
}

static bool scope_date_fits(const struct sigv4_claim *claim, struct error *err)
{
	struct str day = str_slice(claim->timestamp, 0, 8);

	return str_equal(claim->date, day) ||
	       fail(err, ERROR_INVALID_SIGNATURE,
		    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
		    "'%.*s' != '%.*s', from '%.*s'.", STR(claim->date), STR(day), STR(claim->timestamp));
}

bool sigv4_read(const struct sigv4_request *request, struct arena *arena, struct sigv4_claim *ret_claim,
		struct error *err)
{
	struct str authorization = header_value(request, S("Authorization"));
	struct str date = header_value(request, S("X-Amz-Date"));
	struct parameters parameters = {0};
	struct sigv4_claim claim = {0};

	if (str_empty(authorization))
		return fail(err, ERROR_MISSING_AUTHENTICATION_TOKEN, "Missing Authentication Token");
	if (!str_starts(authorization, S(ALGORITHM " ")))
		return fail(err, ERROR_INCOMPLETE_SIGNATURE, "Unsupported AWS 'algorithm': '%.*s'.",
			    STR(str_slice(authorization, 0, str_find(authorization, ' '))));
	if (!read_parameters(after(authorization, S(ALGORITHM " ")), &parameters))
		return fail(err, ERROR_INCOMPLETE_SIGNATURE,
			    "Invalid key=value pair (missing equal-sign) in Authorization header.");
	if (!str_has(date))
		date = header_value(request, S("Date"));
	if (!parameters.credential.len || !parameters.signature.len || !parameters.signed_headers.len || !date.len)
		return incomplete(err, &parameters, date.len > 0);
	if (!read_credential(parameters.credential, &claim, err) ||
	    !read_date(date, arena, &claim.timestamp, err) || !scope_date_fits(&claim, err))
		return false;
	claim.signed_headers = parameters.signed_headers;
	claim.signature = parameters.signature;
	claim.session_token = header_value(request, S("X-Amz-Security-Token"));
	*ret_claim = claim;
	return true;
}

/* The canonical request. */

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

static void add_encoded(struct buffer *out, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (is_unreserved(text.ptr[i])) {
			buffer_add_char(out, text.ptr[i]);
		} else {
			char code[] = {'%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15]};

			buffer_append(out, code, sizeof(code));
		}
	}
}

/* Drops the last segment written behind `from`. */
static void drop_segment(struct buffer *out, size_t from)
{
	while (out->len > from && out->bytes[--out->len] != '/')
		;
}

/* Without empty and dot segments, and encoded once more than it came: the rule for all but s3. */
static void add_path(struct buffer *out, struct str path)
{
	size_t from = out->len;
	struct str rest = path, segment;
	bool directory = str_ends(path, S("/")) || str_ends(path, S("/.")) || str_ends(path, S("/.."));

	while (str_cut(&rest, '/', &segment)) {
		if (str_equal(segment, S(".."))) {
			drop_segment(out, from);
		} else if (segment.len && !str_equal(segment, S("."))) {
			buffer_add_char(out, '/');
			add_encoded(out, segment);
		}
	}
	if (out->len == from || directory)
		buffer_add_char(out, '/');
}

struct parameter {
	struct str name, value;
};

static struct str recoded(struct sigv4 *sigv4, struct str text, struct arena *arena)
{
	buffer_clear(&sigv4->scope);
	/* A plus is a space here: Go's clients send what they signed as %20 that way. */
	add_encoded(&sigv4->scope, percent_decode(text, true, arena));
	return arena_copy(arena, buffer_str(&sigv4->scope));
}

static int compare_parameters(const void *a, const void *b)
{
	const struct parameter *in_a = a, *in_b = b;
	int order = str_compare(in_a->name, in_b->name);

	return order ? order : str_compare(in_a->value, in_b->value);
}

static bool add_query(struct sigv4 *sigv4, struct buffer *out, struct str query, struct arena *arena)
{
	struct parameter *parameters;
	struct str rest = query, piece;
	size_t count = 0;

	if (!query.len)
		return true;
	parameters = arena_array(arena, struct parameter, QUERY_LIMIT);
	while (str_cut(&rest, '&', &piece)) {
		size_t equals = str_find(piece, '=');

		if (!piece.len)
			continue;
		if (count == QUERY_LIMIT)
			return false;
		parameters[count++] = (struct parameter){
			recoded(sigv4, str_slice(piece, 0, equals), arena),
			recoded(sigv4, str_slice(piece, equals + 1, piece.len), arena)};
	}
	qsort(parameters, count, sizeof(*parameters), compare_parameters);
	for (size_t i = 0; i < count; i++) {
		buffer_add(out, i ? S("&") : S(""));
		buffer_add(out, parameters[i].name);
		buffer_add_char(out, '=');
		buffer_add(out, parameters[i].value);
	}
	return true;
}

static void add_lower(struct buffer *out, struct str text)
{
	buffer_reserve(out, text.len);
	for (size_t i = 0; i < text.len; i++)
		out->bytes[out->len++] = lower(text.ptr[i]);
}

/* Trimmed, with runs of spaces made one. */
static void add_value(struct buffer *out, struct str value)
{
	value = str_trim(value);
	buffer_reserve(out, value.len);
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] != ' ' || value.ptr[i - 1] != ' ')
			out->bytes[out->len++] = value.ptr[i];
}

/* The values of all headers of one name, in the order they came. */
static void add_header(struct buffer *out, const struct sigv4_request *request, struct str name)
{
	bool found = false;

	add_lower(out, name);
	buffer_add_char(out, ':');
	for (size_t i = 0; i < request->header_count; i++) {
		if (!str_equal_ignoring_case(request->headers[i].name, name))
			continue;
		if (found)
			buffer_add_char(out, ',');
		add_value(out, request->headers[i].value);
		found = true;
	}
	buffer_add_char(out, '\n');
}

/* What stands for the body in the canonical request; false when it is not what the body is. */
static bool add_payload_hash(struct sigv4 *sigv4, struct buffer *out, const struct sigv4_request *request)
{
	struct str claimed = header_value(request, S("X-Amz-Content-Sha256"));
	unsigned char digest[DIGEST_SIZE];
	char hex[HEX_SIZE];

	if (request->tls && str_equal(claimed, S("UNSIGNED-PAYLOAD"))) {
		buffer_add(out, claimed);
		return true;
	}
	if (request->body_sha256)
		memcpy(digest, request->body_sha256, sizeof(digest));
	else
		sigv4_sha256(sigv4, request->body, digest);
	put_hex(digest, hex);
	buffer_append(out, hex, sizeof(hex));
	return !str_has(claimed) || str_equal(claimed, (struct str){hex, sizeof(hex)});
}

/* Into sigv4->text. False when the request cannot have been signed like that. */
static bool canonical_request(struct sigv4 *sigv4, const struct sigv4_request *request,
			      struct str signed_headers, struct str service, struct arena *arena)
{
	struct buffer *out = &sigv4->text;
	struct str rest = signed_headers, name;

	buffer_clear(out);
	buffer_add(out, request->method);
	buffer_add_char(out, '\n');
	if (str_equal(service, S("s3")))
		buffer_add(out, request->path.len ? request->path : S("/"));
	else
		add_path(out, request->path);
	buffer_add_char(out, '\n');
	if (!add_query(sigv4, out, request->query, arena))
		return false;
	buffer_add_char(out, '\n');
	for (size_t count = 0; str_cut(&rest, ';', &name); count++) {
		if (count == SIGV4_SIGNED_HEADERS_LIMIT)
			return false;
		add_header(out, request, name);
	}
	buffer_add_char(out, '\n');
	add_lower(out, signed_headers);
	buffer_add_char(out, '\n');
	return add_payload_hash(sigv4, out, request);
}

/* Keys and signatures. */

static void hmac(struct sigv4 *sigv4, struct str key, struct str text, unsigned char ret_mac[DIGEST_SIZE])
{
	must(EVP_MAC_init(sigv4->mac, (const unsigned char *)key.ptr, key.len, NULL) &&
	     EVP_MAC_update(sigv4->mac, (const unsigned char *)text.ptr, text.len) &&
	     EVP_MAC_final(sigv4->mac, ret_mac, NULL, DIGEST_SIZE));
}

static void derive(struct sigv4 *sigv4, struct str secret, struct str date, struct str region,
		   struct str service, unsigned char ret_key[DIGEST_SIZE])
{
	struct str key = {(const char *)ret_key, DIGEST_SIZE};

	buffer_clear(&sigv4->scope);
	buffer_add(&sigv4->scope, S("AWS4"));
	buffer_add(&sigv4->scope, secret);
	hmac(sigv4, buffer_str(&sigv4->scope), date, ret_key);
	hmac(sigv4, key, region, ret_key);
	hmac(sigv4, key, service, ret_key);
	hmac(sigv4, key, S(TERMINATOR), ret_key);
}

static void add_part(struct buffer *out, struct str part)
{
	buffer_add(out, part);
	buffer_add_char(out, '\0');
}

/* A context that holds the signing key, from the cache when it is there. */
static EVP_MAC_CTX *keyed(struct sigv4 *sigv4, struct str secret, struct str date, struct str region,
			  struct str service)
{
	unsigned char key[DIGEST_SIZE];
	struct derived *derived;
	struct buffer *scope = &sigv4->scope;

	buffer_clear(scope);
	add_part(scope, secret);
	add_part(scope, date);
	add_part(scope, region);
	add_part(scope, service);
	derived = &sigv4->derived[str_hash(buffer_str(scope), 0) % SIGV4_DERIVED_KEYS];
	if (derived->scope_len == scope->len && memcmp(derived->scope, scope->bytes, scope->len) == 0) {
		must(EVP_MAC_init(derived->mac, NULL, 0, NULL));
		return derived->mac;
	}
	derived->scope_len = scope->len <= SCOPE_LIMIT ? scope->len : 0;
	memcpy(derived->scope, scope->bytes, derived->scope_len);
	if (!derived->mac)
		derived->mac = mac_new(sigv4->hmac);
	derive(sigv4, secret, date, region, service, key);
	must(EVP_MAC_init(derived->mac, key, sizeof(key), NULL));
	OPENSSL_cleanse(key, sizeof(key));
	return derived->mac;
}

/* Signs the canonical request in sigv4->text. */
static void sign_text(struct sigv4 *sigv4, const struct sigv4_claim *claim, struct str secret,
		      char ret_signature[HEX_SIZE])
{
	unsigned char digest[DIGEST_SIZE];
	struct buffer *text = &sigv4->text;
	EVP_MAC_CTX *mac;

	sigv4_sha256(sigv4, buffer_str(text), digest);
	buffer_clear(text);
	buffer_add(text, S(ALGORITHM "\n"));
	buffer_add(text, claim->timestamp);
	buffer_add_char(text, '\n');
	buffer_add(text, claim->date);
	buffer_add_char(text, '/');
	buffer_add(text, claim->region);
	buffer_add_char(text, '/');
	buffer_add(text, claim->service);
	buffer_add(text, S("/" TERMINATOR "\n"));
	add_hex(text, digest);
	mac = keyed(sigv4, secret, claim->date, claim->region, claim->service);
	must(EVP_MAC_update(mac, (const unsigned char *)text->bytes, text->len) &&
	     EVP_MAC_final(mac, digest, NULL, sizeof(digest)));
	put_hex(digest, ret_signature);
}

static bool scope_fits(const struct sigv4_claim *claim, struct str service, bool region_known,
		       struct error *err)
{
	bool service_fits = str_equal(claim->service, service);

	if (region_known && service_fits)
		return true;
	if (service_fits)
		return fail(err, ERROR_INVALID_SIGNATURE, "Credential should be scoped to a valid region.");
	return fail(err, ERROR_INVALID_SIGNATURE, "%sCredential should be scoped to correct service: '%.*s'.",
		    region_known ? "" : "Credential should be scoped to a valid region. ", STR(service));
}

static bool is_fresh(const struct sigv4_claim *claim, usec now, struct error *err)
{
	const usec skew = SIGV4_SKEW_SECONDS * USEC_PER_SEC;
	char at_now[TIMESTAMP_TEXT_SIZE], at_edge[TIMESTAMP_TEXT_SIZE];
	usec time, edge;

	if (!timestamp_parse_basic(claim->timestamp, &time))
		return fail(err, ERROR_INVALID_SIGNATURE, "The date of the signature cannot be read.");
	/* Whole seconds, as the texts show. */
	now -= now % USEC_PER_SEC;
	edge = time < now ? now - skew : now + skew;
	if (time >= now - skew && time <= now + skew)
		return true;
	return fail(err, ERROR_INVALID_SIGNATURE,
		    time < now ? "Signature expired: %.*s is now earlier than %.*s (%.*s - %d min.)" :
				 "Signature not yet current: %.*s is still later than %.*s (%.*s + %d min.)",
		    STR(claim->timestamp), (int)timestamp_format_basic(edge, at_edge), at_edge,
		    (int)timestamp_format_basic(now, at_now), at_now, SIGV4_SKEW_SECONDS / 60);
}

static bool signs_host(struct str signed_headers)
{
	struct str name;

	while (str_cut(&signed_headers, ';', &name))
		if (str_equal_ignoring_case(name, S("host")))
			return true;
	return false;
}

bool sigv4_verify(struct sigv4 *sigv4, const struct sigv4_request *request, const struct sigv4_claim *claim,
		  struct str secret, struct str service, bool region_known, usec now, struct arena *arena,
		  struct error *err)
{
	char signature[HEX_SIZE];

	if (!scope_fits(claim, service, region_known, err) || !is_fresh(claim, now, err))
		return false;
	if (!signs_host(claim->signed_headers))
		return fail(err, ERROR_INVALID_SIGNATURE,
			    "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
	if (!canonical_request(sigv4, request, claim->signed_headers, service, arena))
		return fail(err, ERROR_INVALID_SIGNATURE, "%s", mismatch);
	sign_text(sigv4, claim, secret, signature);
	if (claim->signature.len != HEX_SIZE || CRYPTO_memcmp(signature, claim->signature.ptr, HEX_SIZE) != 0)
		return fail(err, ERROR_INVALID_SIGNATURE, "%s", mismatch);
	return true;
}

/* Signing. */

static int compare_names(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static struct str lower_copy(struct arena *arena, struct str text)
{
	char *bytes = arena_alloc_bytes(arena, text.len);

	for (size_t i = 0; i < text.len; i++)
		bytes[i] = lower(text.ptr[i]);
	return (struct str){bytes, text.len};
}

/* The lower-case names, sorted, each once. */
static struct str signed_headers_of(const struct sigv4_request *request, struct arena *arena)
{
	struct str *names = arena_array(arena, struct str, request->header_count);
	auto_buffer list = {0};

	for (size_t i = 0; i < request->header_count; i++)
		names[i] = lower_copy(arena, request->headers[i].name);
	qsort(names, request->header_count, sizeof(*names), compare_names);
	for (size_t i = 0; i < request->header_count; i++) {
		if (i && str_equal(names[i], names[i - 1]))
			continue;
		buffer_add(&list, i ? S(";") : S(""));
		buffer_add(&list, names[i]);
	}
	return arena_copy(arena, buffer_str(&list));
}

/* The request with the headers that signing adds, all but Authorization. */
static struct sigv4_request with_headers(const struct sigv4_request *request, struct arena *arena,
					 const struct sigv4_header *added, size_t count)
{
	struct sigv4_header *headers =
		arena_array(arena, struct sigv4_header, request->header_count + count);
	struct sigv4_request whole = *request;

	if (request->header_count)
		memcpy(headers, request->headers, request->header_count * sizeof(*headers));
	memcpy(headers + request->header_count, added, count * sizeof(*headers));
	whole.headers = headers;
	whole.header_count += count;
	return whole;
}

size_t sigv4_sign(struct sigv4 *sigv4, const struct sigv4_request *request,
		  const struct sigv4_credentials *credentials, struct str region, struct str service, usec now,
		  struct arena *arena, struct sigv4_header ret_headers[3])
{
	char timestamp[TIMESTAMP_TEXT_SIZE], signature[HEX_SIZE];
	struct sigv4_claim claim = {.region = region, .service = service};
	struct sigv4_request whole;
	size_t count = 0;
	bool possible;

	claim.timestamp = arena_copy(arena, (struct str){timestamp, timestamp_format_basic(now, timestamp)});
	claim.date = str_slice(claim.timestamp, 0, 8);
	ret_headers[count++] = (struct sigv4_header){S("X-Amz-Date"), claim.timestamp};
	if (credentials->session_token.len)
		ret_headers[count++] = (struct sigv4_header){
			S("X-Amz-Security-Token"), arena_copy(arena, credentials->session_token)};
	whole = with_headers(request, arena, ret_headers, count);
	assert(whole.header_count <= SIGV4_SIGNED_HEADERS_LIMIT);
	claim.signed_headers = signed_headers_of(&whole, arena);
	possible = canonical_request(sigv4, &whole, claim.signed_headers, service, arena);
	assert(possible);
	sign_text(sigv4, &claim, credentials->secret, signature);
	ret_headers[count++] = (struct sigv4_header){
		S("Authorization"),
		arena_printf(arena,
			     ALGORITHM " Credential=%.*s/%.*s/%.*s/%.*s/" TERMINATOR
				       ", SignedHeaders=%.*s, Signature=%.*s",
			     STR(credentials->key_id), STR(claim.date), STR(region), STR(service),
			     STR(claim.signed_headers), HEX_SIZE, signature)};
	return count;
}
