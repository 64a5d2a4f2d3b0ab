"""The agent's key may make the agent's calls and no others."""
import botocore.exceptions
import pytest

import contract

AGENT_CALLS = {
    "CreateCluster", "DeregisterContainerInstance", "DiscoverPollEndpoint", "GetTaskProtection", "ListTagsForResource", "RegisterContainerInstance",
    "SubmitAttachmentStateChanges", "SubmitContainerStateChange", "SubmitTaskStateChange", "UpdateContainerInstancesState",
    "UpdateTaskProtection"}


@pytest.mark.parametrize("operation", contract.operations())
def test_the_agents_key(server, operation):
    reply = server.raw(operation, contract.least_input(operation), keys=server.keys("agent-credentials"))
    if operation in AGENT_CALLS:
        assert reply.error != "AccessDeniedException"
        return
    assert (reply.status, reply.error) == (400, "AccessDeniedException")
    assert reply.message.startswith("User: arn:aws:sts::000000000000:assumed-role/")
    assert "is not authorized to perform: ecs:%s on resource: " % operation in reply.message
    assert reply.message.endswith("because no identity-based policy allows the ecs:%s action" % operation)


def test_refusal_comes_before_the_facts(server):
    """Who may not ask learns nothing, also not whether a cluster exists."""
    client = server.client(keys=server.keys("agent-credentials"))
    for name in ("default", "nowhere"):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            client.describe_services(cluster=name, services=["x"])
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_our_own_pages_are_not_the_agents(server):
    keys = server.keys("agent-credentials")
    for operation in ("Overview", "Why"):
        reply = server.raw(operation, {"subject": "x"}, keys=keys, prefix="Wherry_20261121.")
        assert (reply.status, reply.error) == (400, "AccessDeniedException")


def test_an_unknown_key_and_a_wrong_secret(server):
    key_id, _ = server.keys()
    assert server.raw("ListClusters", {}, keys=("AKIAUNKNOWNUNKNOWN00", "x")).error == "UnrecognizedClientException"
    assert server.raw("ListClusters", {}, keys=(key_id, "wrong")).error == "InvalidSignatureException"
