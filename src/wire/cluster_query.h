/* cluster_query.h - the cluster query language: filters of container instances and memberOf constraints.
 *
 * Grammar and operators: ecs-behaviour 6.4. Parsing is once, evaluation many times; the tree lives in the
 * arena it was parsed into (patterns are freed by its defers). */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/time.h"

enum {
	CLUSTER_QUERY_BYTES_LIMIT = 2000,
	CLUSTER_QUERY_DEPTH_LIMIT = 32,                  /* of parentheses and negations */
	CLUSTER_QUERY_PATTERNS_LIMIT = 10,               /* regular expressions in one query */
};

struct cluster_query;

/* Fails with InvalidParameterException "The expression '…' is not valid." */
bool cluster_query_parse(struct str text, struct arena *arena, const struct cluster_query **ret_query,
			 struct error *err);

/* What the expression asks of an instance. `attribute` gives false when the instance has none of that
 * name, and an absent value for one without a value. `task_group` says whether any task of the
 * group runs there (op and pattern are applied to each group through `visit`). */
struct cluster_query_subject {
	void *self;
	bool (*attribute)(void *self, struct str name, struct str *ret_value);
	bool (*any_group)(void *self, bool (*test)(void *arg, struct str group), void *arg);
	bool agent_connected;
	struct str agent_version, ec2_instance_id;
	usec registered_at;
	int64_t running_tasks;
};

/* What is negated (!=, !in, !~, !exists) is true exactly when the positive form is false: also for an instance
 * without the attribute. An ordering is false there. */
bool cluster_query_matches(const struct cluster_query *query, const struct cluster_query_subject *subject);
