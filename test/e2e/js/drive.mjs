// Drives the JavaScript SDK by lines of JSON: {"op","input"} or {"wait","input"} in; {"output"} or {"error","message"} out.
import * as ecs from "@aws-sdk/client-ecs";
import { createInterface } from "node:readline";

const client = new ecs.ECSClient({ endpoint: process.env.ENDPOINT, region: process.env.AWS_REGION, maxAttempts: 2 });

async function answer({ op, wait, input, seconds }) {
  if (wait) {
    const result = await ecs["waitUntil" + wait]({ client, maxWaitTime: seconds, minDelay: 0.1, maxDelay: 0.5 }, input);
    return { state: result.state };
  }
  if (op === "operations")
    return Object.keys(ecs).filter((name) => name.endsWith("Command") && name !== "$Command").map((name) => name.slice(0, -7));
  const { $metadata, ...output } = await client.send(new ecs[op + "Command"](input));
  if (!$metadata.requestId) throw new Error("no request id");
  return output;
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    reply = { output: await answer(JSON.parse(line)) };
  } catch (error) {
    reply = { error: error.name, message: String(error.message) };
  }
  console.log(JSON.stringify(reply));
}
client.destroy();
