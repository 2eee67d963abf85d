#!/usr/bin/env bash
# Row 1 of the goals: durable 1:1 sends over HTTP, against the same transaction made one per message by pgbench.
#
#   benches/sends.sh [rounds=3] [seconds=10] [users=10000]
#   TIDELINE_BIN (target/release/tideline), BENCH_CLIENTS (64, wrk), BENCH_REFERENCE_CLIENTS (32, pgbench), TMPDIR
#
# Starts a private PostgreSQL, Redis and server (`tideline dev`) in a new directory, makes a ring of direct
# conversations and lets both sides run in turn, never together, on the same PostgreSQL (fsync and synchronous_commit
# on), the order swapped every round. Ours is all of it: HTTP, token, checks, commit, announcement. The
# reference (sends-reference.sql) has its own ring in the same tables and gets the setting that is best for it, generic
# plans (a fifth faster here). Every run begins after a CHECKPOINT, so that nobody pays for the other's dirty pages.
#
# How to read it: rates of one machine mean little; `ratio`, the median of ours over the median of the reference, is
# the result. wrk's CPU share is of one core: it competes with all the rest, and near 1.0 wrk was the limit. Any answer
# but 201 fails the run, and so do stored messages or inbox entries that are
# not as many as answered. All of it is in target/bench/report.json. Wants wrk, pgbench, psql, jq, curl; leaves nothing
# running.
set -euo pipefail

rounds=${1:-3} seconds=${2:-10} users=${3:-10000}
clients=${BENCH_CLIENTS:-64} reference_clients=${BENCH_REFERENCE_CLIENTS:-32}
here=$(cd "$(dirname "$0")" && pwd)
bin=${TIDELINE_BIN:-$here/../target/release/tideline}
report=$here/../target/bench/report.json
warm_up=3 dev='' dir=''
unset DATABASE_URL REDIS_URL # only ever the private ones

fail() { echo "sends.sh: $*" >&2; exit 1; }

clean_up() {
    local status=$?
    trap - EXIT
    if [[ $dev ]]; then
        kill -TERM "$dev" 2>/dev/null || true
        timeout 60 tail --pid="$dev" -f /dev/null || { echo "sends.sh: process $dev does not stop" >&2; exit 1; }
        wait "$dev" || { echo "sends.sh: tideline dev ended with $?" >&2; status=1; }
        ((status == 0)) || tail -n 20 "$dir/dev.log" >&2
        if find "$dir" -name postmaster.pid | grep .; then
            echo "sends.sh: tideline dev left PostgreSQL running: end it and remove $dir" >&2
            exit 1
        fi
    fi
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

free_port() { # first port, number of ports
    local port
    while port=$(($1 + RANDOM % $2)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@" "$DATABASE_URL"; }

start() {
    TIDELINE_BIND="127.0.0.1:$(free_port 20000 5000)" \
        TIDELINE_DRAIN_SECONDS=1 \
        "$bin" dev --dir "$dir/dev" >"$dir/dev.log" 2>&1 &
    dev=$!
    for ((i = 0; ; i++)); do
        kill -0 "$dev" 2>/dev/null || fail "tideline dev ended"
        if grep -qs ^TIDELINE_URL= "$dir/dev/env"; then
            set -a; . "$dir/dev/env"; set +a
            if curl -fso /dev/null "$TIDELINE_URL/health/ready"; then break; fi
        fi
        ((i < 600)) || fail "tideline dev is not ready after a minute"
        sleep 0.1
    done
    for setting in fsync synchronous_commit full_page_writes; do
        [[ $(sql -c "SHOW $setting") == on ]] || fail "PostgreSQL runs with $setting off"
    done
}

ours() { # seconds; sets `result`, a line of JSON from sends.lua
    sql -c CHECKPOINT
    wrk -t1 -c"$clients" -d"$1" -s "$here/sends.lua" "$TIDELINE_URL" -- pairs.tsv >wrk.log 2>wrk.err || true
    result=$(tail -n 1 wrk.err)
    jq -e '.errors == 0 and .stored > 0' <<<"$result" >/dev/null || fail "wrk: $(tail -n 3 wrk.err)"
    answered=$((answered + $(jq .stored <<<"$result")))
    ((in_flight += clients))
}

reference() { # seconds; sets `tps`
    sql -c CHECKPOINT
    PGOPTIONS='-c plan_cache_mode=force_generic_plan' pgbench -n -M prepared -c "$reference_clients" -j 2 -T "$1" \
        -D users="$users" -f "$here/sends-reference.sql" "$DATABASE_URL" >pgbench.log 2>&1 &&
        grep -q '^number of failed transactions: 0 ' pgbench.log || fail "pgbench: $(tail -n 3 pgbench.log)"
    tps=$(awk '/^tps/ {print $3}' pgbench.log)
    answered=$((answered + $(awk '/actually processed/ {print $6}' pgbench.log)))
}

((users >= 3 && rounds >= 1)) || fail "a ring wants three users, a median one round"
[[ -x $bin ]] || fail "no $bin: cargo build --release"
bin=$(realpath "$bin")
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/tideline-bench.XXXXXX")
chmod 755 "$dir" # PostgreSQL runs as another user when we are root
[[ $(stat -f -c %T "$dir") != tmpfs ]] || fail "$dir is in memory, where fsync costs nothing: set TMPDIR"
cd "$dir"
start
"$bin" admin seed --users "$users" | jq -r '[.user_id, .access_token] | @tsv' >seeds.tsv
sql -v users="$users" -f "$here/sends-setup.sql"
[[ $(wc -l <pairs.tsv) == "$users" ]] || fail "wanted $users pairs, got $(wc -l <pairs.tsv)"

answered=0 in_flight=0
reference "$warm_up"
ours "$warm_up"
printf '%5s %10s %8s %8s %8s %12s %7s\n' round ours/s p50_ms p99_ms wrk_cpu reference/s ratio
for ((round = 1; round <= rounds; round++)); do
    if ((round % 2)); then reference "$seconds"; ours "$seconds"; else ours "$seconds"; reference "$seconds"; fi
    jq -c --argjson round "$round" --argjson reference "$tps" '(.stored / .seconds) as $ours
        | {$round, ours: ($ours | round), reference: ($reference | round),
           ratio: ($ours / $reference * 100 | round / 100), p50_ms, p99_ms, wrk_cpu_share}' <<<"$result" |
        tee -a rounds.jsonl |
        jq -r '"\(.round) \(.ours) \(.p50_ms) \(.p99_ms) \(.wrk_cpu_share) \(.reference) \(.ratio)"' |
        xargs printf '%5s %10s %8s %8s %8s %12s %7s\n'
done

# Stored is what was answered, but for the requests under way when a run of wrk ended; two inbox entries each.
IFS='|' read -r messages heads entries < <(sql -c "SELECT (SELECT count(*) FROM messages),
    (SELECT sum(last_seq) FROM conversations), (SELECT count(*) FROM inbox WHERE kind = 'message')")
((messages >= answered && messages <= answered + in_flight && heads == messages && entries == 2 * messages)) ||
    fail "$answered sends answered, but $messages messages, $heads seqs and $entries inbox entries are stored"

mkdir -p "$(dirname "$report")"
jq -s 'def median(f): map(f) | sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
    {rounds: ., median_ours: median(.ours), median_reference: median(.reference),
     ratio: (median(.ours) / median(.reference) * 100 | round / 100),
     p50_ms: median(.p50_ms), p99_ms: median(.p99_ms), wrk_cpu_share: median(.wrk_cpu_share)}' rounds.jsonl >"$report"
jq -r '"median \(.median_ours) \(.p50_ms) \(.p99_ms) \(.wrk_cpu_share) \(.median_reference) \(.ratio)"' "$report" |
    xargs printf '%5s %9s %8s %8s %8s %12s %7s\n'
jq -r '"ratio \(.ratio) (goal 3.5, stretch 5)"' "$report"
