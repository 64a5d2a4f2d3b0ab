/* What reading, writing and checking one request costs: prints nanoseconds a call, best of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "api/ecs.h"
#include "wire/json.h"
#include "wire/sigv4.h"

enum { ROUNDS = 7, CALLS = 20000, CONTAINERS = 4 };

static const char run_task[] =
	"{\"cluster\":\"production\",\"taskDefinition\":\"web:42\",\"count\":2,\"group\":\"service:web\",\"launchType\":\"FARGATE\","
	"\"networkConfiguration\":{\"awsvpcConfiguration\":{\"subnets\":[\"subnet-0a1b2c3d\",\"subnet-1a2b3c4d\"],"
	"\"securityGroups\":[\"sg-00112233\"],\"assignPublicIp\":\"ENABLED\"}},"
	"\"overrides\":{\"containerOverrides\":[{\"name\":\"app\",\"environment\":[{\"name\":\"MODE\",\"value\":\"batch\"}]}]},"
	"\"startedBy\":\"bench\",\"enableExecuteCommand\":false}";

static const char container[] =
	"{\"name\":\"app-%d\",\"image\":\"registry.example.com/team/app:2026-11-20\",\"cpu\":256,\"memory\":512,"
	"\"memoryReservation\":256,\"portMappings\":[{\"containerPort\":8080,\"hostPort\":0,\"protocol\":\"tcp\",\"name\":\"http\"},"
	"{\"containerPort\":9090,\"protocol\":\"tcp\"}],\"essential\":true,"
	"\"entryPoint\":[\"/usr/bin/env\"],\"command\":[\"server\",\"--listen\",\"0.0.0.0:8080\",\"--workers\",\"4\"],"
	"\"environment\":[{\"name\":\"LOG_LEVEL\",\"value\":\"info\"},{\"name\":\"REGION\",\"value\":\"eu-central-1\"},"
	"{\"name\":\"DATABASE_HOST\",\"value\":\"db.internal\"},{\"name\":\"CACHE_HOST\",\"value\":\"cache.internal\"}],"
	"\"secrets\":[{\"name\":\"TOKEN\",\"valueFrom\":\"arn:aws:ssm:eu-central-1:123456789012:parameter/token\"}],"
	"\"dockerLabels\":{\"team\":\"platform\",\"tier\":\"front\"},"
	"\"ulimits\":[{\"name\":\"nofile\",\"softLimit\":65536,\"hardLimit\":65536}],"
	"\"logConfiguration\":{\"logDriver\":\"awslogs\",\"options\":{\"awslogs-group\":\"/ecs/app\",\"awslogs-region\":"
	"\"eu-central-1\",\"awslogs-stream-prefix\":\"app\"}},"
	"\"healthCheck\":{\"command\":[\"CMD-SHELL\",\"curl -f http://localhost:8080/health || exit 1\"],\"interval\":30,"
	"\"timeout\":5,\"retries\":3,\"startPeriod\":10}}";

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static struct str task_definition(struct buffer *out)
{
	buffer_add(out, S("{\"family\":\"web\",\"taskRoleArn\":\"arn:aws:iam::123456789012:role/web\","
			  "\"networkMode\":\"awsvpc\",\"containerDefinitions\":["));
	for (int i = 0; i < CONTAINERS; i++) {
		buffer_add(out, i ? S(",") : S(""));
		buffer_printf(out, container, i);
	}
	buffer_add(out, S("],\"requiresCompatibilities\":[\"FARGATE\"],\"cpu\":\"1024\",\"memory\":\"2048\"}"));
	return buffer_str(out);
}

/* One thing to be timed: `run` does it once. */
struct subject {
	const struct shape *shape;
	struct str text;
	void *value;
	struct arena arena;
	struct buffer out;
	struct sigv4 *sigv4;
	struct sigv4_request request;
	struct sigv4_credentials credentials;
};

static void decode(struct subject *subject)
{
	struct json_fault fault;

	arena_reset(&subject->arena);
	if (!json_decode(subject->shape, subject->text, &subject->arena, &subject->value, &fault)) {
		fprintf(stderr, "decode: %s\n", fault.error.text);
		exit(1);
	}
}

static void encode(struct subject *subject)
{
	buffer_clear(&subject->out);
	json_encode(subject->shape, subject->value, &subject->out);
}

static void copy(struct subject *subject)
{
	free(shape_clone(subject->shape, subject->value));
}

static void verify(struct subject *subject)
{
	const struct str service = S("ecs");
	struct sigv4_claim claim;
	struct error err;

	arena_reset(&subject->arena);
	if (!sigv4_read(&subject->request, &subject->arena, &claim, &err) ||
	    !sigv4_verify(subject->sigv4, &subject->request, &claim, subject->credentials.secret, service, true,
			  1700000000 * USEC_PER_SEC, &subject->arena, &err)) {
		fprintf(stderr, "verify: %s\n", err.text);
		exit(1);
	}
}

static double best(struct subject *subject, void (*run)(struct subject *subject))
{
	double least = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now(), each;

		for (int i = 0; i < CALLS; i++)
			run(subject);
		each = (now() - start) / CALLS;
		least = MIN(each, least);
	}
	return least;
}

static void bench_json(const char *name, const struct shape *shape, struct str text)
{
	struct subject subject = {.shape = shape, .text = text};
	double decoded = best(&subject, decode), encoded = best(&subject, encode), copied = best(&subject, copy);

	printf("%-24s %5zu B   decode %6.0f ns   encode %6.0f ns   clone %6.0f ns\n", name, text.len, decoded, encoded,
	       copied);
	arena_fini(&subject.arena);
	buffer_fini(&subject.out);
}

static void bench_sigv4(void)
{
	static char body[1024];
	struct arena arena = {0};
	struct sigv4_header headers[8] = {
		{S("Host"), S("ecs.eu-central-1.example.com")},
		{S("Content-Type"), S("application/x-amz-json-1.1")},
		{S("X-Amz-Target"), S("AmazonEC2ContainerServiceV20141113.RunTask")},
	};
	struct subject subject = {
		.sigv4 = sigv4_new(),
		.request = {.method = S("POST"), .path = S("/"), .headers = headers, .header_count = 3,
			    .body = {body, sizeof(body)}},
		.credentials = {.key_id = S("AKIAEXAMPLE"), .secret = S("secret")},
	};

	memset(body, 'x', sizeof(body));
	subject.request.header_count += sigv4_sign(subject.sigv4, &subject.request, &subject.credentials,
						   S("eu-central-1"), S("ecs"), 1700000000 * USEC_PER_SEC, &arena,
						   headers + 3);
	printf("%-24s %5zu B   verify %6.2f us\n", "SigV4", sizeof(body), best(&subject, verify) / 1000);
	sigv4_free(subject.sigv4);
	arena_fini(&subject.arena);
	arena_fini(&arena);
}

int main(void)
{
	auto_buffer definition = {0};

	bench_json("RunTask", &shape_ecs_run_task_request, str_of(run_task));
	bench_json("RegisterTaskDefinition", &shape_ecs_register_task_definition_request,
		   task_definition(&definition));
	bench_sigv4();
	return 0;
}
