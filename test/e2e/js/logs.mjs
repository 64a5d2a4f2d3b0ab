// Drives the Logs client of the JavaScript SDK once through its operations; prints what it saw as one line of JSON.
import * as logs from "@aws-sdk/client-cloudwatch-logs";

const client = new logs.CloudWatchLogsClient({ endpoint: process.env.ENDPOINT, region: process.env.AWS_REGION, maxAttempts: 2,
  disableHostPrefix: true });
const name = { logGroupName: "js", logStreamName: "s" };
const send = (operation, input) => client.send(new logs[operation + "Command"](input));

async function listen(arn) {
  const { responseStream } = await send("StartLiveTail", { logGroupIdentifiers: [arn] });
  const seen = [];
  for await (const event of responseStream) {
    if (event.sessionStart) {
      seen.push("start");
      await send("PutLogEvents", { ...name, logEvents: [{ timestamp: Date.now(), message: "live" }] });
    }
    for (const found of event.sessionUpdate?.sessionResults ?? []) seen.push(found.message);
    if (seen.length > 1) break;
  }
  return seen;
}

async function story() {
  await send("CreateLogGroup", { logGroupName: "js", tags: { by: "tests" } });
  await send("CreateLogStream", name);
  const now = Date.now();
  await send("PutLogEvents", { ...name, logEvents: [{ timestamp: now, message: "one" }, { timestamp: now, message: '{"n":2}' }] });
  const got = await send("GetLogEvents", { ...name, startFromHead: true });
  const found = await send("FilterLogEvents", { logGroupName: "js", filterPattern: "{ $.n = 2 }" });
  const groups = await send("DescribeLogGroups", { logGroupNamePrefix: "js" });
  const seen = await listen(groups.logGroups[0].logGroupArn);
  let refusal;
  await send("CreateLogGroup", { logGroupName: "js" }).catch((error) => { refusal = error.name; });
  await send("DeleteLogGroup", { logGroupName: "js" });
  return { got: got.events.map((e) => e.message), found: found.events.map((e) => e.message), seen, refusal };
}

console.log(JSON.stringify(await story()));
client.destroy();
process.exit(0);
