#include "api/logs.h"
#include "base/buffer.h"
#include "model/log.h"
#include "test/unit/control/desk.h"

#define NOW ((int64_t)1700000000000)

static void desk_with_stream(struct desk *desk)
{
	desk_init(desk);
	desk_call(desk, "logs:CreateLogGroup", "{'logGroupName':'g'}");
	desk_call(desk, "logs:CreateLogStream", "{'logGroupName':'g','logStreamName':'s'}");
}

static struct str put(struct desk *desk, const char *stream, const char *events)
{
	return desk_ask(desk, "logs:PutLogEvents", "{'logGroupName':'g','logStreamName':'%s','logEvents':[%s]}", stream, events);
}

static const char *event_at(struct desk *desk, int64_t time)
{
	return desk_text(desk, "{'timestamp':%lld,'message':'m'}", (long long)time);
}

TEST(groups_are_made_once_and_named_well)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_CALL(&desk, "logs:CreateLogGroup", "{'logGroupName':'/ecs/web#1'}", "{}");
	EXPECT_CALL(&desk, "logs:CreateLogGroup", "{'logGroupName':'/ecs/web#1'}",
		    "ResourceAlreadyExistsException: The specified log group already exists");
	EXPECT_CALL(&desk, "logs:CreateLogGroup", "{'logGroupName':'locked','kmsKeyId':'arn:aws:kms:us-east-1:000000000000:key/x'}",
		    "InvalidParameterException: Wherry has no KMS keys yet: make the log group without kmsKeyId.");
	EXPECT_CALL(&desk, "logs:CreateLogGroup", "{'logGroupName':'a b'}",
		    "InvalidParameterException: 1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: "
		    "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+");
	EXPECT_CALL(&desk, "logs:CreateLogGroup", "{'logGroupName':'aws/x'}",
		    "InvalidParameterException: Log groups starting with AWS/ are reserved for AWS.");
	EXPECT_CALL(&desk, "logs:DescribeLogGroups", "{}",
		    "{'logGroups':[{'logGroupName':'/ecs/web#1','creationTime':1700000000000,'metricFilterCount':0,"
		    "'arn':'arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web#1:*','storedBytes':0,'logGroupClass':'STANDARD',"
		    "'logGroupArn':'arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web#1','deletionProtectionEnabled':false}]}");
	EXPECT_CALL(&desk, "logs:DeleteLogGroup", "{'logGroupName':'/ecs/web#1'}", "{}");
	EXPECT_CALL(&desk, "logs:DeleteLogGroup", "{'logGroupName':'/ecs/web#1'}",
		    "ResourceNotFoundException: The specified log group does not exist.");
}

TEST(groups_are_listed_page_by_page)
{
	auto_desk desk;
	struct str token;

	desk_init(&desk);
	desk_call(&desk, "logs:CreateLogGroup", "{'logGroupName':'app/b'}");
	desk_call(&desk, "logs:CreateLogGroup", "{'logGroupName':'app/a'}");
	desk_call(&desk, "logs:CreateLogGroup", "{'logGroupName':'web'}");
	token = desk_member(&desk, "logs:DescribeLogGroups", "{'limit':1,'logGroupNamePrefix':'app/'}", "nextToken");
	EXPECT_STR(str_slice(desk_member(&desk, "logs:DescribeLogGroups",
		   desk_text(&desk, "{'limit':1,'logGroupNamePrefix':'app/','nextToken':%.*s}", STR(token)), "logGroups"), 0, 25),
		   S("[{'logGroupName':'app/b',"));
	EXPECT_CALL(&desk, "logs:DescribeLogGroups", desk_text(&desk, "{'limit':1,'nextToken':%.*s}", STR(token)),
		    "InvalidParameterException: The specified nextToken is invalid.");
	EXPECT_CALL(&desk, "logs:ListLogGroups", "{'logGroupNamePattern':'^web|PP/'}",
		    "{'logGroups':[{'logGroupName':'web','logGroupArn':'arn:aws:logs:us-east-1:123456789012:log-group:web',"
		    "'logGroupClass':'STANDARD'}]}");
	EXPECT_MEMBER(&desk, "logs:DescribeLogGroups", "{'logGroupNamePattern':'APP/C'}", "logGroups", "[]");
	EXPECT_CALL(&desk, "logs:DescribeLogGroups", "{'logGroupNamePattern':'a','logGroupNamePrefix':'a'}",
		    "InvalidParameterException: LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.");
}

TEST(a_group_is_called_by_name_or_arn)
{
	auto_desk desk;

	desk_with_stream(&desk);
	EXPECT_STR(str_slice(desk_member(&desk, "logs:DescribeLogStreams",
		   "{'logGroupIdentifier':'arn:aws:logs:us-east-1:123456789012:log-group:g'}", "logStreams"), 0, 21), S("[{'logStreamName':'s'"));
	EXPECT_CALL(&desk, "logs:DescribeLogStreams", "{'logGroupIdentifier':'arn:aws:logs:eu-west-1:123456789012:log-group:g'}",
		    "ResourceNotFoundException: The specified log group does not exist.");
	EXPECT_CALL(&desk, "logs:DescribeLogStreams", "{'logGroupIdentifier':'g','logGroupName':'g'}",
		    "InvalidParameterException: LogGroup name and LogGroup identifier are mutually exclusive parameters. You must specify "
		    "only one.");
}

TEST(streams_come_by_name_or_by_their_last_event)
{
	auto_desk desk;

	desk_with_stream(&desk);
	EXPECT_CALL(&desk, "logs:CreateLogStream", "{'logGroupName':'g','logStreamName':'s'}",
		    "ResourceAlreadyExistsException: The specified log stream already exists");
	EXPECT_CALL(&desk, "logs:CreateLogStream", "{'logGroupName':'g','logStreamName':'a:b'}",
		    "InvalidParameterException: 1 validation error detected: Value 'a:b' at 'logStreamName' failed to satisfy constraint: "
		    "Member must satisfy regular expression pattern: [^:*]*");
	desk_call(&desk, "logs:CreateLogStream", "{'logGroupName':'g','logStreamName':'a'}");
	EXPECT_STR(put(&desk, "s", event_at(&desk, NOW - 5)), S("parked"));
	EXPECT_STR(put(&desk, "a", event_at(&desk, NOW - 9)), S("parked"));
	EXPECT_STR(str_slice(desk_member(&desk, "logs:DescribeLogStreams", "{'logGroupName':'g'}", "logStreams"), 0, 21),
		   S("[{'logStreamName':'a'"));
	EXPECT_STR(str_slice(desk_member(&desk, "logs:DescribeLogStreams",
		   "{'logGroupName':'g','orderBy':'LastEventTime','descending':true}", "logStreams"), 0, 21), S("[{'logStreamName':'s'"));
	EXPECT_CALL(&desk, "logs:DescribeLogStreams", "{'logGroupName':'g','orderBy':'LastEventTime','logStreamNamePrefix':'a'}",
		    "InvalidParameterException: Cannot order by LastEventTime with a logStreamNamePrefix.");
	EXPECT_CALL(&desk, "logs:DeleteLogStream", "{'logGroupName':'g','logStreamName':'a'}", "{}");
	EXPECT_CALL(&desk, "logs:DeleteLogStream", "{'logGroupName':'g','logStreamName':'a'}",
		    "ResourceNotFoundException: The specified log stream does not exist.");
}

TEST(streams_are_paged_from_either_end)
{
	auto_desk desk;
	struct str token;

	desk_with_stream(&desk);
	desk_call(&desk, "logs:CreateLogStream", "{'logGroupName':'g','logStreamName':'a/1'}");
	desk_call(&desk, "logs:CreateLogStream", "{'logGroupName':'g','logStreamName':'a/2'}");
	token = desk_member(&desk, "logs:DescribeLogStreams", "{'logGroupName':'g','descending':true,'limit':1,'logStreamNamePrefix':'a/'}",
			    "nextToken");
	EXPECT_STR(str_slice(desk_member(&desk, "logs:DescribeLogStreams",
		   desk_text(&desk, "{'logGroupName':'g','descending':true,'limit':1,'logStreamNamePrefix':'a/','nextToken':%.*s}",
			     STR(token)), "logStreams"), 0, 23), S("[{'logStreamName':'a/1'"));
	EXPECT_CALL(&desk, "logs:DescribeLogStreams", desk_text(&desk, "{'logGroupName':'g','nextToken':%.*s}", STR(token)),
		    "InvalidParameterException: The specified nextToken is invalid.");
}

TEST(only_a_streams_first_put_writes_a_record_at_once)
{
	auto_desk desk;

	desk_with_stream(&desk);
	put(&desk, "s", event_at(&desk, NOW - 5));
	assert_int_equal(desk.effects.records.count, 1);
	put(&desk, "s", event_at(&desk, NOW - 2));
	assert_int_equal(desk.effects.records.count, 0);
	desk_wait(&desk, 6 * USEC_PER_SEC);
	assert_int_equal(desk.effects.records.count, 1);
	desk_wait(&desk, 3600 * USEC_PER_SEC);
	assert_int_equal(desk.effects.records.count, 0);
	assert_true(str_contains(desk_member(&desk, "logs:DescribeLogGroups", "{}", "logGroups"), S("'storedBytes':54,")));
}

TEST(events_are_judged_by_their_time)
{
	static const int64_t day = LOG_DAY_MSEC;
	auto_desk desk;
	const char *events;

	desk_with_stream(&desk);
	desk_call(&desk, "logs:PutRetentionPolicy", "{'logGroupName':'g','retentionInDays':3}");
	EXPECT_STR(put(&desk, "s", event_at(&desk, NOW - 14 * day - 1)),
		   arena_printf(&desk.arena, "{'nextSequenceToken':'%.*s','rejectedLogEventsInfo':{'tooOldLogEventEndIndex':1}}",
				STR(str_slice(put(&desk, "s", event_at(&desk, NOW - 14 * day - 1)), 22, 78))));
	events = desk_text(&desk, "%s,%s,%s", event_at(&desk, NOW - 3 * day - 1), event_at(&desk, NOW - 3 * day),
			      event_at(&desk, NOW - 3 * day + 5));
	EXPECT_STR(put(&desk, "s", events), S("parked"));
	assert_int_equal(desk.effects.logs.items[0].first_event, 1);
	assert_int_equal(desk.effects.logs.items[0].event_count, 2);
	events = desk_text(&desk, "%s,%s", event_at(&desk, NOW + 2 * 3600 * 1000), event_at(&desk, NOW + 2 * 3600 * 1000 + 1));
	EXPECT_STR(put(&desk, "s", events), S("parked"));
	assert_int_equal(desk.effects.logs.items[0].event_count, 1);
}

TEST(a_batch_is_in_order_within_a_day_and_a_mebibyte)
{
	auto_desk desk;
	auto_buffer big = {0};
	const char *events;

	desk_with_stream(&desk);
	events = desk_text(&desk, "%s,%s", event_at(&desk, NOW), event_at(&desk, NOW - 1));
	EXPECT_STR(put(&desk, "s", events),
		   S("InvalidParameterException: Log events in a single PutLogEvents request must be in chronological order."));
	events = desk_text(&desk, "%s,%s", event_at(&desk, NOW - LOG_DAY_MSEC - 1), event_at(&desk, NOW));
	EXPECT_STR(put(&desk, "s", events),
		   S("InvalidParameterException: The batch of log events in a single PutLogEvents request cannot span more than 24 hours."));
	for (int extra = 0; extra <= 1; extra++) {
		buffer_clear(&big);
		buffer_printf(&big, "{'timestamp':%lld,'message':'%0*d'}", (long long)NOW, LOG_BATCH_BYTES_LIMIT - LOG_EVENT_OVERHEAD + extra, 7);
		EXPECT_STR(put(&desk, "s", arena_cstr(&desk.arena, buffer_str(&big))),
			   extra ? S("InvalidParameterException: Upload too large: 1048577 bytes exceeds limit of 1048576") : S("parked"));
	}
	EXPECT_STR(put(&desk, "nowhere", event_at(&desk, NOW)),
		   S("ResourceNotFoundException: The specified log stream does not exist."));
}

TEST(retention_has_the_days_that_aws_has_and_gives_work_every_hour)
{
	auto_desk desk;

	desk_with_stream(&desk);
	assert_true(str_starts(desk_call(&desk, "logs:PutRetentionPolicy", "{'logGroupName':'g','retentionInDays':2}"),
			       S("InvalidParameterException: 1 validation error detected: Value '2' at 'retentionInDays'")));
	EXPECT_CALL(&desk, "logs:PutRetentionPolicy", "{'logGroupName':'g','retentionInDays':1}", "{}");
	desk_wait(&desk, 3601 * USEC_PER_SEC);
	assert_int_equal(desk.effects.logs.count, 1);
	assert_int_equal(desk.effects.logs.items[0].task, LOG_TRIM);
	assert_int_equal(desk.effects.logs.items[0].before, NOW + 3601000 - LOG_DAY_MSEC);
	assert_int_equal(desk.effects.logs.items[0].stream_count, 1);
	desk_call(&desk, "logs:DeleteRetentionPolicy", "{'logGroupName':'g'}");
	desk_wait(&desk, 7200 * USEC_PER_SEC);
	assert_int_equal(desk.effects.logs.count, 0);
}

TEST(what_was_swept_counts_no_longer)
{
	struct event swept = {.type = EVENT_LOGS_SWEPT, .swept = {.realm = S("123456789012/us-east-1"), .group = S("g"), .name = S("s"),
								   .bytes = 27, .first = NOW - 2}};
	auto_desk desk;
	struct str streams;

	desk_with_stream(&desk);
	put(&desk, "s", event_at(&desk, NOW - 5));
	swept.swept.stream = desk.effects.logs.items[0].streams[0].id;
	put(&desk, "s", event_at(&desk, NOW - 2));
	for (int i = 0; i < 2; i++, swept.swept.stream++)  /* the second is of a stream that was deleted since */
		desk_step(&desk, swept);
	streams = desk_member(&desk, "logs:DescribeLogStreams", "{'logGroupName':'g'}", "logStreams");
	assert_true(str_contains(streams, S("'firstEventTimestamp':1699999999998,")));
	assert_true(str_contains(desk_member(&desk, "logs:DescribeLogGroups", "{}", "logGroups"), S("'storedBytes':27,")));
}

TEST(a_deleted_group_takes_its_streams_along)
{
	auto_desk desk;

	desk_with_stream(&desk);
	EXPECT_CALL(&desk, "logs:PutLogGroupDeletionProtection", "{'logGroupIdentifier':'g','deletionProtectionEnabled':true}", "{}");
	assert_true(str_starts(desk_call(&desk, "logs:DeleteLogGroup", "{'logGroupName':'g'}"), S("ValidationException: ")));
	desk_call(&desk, "logs:PutLogGroupDeletionProtection", "{'logGroupIdentifier':'g','deletionProtectionEnabled':false}");
	EXPECT_CALL(&desk, "logs:DeleteLogGroup", "{'logGroupName':'g'}", "{}");
	assert_int_equal(desk.effects.logs.count, 1);
	assert_int_equal(desk.effects.logs.items[0].task, LOG_DROP);
	assert_int_equal(desk.effects.logs.items[0].stream_count, 1);
	assert_int_equal(desk.effects.records.count, 2);
}

TEST(tags_of_groups_have_two_ways_in)
{
	static const char arn[] = "arn:aws:logs:us-east-1:123456789012:log-group:g";
	auto_desk desk;

	desk_with_stream(&desk);
	EXPECT_CALL(&desk, "logs:TagLogGroup", "{'logGroupName':'g','tags':{'a':'1','b':''}}", "{}");
	EXPECT_CALL(&desk, "logs:TagResource", desk_text(&desk, "{'resourceArn':'%s','tags':{'a':'2'}}", arn),
		    "{}");
	EXPECT_CALL(&desk, "logs:ListTagsLogGroup", "{'logGroupName':'g'}", "{'tags':{'a':'2','b':''}}");
	EXPECT_CALL(&desk, "logs:UntagLogGroup", "{'logGroupName':'g','tags':['b','x']}", "{}");
	EXPECT_CALL(&desk, "logs:ListTagsForResource", desk_text(&desk, "{'resourceArn':'%s:*'}", arn),
		    "{'tags':{'a':'2'}}");
	EXPECT_CALL(&desk, "logs:UntagResource", desk_text(&desk, "{'resourceArn':'%s','tagKeys':['a']}", arn),
		    "{}");
	EXPECT_CALL(&desk, "logs:ListTagsLogGroup", "{'logGroupName':'g'}", "{'tags':{}}");
	EXPECT_CALL(&desk, "logs:TagLogGroup", "{'logGroupName':'g','tags':{'aws:x':'1'}}",
		    "InvalidParameterException: User-defined tag keys can't start with 'aws:'.");
}

TEST(reads_are_checked_before_the_events_are_asked_for)
{
	auto_desk desk;

	desk_with_stream(&desk);
	EXPECT_CALL(&desk, "logs:GetLogEvents", "{'logGroupName':'g','logStreamName':'s'}", "parked");
	EXPECT_CALL(&desk, "logs:GetLogEvents", "{'logGroupName':'g','logStreamName':'x'}",
		    "ResourceNotFoundException: The specified log stream does not exist.");
	EXPECT_CALL(&desk, "logs:FilterLogEvents", "{'logGroupName':'g','filterPattern':'{'}", "InvalidParameterException: Invalid filter pattern");
	EXPECT_CALL(&desk, "logs:FilterLogEvents", "{'logGroupName':'g','logStreamNames':['s'],'logStreamNamePrefix':'s'}",
		    "InvalidParameterException: logStreamNamePrefix and logStreamNames are mutually exclusive parameters.");
	EXPECT_CALL(&desk, "logs:FilterLogEvents", "{'logGroupName':'g','logStreamNamePrefix':'x'}", "parked");
	assert_int_equal(desk.effects.logs.items[0].stream_count, 0);
	EXPECT_CALL(&desk, "logs:StartLiveTail", "{'logGroupIdentifiers':['g']}",
		    "InvalidParameterException: Log group identifiers must be ARNs that do not end in ':*'.");
	EXPECT_CALL(&desk, "logs:StartLiveTail", "{'logGroupIdentifiers':['arn:aws:logs:us-east-1:123456789012:log-group:g']}", "parked");
}

TEST(a_metric_filter_is_tried)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_CALL(&desk, "logs:TestMetricFilter", "{'filterPattern':'{ $.n > 1 }','logEventMessages':['{\\'n\\':1}','{\\'n\\':2}','x']}",
		    "{'matches':[{'eventNumber':2,'eventMessage':'{\\'n\\':2}','extractedValues':{'$.n':'2'}}]}");
	EXPECT_CALL(&desk, "logs:TestMetricFilter", "{'filterPattern':'a','logEventMessages':['a b']}",
		    "{'matches':[{'eventNumber':1,'eventMessage':'a b','extractedValues':{}}]}");
}
