#include "test/test.h"
#include "api/efs.h"
#include "base/buffer.h"
#include "wire/rest.h"

static struct str found(const char *method, const char *path, struct arena *arena)
{
	struct rest_match match;

	if (!rest_find(&api_efs, str_of(method), str_of(path), &match))
		return S("nothing");
	if (!match.label_count)
		return match.operation->name;
	return arena_printf(arena, "%.*s %.*s=%.*s", STR(match.operation->name), STR(match.labels[0].name),
			    STR(match.labels[0].value));
}

static void expect_found(const char *method, const char *path, const char *expected)
{
	auto_arena arena = {0};

	EXPECT_STR(found(method, path, &arena), str_of(expected));
}

TEST(method_and_path_mean_an_operation)
{
	expect_found("POST", "/2015-02-01/file-systems", "CreateFileSystem");
	expect_found("GET", "/2015-02-01/file-systems", "DescribeFileSystems");
	expect_found("GET", "/2015-02-01/file-systems/", "DescribeFileSystems");
	expect_found("DELETE", "/2015-02-01/file-systems/fs-1", "DeleteFileSystem FileSystemId=fs-1");
	expect_found("GET", "/2015-02-01/tags/fs-1/", "DescribeTags FileSystemId=fs-1");
	expect_found("GET", "/2015-02-01/tags/fs-1", "DescribeTags FileSystemId=fs-1");
	expect_found("GET", "/2015-02-01/resource-tags/a%2Fb", "ListTagsForResource ResourceId=a%2Fb");
	expect_found("PATCH", "/2015-02-01/file-systems", "nothing");
	expect_found("GET", "/2015-02-01/file-systems/fs-1/", "nothing");
	expect_found("GET", "/2015-02-01/file-systems//policy", "nothing");
	expect_found("GET", "/2015-02-01", "nothing");
	expect_found("GET", "/", "nothing");
	expect_found("GET", "", "nothing");
}

static struct str labels_of(const char *http, const char *path, struct arena *arena)
{
	struct rest_match match;
	struct str text = S("");

	if (!rest_fits(str_of(http), S("GET"), str_of(path), &match))
		return S("no");
	for (size_t i = 0; i < match.label_count; i++)
		text = arena_printf(arena, "%.*s%.*s=%.*s;", STR(text), STR(match.labels[i].name),
				    STR(match.labels[i].value));
	return text;
}

TEST(a_greedy_label_takes_the_rest)
{
	auto_arena arena = {0};

	EXPECT_STR(labels_of("GET /v2/{Name+} 200", "/v2/a/b/c", &arena), S("Name=a/b/c;"));
	EXPECT_STR(labels_of("GET /{Bucket}/{Key+} 200", "/b/k/1/", &arena), S("Bucket=b;Key=k/1/;"));
	EXPECT_STR(labels_of("GET /{Bucket}/{Key+} 200", "/b", &arena), S("no"));
	EXPECT_STR(labels_of("GET /{A}/x/{B}?query 200", "/1/x/2", &arena), S("A=1;B=2;"));
	EXPECT_STR(labels_of("POST /{A} 200", "/1", &arena), S("no"));
	EXPECT_STR(labels_of("GET", "/1", &arena), S("no"));
	EXPECT_STR(labels_of("", "/1", &arena), S("no"));
}

TEST(a_pattern_has_few_labels)
{
	auto_arena arena = {0};

	EXPECT_STR(labels_of("GET /{A}/{B}/{C}/{D}/{E}/{F}/{G}/{H} 200", "/1/2/3/4/5/6/7/8", &arena),
		   S("A=1;B=2;C=3;D=4;E=5;F=6;G=7;H=8;"));
	EXPECT_STR(labels_of("GET /{A}/{B}/{C}/{D}/{E}/{F}/{G}/{H}/{I} 200", "/1/2/3/4/5/6/7/8/9", &arena), S("no"));
}

static struct str decoded(const char *method, const char *path, const char *query, const char *body,
			  struct arena *arena)
{
	struct rest_request request = {.query = str_of(query), .body = str_of(body)};
	struct json_fault fault;
	struct rest_match match;
	auto_buffer out = {0};
	void *value;

	assert_true(rest_find(&api_efs, str_of(method), str_of(path), &match));
	if (!rest_decode(&match, &request, arena, &value, &fault))
		return fault.unknown_word ? fault.violation.path : arena_copy(arena, str_of(fault.error.text));
	json_encode(match.operation->input, value, &out);
	return arena_copy(arena, buffer_str(&out));
}

TEST(members_come_from_where_they_are_bound)
{
	auto_arena arena = {0};

	EXPECT_STR(decoded("GET", "/2015-02-01/file-systems", "MaxItems=3&CreationToken=a%20b+c", "", &arena),
		   S("{\"MaxItems\":3,\"CreationToken\":\"a b c\"}"));
	EXPECT_STR(decoded("PUT", "/2015-02-01/file-systems/fs%2D1+", "", "{\"ThroughputMode\":\"elastic\"}", &arena),
		   S("{\"FileSystemId\":\"fs-1+\",\"ThroughputMode\":\"elastic\"}"));
	EXPECT_STR(decoded("PUT", "/2015-02-01/file-systems/fs-1", "", "{\"FileSystemId\":\"fs-2\"}", &arena),
		   S("{\"FileSystemId\":\"fs-1\"}"));
	EXPECT_STR(decoded("DELETE", "/2015-02-01/resource-tags/arn%3Aaws%2Fx", "tagKeys=a&tagKeys=b&other=c", "", &arena),
		   S("{\"ResourceId\":\"arn:aws/x\",\"TagKeys\":[\"a\",\"b\"]}"));
}

TEST(what_does_not_fit_is_refused)
{
	auto_arena arena = {0};

	EXPECT_STR(decoded("GET", "/2015-02-01/file-systems", "MaxItems=x", "", &arena),
		   S("STRING_VALUE can not be converted to an integer"));
	EXPECT_STR(decoded("GET", "/2015-02-01/file-systems", "Marker=%ff", "", &arena), S("Invalid UTF-8 in Marker"));
	EXPECT_STR(decoded("PUT", "/2015-02-01/file-systems/fs-1", "", "{\"ThroughputMode\":\"slow\"}", &arena),
		   S("ThroughputMode"));
	EXPECT_STR(decoded("PUT", "/2015-02-01/file-systems/fs-1", "", "{", &arena), S("Unexpected end of input"));
}

TEST(a_good_answer_has_the_status_of_its_line)
{
	assert_int_equal(rest_status(api_find(&api_efs, S("CreateFileSystem"))), 201);
	assert_int_equal(rest_status(api_find(&api_efs, S("DeleteFileSystem"))), 204);
	assert_int_equal(rest_status(&(struct operation){0}), 200);
}
