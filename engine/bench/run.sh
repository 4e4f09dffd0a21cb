#!/bin/sh
# Measures `sluice eval` in a release build on one core and prints the table of README.md.
#
#   engine/bench/run.sh [RUNS]      RUNS per row, default 3; the median is printed
#
# FILES=folder  where the logs and rule sets are made; kept if given, else a temporary folder
# WINDOWS=file  the OTRF recordings, default ../shared/data/otrf/windows-40k.ndjson.zst; left out if absent
# CORE=n        the core to run on, default 0
set -eu
cd "$(dirname "$0")/../.."
runs=${1:-3}
core=${CORE:-0}
windows=${WINDOWS:-../shared/data/otrf/windows-40k.ndjson.zst}

cargo build --release -p sluice-api -p sluice-generator
bin=${CARGO_TARGET_DIR:-target}/release
if [ -n "${FILES:-}" ]; then
    mkdir -p "$FILES"
else
    FILES=$(mktemp -d)
    trap 'rm -rf "$FILES"' EXIT
fi

for source in okta.system aws.cloudtrail; do
    [ -s "$FILES/$source.ndjson" ] ||
        "$bin/sluice-generator" bulk "$source" --bytes 200MB --seed 1 >"$FILES/$source.ndjson"
done
rm -rf "$FILES/shipped" "$FILES/rules" "$FILES/windows"
# What the binary ships: recipes are to be learned from, and one takes every event.
mkdir "$FILES/shipped"
cp -r rules/application rules/baselines rules/cloud rules/endpoint rules/identity rules/network "$FILES/shipped"
"$bin/sluice-generator" rules "$FILES/shipped" --total 1000 --out "$FILES/rules" 2>/dev/null
"$bin/sluice-generator" rules engine/bench/windows/rules --total 1000 --out "$FILES/windows" 2>/dev/null

# One run: wall, user and system seconds, peak KiB to $FILES/time; stage times to $FILES/profile.
evaluate() { # source mappings rules file
    taskset -c "$core" /usr/bin/time -o "$FILES/time" -f '%e %U %S %M' \
        "$bin/sluice" eval --threads 1 --profile --source "$1" --mappings "$2" -r "$3" "$4" \
        >"$FILES/findings" 2>"$FILES/profile"
}

# A row of the table. CPU time of a run over one record (starting, compiling rules) is taken off.
row() { # name source mappings rules file
    case $5 in *.zst) zstd -dc "$5" ;; *) cat "$5" ;; esac | head -n 1 >"$FILES/one.ndjson"
    evaluate "$2" "$3" "$4" "$FILES/one.ndjson"
    load=$(awk '{ print $2 + $3 }' "$FILES/time")
    : >"$FILES/runs"
    for _ in $(seq "$runs"); do
        evaluate "$2" "$3" "$4" "$5"
        shares=$(awk '$3 == "s" && $5 == "%" { printf "%s %.0f, ", $1, $4 }' "$FILES/profile")
        records=$(awk '/: received / { sub(/.*received /, ""); print $1; exit }' "$FILES/profile")
        awk -v load="$load" -v records="$records" -v shares="${shares%, }" \
            -v findings="$(wc -l <"$FILES/findings")" '{
                cpu = $2 + $3 - load
                printf "%.3f | %.0f | %.2f | %.2f | %d | %.0f | %s\n", \
                    cpu, records / cpu, $1, load, findings, $4 / 1024, shares
            }' "$FILES/time" >>"$FILES/runs"
    done
    count=$(find "$4" -name '*.sql' | wc -l)
    sort -n "$FILES/runs" | awk -F ' [|] ' -v name="$1" -v rules="$count" -v middle="$(((runs + 1) / 2))" '
        NR == middle {
            printf "| %s | %d | %d | %.2f | %s | %s | %s | %s | %s |\n", name, rules, $2, $1, $3, $4, $5, $6, $7
        }'
}

echo '| file | rules | events/s | CPU s | wall s | load s | findings | RSS MiB | stages, % |'
echo '|---|---|---|---|---|---|---|---|---|'
for source in okta.system aws.cloudtrail; do
    row "$source" "$source" ingest/mappings "$FILES/shipped" "$FILES/$source.ndjson"
    row "$source" "$source" ingest/mappings "$FILES/rules" "$FILES/$source.ndjson"
done
if [ -e "$windows" ]; then
    own=engine/bench/windows
    row windows.event windows.event $own/mappings $own/rules "$windows"
    row windows.event windows.event $own/mappings "$FILES/windows" "$windows"
fi
