// The course of a risk as layers of a stacked chart: pure numbers, no markup.
import type { RiskOutlook } from "../api/types";

/** Layers with a colour of their own; the smallest of more share the last one. */
export const MOST_LAYERS = 7;

export interface Layer {
  /** The rule or baseline, `base`, or `others`. */
  name: string;
  kind: string;
  /** Points at each instant of the course, none below 0. */
  points: number[];
}

/** The base, then what raises the score, the largest first. What lowers it is not a layer: the score
 *  is below the top of the stack then. */
export function layers(course: RiskOutlook): Layer[] {
  const found = new Map<string, Layer>();
  course.points.forEach((point, i) => {
    for (const part of point.parts) {
      if (part.points <= 0) continue;
      const layer = found.get(part.name)
        ?? { name: part.name, kind: part.kind, points: course.points.map(() => 0) };
      layer.points[i] = part.points;
      found.set(part.name, layer);
    }
  });
  const peak = (layer: Layer): number => Math.max(...layer.points);
  const all = [...found.values()].sort((a, b) => peak(b) - peak(a) || a.name.localeCompare(b.name));
  const base: Layer = { name: "base", kind: "base", points: course.points.map(() => course.base) };
  if (all.length <= MOST_LAYERS) return [base, ...all];
  const rest = all.slice(MOST_LAYERS - 1);
  const others: Layer = {
    name: `${rest.length} others`, kind: "others",
    points: course.points.map((_, i) => rest.reduce((sum, layer) => sum + (layer.points[i] ?? 0), 0)),
  };
  return [base, ...all.slice(0, MOST_LAYERS - 1), others];
}

export interface Area {
  layer: Layer;
  /** Bottom and top at each instant. */
  spans: [number, number][];
}

/** Each layer upon the ones before it. */
export function stack(all: Layer[]): Area[] {
  const top: number[] = [];
  return all.map((layer) => ({
    layer,
    spans: layer.points.map((points, i) => {
      const from = top[i] ?? 0;
      top[i] = from + points;
      return [from, from + points];
    }),
  }));
}
