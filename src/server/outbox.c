#include "server/brain.h"

void outbox_init(struct outbox *outbox, void (*wake)(struct outbox *outbox))
{
	pthread_mutex_init(&outbox->mutex, NULL);
	chain_init(&outbox->works);
	chain_init(&outbox->staged);
	outbox->wake = wake;
}

void outbox_fini(struct outbox *outbox)
{
	assert(chain_empty(&outbox->staged));
	CHAIN_EACH(&outbox->works, struct work, link, work)
	{
		link_remove(&work->link);
		if (work->kind == WORK_SEND || work->kind == WORK_HANGUP || work->kind == WORK_STREAM)
			brain_work_free(work);
	}
	pthread_mutex_destroy(&outbox->mutex);
}

/* Moves all of `from` behind `to`. */
static void chain_splice(struct link *to, struct link *from)
{
	if (chain_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	chain_init(from);
}

void outbox_put(struct outbox *outbox, struct link *works)
{
	bool was_empty;

	pthread_mutex_lock(&outbox->mutex);
	was_empty = chain_empty(&outbox->works);
	chain_splice(&outbox->works, works);
	pthread_mutex_unlock(&outbox->mutex);
	if (was_empty)
		outbox->wake(outbox);
}

void outbox_take(struct outbox *outbox, struct link *ret_works)
{
	chain_init(ret_works);
	pthread_mutex_lock(&outbox->mutex);
	chain_splice(ret_works, &outbox->works);
	pthread_mutex_unlock(&outbox->mutex);
}

void brain_work_free(struct work *work)
{
	buffer_fini(&work->answer.body);
	free(work);
}
