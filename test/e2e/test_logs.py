"""CloudWatch Logs as its users know it: boto3, the AWS CLI and the JavaScript SDK; what was acknowledged outlives a crash."""
import contextlib
import json
import threading
import time

import botocore.config
import botocore.eventstream
import botocore.exceptions
import pytest

import wherry
from wherry import REGION, eventually, refused, running

DAY = 24 * 3600 * 1000


def make_client(server, keys=None):
    key_id, secret = keys or server.keys()
    config = botocore.config.Config(retries={"max_attempts": 0}, inject_host_prefix=False, read_timeout=30)
    return wherry.session().client("logs", endpoint_url=server.endpoint, region_name=REGION, aws_access_key_id=key_id,
                                   aws_secret_access_key=secret, config=config)


@pytest.fixture
def logs(server):
    return make_client(server)


def now():
    return int(time.time() * 1000)


@pytest.fixture
def group(logs, request):
    """A group named after the test, with a stream "s"."""
    name = request.node.name
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    yield name
    logs.delete_log_group(logGroupName=name)


def put(logs, group, messages, stream="s", at=None):
    at = at or now()
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[
        {"timestamp": at + i, "message": message} for i, message in enumerate(messages)])


def texts(events):
    return [event["message"] for event in events]


def ask(server, operation, keep=False, **members):
    """What older SDKs do not know: signed and sent by hand. With `keep`, the open connection and the answer's head."""
    connection = server.send_json("Logs_20140328." + operation, members, "logs")
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    if keep:
        return connection, answer
    with contextlib.closing(connection):
        return json.loads(answer.read())


def events_of(answer):
    """Name and value of each event of a stream, until it ends."""
    frames = botocore.eventstream.EventStreamBuffer()
    while True:
        piece = answer.read1()
        if not piece:
            return
        frames.add_data(piece)
        for frame in frames:
            yield frame.headers[":event-type"], json.loads(frame.payload)


def group_arn(logs, name):
    return logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]["arn"][:-2]


def test_what_is_put_is_got_page_by_page(logs, group):
    put(logs, group, ["line %d" % i for i in range(25)])
    page, seen = {"nextForwardToken": None}, []
    while True:
        more = {"nextToken": page["nextForwardToken"]} if page["nextForwardToken"] else {}
        page = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True, limit=10, **more)
        seen += texts(page["events"])
        if page["nextForwardToken"] == more.get("nextToken"):
            break
    assert seen == ["line %d" % i for i in range(25)]
    newest = logs.get_log_events(logGroupName=group, logStreamName="s", limit=3)
    assert texts(newest["events"]) == ["line 22", "line 23", "line 24"]
    before = logs.get_log_events(logGroupName=group, logStreamName="s", limit=3, nextToken=newest["nextBackwardToken"])
    assert texts(before["events"]) == ["line 19", "line 20", "line 21"]
    refused(logs.get_log_events, "InvalidParameterException", "The specified nextToken is invalid.",
            logGroupName=group, logStreamName="s", nextToken="x")


def test_a_filter_searches_all_streams_in_time(logs, group):
    start = now()
    logs.create_log_stream(logGroupName=group, logStreamName="t")
    put(logs, group, ["ERROR a", "fine", "ERROR b"], at=start)
    put(logs, group, ['{"level":"ERROR","code":500}', "ERROR c"], stream="t", at=start + 1)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern="ERROR", PaginationConfig={"PageSize": 2})
    events = [event for page in pages for event in page["events"]]
    assert texts(events) == ["ERROR a", '{"level":"ERROR","code":500}', "ERROR b", "ERROR c"]
    assert len({event["eventId"] for event in events}) == 4
    found = logs.filter_log_events(logGroupName=group, filterPattern='{ $.level = "ERR*" && $.code >= 500 }')["events"]
    assert [event["logStreamName"] for event in found] == ["t"]
    assert texts(logs.filter_log_events(logGroupName=group, logStreamNames=["s"], startTime=start + 1)["events"]) == ["fine", "ERROR b"]
    refused(logs.filter_log_events, "InvalidParameterException", "Invalid filter pattern", logGroupName=group, filterPattern="{")


def test_events_out_of_time_are_told(logs, group):
    reply = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now() - 15 * DAY, "message": "old"}])
    assert reply["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    at = now()
    reply = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[
        {"timestamp": at, "message": "now"}, {"timestamp": at + 3 * 3600 * 1000, "message": "new"}])
    assert reply["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    assert texts(logs.get_log_events(logGroupName=group, logStreamName="s")["events"]) == ["now"]
    refused(logs.put_log_events, "InvalidParameterException", "chronological order", logGroupName=group, logStreamName="s",
            logEvents=[{"timestamp": at, "message": "b"}, {"timestamp": at - 1, "message": "a"}])
    refused(logs.put_log_events, "ResourceNotFoundException", "The specified log stream does not exist.", logGroupName=group,
            logStreamName="x", logEvents=[{"timestamp": at, "message": "b"}])


def test_a_full_batch_is_taken(logs, group):
    """1 MiB of events needs more than that as JSON: quotes and control characters have escapes."""
    put(logs, group, ["\"\x01" * 30] * 10000, at=now() - 20000)
    assert len(logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)["events"]) == 10000
    refused(logs.put_log_events, "InvalidParameterException", "Upload too large: 1048577 bytes exceeds limit of 1048576",
            logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now(), "message": "x" * (2 ** 20 - 25)}])


def test_what_expired_is_not_shown(logs, group):
    put(logs, group, ["old"], at=now() - 2 * DAY)
    put(logs, group, ["new"])
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert texts(logs.get_log_events(logGroupName=group, logStreamName="s")["events"]) == ["new"]
    eventually(lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["storedBytes"] == len("new") + 26)
    logs.delete_retention_policy(logGroupName=group)
    assert texts(logs.get_log_events(logGroupName=group, logStreamName="s")["events"]) == ["new"]     # the other was deleted


def test_streams_and_groups_are_described(server, logs, group):
    put(logs, group, ["x" * 74])
    described = ask(server, "DescribeLogGroups", logGroupNamePrefix=group)["logGroups"][0]
    assert described["storedBytes"] == 100 and described["arn"] == described["logGroupArn"] + ":*"
    stream = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)["logStreams"][0]
    assert stream["lastEventTimestamp"] == stream["firstEventTimestamp"] and stream["arn"].endswith(":log-stream:s")
    ask(server, "TagResource", resourceArn=described["logGroupArn"], tags={"a": "1"})
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"a": "1"}
    listed = ask(server, "ListLogGroups", logGroupNamePattern="^test")["logGroups"]
    assert described["logGroupArn"] in [one["logGroupArn"] for one in listed]


def test_a_live_tail_hears_what_comes(server, logs, group):
    connection, answer = ask(server, "StartLiveTail", keep=True, logGroupIdentifiers=[group_arn(logs, group)],
                             logEventFilterPattern="-secret")
    assert answer.headers["Content-Type"] == "application/vnd.amazon.eventstream"
    names, heard = [], []
    for name, value in events_of(answer):
        names.append(name)
        if name == "sessionStart":
            put(logs, group, ["live one", "a secret", "live two"])
        heard += texts(value.get("sessionResults", []))
        if len(heard) == 2:
            break
    connection.close()
    assert names[:3] == ["initial-response", "sessionStart", "sessionUpdate"]
    assert heard == ["live one", "live two"]


def cli(server, *arguments):
    done = server.aws("logs", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_cli_writes_and_tails(server):
    cli(server, "create-log-group", "--log-group-name", "cli", "--tags", "owner=tests")
    make_client(server).create_log_stream(logGroupName="cli", logStreamName="s")
    cli(server, "put-log-events", "--log-group-name", "cli", "--log-stream-name", "s", "--log-events",
        "timestamp=%d,message=one" % now(), "timestamp=%d,message=two" % (now() + 1))
    tailed = cli(server, "tail", "cli", "--since", "1h", "--format", "short").splitlines()
    assert [line.split()[-1] for line in tailed] == ["one", "two"]
    tested = json.loads(cli(server, "test-metric-filter", "--filter-pattern", "[a, b=2*]", "--log-event-messages", "1 23"))
    assert tested["matches"][0]["extractedValues"] == {"$a": "1", "$b": "23"}


def test_the_javascript_sdk_tells_it_too(server, world):
    if world["sdk"]:
        pytest.skip(world["sdk"])
    assert server.javascript("logs.mjs") == {"got": ["one", '{"n":2}'], "found": ['{"n":2}'], "seen": ["start", "live"],
                                             "refusal": "ResourceAlreadyExistsException"}


def test_the_agents_key_may_write_but_not_read(server, logs, group):
    agent = make_client(server, server.keys("agent-credentials"))
    agent.create_log_stream(logGroupName=group, logStreamName="agent")
    put(agent, group, ["from the agent"], stream="agent")
    assert len(agent.describe_log_streams(logGroupName=group)["logStreams"]) == 2
    refused(agent.get_log_events, "AccessDeniedException", logGroupName=group, logStreamName="agent")
    refused(agent.delete_log_group, "AccessDeniedException", logGroupName=group)


def writer(server, stream, acknowledged, stop):
    logs, number = make_client(server), 0
    while not stop.is_set():
        lines = ["%s %d" % (stream, number + i) for i in range(20)]
        try:
            put(logs, "crash", lines, stream=stream)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            continue
        acknowledged.extend(lines)
        number += 20


def test_no_acknowledged_event_is_lost_in_a_crash(new_wherry, tmp_path):
    with running(new_wherry(tmp_path / "data", agent=False)) as own:
        logs, stop = make_client(own), threading.Event()
        logs.create_log_group(logGroupName="crash")
        acknowledged = {name: [] for name in ("a", "b")}
        for name in acknowledged:
            logs.create_log_stream(logGroupName="crash", logStreamName=name)
        threads = [threading.Thread(target=writer, args=(own, name, lines, stop)) for name, lines in acknowledged.items()]
        for thread in threads:
            thread.start()
        for _ in range(2):
            reached = {name: len(lines) + 100 for name, lines in acknowledged.items()}
            eventually(lambda: all(len(acknowledged[name]) >= count for name, count in reached.items()), 30, what="more lines")
            own.crash("server")
        stop.set()
        for thread in threads:
            thread.join(60)
        for name, lines in acknowledged.items():
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName="crash", logStreamNames=[name])
            kept = set(texts(event for page in pages for event in page["events"]))
            assert not set(lines) - kept


def test_a_stopping_server_ends_its_live_tails(new_wherry, tmp_path):
    own = new_wherry(tmp_path / "data", agent=False)
    try:
        logs = make_client(own)
        logs.create_log_group(logGroupName="g")
        connection, answer = ask(own, "StartLiveTail", keep=True, logGroupIdentifiers=[group_arn(logs, "g")])
        heard = events_of(answer)
        assert next(heard)[0] == "initial-response"
        own.down()
        assert {name for name, _ in heard} <= {"sessionStart", "sessionUpdate"}     # to a proper end: IncompleteRead otherwise
        connection.close()
    finally:
        if own.process:
            own.give_up()
