#include <stdio.h>
#include <stdlib.h>
#include "main/commands.h"

static const struct command {
	const char *name, *arguments, *summary;
	int (*run)(const struct options *options);
	const char *help;
} commands[] = {
	{"up", "[--detach]", "start the server and this machine's agent", command_up,
	 "Starts the server and the agent of this machine and keeps both going. Ctrl-C or `wherry down` ends\n"
	 "everything, containers included; SIGTERM ends server and agent and leaves containers running.\n"
	 "  --detach               go on in the background once ready; logs to DATA/wherry.log\n"},
	{"down", "", "stop everything on this machine", command_down,
	 "Stops the tasks of this machine, the agent and the server; no process, mount, network or rule is left.\n"
	 "What the server knows stays in DATA: the next `wherry up` starts the services again.\n"},
	{"ps", "[--cluster NAME] [--all]", "clusters, services and tasks at a glance", command_ps,
	 "  --cluster NAME         only this one\n  --all, -a              stopped tasks, too\n"},
	{"why", "[--cluster NAME] TASK|SERVICE", "why something is not where it should be", command_why,
	 "TASK may be the beginning of a task's id.\n"},
	{"top", "[--cluster NAME] [--once]", "what tasks use, every second", command_top,
	 "CPU is of the task's whole machine; memory is without caches. q and Enter, or Ctrl-C, ends it.\n"
	 "  --cluster NAME         only this one\n  --once                 print once, also into a file\n"},
	{"logs", "[-f] [--container NAME] TASK", "what a task's containers wrote", command_logs,
	 "TASK is a task's id, its beginning, or its ARN; the task must have run on this machine.\n"
	 "  -f, --follow           go on as more is written\n  --container NAME       only this one\n"},
	{"image", "load FILE [--name NAME] | ls | rm NAME", "images on this machine", command_image,
	 "  load FILE              a docker archive, an OCI layout folder or a tar of one\n"
	 "  --name NAME            call it so instead of what the file says\n"},
	{"env", "", "print what aws and the SDKs need, for eval", command_env, ""},
	{"server", "", "only the server", command_server, ""},
	{"agent", "[--fargate]", "only the agent, set up by ECS_* variables", command_agent,
	 "Reads ECS_CLUSTER, ECS_BACKEND_HOST, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, … and /etc/ecs/ecs.config like the\n"
	 "stock agent does.\n"
	 "  --fargate              give this machine to the pool of Fargate tasks instead of a cluster\n"},
	{"version", "", "print the version", command_version, ""},
};

static const char everywhere[] =
	"Options everywhere (and the variables that set them):\n"
	"  --listen ADDR:PORT     127.0.0.1:4566 (WHERRY_LISTEN)\n"
	"  --data DIR             /var/lib/wherry (WHERRY_DATA)\n"
	"  --account ID           000000000000 (WHERRY_ACCOUNT_ID)\n"
	"  --region NAME          us-east-1 (WHERRY_REGION)\n"
	"  --tls                  serve TLS with a certificate made at first start\n"
	"  --tls-certificate FILE --tls-key FILE\n"
	"  --runtime PROGRAM      /usr/bin/crun (WHERRY_RUNTIME)\n"
	"  --fargate-runtime PROGRAM  for tasks of launch type FARGATE, the same (WHERRY_FARGATE_RUNTIME)\n"
	"  --bridge-cidr CIDR     172.31.224.1/20 (WHERRY_BRIDGE_CIDR)\n"
	"  --public-cidr CIDR     where public addresses come from, 198.18.0.0/15 (WHERRY_PUBLIC_CIDR)\n"
	"  --help\n";

static int usage(FILE *out, int code)
{
	fputs("wherry: Amazon ECS as a program you own\n\nusage: wherry COMMAND [OPTION…]\n\n", out);
	for (size_t i = 0; i < COUNT(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n%s", everywhere);
	return code;
}

static int help(const struct command *command)
{
	printf("usage: wherry %s %s\n\n%s\n%s", command->name, command->arguments, command->help, everywhere);
	return 0;
}

static bool wants_help(int count, char **arguments)
{
	for (int i = 1; i < count; i++)
		if (str_equal(str_of(arguments[i]), S("--help")) || str_equal(str_of(arguments[i]), S("-h")))
			return true;
	return false;
}

int main(int count, char **arguments)
{
	auto_arena arena = {0};
	struct options options;

	if (count < 2 || arguments[1][0] == '-')
		return usage(wants_help(count, arguments) ? stdout : stderr, wants_help(count, arguments) ? 0 : 2);
	for (size_t i = 0; i < COUNT(commands); i++) {
		if (!str_equal(str_of(arguments[1]), str_of(commands[i].name)))
			continue;
		if (wants_help(count - 1, arguments + 1))
			return help(&commands[i]);
		options_read(count - 1, arguments + 1, &arena, &options);
		return commands[i].run(&options);
	}
	fprintf(stderr, "wherry: there is no command '%s'\n\n", arguments[1]);
	return usage(stderr, 2);
}
