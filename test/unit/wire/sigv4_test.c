#include "test/test.h"
#include "wire/sigv4.h"
#include "wire/timestamp.h"

/* The example of the public documentation of Signature Version 4 and of its test suite. */
static const struct str secret = STR_INIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
#define SUITE_TIME ((usec)1440938160 * USEC_PER_SEC) /* 20150830T123600Z */

static struct sigv4_credentials suite_credentials(void)
{
	return (struct sigv4_credentials){.key_id = S("AKIDEXAMPLE"), .secret = secret};
}

static void expect_signature(struct sigv4_request request, struct str service, const char *expected)
{
	auto_arena arena = {0};
	struct sigv4 *sigv4 = sigv4_new();
	struct sigv4_credentials credentials = suite_credentials();
	struct sigv4_header headers[3];

	assert_int_equal(sigv4_sign(sigv4, &request, &credentials, S("us-east-1"), service, SUITE_TIME, &arena, headers), 2);
	EXPECT_STR(headers[0].value, S("20150830T123600Z"));
	EXPECT_STR(headers[1].value, str_of(expected));
	sigv4_free(sigv4);
}

TEST(the_published_examples_come_out)
{
	const struct sigv4_header host[] = {{S("Host"), S("example.amazonaws.com")}};
	const struct sigv4_header iam[] = {
		{S("Host"), S("iam.amazonaws.com")},
		{S("Content-Type"), S("application/x-www-form-urlencoded; charset=utf-8")},
	};
	struct sigv4_request vanilla = {.method = S("GET"), .path = S("/"), .headers = host, .header_count = 1};
	struct sigv4_request users = {.method = S("GET"), .path = S("/"), .query = S("Action=ListUsers&Version=2010-05-08"),
		.headers = iam, .header_count = 2};

	expect_signature(vanilla, S("service"),
			 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
			 "SignedHeaders=host;x-amz-date, "
			 "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	expect_signature(users, S("iam"),
			 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
			 "SignedHeaders=content-type;host;x-amz-date, "
			 "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
	/* A path with dot segments is signed as what it leads to. */
	vanilla.path = S("/example1/example2/../..");
	expect_signature(vanilla, S("service"),
			 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
			 "SignedHeaders=host;x-amz-date, "
			 "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

/* A request as a client would send it, which tests then spoil. */
struct call {
	struct sigv4 *sigv4;
	struct arena arena;
	struct sigv4_header headers[10];
	struct sigv4_request request;
	struct sigv4_credentials credentials;
	struct str service, scope_service;
	bool region_known;
	usec sent, now;
};

static void call_init(struct call *call)
{
	*call = (struct call){
		.sigv4 = sigv4_new(), .credentials = suite_credentials(), .service = S("ecs"), .scope_service = S("ecs"),
		.region_known = true, .sent = SUITE_TIME, .now = SUITE_TIME,
		.headers = {{S("Host"), S("localhost:8080")}, {S("X-Amz-Target"), S("V20141113.ListClusters")},
			    {S("x-many"), S("  a   b ")}, {S("X-Many"), S("c")}},
	};
	call->request = (struct sigv4_request){.method = S("POST"), .path = S("/"), .headers = call->headers,
		.header_count = 4, .body = S("{}")};
}

static void call_sign(struct call *call)
{
	call->request.header_count += sigv4_sign(call->sigv4, &call->request, &call->credentials, S("us-east-1"),
						 call->scope_service, call->sent, &call->arena,
						 call->headers + call->request.header_count);
}

static void call_fini(struct call *call)
{
	sigv4_free(call->sigv4);
	arena_fini(&call->arena);
}

/* NULL: it is right. */
static void expect_verdict(struct call *call, enum error_code code, const char *text)
{
	struct error err = {0};
	struct sigv4_claim claim;
	bool right = sigv4_read(&call->request, &call->arena, &claim, &err) &&
		     sigv4_verify(call->sigv4, &call->request, &claim, secret, call->service, call->region_known, call->now,
				  &call->arena, &err);

	EXPECT_STR(str_of(err.text), str_of(text ? text : ""));
	assert_int_equal(right, !text);
	assert_int_equal(err.code, code);
}

static struct sigv4_header *find(struct call *call, struct str name)
{
	for (size_t i = 0; i < call->request.header_count; i++)
		if (str_equal(call->headers[i].name, name))
			return &call->headers[i];
	return NULL;
}

static const char mismatch[] =
	"The request signature we calculated does not match the signature you provided. Check your AWS Secret "
	"Access Key and signing method. Consult the service documentation for details.";

TEST(what_was_signed_is_accepted_again_and_again)
{
	struct call call;
	struct sigv4_claim claim;

	call_init(&call);
	call.credentials.session_token = S("token");
	call.request.path = S("/a b//c/./é");
	call.request.query = S("z=1&b=%20x&a=+y&a");
	call_sign(&call);
	for (int i = 0; i < 3; i++)
		expect_verdict(&call, ERROR_NONE, NULL);
	assert_true(sigv4_read(&call.request, &call.arena, &claim, NULL));
	EXPECT_STR(claim.key_id, S("AKIDEXAMPLE"));
	EXPECT_STR(claim.session_token, S("token"));
	EXPECT_STR(claim.signed_headers, S("host;x-amz-date;x-amz-security-token;x-amz-target;x-many"));
	/* The order of parameters does not count, nor whether a space is a plus. */
	call.request.query = S("a=%20y&a=&z=1&b=+x");
	expect_verdict(&call, ERROR_NONE, NULL);
	call_fini(&call);
}

TEST(whatever_is_changed_breaks_the_signature)
{
	for (int change = 0; change < 8; change++) {
		struct call call;

		call_init(&call);
		call_sign(&call);
		switch (change) {
		case 0: call.request.body = S("{ }"); break;
		case 1: call.request.method = S("GET"); break;
		case 2: call.request.path = S("/x"); break;
		case 3: call.request.query = S("a=b"); break;
		case 4: call.headers[0].value = S("elsewhere"); break;
		case 5: call.headers[3].value = S("d"); break;
		case 6: call.headers[1].name = S("X-Other"); break;
		case 7: find(&call, S("X-Amz-Date"))->value = S("20150830T123601Z"); break;
		}
		expect_verdict(&call, ERROR_INVALID_SIGNATURE, mismatch);
		call_fini(&call);
	}
}

TEST(another_key_does_not_fit)
{
	struct call call;

	call_init(&call);
	call.credentials.secret = S("guess");
	call_sign(&call);
	expect_verdict(&call, ERROR_INVALID_SIGNATURE, mismatch);
	call_fini(&call);
}

TEST(the_clock_may_differ_by_five_minutes)
{
	struct call call;

	call_init(&call);
	call_sign(&call);
	call.now = SUITE_TIME + 300 * USEC_PER_SEC + 999999;
	expect_verdict(&call, ERROR_NONE, NULL);
	call.now = SUITE_TIME - 300 * USEC_PER_SEC;
	expect_verdict(&call, ERROR_NONE, NULL);
	call.now = SUITE_TIME + 1200 * USEC_PER_SEC;
	expect_verdict(&call, ERROR_INVALID_SIGNATURE,
		     "Signature expired: 20150830T123600Z is now earlier than 20150830T125100Z (20150830T125600Z - 5 min.)");
	call.now = SUITE_TIME - 600 * USEC_PER_SEC;
	expect_verdict(&call, ERROR_INVALID_SIGNATURE,
		     "Signature not yet current: 20150830T123600Z is still later than 20150830T123100Z (20150830T122600Z + 5 min.)");
	call_fini(&call);
}

TEST(the_scope_must_fit)
{
	struct call call;

	call_init(&call);
	call_sign(&call);
	call.region_known = false;
	expect_verdict(&call, ERROR_INVALID_SIGNATURE, "Credential should be scoped to a valid region.");
	call.region_known = true;
	call.service = S("iam");
	expect_verdict(&call, ERROR_INVALID_SIGNATURE, "Credential should be scoped to correct service: 'iam'.");
	call_fini(&call);
}

TEST(a_declared_body_hash_must_be_the_one_of_the_body)
{
	struct call call;

	call_init(&call);
	call.headers[2] = (struct sigv4_header){S("x-amz-content-sha256"),
		S("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")};
	call_sign(&call);
	expect_verdict(&call, ERROR_NONE, NULL);
	call.request.body = S("[]");
	expect_verdict(&call, ERROR_INVALID_SIGNATURE, mismatch);
	call_fini(&call);
}

TEST(an_unsigned_body_is_taken_over_tls_only)
{
	struct call call;

	call_init(&call);
	call.headers[2] = (struct sigv4_header){S("X-Amz-Content-Sha256"), S("UNSIGNED-PAYLOAD")};
	call.request.tls = true;
	call_sign(&call);
	call.request.body = S("anything");
	expect_verdict(&call, ERROR_NONE, NULL);
	call.request.tls = false;
	expect_verdict(&call, ERROR_INVALID_SIGNATURE, mismatch);
	call_fini(&call);
}

TEST(the_digest_of_a_streamed_body_serves)
{
	struct call call;
	unsigned char digest[32];

	call_init(&call);
	call_sign(&call);
	sigv4_sha256(call.sigv4, S("{}"), digest);
	call.request.body = STR_NONE;
	call.request.body_sha256 = digest;
	expect_verdict(&call, ERROR_NONE, NULL);
	call_fini(&call);
}

TEST(the_date_of_http_serves)
{
	struct call call;
	struct sigv4_header *date;

	call_init(&call);
	call_sign(&call);
	date = find(&call, S("X-Amz-Date"));
	*date = (struct sigv4_header){S("Date"), S("Sun, 30 Aug 2015 12:36:00 GMT")};
	/* Signed was x-amz-date, so that this is read but does not fit. */
	expect_verdict(&call, ERROR_INVALID_SIGNATURE, mismatch);
	date->value = S("lately");
	expect_verdict(&call, ERROR_INCOMPLETE_SIGNATURE,
		     "Date must be in ISO-8601 'basic format'. Got 'lately'. See http://en.wikipedia.org/wiki/ISO_8601");
	call_fini(&call);
}

TEST(what_is_no_claim_is_refused)
{
	static const struct { const char *header; enum error_code code; const char *text; } rows[] = {
		{"", ERROR_MISSING_AUTHENTICATION_TOKEN, "Missing Authentication Token"},
		{"Basic abc", ERROR_INCOMPLETE_SIGNATURE, "Unsupported AWS 'algorithm': 'Basic'."},
		{"AWS4-HMAC-SHA256 ", ERROR_INCOMPLETE_SIGNATURE, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA256'."},
		{"AWS4-HMAC-SHA256 x", ERROR_INCOMPLETE_SIGNATURE,
		 "Invalid key=value pair (missing equal-sign) in Authorization header."},
		{"AWS4-HMAC-SHA256 Signature=a", ERROR_INCOMPLETE_SIGNATURE,
		 "Authorization header requires 'Credential' parameter. "
		 "Authorization header requires 'SignedHeaders' parameter. "},
		{"AWS4-HMAC-SHA256 Credential=a/b/c,SignedHeaders=host,Signature=d", ERROR_INCOMPLETE_SIGNATURE,
		 "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c'"},
		{"AWS4-HMAC-SHA256 Credential=a/20150830/r/ecs/aws5,SignedHeaders=host,Signature=d", ERROR_INVALID_SIGNATURE,
		 "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'."},
		{"AWS4-HMAC-SHA256 Credential=a/20150831/r/ecs/aws4_request,SignedHeaders=host,Signature=d",
		 ERROR_INVALID_SIGNATURE,
		 "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
		 "'20150831' != '20150830', from '20150830T123600Z'."},
		{"AWS4-HMAC-SHA256 Credential=a/20150830/r/ecs/aws4_request,SignedHeaders=host,Signature=d",
		 ERROR_INVALID_SIGNATURE, mismatch},
		{"AWS4-HMAC-SHA256 Credential=a/20150830/r/ecs/aws4_request,SignedHeaders=date,Signature=d",
		 ERROR_INVALID_SIGNATURE, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct call call;

		call_init(&call);
		call_sign(&call);
		find(&call, S("Authorization"))->value = str_of(rows[i].header);
		expect_verdict(&call, rows[i].code, rows[i].text);
		call_fini(&call);
	}
}

TEST(without_a_date_the_claim_is_incomplete)
{
	struct call call;

	call_init(&call);
	call_sign(&call);
	find(&call, S("X-Amz-Date"))->name = S("X-Other");
	expect_verdict(&call, ERROR_INCOMPLETE_SIGNATURE,
		     "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
	call_fini(&call);
}
