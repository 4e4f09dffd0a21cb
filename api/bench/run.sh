#!/usr/bin/env bash
# Measures `sluice run` in a release build over a Kafka broker on the same machine, and prints the
# tables of README.md.
#
#   api/bench/run.sh          needs Java 17, Maven, kcat and curl
#
# FILES=folder   where logs and the broker live; kept if given
# BYTES=200MB    of each kind of log
# SECONDS_=30    of each latency run
# OLD=path       a `sluice` of another commit: both run in turns, and ratios of medians are printed
# ROUNDS=3       turns of each, with OLD
# RATES="4000"   background events/s of the latency runs; without it half of the measured throughput
# NEW=path       a `sluice` to measure instead of the one built here
# RULES=folder   rules of both; without it each has those it ships
# HISTORY=none   as little of a history as there can be: 1 MiB a table, no files
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release -p sluice-generator
cargo build --release -p sluice-api --example latency
[ -n "${NEW:-}" ] || cargo build --release -p sluice-api
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
new=${NEW:-$bin/sluice} old=${OLD:-} bytes=${BYTES:-200MB} seconds=${SECONDS_:-30}
rules=builtin
[ -z "${RULES:-}" ] || rules=$(cd "$RULES" && pwd)
rounds=1
[ -z "$old" ] || rounds=${ROUNDS:-3}
if [ -n "${FILES:-}" ]; then mkdir -p "$FILES"; else FILES=$(mktemp -d); fi
FILES=$(cd "$FILES" && pwd)
pid= sampler=
stop_sluice() {
    [ -n "$pid" ] || return 0
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=
}
stop() {
    [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
    stop_sluice
    .ci/kafka/kafka.sh stop "$FILES/kafka"
}
trap stop EXIT

for source in okta.system aws.cloudtrail; do
    [ -s "$FILES/$source.ndjson" ] || "$bin/sluice-generator" bulk "$source" --bytes "$bytes" --seed 1 >"$FILES/$source.ndjson"
done
.ci/kafka/kafka.sh fetch "$FILES/kafka"
printf 'auto.create.topics.enable=true\nnum.partitions=2\n' >"$FILES/kafka/extra.properties"
broker=$(.ci/kafka/kafka.sh start "$FILES/kafka" | sed -n 's/^BOOTSTRAP=//p')
records=$(cat "$FILES"/okta.system.ndjson "$FILES"/aws.cloudtrail.ndjson | wc -l)
url=http://127.0.0.1:17777 data=$FILES/data
get() { curl -s -H "Authorization: Bearer $token" "$url$1"; }
metric() { get /metrics | awk -v name="$1" 'index($1, name) == 1 { n += $2 } END { printf "%d", n }'; }
cpu() { awk -v tick="$(getconf CLK_TCK)" '{ print ($14 + $15) / tick }' "/proc/$pid/stat"; }
rss() { awk '/^VmHWM/ { printf "%d", $2 / 1024 }' "/proc/$pid/status"; }

# One turn of a binary: its topics are its own, since the latency run writes to one of them.
turn() {
    local name=$1 sluice=$2 turn=$3 pair topic
    for pair in okta:okta.system cloudtrail:aws.cloudtrail; do
        topic=${pair%%:*}-$name-$turn
        kcat -P -b "$broker" -t "$topic" -X linger.ms=50 -X batch.size=1000000 <"$FILES/${pair##*:}.ndjson"
    done
    rm -rf "$data"
    # Every probe is a finding of one rule; an older binary may not know the bound of them.
    bound=
    "$sluice" config schema | grep -q findings_per_minute && bound='findings_per_minute = 1000000'
    history=
    if [ "${HISTORY:-}" = none ]; then
        history=$'[history]\ntable_bytes = "1MiB"'
        ! "$sluice" config schema | grep -q file_every || history+=$'\ndisk = false'
    fi
    cat >"$FILES/sluice.toml" <<T
data_dir = "$data"
rules = ["$rules"]
$history
[retention]
$bound
[api]
listen = "127.0.0.1:17777"
[sources.okta]
mapping = "okta.system"
kafka = { brokers = "$broker", topics = ["okta-$name-$turn"], group = "bench-$name-$turn" }
[sources.cloudtrail]
mapping = "aws.cloudtrail"
kafka = { brokers = "$broker", topics = ["cloudtrail-$name-$turn"], group = "bench-$name-$turn" }
T
    mkdir -m 700 "$data"
    token=$("$sluice" token create --data-dir "$data" --role admin --name bench)
    "$sluice" run --config "$FILES/sluice.toml" 2>"$FILES/run-$name-$turn.log" &
    pid=$!
    until [ "$(metric sluice_records_received_total 2>/dev/null || echo 0)" -gt 0 ]; do
        kill -0 "$pid" || { tail "$FILES/run-$name-$turn.log" >&2; exit 1; }
        sleep 0.05
    done
    local began first ended rate
    began=$(date +%s%N) first=$(metric sluice_records_received_total)
    until [ "$(metric sluice_records_received_total)" -ge "$records" ]; do sleep 0.1; done
    ended=$(date +%s%N)
    rate=$(awk -v n=$((records - first)) -v t=$((ended - began)) 'BEGIN { printf "%d", n / (t / 1e9) }')
    echo "$name $turn $records $(awk -v t=$((ended - began)) 'BEGIN { printf "%.1f", t / 1e9 }') $rate $(cpu) $(metric sluice_store_findings) $(rss) $(metric sluice_checkpoint_bytes)" >>"$FILES/throughput"
    # Every checkpoint of the latency runs, once: its number, bytes and seconds.
    while sleep 0.3; do
        get /metrics | awk '{ v[$1] = $2 } END { print v["sluice_checkpoint_epoch"], v["sluice_checkpoint_bytes"], v["sluice_checkpoint_seconds"] }'
    done >"$FILES/checkpoints-$name-$turn" 2>/dev/null &
    sampler=$!
    for background in ${RATES:-$((rate / 2))}; do
        "$bin/examples/latency" "$broker" "$url" "$token" "$background" "$seconds" "okta-$name-$turn" |
            tee -a "$FILES/latency.log" | sed "s/^/$name $turn /" >>"$FILES/latency"
    done
    kill "$sampler"
    wait "$sampler" 2>/dev/null || true
    sampler=
    sort -n -u -k1,1 "$FILES/checkpoints-$name-$turn" | awk 'NF == 3 && NR > 1' >"$FILES/checkpoints"
    spread() { sort -n | awk -v scale="$1" '{ v[NR] = $1 / scale } END { printf "%.4g | %.4g", v[int((NR + 1) / 2)], v[NR] }'; }
    echo "$name $turn | $(wc -l <"$FILES/checkpoints") | $(awk '{ print $2 }' "$FILES/checkpoints" | spread 1e6) | $(awk '{ print $3 * 1000 }' "$FILES/checkpoints" | spread 1)" >>"$FILES/written"
    stop_sluice
}

: >"$FILES/throughput"
: >"$FILES/latency"
: >"$FILES/written"
for round in $(seq "$rounds"); do
    [ -z "$old" ] || turn old "$old" "$round"
    turn new "$new" "$round"
done
echo '| binary, turn | records | wall s | events/s | CPU s | findings | peak RSS MiB | last checkpoint, bytes |'
echo '|---|---|---|---|---|---|---|---|'
awk '{ printf "| %s %s | %s | %s | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6, $7, $8, $9 }' "$FILES/throughput"
echo
echo '| binary, turn | background events/s | sent | findings | p50 ms | p99 ms | max ms |'
echo '|---|---|---|---|---|---|---|'
sed -E 's/^([a-z]+ [0-9]+) \|/| \1 |/' "$FILES/latency"
echo
echo '| binary, turn | checkpoints of the latency runs | MB, median | greatest | ms, median | greatest |'
echo '|---|---|---|---|---|---|'
sed -e 's/^/| /' -e 's/$/ |/' "$FILES/written"
[ -z "$old" ] || awk '
    function median(list, n,    i, j, t) {
        for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j-1]; j--) { t = list[j]; list[j] = list[j-1]; list[j-1] = t }
        return list[int((n + 1) / 2)]
    }
    { n[$1]++; rate[$1, n[$1]] = $5; cpu[$1, n[$1]] = $6; rss[$1, n[$1]] = $8; findings[$1] = findings[$1] " " $7 }
    END {
        for (i = 1; i <= n["old"]; i++) { a[i] = rate["old", i]; b[i] = rate["new", i]; c[i] = cpu["old", i]; d[i] = cpu["new", i]; e[i] = rss["old", i]; f[i] = rss["new", i] }
        printf "\nmedians, new to old: events/s x%.2f, CPU x%.2f, peak RSS x%.2f\n", median(b, i-1) / median(a, i-1), median(d, i-1) / median(c, i-1), median(f, i-1) / median(e, i-1)
        printf "findings: old%s, new%s\n", findings["old"], findings["new"]
    }' "$FILES/throughput"
