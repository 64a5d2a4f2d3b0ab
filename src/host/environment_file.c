#include "host/environment_file.h"
#include <curl/curl.h>
#include <pthread.h>
#include "base/buffer.h"
#include "os/clock.h"
#include "wire/sigv4.h"

enum { SAID_SHOWN = 200, URL_LIMIT = 4096 };

struct answer {
	struct buffer text;
	bool too_long;
};

static void start_curl(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
	struct answer *answer = arg;

	if (answer->text.len + size * count > ENVIRONMENT_FILE_LIMIT) {
		answer->too_long = true;
		return 0;
	}
	buffer_append(&answer->text, bytes, size * count);
	return size * count;
}

/* Unreserved characters and '/' as they are. */
static struct str escape_path(struct str path, struct arena *arena)
{
	auto_buffer out = {0};

	for (size_t i = 0; i < path.len; i++) {
		unsigned char c = (unsigned char)path.ptr[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~/", c))
			buffer_add_char(&out, (char)c);
		else
			buffer_printf(&out, "%%%02X", c);
	}
	return arena_copy(arena, buffer_str(&out));
}

static struct str host_of(struct str endpoint)
{
	struct str rest = str_slice(endpoint, str_starts(endpoint, S("https://")) ? 8 : 7, endpoint.len);

	return str_slice(rest, 0, str_find(rest, '/'));
}

static struct curl_slist *make_headers(const struct environment_store *store, struct str path, struct arena *arena)
{
	struct sigv4 *sigv4 = sigv4_new();
	struct sigv4_header named[] = {
		{S("Host"), host_of(store->endpoint)},
		{S("X-Amz-Content-Sha256"), S("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")},
	}, added[3];
	struct sigv4_request request = {.method = S("GET"), .path = path, .headers = named, .header_count = COUNT(named),
					.query = S(""), .body = S("")};
	struct sigv4_credentials credentials = {store->key_id, store->secret, store->session_token};
	struct curl_slist *list = curl_slist_append(NULL, arena_printf(arena, "%.*s: %.*s%c", STR(named[1].name),
								       STR(named[1].value), '\0').ptr);
	size_t count = 0;

	if (!str_empty(store->key_id) && !str_empty(store->secret))
		count = sigv4_sign(sigv4, &request, &credentials, str_empty(store->region) ? S("us-east-1") : store->region,
				   S("s3"), clock_now(), arena, added);
	for (size_t i = 0; i < count; i++)
		list = curl_slist_append(list, arena_printf(arena, "%.*s: %.*s%c", STR(added[i].name), STR(added[i].value),
							    '\0').ptr);
	sigv4_free(sigv4);
	return list;
}

/* The HTTP status; 0: none, `problem` says why. */
static long get(const char *url, struct curl_slist *headers, struct answer *answer, char problem[CURL_ERROR_SIZE])
{
	CURL *curl = curl_easy_init();
	long status = 0;

	problem[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ENVIRONMENT_FILE_SECONDS);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	if (curl_easy_perform(curl) == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	return status;
}

/* "arn:aws:s3:::bucket/key" → "bucket/key"; any partition. */
static bool object_of(struct str arn, struct str *ret_object)
{
	struct str rest = arn, piece;

	for (int i = 0; i < 5; i++)
		if (!str_cut(&rest, ':', &piece) || (i == 0 && !str_equal(piece, S("arn"))) ||
		    (i == 2 && !str_equal(piece, S("s3"))))
			return false;
	*ret_object = rest;
	return str_find(rest, '/') > 0 && str_find(rest, '/') < rest.len && rest.len < URL_LIMIT / 4;
}

bool environment_file_fetch(const struct environment_store *store, struct str arn, struct arena *arena,
			    struct str *ret_text, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char problem[CURL_ERROR_SIZE];
	struct str object, path, endpoint = store->endpoint;
	struct answer answer = {.too_long = false};
	struct curl_slist *headers;
	long status;

	if (!object_of(arn, &object))
		return fail(err, ERROR_REFUSED, "'%.*s' is not the ARN of an S3 object", STR(arn));
	if (str_empty(endpoint))
		return fail(err, ERROR_REFUSED, "this agent has no S3 endpoint to fetch %.*s from (ECS_S3_ENDPOINT, "
			    "AWS_ENDPOINT_URL_S3)", STR(arn));
	if (!str_starts(endpoint, S("http://")) && !str_starts(endpoint, S("https://")))
		return fail(err, ERROR_REFUSED, "the S3 endpoint '%.*s' is no http(s) URL", STR(endpoint));
	while (str_ends(endpoint, S("/")))
		endpoint.len--;
	pthread_once(&once, start_curl);
	path = arena_printf(arena, "/%.*s", STR(escape_path(object, arena)));
	headers = make_headers(store, path, arena);
	status = get(arena_printf(arena, "%.*s%.*s%c", STR(endpoint), STR(path), '\0').ptr, headers, &answer, problem);
	curl_slist_free_all(headers);
	*ret_text = arena_copy(arena, buffer_str(&answer.text));
	buffer_fini(&answer.text);
	if (answer.too_long)
		return fail(err, ERROR_REFUSED, "%.*s has more than %d bytes", STR(arn), ENVIRONMENT_FILE_LIMIT);
	if (status == 0)
		return fail(err, ERROR_NETWORK, "fetch %.*s: %s", STR(arn), problem);
	return status == 200 || fail(err, ERROR_REFUSED, "fetch %.*s: status %ld: %.*s", STR(arn), status,
				     STR(str_slice(*ret_text, 0, SAID_SHOWN)));
}

static struct str name_of(struct str variable) { return str_slice(variable, 0, str_find(variable, '=')); }

static bool is_known(struct str name, const struct str *variables, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_equal(name_of(variables[i]), name))
			return true;
	return false;
}

bool environment_file_read(struct str text, struct str *variables, size_t *count, size_t limit, struct error *err)
{
	struct str line;

	while (str_cut(&text, '\n', &line)) {
		if (str_ends(line, S("\r")))
			line.len--;
		if (str_empty(line) || line.ptr[0] == '#' || line.ptr[0] == '=' || str_find(line, '=') == line.len ||
		    is_known(name_of(line), variables, *count))
			continue;
		if (memchr(line.ptr, '\0', line.len))
			return fail(err, ERROR_REFUSED, "a NUL byte in an environment file");
		if (*count == limit)
			return fail(err, ERROR_REFUSED, "more than %zu variables in environment files", limit);
		variables[(*count)++] = line;
	}
	return true;
}

bool environment_files_fetch(const struct environment_store *store, const struct acs_environment_files *files,
			     struct arena *arena, struct str *ret_text, struct error *err)
{
	struct str *variables = arena_array(arena, struct str, ENVIRONMENT_VARIABLES_LIMIT), text;
	auto_buffer all = {0};
	size_t count = 0;

	if (files->count > ENVIRONMENT_FILES_LIMIT)
		return fail(err, ERROR_REFUSED, "more than %d environment files", ENVIRONMENT_FILES_LIMIT);
	for (size_t i = 0; i < files->count; i++)
		if (!environment_file_fetch(store, files->items[i].value, arena, &text, err) ||
		    !environment_file_read(text, variables, &count, ENVIRONMENT_VARIABLES_LIMIT, err))
			return false;
	for (size_t i = 0; i < count; i++)
		buffer_printf(&all, "%.*s\n", STR(variables[i]));
	*ret_text = arena_copy(arena, buffer_str(&all));
	return true;
}
