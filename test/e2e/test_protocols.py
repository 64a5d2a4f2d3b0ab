"""EC2's forms and REST-JSON on the wire: what is asked wrongly gets the form of error that its protocol has."""
import contextlib
import json
import re
import urllib.parse
import xml.etree.ElementTree as xml

import pytest

import wherry

VERSION = "2016-11-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
EC2 = {"Action": "DescribeVpcs", "Version": VERSION}


class Reply:
    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.type = self.headers.get("content-type", "")

    def tree(self):
        """Without namespaces."""
        return xml.fromstring(re.sub(rb' xmlns="[^"]*"', b"", self.body))

    def ec2_error(self):
        tree = self.tree()
        assert tree.tag == "Response" and self.type.startswith("text/xml")
        assert tree.findtext("RequestID") == self.headers["x-amzn-requestid"]
        return self.status, tree.findtext("Errors/Error/Code"), tree.findtext("Errors/Error/Message")

    def query_error(self):
        tree = self.tree()
        assert tree.tag == "ErrorResponse" and tree.findtext("RequestId") == self.headers["x-amzn-requestid"]
        return self.status, tree.findtext("Error/Type"), tree.findtext("Error/Code"), tree.findtext("Error/Message")

    def rest_error(self):
        document = json.loads(self.body)
        assert self.headers["x-amzn-errortype"] == document["ErrorCode"]
        return self.status, document["ErrorCode"], document["Message"]


def send(server, method, path="/", body=b"", service="ec2", keys=None, headers=None, signed=True):
    """A call with exactly these bytes. `service` is the one that it is signed for."""
    headers = {"Content-Type": FORM} if headers is None else headers
    with contextlib.closing(server.send(method, path, body, headers, service if signed else None, keys)) as connection:
        return Reply(connection.getresponse())


def ask(server, parameters=None, **more):
    return send(server, "POST", body=urllib.parse.urlencode(parameters if parameters is not None else EC2).encode(), **more)


# ---- EC2

def test_a_form_is_answered_with_xml(server):
    reply = ask(server)
    tree = reply.tree()
    assert reply.status == 200 and reply.type == "text/xml;charset=UTF-8"
    assert tree.tag == "DescribeVpcsResponse" and tree.findtext("requestId") == reply.headers["x-amzn-requestid"]
    assert b'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"' in reply.body
    assert tree.findtext("vpcSet/item/vpcId").startswith("vpc-")


def test_a_query_string_says_the_same_as_a_form(server):
    reply = send(server, "GET", "/?Action=DescribeVpcs&Version=2016-11-15", headers={})
    assert reply.status == 200
    ids = [[item.text for item in tree.iter("vpcId")] for tree in (reply.tree(), ask(server).tree())]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("parameters, status, code, message", [
    ({"Action": "DescribeUnicorns", "Version": VERSION}, 400, "InvalidAction", "The action DescribeUnicorns is not valid for this web service."),
    ({"Version": VERSION}, 400, "MissingAction", "The request must contain the parameter Action"),
    ({"Action": "DescribeVpcs", "Version": "2001-01-01"}, 400, "NoSuchVersion",
     "The requested version (2001-01-01) of service AmazonEC2 does not exist"),
    ({"Action": "DescribeVpcs"}, 400, "NoSuchVersion", "The requested version () of service AmazonEC2 does not exist"),
    ({**EC2, "Color": "red"}, 400, "UnknownParameter", "The parameter Color is not recognized"),
    ({**EC2, "VpcId.0": "a"}, 400, "UnknownParameter", "The parameter VpcId.0 is not recognized"),
    ({**EC2, "MaxResults": "many"}, 400, "InvalidParameterValue",
     "Invalid value 'many' for parameter MaxResults: it must be an integer"),
    ({**EC2, "MaxResults": "4"}, 400, "InvalidParameterValue",
     "Value ( 4 ) for parameter MaxResults is invalid. Expecting a value greater than or equal to 5."),
    ({**EC2, "MaxResults": "1001"}, 400, "InvalidParameterValue",
     "Value ( 1001 ) for parameter MaxResults is invalid. Expecting a value less than or equal to 1000."),
    ({"Action": "DeleteSubnet", "Version": VERSION}, 400, "MissingParameter", "The request must contain the parameter SubnetId"),
    ({"Action": "CreateVpc", "Version": VERSION, "CidrBlock": "10.0.0.0/16", "InstanceTenancy": "<cosy>"}, 400,
     "InvalidParameterValue", "Invalid value '<cosy>' for InstanceTenancy"),
    ({"Action": "DescribeImages", "Version": VERSION}, 400, "UnsupportedOperation",
     "Wherry knows the operation DescribeImages but does not do it yet."),
])
def test_wrong_forms_are_refused_as_ec2_does(server, parameters, status, code, message):
    assert ask(server, parameters).ec2_error() == (status, code, message)


@pytest.mark.parametrize("body", [b"=a", b"NextToken=%ff", b"%00%ff=1", b"A" * 600 + b"=1", b"VpcId.1=a&" * 10001])
def test_malformed_forms_are_refused(server, body):
    status, code, _ = send(server, "POST", body=b"Action=DescribeVpcs&Version=2016-11-15&" + body).ec2_error()
    assert (status, code) == (400, "MalformedQueryString")


def test_a_body_has_a_limit(server):
    assert send(server, "POST", body=b"Action=DescribeVpcs&Version=2016-11-15&NextToken=" + b"a" * (1 << 20)).status == 413


def test_who_is_not_known_gets_ec2s_words(server):
    failure = (401, "AuthFailure", "AWS was not able to validate the provided access credentials")
    key_id, _ = server.keys()
    assert ask(server, signed=False).ec2_error() == failure
    assert ask(server, keys=("AKIAUNKNOWN", "secret")).ec2_error() == failure
    assert ask(server, keys=(key_id, "wrong")).ec2_error() == failure


def test_the_agents_key_may_not_use_ec2(server):
    status, code, message = ask(server, keys=server.keys("agent-credentials")).ec2_error()
    assert (status, code) == (403, "UnauthorizedOperation") and "ec2:DescribeVpcs" in message


def test_boto3_reads_ec2s_errors(server):
    response = wherry.refused(server.client(service="ec2", checks=False).delete_subnet, "MissingParameter", status=400)
    assert response["Error"]["Message"] == "The request must contain the parameter SubnetId"


# ---- Query

def test_services_that_are_not_there_are_refused_as_query_does(server):
    asked = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    expected = (400, "Sender", "InvalidAction", "Could not find operation GetCallerIdentity for version 2011-06-15")
    assert ask(server, asked, service="sts").query_error() == expected
    assert ask(server, asked, signed=False).query_error() == expected


# ---- REST-JSON

PATH = "/2015-02-01/file-systems"


def test_a_path_is_answered_with_json(server):
    reply = send(server, "GET", PATH, service="elasticfilesystem", headers={})
    assert reply.status == 200 and reply.type == "application/json" and json.loads(reply.body) == {"FileSystems": []}


@pytest.mark.parametrize("method, path, body, status, code, message", [
    ("GET", "/2015-02-01/unicorns", b"", 404, "UnknownOperationException", "No operation has this method and path."),
    ("PATCH", PATH, b"", 404, "UnknownOperationException", "No operation has this method and path."),
    ("POST", PATH, b"{", 400, "SerializationException", "Unexpected end of input"),
    ("POST", PATH, b'{"CreationToken":1}', 400, "SerializationException", "NUMBER_VALUE can not be converted to a String"),
    ("POST", PATH, b"{}", 400, "BadRequest",
     "1 validation error detected: Value null at 'CreationToken' failed to satisfy constraint: Member must not be null"),
    ("POST", PATH, b'{"CreationToken":""}', 400, "BadRequest",
     "1 validation error detected: Value '' at 'CreationToken' failed to satisfy constraint: "
     "Member must have length greater than or equal to 1"),
    ("POST", PATH, b'{"CreationToken":"a","PerformanceMode":"best"}', 400, "BadRequest",
     "1 validation error detected: Value 'best' at 'PerformanceMode' failed to satisfy constraint: "
     "Member must satisfy enum value set: [generalPurpose, maxIO]"),
    ("GET", PATH + "?MaxItems=x", b"", 400, "SerializationException", "STRING_VALUE can not be converted to an integer"),
    ("GET", PATH + "?MaxItems=0", b"", 400, "BadRequest",
     "1 validation error detected: Value '0' at 'MaxItems' failed to satisfy constraint: "
     "Member must have value greater than or equal to 1"),
    ("GET", PATH + "/fs-0123456789abcdef0/policy", b"", 404, "FileSystemNotFound",
     "File system 'fs-0123456789abcdef0' does not exist."),
])
def test_wrong_requests_are_refused_as_rest_json_does(server, method, path, body, status, code, message):
    reply = send(server, method, path, body, service="elasticfilesystem", headers={})
    assert reply.rest_error() == (status, code, message)


def test_who_is_not_known_is_forbidden(server):
    key_id, _ = server.keys()
    assert send(server, "GET", PATH, signed=False, headers={}).rest_error()[:2] == (403, "MissingAuthenticationTokenException")
    for keys, code in ((("AKIAUNKNOWN", "secret"), "UnrecognizedClientException"), ((key_id, "wrong"), "InvalidSignatureException"),
                       (server.keys("agent-credentials"), "AccessDeniedException")):
        reply = send(server, "GET", PATH, service="elasticfilesystem", keys=keys, headers={})
        assert reply.rest_error()[:2] == (403, code)


def test_a_target_header_wins(server):
    """X-Amz-Target says JSON, whatever else the request looks like."""
    reply = send(server, "POST", body=b"{}", service="ecs", headers={
        "Content-Type": FORM, "X-Amz-Target": wherry.ECS + "ListClusters"})
    assert reply.status == 200 and json.loads(reply.body) == {"clusterArns": []}


def test_a_scope_of_another_service_does_not_open_this_one(server):
    assert send(server, "GET", PATH, service="s3", headers={}).status == 404
    assert ask(server, service="sts").query_error()[2] == "InvalidAction"


# ---- JavaScript

def test_the_javascript_sdk_speaks_both(server, world):
    if world["sdk"]:
        pytest.skip(world["sdk"])
    seen = server.javascript("efs.mjs")
    assert (seen["missing"]["status"], seen["missing"]["error"]) == (400, "InvalidVpcID.NotFound")
    assert seen["made"]["status"] == 201 and seen["made"]["SizeInBytes"]["Value"] == 6144
    assert (seen["again"]["status"], seen["again"]["error"]) == (409, "FileSystemAlreadyExists")
    assert seen["again"]["known"] == seen["made"]["FileSystemId"]
    assert seen["target"]["IpAddress"] == seen["address"]
    assert seen["tags"]["Tags"] == [{"Key": "a b", "Value": "c/é"}] and seen["untagged"]["status"] == 200
    assert (seen["busy"]["status"], seen["busy"]["error"]) == (409, "FileSystemInUse") and seen["gone"]["status"] == 204
