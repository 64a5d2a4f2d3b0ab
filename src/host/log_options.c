#include "host/log_options.h"
#include "base/buffer.h"
#include "host/keeper.h"

static const struct str known_file[] = {
	STR_INIT("max-size"), STR_INIT("max-file"), STR_INIT("mode"), STR_INIT("max-buffer-size"),
};
static const struct str known_awslogs[] = {
	STR_INIT("awslogs-region"), STR_INIT("awslogs-endpoint"), STR_INIT("awslogs-group"),
	STR_INIT("awslogs-stream"), STR_INIT("awslogs-stream-prefix"), STR_INIT("awslogs-create-group"),
	STR_INIT("awslogs-datetime-format"), STR_INIT("awslogs-multiline-pattern"),
	STR_INIT("awslogs-force-flush-interval-seconds"), STR_INIT("mode"), STR_INIT("max-buffer-size"),
};

static struct str option(const struct docker_log_config *config, const char *name)
{
	for (size_t i = 0; i < config->config.count; i++)
		if (str_equal(config->config.items[i].key, str_of(name)))
			return config->config.items[i].value;
	return STR_NONE;
}

static bool check_names(const struct docker_log_config *config, const struct str *known, size_t count, struct error *err)
{
	for (size_t i = 0; i < config->config.count; i++) {
		struct str name = config->config.items[i].key;
		size_t k = 0;

		while (k < count && !str_equal(known[k], name))
			k++;
		if (k == count)
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: unknown log opt '%.*s' for %.*s "
				    "log driver", STR(name), STR(config->type));
	}
	return true;
}

bool log_options_bytes(struct str text, uint64_t *ret_bytes)
{
	static const struct { char unit; unsigned shift; } units[] = {
		{'k', 10}, {'K', 10}, {'m', 20}, {'M', 20}, {'g', 30}, {'G', 30}};
	unsigned shift = 0;
	uint64_t number;

	if (text.len > 1 && (text.ptr[text.len - 1] == 'b' || text.ptr[text.len - 1] == 'B'))
		text.len--;
	for (size_t i = 0; i < COUNT(units) && text.len > 0 && shift == 0; i++)
		if (text.ptr[text.len - 1] == units[i].unit)
			shift = units[i].shift;
	if (shift)
		text.len--;
	if (!str_to_unsigned(text, &number) || number == 0 || number > UINT64_MAX >> shift)
		return false;
	*ret_bytes = number << shift;
	return true;
}

static bool read_bytes(const struct docker_log_config *config, const char *name, uint64_t *bytes, struct error *err)
{
	struct str text = option(config, name);

	return !str_has(text) || log_options_bytes(text, bytes) ||
	       fail(err, ERROR_REFUSED, "CannotCreateContainerError: invalid value for log opt %s: '%.*s'", name, STR(text));
}

static bool read_flag(const struct docker_log_config *config, const char *name, bool *flag, struct error *err)
{
	struct str text = option(config, name);

	if (!str_has(text))
		return true;
	*flag = str_equal(text, S("true"));
	return *flag || str_equal(text, S("false")) ||
	       fail(err, ERROR_REFUSED, "CannotCreateContainerError: must specify valid value for log opt '%s': '%.*s'",
		    name, STR(text));
}

/* ---- json-file */

static bool read_file(const struct docker_log_config *config, struct arena *arena, struct log_options *options,
		      struct error *err)
{
	uint64_t bytes = KEEPER_LOG_LIMIT, files = KEEPER_LOG_FILES;
	struct str count = option(config, "max-file");

	if (!check_names(config, known_file, COUNT(known_file), err) || !read_bytes(config, "max-size", &bytes, err))
		return false;
	if (str_has(count) && (!str_to_unsigned(count, &files) || files < 1 || files > LOG_FILES_LIMIT))
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: max-file must be between 1 and %d",
			    LOG_FILES_LIMIT);
	options->mode = arena_printf(arena, "file %llu %llu", (unsigned long long)bytes, (unsigned long long)files);
	return true;
}

/* ---- awslogs */

/* What each conversion of strftime looks like. */
static const struct { char conversion; const char *pattern; } conversions[] = {
	{'A', "(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"}, {'a', "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)"},
	{'B', "(January|February|March|April|May|June|July|August|September|October|November|December)"},
	{'b', "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"},
	{'d', "[0-9]{2}"}, {'f', "[0-9]{6}"}, {'H', "[0-9]{2}"}, {'I', "[0-9]{2}"}, {'j', "[0-9]{3}"},
	{'L', "\\.[0-9]{3}"}, {'M', "[0-9]{2}"}, {'m', "[0-9]{2}"}, {'p', "[AP]M"}, {'S', "[0-9]{2}"},
	{'w', "[0-6]"}, {'Y', "[0-9]{4}"}, {'y', "[0-9]{2}"}, {'Z', "[A-Z]{1,4}T"}, {'z', "[+-][0-9]{4}"},
	{'%', "%"},
};

struct str log_options_time_pattern(struct str format, struct arena *arena)
{
	auto_buffer out = {0};

	for (size_t i = 0; i < format.len; i++) {
		size_t c = COUNT(conversions);

		if (format.ptr[i] == '%' && i + 1 < format.len)
			for (c = 0; c < COUNT(conversions) && conversions[c].conversion != format.ptr[i + 1];)
				c++;
		if (c < COUNT(conversions)) {
			buffer_add(&out, str_of(conversions[c].pattern));
			i++;
			continue;
		}
		if (strchr("\\.[]{}()*+?^$|", format.ptr[i]))
			buffer_add_char(&out, '\\');
		buffer_add_char(&out, format.ptr[i]);
	}
	return arena_copy(arena, buffer_str(&out));
}

static bool read_mode(const struct docker_log_config *config, struct arena *arena, struct log_options *options,
		      struct error *err)
{
	struct str mode = option(config, "mode");
	bool blocking = !str_equal(mode, S("non-blocking"));
	uint64_t bytes = LOG_BUFFER_BYTES;

	if (str_has(mode) && blocking && !str_equal(mode, S("blocking")))
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: logger: invalid logging mode: %.*s", STR(mode));
	if (blocking && str_has(option(config, "max-buffer-size")))
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: logger: max-buffer-size option is only "
			    "supported with 'mode=non-blocking'");
	if (!read_bytes(config, "max-buffer-size", &bytes, err))
		return false;
	options->mode = blocking ? arena_printf(arena, "blocking %d", LOG_BLOCKING_BYTES)
				 : arena_printf(arena, "buffer %llu", (unsigned long long)bytes);
	return true;
}

static bool read_multiline(const struct docker_log_config *config, struct arena *arena,
			   struct agent_log_target *target, struct error *err)
{
	struct str format = option(config, "awslogs-datetime-format"), pattern = option(config, "awslogs-multiline-pattern");

	if (str_has(format) && str_has(pattern))
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: you cannot configure log opt "
			    "'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time");
	target->multiline_pattern = str_has(format) ? log_options_time_pattern(format, arena) : pattern;
	return true;
}

static bool read_awslogs(const struct docker_log_config *config, struct arena *arena, struct log_options *options,
			 struct error *err)
{
	struct agent_log_target *target = arena_new(arena, struct agent_log_target);
	struct str seconds = option(config, "awslogs-force-flush-interval-seconds");
	uint64_t flush = 0;

	options->target = target;
	target->region = option(config, "awslogs-region");
	target->endpoint = option(config, "awslogs-endpoint");
	target->group = option(config, "awslogs-group");
	target->stream = option(config, "awslogs-stream");
	if (!check_names(config, known_awslogs, COUNT(known_awslogs), err) || !read_mode(config, arena, options, err) ||
	    !read_flag(config, "awslogs-create-group", &target->create_group.value, err) ||
	    !read_multiline(config, arena, target, err))
		return false;
	target->create_group.has = true;
	if (str_empty(target->group))
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: must specify a value for log opt 'awslogs-group'");
	if (str_has(seconds) && (!str_to_unsigned(seconds, &flush) || flush < 1 || flush > 3600))
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: must specify a positive integer for log opt "
			    "'awslogs-force-flush-interval-seconds': %.*s", STR(seconds));
	target->flush_seconds = (struct maybe_integer){(int32_t)flush, flush > 0};
	return true;
}

bool log_options_read(const struct docker_log_config *config, struct arena *arena, struct log_options *ret_options,
		      struct error *err)
{
	static const struct docker_log_config plain = {.type = STR_INIT("json-file")};
	struct log_options options = {.driver = LOG_FILE};

	if (!config || str_empty(config->type))
		config = &plain;
	if (str_equal(config->type, S("json-file"))) {
		if (!read_file(config, arena, &options, err))
			return false;
	} else if (str_equal(config->type, S("none"))) {
		options.driver = LOG_NOTHING;
		options.mode = S("none");
	} else if (str_equal(config->type, S("awslogs"))) {
		options.driver = LOG_AWSLOGS;
		if (!read_awslogs(config, arena, &options, err))
			return false;
	} else {
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: logger: no log driver named '%.*s' is registered",
			    STR(config->type));
	}
	*ret_options = options;
	return true;
}
