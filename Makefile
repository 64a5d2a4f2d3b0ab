# Two commands matter: `make up` and `make check`. Both install what they need and may be repeated.
BUILD ?= build
WHERRY = $(BUILD)/wherry

.PHONY: up down build check check-unit check-sanitized check-fuzz check-sim check-lint check-e2e sim-long bench analyze coverage clean

up: build
	@tools/deps run
	@sample/run $(WHERRY)

down: build
	@$(WHERRY) down

build:
	@tools/deps build
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD) >/dev/null
	@ninja -C $(BUILD) --quiet

# Every test there is; ends with "N passed, N failed".
check: build
	@tools/deps test
	@tools/check $(BUILD)

# The same, a part at a time: make check-unit, check-lint, …
check-unit check-sanitized check-fuzz check-sim check-lint check-e2e: build
	@tools/deps test
	@tools/check $(BUILD) $(@:check-%=%)

# 100,000 seeds; takes the better part of an hour on two cores.
sim-long: build
	$(BUILD)/sim/wherry-sim --seeds 1..100000 --jobs 2

bench: build
	@tools/deps test
	@bench/run $(BUILD)

# clang's static analyser over everything: minutes, so not a part of `make check`.
analyze: build
	@tools/deps test
	git ls-files 'src/*.c' | xargs -P 2 -n 4 clang-tidy --quiet --extra-arg=-Wno-unknown-warning-option -p $(BUILD) \
		--checks='clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-valist.Uninitialized,-clang-analyzer-optin.performance.Padding'

coverage:
	python3 tools/apigen.py --coverage docs/api-coverage.md api/*.api

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-clang
