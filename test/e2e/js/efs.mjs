// Drives the EC2 and EFS clients of the JavaScript SDK once through what they share: forms and XML, paths and JSON. Prints
// what it saw as one line of JSON.
import * as ec2 from "@aws-sdk/client-ec2";
import * as efs from "@aws-sdk/client-efs";

const options = { endpoint: process.env.ENDPOINT, region: process.env.AWS_REGION, maxAttempts: 2 };
const machines = new ec2.EC2Client(options);
const files = new efs.EFSClient(options);

async function ask(client, commands, operation, input) {
  try {
    const { $metadata, ...output } = await client.send(new commands[operation + "Command"](input));
    return { status: $metadata.httpStatusCode, ...output };
  } catch (error) {
    return { status: error.$metadata?.httpStatusCode, error: error.name, message: error.message, known: error.FileSystemId };
  }
}
const inEc2 = (operation, input = {}) => ask(machines, ec2, operation, input);
const inEfs = (operation, input = {}) => ask(files, efs, operation, input);

async function story() {
  const { Subnets: subnets } = await inEc2("DescribeSubnets", { Filters: [{ Name: "default-for-az", Values: ["true"] }] });
  const missing = await inEc2("DescribeVpcs", { VpcIds: ["vpc-00000000000000000"] });
  const made = await inEfs("CreateFileSystem", { CreationToken: "js", Tags: [{ Key: "a b", Value: "c/é" }] });
  const FileSystemId = made.FileSystemId;
  const again = await inEfs("CreateFileSystem", { CreationToken: "js" });
  const target = await inEfs("CreateMountTarget", { FileSystemId, SubnetId: subnets[0].SubnetId });
  const shown = await inEc2("DescribeNetworkInterfaces", { NetworkInterfaceIds: [target.NetworkInterfaceId] });
  const tags = await inEfs("ListTagsForResource", { ResourceId: made.FileSystemArn });
  const untagged = await inEfs("UntagResource", { ResourceId: made.FileSystemArn, TagKeys: ["a b", "z&y"] });
  const busy = await inEfs("DeleteFileSystem", { FileSystemId });
  await inEfs("DeleteMountTarget", { MountTargetId: target.MountTargetId });
  const gone = await inEfs("DeleteFileSystem", { FileSystemId });
  return { missing, made, again, target, address: shown.NetworkInterfaces[0].PrivateIpAddress, tags, untagged, busy, gone };
}

console.log(JSON.stringify(await story()));
