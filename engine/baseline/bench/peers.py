"""Other detectors over the same streams as `sluice baseline eval`.

    peers.py NAME EVENTS.ndjson.zst LABELS.csv.zst FEATURE[,FEATURE..]

Per entity, each labelled unit is scored before it is learned. Detectors of scikit-learn and PyOD are
fitted to the entity's units so far that are at least 5 days old, every 10 units; they and the streaming
ones see the unit as counts of the entity's 50 most frequent values (log1p), one column for the rest,
and the number of events. `hour` is the two-hour bin of the local weekday or weekend.
"""

import collections
import datetime
import math
import sys
import warnings

import numpy
from pyod.models.knn import KNN
from rcf3 import Forest
from river.anomaly import HalfSpaceTrees
from sklearn.ensemble import IsolationForest

from figures import events, figures, labels

warnings.filterwarnings("ignore")
COLUMNS = 50


def units(path, features):
    """entity -> [(unit, counts of (feature, value))] in the order of days."""
    found = collections.defaultdict(dict)
    for event in events(path):
        time = datetime.datetime.fromisoformat(event["time"])
        unit = time.strftime("%Y-%m-%dT00:00:00Z")
        counts = found[event["entity"]].setdefault(unit, collections.Counter())
        for feature in features:
            value = event.get(feature)
            if feature == "hour":
                zone = event.get("tz") or "+0000"
                sign = -1 if zone[0] == "-" else 1
                local = time + sign * datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
                value = (local.weekday() >= 5, local.hour // 2)
            if value is not None:
                counts[(feature, value)] += 1
    return {entity: sorted(of.items()) for entity, of in found.items()}


class Vectors:
    """Counts as a row of numbers; the columns are those of the first units, then fixed."""

    def __init__(self, first):
        total = collections.Counter()
        for counts in first:
            total.update(counts)
        self.index = {value: i for i, (value, _) in enumerate(total.most_common(COLUMNS))}

    def row(self, counts):
        row = numpy.zeros(COLUMNS + 2)
        for value, n in counts.items():
            row[self.index.get(value, COLUMNS)] += n
        row[COLUMNS + 1] = sum(counts.values())
        return numpy.log1p(row)


class Fitted:
    """A batch detector fitted anew every ten units."""

    def __init__(self, make, score):
        self.make, self.read, self.rows, self.model, self.fits = make, score, [], None, 0

    def score(self, row):
        if len(self.rows) >= 20 and (self.model is None or len(self.rows) >= self.fits + 10):
            self.model = self.make().fit(numpy.array(self.rows))
            self.fits = len(self.rows)
        return float(self.read(self.model, row.reshape(1, -1))[0]) if self.model else 0.0

    def learn(self, row):
        self.rows.append(row)


class Trees:
    """river's half-space trees; they want values between 0 and 1."""

    def __init__(self):
        self.model = HalfSpaceTrees(n_trees=25, height=8, window_size=25, seed=1)

    def point(self, row):
        return {i: min(1.0, x / 8) for i, x in enumerate(row)}

    def score(self, row):
        return self.model.score_one(self.point(row))

    def learn(self, row):
        self.model.learn_one(self.point(row))


class Cuts:
    """rcf3's robust random cut forest."""

    def __init__(self):
        self.model = Forest(input_dim=COLUMNS + 2, num_trees=50, capacity=256, seed=1)

    def score(self, row):
        return self.model.score(row.tolist())

    def learn(self, row):
        self.model.update(row.tolist())


class FirstSeen:
    """Share of the unit's values that the entity has never had."""

    def __init__(self):
        self.known = set()

    def score(self, counts):
        return sum(n for value, n in counts.items() if value not in self.known) / sum(counts.values())

    def learn(self, counts):
        self.known.update(counts)


class Rare:
    """As Elastic's `rare`: how few of the entity's units have the rarest value."""

    def __init__(self):
        self.of, self.all = collections.Counter(), 0

    def score(self, counts):
        rarest = min((self.of[value] + 1) / (self.all + 2) for value in counts)
        return -math.log(rarest)

    def learn(self, counts):
        self.of.update(counts.keys())
        self.all += 1


DETECTORS = {
    "scikit-learn IsolationForest": lambda: Fitted(
        lambda: IsolationForest(n_estimators=50, random_state=1), lambda m, x: -m.score_samples(x)
    ),
    "PyOD KNN": lambda: Fitted(lambda: KNN(), lambda m, x: m.decision_function(x)),
    "river HalfSpaceTrees": Trees,
    "rcf3 Forest": Cuts,
    "first seen": FirstSeen,
    "rare (Elastic's way)": Rare,
}


def peer_scores(of, truth, make):
    """(entity, unit) -> score of each labelled unit, before it is learned."""
    found = {}
    for entity, days in sorted(of.items()):
        detector = make()
        plain = isinstance(detector, FirstSeen | Rare)
        vectors = Vectors(counts for _, counts in days[:30])
        waiting = collections.deque()
        for unit, counts in days:
            if not counts:
                continue
            while waiting and age(waiting[0][0], unit) >= 5:
                detector.learn(waiting.popleft()[1])
            point = counts if plain else vectors.row(counts)
            if (entity, unit) in truth:
                found[(entity, unit)] = detector.score(point)
            waiting.append((unit, point))
    return found


def main(name, events_file, labels_file, features):
    of = units(events_file, features.split(","))
    truth = labels(labels_file)
    for title, make in DETECTORS.items():
        scores = peer_scores(of, truth, make)
        found = figures(list(scores.values()), [truth[unit] for unit in scores])
        row = " | ".join(f"{found[key]:.3f}" for key in ("auc", "ap", "tpr_0.1%", "tpr_1%"))
        print(f"| {name} | {title} | {row} |", flush=True)


def age(earlier, later):
    parse = datetime.datetime.fromisoformat
    return (parse(later) - parse(earlier)).days


if __name__ == "__main__":
    main(*sys.argv[1:])
