/* commands.h - the subcommands of wherry. Each returns the process's exit code. */
#pragma once
#include "main/options.h"

int command_up(const struct options *options);
int command_down(const struct options *options);
int command_server(const struct options *options);
int command_agent(const struct options *options);
int command_env(const struct options *options);
int command_ps(const struct options *options);
int command_top(const struct options *options);
int command_why(const struct options *options);
int command_logs(const struct options *options);
int command_image(const struct options *options);
int command_version(const struct options *options);
