/* shell.h - operations that the shell answers by itself, past the brain: what they tell is in no record. */
#pragma once
#include "base/arena.h"
#include "base/shape.h"
#include "base/time.h"

struct server;

/* Output by operation->output in `arena`; NULL: the brain answers this one. */
const void *shell_answer(struct server *server, const struct operation *operation, const void *input, usec now,
			 struct arena *arena);
