import { describe, expect, test } from "vitest";
import type { RiskOutlook } from "../api/types";
import { chance, degree, explained, seenOf, usual } from "./baseline";
import { newestQuarter, withSql } from "./hunts";
import { layers, MOST_LAYERS, stack } from "./layers";
import { amount, lately, units, widths } from "./peers";
import { aboutEntity, eventText, readable, said, subjectEntity, subjectText } from "./signals";

const course = (points: { parts: [string, number][] }[]): RiskOutlook => ({
  entity: "user:ann", as_of: "2026-11-24T08:00:00.000Z", base: 4, falls_at: null, rises: [], without: [],
  points: points.map(({ parts }, i) => ({
    at: `2026-11-24T0${i}:00:00.000Z`, level: "low", score: 4 + parts.reduce((sum, [, n]) => sum + n, 0),
    parts: parts.map(([name, n]) => ({ kind: name === "cap" ? "cap" : "rule", name, points: n })),
  })),
});

describe("layers of a risk", () => {
  test("stand on the base, the largest first, and the top is the score", () => {
    const of = course([{ parts: [] }, { parts: [["a", 10], ["b", 30]] }, { parts: [["a", 5]] }]);
    const all = layers(of);
    expect(all.map((layer) => layer.name)).toEqual(["base", "b", "a"]);
    const top = stack(all).at(-1)?.spans.map(([, high]) => high);
    expect(top).toEqual(of.points.map((point) => point.score));
  });
  test("what lowers a score is no layer, and many small ones are one", () => {
    const parts = Array.from({ length: 12 }, (_, i): [string, number] => [`r${i}`, 12 - i]);
    const all = layers(course([{ parts: [...parts, ["cap", -20]] }]));
    expect(all).toHaveLength(MOST_LAYERS + 1);
    expect(all.at(-1)?.name).toBe("6 others");
    const top = stack(all).at(-1)?.spans[0]?.[1];
    expect(top).toBeCloseTo(4 + parts.reduce((sum, [, n]) => sum + n, 0));
  });
});

describe("findings of baselines", () => {
  test("are told from those of rules and read as people say it", () => {
    expect(explained("identity.mfa_fatigue", { feature: "country" })).toBeNull();
    expect(explained("baselines.user_signin", { feature: "country", p: 0.01 })?.features).toHaveLength(1);
    expect(explained("baselines.user_signin", { features: [{ feature: "hour" }, 3, null] })?.features.map((f) => f.feature)).toEqual(["hour"]);
    expect(chance(0.0004)).toBe("1 in 2,500");
    expect(chance(0.7)).toBe("as likely as not");
    expect([usual(0), usual(0.0004), usual(0.25), usual(12.34), usual(null)]).toEqual(["never", "< 0.1 %", "25 %", "12.3", "–"]);
    expect(seenOf(0, 412.3)).toBe("0 of 412");
  });
});

describe("signals about an entity", () => {
  test("are put together by the change that they tell of", () => {
    const rows = [
      { time: "4", action: "delivered", jti: "j1", txn: "t1", stream: "s", event_type: "risk-level-change", about: '{"email":"ann"}' },
      { time: "3", action: "delivered", jti: "j2", txn: "t2", stream: "s", about: '{"email":"bob"}' },
      { time: "2", action: "level", txn: "t1", about: "user:ann", detail: "low to high" },
      { time: "1", action: "raised", about: "user:ann", by: "bob", detail: "high until 1764000900000: stolen" },
    ];
    const told = said(rows, "user:ann");
    expect(told.map((entry) => [entry.action, entry.sets.length])).toEqual([["level", 1], ["raised", 0]]);
    expect(told[0]?.sets[0]?.state).toBe("delivered");
    expect(readable(told[1]?.text ?? "", (ms) => new Date(ms).toISOString())).toBe("high until 2025-11-24T16:15:00.000Z: stolen");
  });
});

describe("what a signal says", () => {
  test("is about whom its subject names", () => {
    expect(subjectEntity({ format: "email", email: "Ann@Example.com" })).toEqual({ kind: "user", id: "ann@example.com" });
    expect(subjectEntity({ format: "complex", session: { format: "opaque", id: "s1" } })).toEqual({ kind: "session", id: "s1" });
    expect(subjectEntity({ format: "ip-addresses", "ip-addresses": ["203.0.113.7"] })).toEqual({ kind: "ip", id: "203.0.113.7" });
    expect(subjectEntity({ format: "opaque", id: "x" })).toBeNull();
    expect(subjectText({ format: "iss_sub", iss: "https://idp.example.com", sub: "ann" })).toBe("ann");
    expect(aboutEntity("user:ann@example.com")).toEqual({ kind: "user", id: "ann@example.com" });
    expect(aboutEntity('{"email":"ann@example.com","format":"email"}')).toEqual({ kind: "user", id: "ann@example.com" });
    for (const other of ["", "user", "{", "null", "7"]) expect(aboutEntity(other)).toBeNull();
  });
  test("is one line", () => {
    expect(eventText({ previous_level: "LOW", current_level: "HIGH", reason_admin: { en: "two refused pushes" } })).toBe("LOW to HIGH: two refused pushes");
    expect(eventText({ x_sluice: { test: true } })).toBe("a test");
    expect(eventText({})).toBe("no more than that");
  });
});

describe("peers", () => {
  test("shares are per cent, counts are numbers, and bars are as wide as their share", () => {
    expect([amount("categorical", 0.254), amount("edge", 0), amount("time_of_week", null)]).toEqual(["25.4 %", "never", "–"]);
    expect([amount("count", 12.34), amount("numeric", 123_456), amount("distinct", 0.5)]).toEqual(["12", "123,000", "0.5"]);
    const [a, b] = [{ value: "a", own: 0.4, peers: 0.1, organisation: 0.9 }, { value: "b", own: 0, peers: 0.2, organisation: 0 }];
    expect([widths(a, [a, b]), widths(b, [a, b])]).toEqual([{ own: 100, others: 25 }, { own: 0, others: 50 }]);
    expect(widths({ value: "x", own: 3, peers: null, organisation: 12 }, [{ value: "x", own: 3, peers: null, organisation: 12 }])).toEqual({ own: 25, others: 100 });
    const feature = { name: "country", kind: "categorical", usual: [{ value: "FR", seen: 9, of: 9 }], recent: [{ value: "FR", count: 2 }, { value: "MD", count: 3 }] };
    expect([lately(feature), lately({ ...feature, kind: "count" }), lately(undefined)]).toEqual([[{ value: "MD", count: 3 }], [], []]);
    expect([units(1, "learning"), units(41, "confident")]).toEqual(["1 day or session learned, it still learns", "41 days or sessions learned, a long history"]);
  });
  test("a surprise has the colour of its chance", () => {
    expect([0.4, 0.01, 0.0004].map((p) => degree(-Math.log(p)))).toEqual(["little", "some", "much"]);
  });
});

describe("flows", () => {
  test("what is new began in the newest quarter of the time there is", () => {
    expect(newestQuarter([{ first: 0, last: 50 }, { first: 20, last: 100 }])).toBe(75);
    expect(newestQuarter([])).toBe(Infinity);
    expect(newestQuarter([{ first: 5, last: 5 }])).toBe(Infinity);
  });
  test("what an entity is seen with is asked of all its tables", () => {
    const sql = withSql([{ table: "authentication", column: "user_entity" }, { table: "api_activity", column: "user_entity" }], "o'neil", "src_ip");
    expect(sql.match(/lower\(user_entity\) = 'o''neil'/g)).toHaveLength(2);
    expect(sql).toContain("UNION ALL");
  });
});
