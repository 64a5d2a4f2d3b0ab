/* attachment.c - interfaces that are announced before the task that gets them (agent-protocol 2.4).
 *
 * Kept in memory only: the payload carries the same interface, unless the server leaves it to the announcement. */
#include "agent/held.h"

static void forget(struct agent *agent, size_t index)
{
	free(agent->attachments.items[index].message);
	list_remove_at(&agent->attachments, index);
}

static void forget_expired(struct agent *agent, usec now)
{
	for (size_t i = agent->attachments.count; i-- > 0;)
		if (agent->attachments.items[i].expires_at <= now)
			forget(agent, i);
}

static size_t find(const struct agent *agent, struct str task_arn)
{
	size_t i;

	for (i = 0; i < agent->attachments.count; i++)
		if (str_equal(agent->attachments.items[i].message->task_arn, task_arn))
			break;
	return i;
}

bool attachment_take(struct step *step, const struct acs_attach_task_network_interfaces_message *message)
{
	struct agent *agent = step->agent;
	struct str id;

	if (!accept_task_id(message->task_arn, &id) || message->elastic_network_interfaces.count == 0 ||
	    message->wait_timeout_ms.value <= 0)
		return false;
	forget_expired(agent, step->now);
	if (map_get(&agent->by_id, id) || find(agent, message->task_arn) < agent->attachments.count)
		return true;
	if (agent->attachments.count >= AGENT_ATTACHMENTS_LIMIT)
		return false;
	*list_push(&agent->attachments) = (struct attachment){
		.message = shape_clone(&shape_acs_attach_task_network_interfaces_message, message),
		.expires_at = step->now + MIN(message->wait_timeout_ms.value, INT32_MAX) * USEC_PER_MSEC};
	return true;
}

struct acs_elastic_network_interfaces attachment_claim(struct step *step, struct str task_arn)
{
	struct acs_elastic_network_interfaces claimed = {0};
	struct acs_attach_task_network_interfaces_message *copy;
	size_t index;

	forget_expired(step->agent, step->now);
	index = find(step->agent, task_arn);
	if (index == step->agent->attachments.count)
		return claimed;
	copy = shape_copy(&shape_acs_attach_task_network_interfaces_message,
			  step->agent->attachments.items[index].message, step->arena);
	forget(step->agent, index);
	return copy->elastic_network_interfaces;
}

void attachments_fini(struct agent *agent)
{
	while (agent->attachments.count)
		forget(agent, agent->attachments.count - 1);
	list_fini(&agent->attachments);
}
