#include "runner/calls.h"
#include <pthread.h>
#include <stdlib.h>
#include "base/list.h"

struct calls {
	uv_loop_t *loop;
	const struct client_options *options;
	pthread_mutex_t lock;
	LIST_OF(struct client *) idle;
};

struct made_call {
	uv_work_t work;
	struct calls *calls;
	struct arena arena;
	const struct operation *operation;
	const void *input;
	void *output;
	struct error error;
	void (*done)(void *arg, uint64_t ticket, const void *output, const struct error *err);
	void *arg;
	uint64_t ticket;
};

struct calls *calls_new(uv_loop_t *loop, const struct client_options *options)
{
	struct calls *calls = calloc(1, sizeof(*calls));

	if (!calls)
		abort();
	calls->loop = loop;
	calls->options = options;
	pthread_mutex_init(&calls->lock, NULL);
	return calls;
}

void calls_free(struct calls *calls)
{
	if (!calls)
		return;
	for (size_t i = 0; i < calls->idle.count; i++)
		client_free(calls->idle.items[i]);
	list_fini(&calls->idle);
	pthread_mutex_destroy(&calls->lock);
	free(calls);
}

static struct client *take_client(struct calls *calls, struct error *err)
{
	struct client *client = NULL;

	pthread_mutex_lock(&calls->lock);
	if (calls->idle.count)
		client = calls->idle.items[--calls->idle.count];
	pthread_mutex_unlock(&calls->lock);
	if (!client)
		client_new(calls->options, &client, err);
	return client;
}

static void give_client(struct calls *calls, struct client *client)
{
	pthread_mutex_lock(&calls->lock);
	list_add(&calls->idle, client);
	pthread_mutex_unlock(&calls->lock);
}

static void make(uv_work_t *work)
{
	struct made_call *call = work->data;
	struct client *client = take_client(call->calls, &call->error);

	if (!client)
		return;
	if (!client_call(client, call->operation, call->input, &call->arena, &call->output, &call->error))
		call->output = NULL;
	give_client(call->calls, client);
}

static void made(uv_work_t *work, int status)
{
	struct made_call *call = work->data;

	if (status == 0)
		call->done(call->arg, call->ticket, call->output, &call->error);
	arena_fini(&call->arena);
	free(call);
}

void calls_make(struct calls *calls, const struct operation *operation, const void *input,
		void (*done)(void *arg, uint64_t ticket, const void *output, const struct error *err),
		void *arg, uint64_t ticket)
{
	struct made_call *call = calloc(1, sizeof(*call));

	if (!call)
		abort();
	call->work.data = call;
	call->calls = calls;
	call->operation = operation;
	call->input = shape_copy(operation->input, input, &call->arena);
	call->done = done;
	call->arg = arg;
	call->ticket = ticket;
	uv_queue_work(calls->loop, &call->work, make, made);
}
