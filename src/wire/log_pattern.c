#include <stdlib.h>
#include "wire/log_pattern_private.h"

enum { REGEX_WORK_LIMIT = 100000, REGEX_DEPTH_LIMIT = 1000, REGEX_HEAP_LIMIT = 1024 };     /* of one search */

struct log_pattern *log_pattern_new(struct str text, struct error *err)
{
	struct log_pattern *pattern = calloc(1, sizeof(*pattern));

	if (!pattern)
		abort();
	pattern->limits = pcre2_match_context_create(NULL);
	if (!pattern->limits)
		abort();
	pcre2_set_match_limit(pattern->limits, REGEX_WORK_LIMIT);
	pcre2_set_depth_limit(pattern->limits, REGEX_DEPTH_LIMIT);
	pcre2_set_heap_limit(pattern->limits, REGEX_HEAP_LIMIT);
	if (log_pattern_read(pattern, text))
		return pattern;
	log_pattern_free(pattern);
	fail(err, ERROR_INVALID_PARAMETER, "Invalid filter pattern");
	return NULL;
}

void log_pattern_free(struct log_pattern *pattern)
{
	if (!pattern)
		return;
	list_fini(&pattern->terms);
	list_fini(&pattern->columns);
	pcre2_match_context_free(pattern->limits);
	arena_fini(&pattern->arena);
	free(pattern);
}

static bool term_occurs(const struct log_pattern *pattern, const struct term *term, struct str message)
{
	if (term->regex)
		return log_pattern_finds(pattern, term->regex, message);
	return term->text.len == 0 || memmem(message.ptr, message.len, term->text.ptr, term->text.len) != NULL;
}

static bool match_terms(const struct log_pattern *pattern, struct str message)
{
	bool has_optional = false, any = false;

	for (size_t i = 0; i < pattern->terms.count; i++) {
		const struct term *term = &pattern->terms.items[i];
		bool optional = term->kind == TERM_OPTIONAL;

		if (optional && (pattern->has_plain || any))
			continue;
		has_optional |= optional;
		if (optional)
			any = term_occurs(pattern, term, message);
		else if (term_occurs(pattern, term, message) != (term->kind == TERM_PLAIN))
			return false;
	}
	return !has_optional || any;
}

bool log_pattern_matches(const struct log_pattern *pattern, struct str message)
{
	switch (pattern->language) {
	case TERMS: return match_terms(pattern, message);
	case JSON: return log_pattern_match_json(pattern, message);
	case COLUMNS: return log_pattern_match_columns(pattern, message);
	default: return true;
	}
}

void log_pattern_extract(const struct log_pattern *pattern, struct str message, struct arena *arena,
			 void (*take)(void *arg, struct str name, struct str value), void *arg)
{
	struct extraction to = {arena, take, arg};

	if (pattern->language == JSON)
		log_pattern_extract_json(pattern, message, &to);
	else if (pattern->language == COLUMNS)
		log_pattern_extract_columns(pattern, message, &to);
}
