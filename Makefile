.PHONY: help run unit it web test check openapi bench soak soak-web faults mutants

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 10

run: ## Run Tideline with its own PostgreSQL and Redis
	.ci/install
	cargo build --release --locked
	exec $${CARGO_TARGET_DIR:-target}/release/tideline dev

unit: ## Run the unit tests of the server (seconds)
	.ci/install
	cargo test --locked --lib --bins

it: ## Run integration tests by name: make it T=messages
	.ci/install
	cargo test --locked --test it -- --test-threads=6 $(T)

web: ## Run the tests of the SDK and of the browser client
	.ci/install test
	sdk/javascript/test/run
	web/test/browser/run

test: ## Run every test, on temporary servers
	.ci/install test
	cargo test --locked --lib --bins --test it --test architecture --test language --test faults --test models -- --test-threads=6
	cargo test --locked --test timing -- --test-threads=1
	cargo test --locked --bench bench -- --row 1,2,3,5,6,7,9,11,12,13,17,18,19,20,21,8 --rounds 1 --seconds 1 --clients 8 --users 60 --parked 90 --archived 6000 --searched 6000
	sdk/javascript/test/run
	web/test/browser/run
	tests/schemathesis/run.py
	postman/run
	tests/integrators/run

check: ## Check format, lints, docs, licences, packaging and generated files
	.ci/install check
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --lib --bins -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib --document-private-items
	cargo test --locked --quiet --test architecture --test language
	cargo deny --locked --log-level error check bans licenses sources
	cargo run --quiet --locked -- openapi | diff openapi/openapi.json -
	npx --yes @redocly/cli@1.34.5 lint --config openapi/redocly.yaml openapi/openapi.json
	npx --yes dockerfile-utils@0.16.3 lint Dockerfile
	promtool check rules deploy/prometheus/rules.yml
	promtool test rules deploy/prometheus/rules.test.yml
	compose=docker-compose; ! docker compose version >/dev/null 2>&1 || compose='docker compose'; \
		TIDELINE_JWT_SECRET='any, to read the file' $$compose -f deploy/compose.yaml config --quiet

openapi: ## Generate openapi/openapi.json
	mkdir -p openapi
	cargo run --quiet --locked -- openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

bench: ## Measure against plain SQL (OPTIONS=--help lists the options), write target/bench/report.json
	.ci/install bench
	cargo bench --locked --bench bench -- $(OPTIONS)

soak: ## Run a mixed load for half an hour (MINUTES), in which no resource may grow; write target/soak/report.json
	.ci/install
	cargo bench --locked --bench bench -- soak --minutes $(or $(MINUTES),30)

soak-web: ## Simulate two people with two tabs each on bad networks for ten MINUTES (SEED): each text arrives once, in order, under its name
	.ci/install test
	MINUTES=$(or $(MINUTES),10) web/test/browser/run test/browser/soak.test.js

faults: ## Inject every fault under load, check every guarantee (FAULT, SEED, ROUNDS, SECONDS), write target/faults/report.md
	.ci/install faults
	cargo test --locked --test faults matrix -- --ignored --nocapture

mutants: ## Break the rules of the design one by one in a copy, and verify that the tests detect it
	tests/faults/mutants/run
