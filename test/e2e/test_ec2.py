"""VPCs by the AWS CLI and boto3: the sequences of Terraform, CDK and people; wrong input; what machines hear of it."""
import json
import re
import signal
import threading

import pytest

import wherry
from wherry import REGION, eventually, refused

WHERRY = "Wherry_20261121."


@pytest.fixture(scope="module")
def ec2(server):
    return server.client(service="ec2")


def filters(**wanted):
    return [{"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]} for name, value in wanted.items()]


@pytest.fixture
def vpc(ec2):
    """One of our own; everything in it is taken back."""
    made = ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=[
        {"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "test"}]}])["Vpc"]
    assert made["State"] == "pending"
    ec2.get_waiter("vpc_available").wait(VpcIds=[made["VpcId"]])
    yield made["VpcId"]
    within = filters(vpc_id=made["VpcId"])
    for interface in ec2.describe_network_interfaces(Filters=within)["NetworkInterfaces"]:
        ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    for subnet in ec2.describe_subnets(Filters=within)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for table in ec2.describe_route_tables(Filters=within)["RouteTables"]:
        if not any(association["Main"] for association in table["Associations"]):
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    for gateway in ec2.describe_internet_gateways(Filters=filters(attachment__vpc_id=made["VpcId"]))["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=made["VpcId"])
        ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    for group in ec2.describe_security_groups(Filters=within)["SecurityGroups"]:
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])
    ec2.delete_vpc(VpcId=made["VpcId"])
    refused(ec2.describe_vpcs, "InvalidVpcID.NotFound", VpcIds=[made["VpcId"]])


def cli(server, *arguments):
    """Its answer, or what it complains of."""
    done = server.aws("ec2", *arguments)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else done.stdout + done.stderr


def test_the_cli_finds_and_makes_what_a_task_needs(server):
    subnets = cli(server, "describe-subnets", "--filters", "Name=default-for-az,Values=true")["Subnets"]
    assert sorted(subnet["CidrBlock"] for subnet in subnets) == ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]
    made = cli(server, "create-security-group", "--group-name", "cli", "--description", "made by the CLI")
    assert re.fullmatch("sg-[0-9a-f]{17}", made["GroupId"])
    allowed = cli(server, "authorize-security-group-ingress", "--group-id", made["GroupId"], "--protocol", "tcp", "--port", "80-81",
                  "--cidr", "0.0.0.0/0")
    assert allowed["Return"] and allowed["SecurityGroupRules"][0]["FromPort"] == 80
    again = cli(server, "authorize-security-group-ingress", "--group-id", made["GroupId"], "--protocol", "tcp", "--port", "80-81",
                "--cidr", "0.0.0.0/0")
    assert "(InvalidPermission.Duplicate)" in again


def test_what_terraform_reads_of_a_vpc(ec2, vpc):
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["InstanceTenancy"] == "default"
    for attribute, value in (("enableDnsHostnames", False), ("enableDnsSupport", True), ("enableNetworkAddressUsageMetrics", False)):
        reply = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
        assert reply[attribute[0].upper() + attribute[1:]]["Value"] is value
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"] is True
    acls = ec2.describe_network_acls(Filters=filters(default="true", vpc_id=vpc))["NetworkAcls"]
    assert [entry["RuleNumber"] for entry in acls[0]["Entries"]] == [100, 32767, 100, 32767]
    tables = ec2.describe_route_tables(Filters=filters(association__main="true", vpc_id=vpc))["RouteTables"]
    assert [route["GatewayId"] for route in tables[0]["Routes"]] == ["local"]
    groups = ec2.describe_security_groups(Filters=filters(group_name="default", vpc_id=vpc))["SecurityGroups"]
    assert groups[0]["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == groups[0]["GroupId"]
    assert ec2.describe_tags(Filters=filters(resource_id=vpc))["Tags"] == [
        {"Key": "Name", "ResourceId": vpc, "ResourceType": "vpc", "Value": "test"}]


def test_what_cdk_looks_up(ec2, vpc):
    assert ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["te?t"]}])["Vpcs"][0]["VpcId"] == vpc
    zones = ec2.describe_availability_zones(Filters=filters(state="available"))["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == [REGION + letter for letter in "abc"]
    assert ec2.describe_nat_gateways(Filters=filters(vpc_id=vpc))["NatGateways"] == []
    assert ec2.describe_vpc_endpoints(Filters=filters(vpc_id=vpc))["VpcEndpoints"] == []
    assert REGION in [region["RegionName"] for region in ec2.describe_regions()["Regions"]]
    assert ec2.describe_account_attributes(AttributeNames=["supported-platforms"])["AccountAttributes"][0]["AttributeValues"] == [
        {"AttributeValue": "VPC"}]


def test_a_public_subnet_is_built_and_taken_back(ec2, vpc):
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24", AvailabilityZone=REGION + "b")["Subnet"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet["SubnetId"]])
    assert subnet["AvailableIpAddressCount"] == 251 and not subnet["MapPublicIpOnLaunch"]
    ec2.modify_subnet_attribute(SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    assert ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]["MapPublicIpOnLaunch"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.get_waiter("internet_gateway_exists").wait(InternetGatewayIds=[gateway])
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    assert ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)["Return"]
    refused(ec2.create_route, "RouteAlreadyExists", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet["SubnetId"])
    assert association["AssociationState"]["State"] == "associated"
    refused(ec2.delete_vpc, "DependencyViolation", VpcId=vpc)
    refused(ec2.delete_route_table, "DependencyViolation", RouteTableId=table)
    ec2.disassociate_route_table(AssociationId=association["AssociationId"])
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")


def test_interfaces_and_elastic_addresses(ec2, vpc):
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.2.0/28")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    interface = ec2.create_network_interface(SubnetId=subnet, Description="mine")["NetworkInterface"]
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[interface["NetworkInterfaceId"]])
    assert interface["PrivateIpAddress"] == "10.7.2.4" and interface["MacAddress"].startswith("02:")
    refused(ec2.create_network_interface, "InvalidIPAddress.InUse", SubnetId=subnet, PrivateIpAddress="10.7.2.4")
    address = ec2.allocate_address(Domain="vpc")
    associated = ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=interface["NetworkInterfaceId"])
    shown = ec2.describe_network_interfaces(Filters=filters(association__public_ip=address["PublicIp"]))["NetworkInterfaces"]
    assert shown[0]["Association"]["AssociationId"] == associated["AssociationId"]
    refused(ec2.detach_internet_gateway, "DependencyViolation", InternetGatewayId=gateway, VpcId=vpc)
    refused(ec2.release_address, "InvalidIPAddress.InUse", AllocationId=address["AllocationId"])
    ec2.disassociate_address(AssociationId=associated["AssociationId"])
    ec2.release_address(AllocationId=address["AllocationId"])
    refused(ec2.describe_addresses, "InvalidAllocationID.NotFound", AllocationIds=[address["AllocationId"]])


def test_rules_of_groups(ec2, vpc):
    web = ec2.create_security_group(GroupName="web", Description="d", VpcId=vpc)["GroupId"]
    db = ec2.create_security_group(GroupName="db", Description="d", VpcId=vpc)["GroupId"]
    refused(ec2.create_security_group, "InvalidGroup.Duplicate", GroupName="web", Description="d", VpcId=vpc)
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": web, "Description": "app"}]}
    made = ec2.authorize_security_group_ingress(GroupId=db, IpPermissions=[permission, {
        "IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}], TagSpecifications=[
            {"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}])["SecurityGroupRules"]
    assert made[0]["ReferencedGroupInfo"]["GroupId"] == web and made[0]["Tags"] == [{"Key": "a", "Value": "b"}]
    refused(ec2.delete_security_group, "DependencyViolation", GroupId=web)
    pages = ec2.get_paginator("describe_security_group_rules").paginate(Filters=filters(group_id=db), PaginationConfig={"PageSize": 5})
    assert len([rule for page in pages for rule in page["SecurityGroupRules"]]) == 3
    shown = ec2.describe_security_groups(GroupIds=[db])["SecurityGroups"][0]
    assert {entry["IpProtocol"] for entry in shown["IpPermissions"]} == {"tcp", "icmp"}
    ec2.revoke_security_group_ingress(GroupId=db, SecurityGroupRuleIds=[made[1]["SecurityGroupRuleId"]])
    ec2.revoke_security_group_ingress(GroupId=db, IpPermissions=[permission])
    refused(ec2.revoke_security_group_ingress, "InvalidPermission.NotFound", GroupId=db, IpPermissions=[permission])
    ec2.revoke_security_group_egress(GroupId=db, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    assert ec2.describe_security_groups(GroupIds=[db])["SecurityGroups"][0]["IpPermissionsEgress"] == []


@pytest.mark.parametrize("operation, members, code", [
    ("create_vpc", {"CidrBlock": "10.0.0.0/8"}, "InvalidVpc.Range"),
    ("create_vpc", {"CidrBlock": "ten"}, "InvalidParameterValue"),
    ("create_vpc", {"CidrBlock": "10.0.0.0/16", "DryRun": True}, "DryRunOperation"),
    ("create_vpc", {"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": True}, "UnsupportedOperation"),
    ("describe_vpcs", {"VpcIds": ["vpc-x"]}, "InvalidVpcID.Malformed"),
    ("describe_vpcs", {"VpcIds": ["vpc-0123456789abcdef0"]}, "InvalidVpcID.NotFound"),
    ("describe_vpcs", {"Filters": [{"Name": "colour", "Values": ["red"]}]}, "InvalidParameterValue"),
    ("describe_vpcs", {"NextToken": "rubbish"}, "InvalidNextToken"),
    ("describe_subnets", {"SubnetIds": ["subnet-0123456789abcdef0"]}, "InvalidSubnetID.NotFound"),
    ("describe_security_groups", {"GroupNames": ["nobody"]}, "InvalidGroup.NotFound"),
    ("describe_route_tables", {"RouteTableIds": ["rtb-0123456789abcdef0"]}, "InvalidRouteTableID.NotFound"),
    ("describe_internet_gateways", {"InternetGatewayIds": ["igw-0123456789abcdef0"]}, "InvalidInternetGatewayID.NotFound"),
    ("describe_network_interfaces", {"NetworkInterfaceIds": ["eni-0123456789abcdef0"]}, "InvalidNetworkInterfaceID.NotFound"),
    ("describe_network_acls", {"NetworkAclIds": ["acl-0123456789abcdef0"]}, "InvalidNetworkAclID.NotFound"),
    ("describe_dhcp_options", {"DhcpOptionsIds": ["dopt-0123456789abcdef0"]}, "InvalidDhcpOptionID.NotFound"),
    ("describe_nat_gateways", {"NatGatewayIds": ["nat-0123456789abcdef0"]}, "NatGatewayNotFound"),
    ("describe_security_group_rules", {"SecurityGroupRuleIds": ["sgr-0123456789abcdef0"]}, "InvalidSecurityGroupRuleId.NotFound"),
    ("create_default_vpc", {}, "DefaultVpcAlreadyExists"),
    ("create_tags", {"Resources": ["x"], "Tags": [{"Key": "a", "Value": "b"}]}, "InvalidID"),
    ("run_instances", {"MinCount": 1, "MaxCount": 1}, "UnsupportedOperation"),
])
def test_wrong_input_has_awss_codes(ec2, operation, members, code):
    refused(getattr(ec2, operation), code, **members)


# ---- what machines hear
def register(server):
    server.ecs.create_cluster()
    resources = [{"name": "CPU", "type": "INTEGER", "integerValue": 1024}, {"name": "MEMORY", "type": "INTEGER", "integerValue": 1024}]
    return server.ecs.register_container_instance(cluster="default", totalResources=resources)["containerInstance"][
        "containerInstanceArn"]


def watch(server, instance, news=None, keys=None, timeout=60):
    request = {"containerInstance": instance, "cluster": "default"}
    if news:
        request.update(epoch=news["epoch"], version=news["version"])
    return server.raw("WatchNetwork", request, keys=keys, prefix=WHERRY, timeout=timeout)


def test_a_machine_may_watch_with_the_agents_key_and_is_told_everything_first(server):
    agent = server.keys("agent-credentials")
    instance = register(server)
    reply = watch(server, instance, keys=agent)
    assert reply.status == 200, reply.body
    news = reply.json
    assert news["full"] and news["interfaces"] == [] and news["groups"] == []
    assert watch(server, instance.replace(instance[-4:], "0000"), keys=agent).status == 400
    refused(server.client(service="ec2", keys=agent).describe_vpcs, "UnauthorizedOperation")


def calls_under_way(server):
    return int(re.search(r"^wherry_calls_under_way (\d+)$", wherry.http_get(server.port, "/_wherry/metrics"), re.M).group(1))


def test_a_waiting_machine_neither_keeps_the_server_nor_loses_its_answer(new_wherry, tmp_path):
    own = new_wherry(tmp_path / "data", agent=False)
    try:
        one, two = register(own), register(own)
        news = [watch(own, instance).json for instance in (one, two)]
        answers = []
        # One leaves without waiting for its answer, the other waits for it.
        with pytest.raises(TimeoutError):
            watch(own, one, news[0], timeout=1)
        waiting = threading.Thread(target=lambda: answers.append(watch(own, two, news[1])))
        waiting.start()
        eventually(lambda: answers or calls_under_way(own) == 2)
        assert not answers, answers[0].body
        own.process.send_signal(signal.SIGTERM)
        waiting.join(60)
        assert answers and answers[0].status == 200, own.log()
        assert not answers[0].json["full"]
        eventually(lambda: own.process.poll() is not None, 60)
        assert own.process.returncode == 0, own.log()
    finally:
        own.give_up()
