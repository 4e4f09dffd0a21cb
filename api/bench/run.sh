#!/usr/bin/env bash
# Measures `sluice run` in a release build over a Kafka broker on the same machine, and prints the
# tables of README.md.
#
#   api/bench/run.sh          needs Java 17, Maven, kcat and curl
#
# FILES=folder   where logs and the broker live; kept if given
# BYTES=200MB    of each kind of log
# SECONDS_=30    of the latency run
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release -p sluice-api -p sluice-generator
cargo build --release -p sluice-api --example latency
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
bytes=${BYTES:-200MB} seconds=${SECONDS_:-30}
if [ -n "${FILES:-}" ]; then mkdir -p "$FILES"; else FILES=$(mktemp -d); fi
FILES=$(cd "$FILES" && pwd)
pid=
stop() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    .ci/kafka/kafka.sh stop "$FILES/kafka"
}
trap stop EXIT

for source in okta.system aws.cloudtrail; do
    [ -s "$FILES/$source.ndjson" ] || "$bin/sluice-generator" bulk "$source" --bytes "$bytes" --seed 1 >"$FILES/$source.ndjson"
done
.ci/kafka/kafka.sh fetch "$FILES/kafka"
printf 'auto.create.topics.enable=true\nnum.partitions=2\n' >"$FILES/kafka/extra.properties"
broker=$(.ci/kafka/kafka.sh start "$FILES/kafka" | sed -n 's/^BOOTSTRAP=//p')
for pair in okta:okta.system cloudtrail:aws.cloudtrail; do
    kcat -P -b "$broker" -t "${pair%%:*}" -X linger.ms=50 -X batch.size=1000000 <"$FILES/${pair##*:}.ndjson"
done
records=$(cat "$FILES"/okta.system.ndjson "$FILES"/aws.cloudtrail.ndjson | wc -l)

data=$FILES/data
rm -rf "$data"
cat >"$FILES/sluice.toml" <<T
data_dir = "$data"
[api]
listen = "127.0.0.1:17777"
[sources.okta]
mapping = "okta.system"
kafka = { brokers = "$broker", topics = ["okta"], group = "bench" }
[sources.cloudtrail]
mapping = "aws.cloudtrail"
kafka = { brokers = "$broker", topics = ["cloudtrail"], group = "bench" }
T
mkdir -m 700 "$data"
token=$("$bin/sluice" token create --data-dir "$data" --role admin --name bench)
url=http://127.0.0.1:17777
get() { curl -s -H "Authorization: Bearer $token" "$url$1"; }
processed() { get /metrics | awk '/^sluice_records_received_total/ { n += $2 } END { printf "%d", n }'; }
"$bin/sluice" run --config "$FILES/sluice.toml" 2>"$FILES/run.log" &
pid=$!
until [ "$(processed 2>/dev/null || echo 0)" -gt 0 ]; do sleep 0.05; done
began=$(date +%s%N) first=$(processed)
until [ "$(processed)" -ge "$records" ]; do sleep 0.1; done
ended=$(date +%s%N)
cpu() { awk -v tick="$(getconf CLK_TCK)" '{ print ($14 + $15) / tick }' "/proc/$pid/stat"; }
rss() { awk '/^VmHWM/ { printf "%d", $2 / 1024 }' "/proc/$pid/status"; }
findings() { get /metrics | awk '/^sluice_store_findings / { printf "%d", $2 }'; }
echo '| records | wall s | events/s | CPU s | findings | peak RSS MiB |'
echo '|---|---|---|---|---|---|'
rate=$(awk -v n=$((records - first)) -v t=$((ended - began)) 'BEGIN { printf "%d", n / (t / 1e9) }')
awk -v n="$records" -v t=$((ended - began)) -v rate="$rate" -v cpu="$(cpu)" -v f="$(findings)" -v rss="$(rss)" \
    'BEGIN { printf "| %d | %.1f | %d | %.1f | %s | %s |\n", n, t / 1e9, rate, cpu, f, rss }'
echo
echo '| background events/s | sent | findings | p50 ms | p99 ms | max ms |'
echo '|---|---|---|---|---|---|'
"$bin/examples/latency" "$broker" "$url" "$token" $((rate / 2)) "$seconds"
