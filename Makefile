.PHONY: help run test check openapi bench

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 10

run: ## Run Tideline here, with a PostgreSQL and a Redis of its own
	.ci/install
	cargo build --release --locked
	exec ./target/release/tideline dev

test: ## Run every test, on real servers that are thrown away
	.ci/install test
	cargo test --locked -- --test-threads=6

check: ## Check format, lints, docs, licences and generated files
	.ci/install check
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib --document-private-items
	cargo deny --locked --log-level error check bans licenses sources
	cargo run --quiet --locked -- openapi | diff openapi/openapi.json -
	npx --yes @redocly/cli@1.34.5 lint --config openapi/redocly.yaml openapi/openapi.json

openapi: ## Write openapi/openapi.json again
	mkdir -p openapi
	cargo run --quiet --locked -- openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

bench: ## Measure sends
	benches/sends.sh
