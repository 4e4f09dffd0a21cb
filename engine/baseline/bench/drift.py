"""T1 and T3 on the Schonlau data: a person whose job changes, and people without history.

    drift.py SLUICE SEA.events.ndjson.zst SEA.labels.csv.zst

T1: person u does their own test blocks 50-89, then for ever the first 50 blocks of person u + 1. The
threshold is the 99 % quantile of clean blocks of the standard run; figures are the share of blocks above
it, in tens after the change, and how many people still have 5 or more in the last ten.
T3: person u starts with t training blocks; all others have 50. Figures over u's first 20 test blocks.
"""

import datetime
import os
import sys
import tempfile

from figures import events, figures, here, labels, quantile, score, write_events, write_labels

# People are changed ten at a time; the others stay as they are.
GROUPS = 5
START = datetime.datetime(2000, 1, 3, tzinfo=datetime.UTC)


def day(k):
    return (START + datetime.timedelta(days=k)).strftime("%Y-%m-%dT00:00:00Z")


def main(sluice, events_file, labels_file):
    blocks = {}
    for event in events(events_file):
        when = datetime.datetime.fromisoformat(event["time"])
        k = (when - START).days
        blocks.setdefault(event["entity"], {}).setdefault(k, []).append(event["command"])
    people = sorted(blocks, key=lambda name: int(name[4:]))
    truth = labels(labels_file)
    folder = tempfile.mkdtemp()
    files = [os.path.join(folder, name) for name in ("events.ndjson", "labels.csv", "scores.ndjson")]

    def run(days, judged):
        """Scores blocks: days is person -> day -> commands."""
        rows = []
        for person, of in days.items():
            for k, commands in of.items():
                for i, command in enumerate(commands):
                    when = START + datetime.timedelta(days=k, hours=9, seconds=i)
                    time = when.strftime("%Y-%m-%dT%H:%M:%SZ")
                    rows.append({"time": time, "entity": person, "command": command})
        rows.sort(key=lambda row: (row["time"], row["entity"]))
        write_events(files[0], rows)
        write_labels(files[1], judged)
        return score(sluice, run.baseline, *files)[1]

    run.baseline = here("sea.sql")
    standard = run(blocks, truth)
    threshold = quantile([s for unit, s in standard.items() if not truth[unit]], 0.99)

    tens, locked_out = [0.0] * 5, 0
    for group in range(GROUPS):
        days, judged = dict(blocks), {}
        for person in people[group::GROUPS]:
            other = blocks[people[(people.index(person) + 1) % len(people)]]
            own = {k: blocks[person][k] for k in range(90)}
            days[person] = own | {90 + k: other[k] for k in range(50)}
            judged |= {(person, day(k)): int(k >= 90) for k in range(50, 140)}
        scores = run(days, judged)
        for person in people[group::GROUPS]:
            above = [scores[(person, day(90 + k))] > threshold for k in range(50)]
            for ten in range(5):
                tens[ten] += sum(above[10 * ten : 10 * ten + 10]) / 10 / len(people)
            locked_out += sum(above[40:]) >= 5
    print("T1", " ".join(f"{share:.3f}" for share in tens), "people still alerting:", locked_out)

    for t in (0, 5):
        run.baseline = here("sea_cold.sql")
        ranked, labelled = [], []
        for group in range(GROUPS):
            days, judged = dict(blocks), {}
            for person in people[group::GROUPS]:
                days[person] = {k: blocks[person][k] for k in range(50 - t, 70)}
                judged |= {(person, day(k)): truth[(person, day(k))] for k in range(50, 70)}
            scores = run(days, judged)
            for unit, s in scores.items():
                ranked.append(s)
                labelled.append(judged[unit])
        found = figures(ranked, labelled)
        print(f"T3 t={t}: AUC {found['auc']:.3f} AP {found['ap']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
