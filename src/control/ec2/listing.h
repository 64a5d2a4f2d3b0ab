/* listing.h - the Describe calls: ids, filters, pages (neighbours 0.4, 8.1, 8.2).
 *
 * A thing is described as the API shows it, and filters look at the description: a filter is a name and the path of wire
 * names to the values that it compares, so a new filter is a row. `tag:KEY` and `tag-key` are everywhere. */
#pragma once
#include "control/ec2/names.h"
#include "control/ec2/state.h"

enum { FILTERS_LIMIT = 50, FILTER_VALUES_LIMIT = 200 /* of all filters */, LISTED_IDS_LIMIT = 1000, PAGE_LIMIT = 1000 };

struct filter_row {
	struct str name;
	const char *path;                                /* "associationSet.subnetId" */
};

/* A kind of thing as it is listed. */
struct listing {
	enum record_kind kind;
	const struct shape *shape;                       /* of a description */
	const struct filter_row *filters;
	size_t filter_count;
	/* `ret_description`: zeroed, of `shape`. */
	void (*describe)(struct call *call, const struct entry *entry, void *ret_description);
	const char *ids_parameter;                       /* "vpcId": for errors */
};

struct listing_request {
	struct any_list ids;                             /* of struct str */
	const struct ec2_filter_list *filters;
	struct str next_token;
	struct maybe_integer max_results;
	struct maybe_boolean dry_run;
};

/* `ret_list`: a list of descriptions, never absent. */
bool listing_take(struct call *call, const struct listing *listing, const struct listing_request *request, void *ret_list,
		  struct str *ret_next_token);

#define LISTING_REQUEST(in, ids_member) \
	&(struct listing_request){.ids = {(in)->ids_member.items, (in)->ids_member.count}, .filters = &(in)->filters, \
				  .next_token = (in)->next_token, .max_results = {(in)->max_results.value, (in)->max_results.has}, \
				  .dry_run = (in)->dry_run}

/* ---- for lists that are not of one kind of record */
bool filters_check(struct call *call, const struct ec2_filter_list *filters, const struct filter_row *rows, size_t row_count);
bool filters_fit(const struct ec2_filter_list *filters, const struct filter_row *rows, size_t row_count,
		 const struct shape *shape, const void *description);
/* `*` is any text, `?` any one character, `\` takes the next one as it is. */
bool pattern_fits(struct str pattern, struct str text);

/* Fails with DryRunOperation when the caller asked for that: after the checks, before the first emit. */
bool dry_run_ends(struct call *call, struct maybe_boolean dry_run);
/* False, with the error of a client token that was used for something else. */
bool refuse_repeat(struct call *call);
