"""Campaign recall on the generated enterprise: ours beside others at the same number of alerts.

    sluice-generator enterprise FOLDER --seed 1
    campaigns.py SLUICE FOLDER

Each day the units with the highest scores are alerts, as many as the budget gives: 1, 5 or 10 a day for
every 1,000 entities, at least what fits into the days so far. A campaign is found if one of the days of
its account is an alert. No detector sees a label.
"""

import collections
import csv
import os
import sys
import tempfile

from figures import figures, here, labels, score
from peers import DETECTORS, peer_scores, units

FEATURES = ["country", "network", "application", "device", "host", "hour"]
BUDGETS = (1, 5, 10)


def found(scores, campaigns, entities, budget):
    """Share of campaigns with an alert, when each day has its budget of the highest scores."""
    days = collections.defaultdict(list)
    for (entity, unit), value in scores.items():
        days[unit].append((value, entity))
    alerts, credit = set(), 0.0
    for unit, of in sorted(days.items()):
        # What a day leaves over of an alert goes to the next one.
        credit += budget * entities / 1000
        for _, entity in sorted(of, reverse=True)[: int(credit)]:
            alerts.add((entity, unit))
        credit -= int(credit)
    return sum(any(u in alerts for u in of) for of in campaigns.values()) / len(campaigns)


def main(sluice, folder):
    truth = labels(os.path.join(folder, "labels.csv"))
    campaigns = collections.defaultdict(list)
    with open(os.path.join(folder, "campaigns.csv")) as file:
        for row in csv.DictReader(file):
            campaigns[row["campaign"]].append((row["entity"], row["unit"]))
    events = os.path.join(folder, "events.ndjson")
    of = units(events, FEATURES)
    out = os.path.join(tempfile.mkdtemp(), "scores.ndjson")

    def show(title, scores):
        recall = [found(scores, campaigns, len(of), budget) for budget in BUDGETS]
        f = figures(list(scores.values()), [truth[unit] for unit in scores])
        row = " | ".join(f"{x:.3f}" for x in [*recall, f["auc"], f["ap"]])
        print(f"| {title} | {row} |", flush=True)

    print("| detector | recall at 1 | at 5 | at 10 | AUC | AP |\n|---|---|---|---|---|---|")
    _, ours = score(sluice, here("enterprise.sql"), events, os.path.join(folder, "labels.csv"), out)
    show("sluice", ours)
    for title, make in DETECTORS.items():
        show(title, peer_scores(of, truth, make))


if __name__ == "__main__":
    main(*sys.argv[1:])
