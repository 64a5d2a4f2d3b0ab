#include "server/telemetry.h"
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"
#include "os/entropy.h"
#include "server/telemetry_private.h"

enum { SHORT_NAME_LIMIT = 255, CLOCK_TOLERANCE_SECONDS = 5 };

struct chunk {
	struct link age;                                 /* of all chunks, the oldest first */
	struct link own;                                 /* of its container, the oldest first */
	struct entry *entry;
	uint32_t count;
	struct telemetry_sample samples[TELEMETRY_CHUNK_SAMPLES];
};

struct entry {
	struct arena arena;                              /* replaced whole when the words change */
	struct str key;                                  /* "ARN/CONTAINER" */
	struct telemetry_subject subject;
	struct link by_age;                              /* of all containers, the longest silent first */
	struct link chunks;
	size_t chunk_count;
	usec told_at;
	struct telemetry_current current;
};

struct telemetry {
	pthread_mutex_t lock;
	struct map entries;
	struct link by_age, chunks;
	size_t chunk_count;
};

struct telemetry *telemetry_new(void)
{
	struct telemetry *telemetry = calloc(1, sizeof(*telemetry));

	if (!telemetry)
		abort();
	telemetry->entries.seed = entropy_number();
	pthread_mutex_init(&telemetry->lock, NULL);
	chain_init(&telemetry->by_age);
	chain_init(&telemetry->chunks);
	return telemetry;
}

/* ---- Forgetting */

static void forget_chunk(struct telemetry *telemetry, struct chunk *chunk)
{
	link_remove(&chunk->age);
	link_remove(&chunk->own);
	chunk->entry->chunk_count--;
	telemetry->chunk_count--;
	free(chunk);
}

static void forget(struct telemetry *telemetry, struct entry *entry)
{
	map_remove(&telemetry->entries, entry->key);
	link_remove(&entry->by_age);
	CHAIN_EACH(&entry->chunks, struct chunk, own, chunk)
		forget_chunk(telemetry, chunk);
	arena_fini(&entry->arena);
	free(entry);
}

static struct entry *oldest(struct telemetry *telemetry)
{
	return chain_empty(&telemetry->by_age) ? NULL : CONTAINER_OF(telemetry->by_age.next, struct entry, by_age);
}

static void forget_silent(struct telemetry *telemetry, usec now)
{
	struct entry *entry;

	while ((entry = oldest(telemetry)) && now - entry->told_at > TELEMETRY_HISTORY_SECONDS * USEC_PER_SEC)
		forget(telemetry, entry);
}

void telemetry_free(struct telemetry *telemetry)
{
	struct entry *entry;

	if (!telemetry)
		return;
	while ((entry = oldest(telemetry)))
		forget(telemetry, entry);
	map_fini(&telemetry->entries);
	pthread_mutex_destroy(&telemetry->lock);
	free(telemetry);
}

/* ---- Names */

static bool is_name(struct str name)
{
	if (name.len == 0 || name.len > SHORT_NAME_LIMIT)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == '/' || name.ptr[i] == 0x7f)
			return false;
	return true;
}

/* "arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID" */
static bool read_arn(struct str arn, struct str *ret_cluster, struct str *ret_id)
{
	size_t last = str_find_last(arn, '/');
	struct str front = str_slice(arn, 0, last);
	size_t middle = str_find_last(front, '/');

	if (arn.len > TELEMETRY_NAME_LIMIT || last == arn.len || middle == front.len || !str_starts(arn, S("arn:")) ||
	    !str_ends(str_slice(front, 0, middle), S(":task")))
		return false;
	*ret_cluster = str_slice(front, middle + 1, front.len);
	*ret_id = str_slice(arn, last + 1, arn.len);
	return is_name(*ret_cluster) && is_name(*ret_id);
}

static struct str if_name(struct str name) { return is_name(name) ? name : STR_NONE; }

static bool same_words(const struct telemetry_subject *a, const struct telemetry_subject *b)
{
	return str_equal(a->service, b->service) && str_equal(a->family, b->family) && str_equal(a->revision, b->revision);
}

/* Everything but health, restarts and limit stands here; the strings are the entry's. */
static void keep_words(struct entry *entry, const struct telemetry_subject *words)
{
	struct arena arena = {0}, old = entry->arena;
	struct telemetry_subject *own = &entry->subject;

	entry->key = arena_printf(&arena, "%.*s/%.*s", STR(words->task_arn), STR(words->container));
	own->task_arn = arena_copy(&arena, words->task_arn);
	own->cluster = arena_copy(&arena, words->cluster);
	own->task_id = arena_copy(&arena, words->task_id);
	own->container = arena_copy(&arena, words->container);
	own->service = arena_copy(&arena, words->service);
	own->family = arena_copy(&arena, words->family);
	own->revision = arena_copy(&arena, words->revision);
	entry->arena = arena;
	arena_fini(&old);
}

static struct entry *add_entry(struct telemetry *telemetry, const struct telemetry_subject *words)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		abort();
	if (telemetry->entries.count >= TELEMETRY_CONTAINERS_LIMIT)
		forget(telemetry, oldest(telemetry));
	keep_words(entry, words);
	chain_init(&entry->chunks);
	map_put(&telemetry->entries, entry->key, entry);
	return entry;
}

static struct entry *find_entry(struct telemetry *telemetry, const struct telemetry_subject *words)
{
	auto_arena arena = {0};

	return map_get(&telemetry->entries,
		       arena_printf(&arena, "%.*s/%.*s", STR(words->task_arn), STR(words->container)));
}

static struct entry *visit_entry(struct telemetry *telemetry, const struct telemetry_subject *words, usec now)
{
	struct entry *entry = find_entry(telemetry, words);

	if (!entry) {
		entry = add_entry(telemetry, words);
	} else if (!same_words(&entry->subject, words)) {
		map_remove(&telemetry->entries, entry->key);
		keep_words(entry, words);
		map_put(&telemetry->entries, entry->key, entry);
	}
	link_remove(&entry->by_age);
	chain_append(&telemetry->by_age, &entry->by_age);
	entry->told_at = now;
	return entry;
}

/* ---- Samples */

static float mean_of(const struct tcs_stats_set *set)
{
	double count = set ? set->sample_count.value : 0, sum = set ? set->sum.value : 0;

	double mean = count > 0 && sum > 0 ? sum / count : 0;

	return mean < FLT_MAX ? (float)mean : 0;         /* also what is no number */
}

static uint64_t sum_of(const struct tcs_count_set *set)
{
	return set && set->sum.value > 0 ? (uint64_t)set->sum.value : 0;
}

static double rate_of(const struct tcs_stats_set *set) { return mean_of(set); }

static uint32_t readings_of(const struct tcs_stats_set *set)
{
	double count = set ? set->sample_count.value : 0;

	return count >= 1 && count <= TELEMETRY_HISTORY_SECONDS ? (uint32_t)count : 1;
}

static struct telemetry_sample sample_of(const struct tcs_container_metric *metric, uint32_t second)
{
	const struct tcs_network_stats_set *network = metric->network_stats_set;
	const struct tcs_storage_stats_set *storage = metric->storage_stats_set;

	return (struct telemetry_sample){
		.second = second, .readings = readings_of(metric->cpu_stats_set),
		.cpu_percent = mean_of(metric->cpu_stats_set), .memory_mib = mean_of(metric->memory_stats_set),
		.rx_bytes = network ? sum_of(network->rx_bytes) : 0, .tx_bytes = network ? sum_of(network->tx_bytes) : 0,
		.read_bytes = storage ? sum_of(storage->read_size_bytes) : 0,
		.write_bytes = storage ? sum_of(storage->write_size_bytes) : 0,
	};
}

static struct chunk *last_chunk(struct entry *entry)
{
	return chain_empty(&entry->chunks) ? NULL : CONTAINER_OF(entry->chunks.prev, struct chunk, own);
}

static struct chunk *add_chunk(struct telemetry *telemetry, struct entry *entry)
{
	struct chunk *chunk = malloc(sizeof(*chunk));

	if (!chunk)
		abort();
	if (entry->chunk_count >= TELEMETRY_CONTAINER_CHUNKS)
		forget_chunk(telemetry, CONTAINER_OF(entry->chunks.next, struct chunk, own));
	if (telemetry->chunk_count >= TELEMETRY_CHUNKS_LIMIT)
		forget_chunk(telemetry, CONTAINER_OF(telemetry->chunks.next, struct chunk, age));
	*chunk = (struct chunk){.entry = entry};
	chain_append(&entry->chunks, &chunk->own);
	chain_append(&telemetry->chunks, &chunk->age);
	entry->chunk_count++;
	telemetry->chunk_count++;
	return chunk;
}

/* Two of one second are one. */
static void merge(struct telemetry_sample *to, const struct telemetry_sample *from)
{
	float a = (float)to->readings, b = (float)from->readings;

	to->cpu_percent = (to->cpu_percent * a + from->cpu_percent * b) / (a + b);
	to->memory_mib = (to->memory_mib * a + from->memory_mib * b) / (a + b);
	to->readings += from->readings;
	to->rx_bytes += from->rx_bytes;
	to->tx_bytes += from->tx_bytes;
	to->read_bytes += from->read_bytes;
	to->write_bytes += from->write_bytes;
}

static void add_sample(struct telemetry *telemetry, struct entry *entry, struct telemetry_sample sample)
{
	struct chunk *chunk = last_chunk(entry);
	struct telemetry_sample *last = chunk && chunk->count ? &chunk->samples[chunk->count - 1] : NULL;

	if (last && sample.second <= last->second) {
		merge(last, &sample);
		return;
	}
	if (!chunk || chunk->count == TELEMETRY_CHUNK_SAMPLES)
		chunk = add_chunk(telemetry, entry);
	chunk->samples[chunk->count++] = sample;
}

static void update_current(struct entry *entry, const struct tcs_container_metric *metric,
			   const struct telemetry_sample *sample, usec now)
{
	const struct tcs_network_stats_set *network = metric->network_stats_set;
	struct telemetry_current *current = &entry->current;
	/* How long a set is, is not told, but each of its readings is about a second. */
	double seconds = MAX(sample->readings, 1);

	current->measured_at = now;
	current->cpu_percent = sample->cpu_percent;
	current->memory_mib = sample->memory_mib;
	current->has_network = network != NULL;
	current->rx_rate = network ? rate_of(network->rx_bytes_per_second) : 0;
	current->tx_rate = network ? rate_of(network->tx_bytes_per_second) : 0;
	current->read_rate = (double)sample->read_bytes / seconds;
	current->write_rate = (double)sample->write_bytes / seconds;
	current->rx_total += sample->rx_bytes;
	current->tx_total += sample->tx_bytes;
	current->read_total += sample->read_bytes;
	current->write_total += sample->write_bytes;
}

/* The agent's clock says when, unless it is far off. */
static uint32_t second_of(const struct maybe_double *timestamp, usec now)
{
	double here = (double)now / USEC_PER_SEC;
	bool close = timestamp->has && fabs(timestamp->value - here) <= CLOCK_TOLERANCE_SECONDS;

	return (uint32_t)(close ? timestamp->value : here);
}

static void take_container(struct telemetry *telemetry, struct telemetry_subject *words,
			   const struct tcs_container_metric *metric, uint32_t second, usec now)
{
	struct telemetry_sample sample = sample_of(metric, second);
	double limit = metric->memory_limit.value;
	struct entry *entry;

	words->container = metric->container_name;
	if (!is_name(words->container))
		return;
	entry = visit_entry(telemetry, words, now);
	entry->subject.memory_limit_mib = isfinite(limit) && limit > 0 ? limit : 0;
	if (metric->restart_stats_set)
		entry->subject.restarts = metric->restart_stats_set->restart_count.value;
	add_sample(telemetry, entry, sample);
	update_current(entry, metric, &sample, now);
}

void telemetry_take_metrics(struct telemetry *telemetry, const struct tcs_publish_metrics_request *request, usec now)
{
	uint32_t second = second_of(&request->timestamp, now);

	pthread_mutex_lock(&telemetry->lock);
	forget_silent(telemetry, now);
	for (size_t i = 0; i < request->task_metrics.count; i++) {
		const struct tcs_task_metric *task = &request->task_metrics.items[i];
		struct telemetry_subject words = {
			.task_arn = task->task_arn, .service = if_name(task->service_name),
			.family = if_name(task->task_definition_family), .revision = if_name(task->task_definition_version)};

		if (!read_arn(task->task_arn, &words.cluster, &words.task_id))
			continue;
		for (size_t k = 0; k < task->container_metrics.count; k++)
			take_container(telemetry, &words, &task->container_metrics.items[k], second, now);
	}
	pthread_mutex_unlock(&telemetry->lock);
}

/* ---- Health: of containers that were measured, for nobody asks for others */

static struct str health_word(struct str word)
{
	static const struct str words[] = {STR_INIT("HEALTHY"), STR_INIT("UNHEALTHY"), STR_INIT("UNKNOWN")};

	for (size_t i = 0; i < COUNT(words); i++)
		if (str_equal(word, words[i]))
			return words[i];
	return STR_NONE;
}

static void take_task_health(struct telemetry *telemetry, const struct tcs_task_health *task, usec now)
{
	struct telemetry_subject words = {.task_arn = task->task_arn};

	for (size_t i = 0; i < task->containers.count; i++) {
		struct entry *entry;

		words.container = task->containers.items[i].container_name;
		if (!is_name(words.container) || words.task_arn.len > TELEMETRY_NAME_LIMIT)
			continue;
		entry = find_entry(telemetry, &words);
		if (entry)
			entry->subject.health = health_word(task->containers.items[i].health_status);
	}
}

void telemetry_take_health(struct telemetry *telemetry, const struct tcs_publish_health_request *request, usec now)
{
	pthread_mutex_lock(&telemetry->lock);
	for (size_t i = 0; i < request->tasks.count; i++)
		take_task_health(telemetry, &request->tasks.items[i], now);
	pthread_mutex_unlock(&telemetry->lock);
}

/* ---- Reading */

static size_t copy_samples(const struct entry *entry, uint32_t since, struct telemetry_sample *to)
{
	size_t count = 0;

	CHAIN_EACH(&entry->chunks, struct chunk, own, chunk)
		for (uint32_t i = 0; i < chunk->count; i++)
			if (chunk->samples[i].second >= since)
				to[count++] = chunk->samples[i];
	return count;
}

void telemetry_walk(struct telemetry *telemetry, uint32_t since,
		    void (*visit)(void *arg, const struct telemetry_subject *subject, const struct telemetry_sample *samples,
				  size_t count),
		    void *arg)
{
	struct telemetry_sample *samples =
		calloc(TELEMETRY_CONTAINER_CHUNKS * TELEMETRY_CHUNK_SAMPLES, sizeof(*samples));

	if (!samples)
		abort();
	pthread_mutex_lock(&telemetry->lock);
	CHAIN_EACH(&telemetry->by_age, struct entry, by_age, entry)
		visit(arg, &entry->subject, samples, copy_samples(entry, since, samples));
	pthread_mutex_unlock(&telemetry->lock);
	free(samples);
}

void telemetry_each_current(struct telemetry *telemetry, usec now,
			    bool (*visit)(void *arg, const struct telemetry_subject *subject,
					  const struct telemetry_current *current),
			    void *arg)
{
	pthread_mutex_lock(&telemetry->lock);
	forget_silent(telemetry, now);
	for (struct link *at = telemetry->by_age.prev; at != &telemetry->by_age; at = at->prev) {
		const struct entry *entry = CONTAINER_OF(at, struct entry, by_age);

		if (now - entry->told_at > TELEMETRY_FRESH_SECONDS * USEC_PER_SEC ||
		    !visit(arg, &entry->subject, &entry->current))
			break;
	}
	pthread_mutex_unlock(&telemetry->lock);
}
