import { describe, expect, test } from "vitest";
import { brief, bytes, csv, csvCell, middle, short } from "./format";
import { safeLink } from "./link";
import { add, clause, clauses, complete, quote, toggle, valuesOf, withValues } from "./query";
import { literal, pieces, ruleText } from "./sql";
import { absolute, ago, duration, resolve } from "./time";

describe("queries", () => {
  test("are cut at top-level spaces only", () => {
    expect(clauses('a "b c" severity:(high OR low) -x:"y \\" z"')).toEqual(["a", '"b c"', "severity:(high OR low)", '-x:"y \\" z"']);
    expect(clauses("   ")).toEqual([]);
  });
  test("quote what is not a plain word", () => {
    expect(quote("ann@example.com")).toBe("ann@example.com");
    expect(quote("two words")).toBe('"two words"');
    expect(quote('a"b\\')).toBe('"a\\"b\\\\"');
    for (const word of ["AND", "OR", "NOT", "-x", "a:b", "a(b", "", "<img>"]) expect(quote(word)).toMatch(/^".*"$/);
  });
  test("values are toggled and kept apart by field", () => {
    let query = toggle("passed", "severity", "high");
    expect(query).toBe("passed severity:high");
    query = toggle(query, "severity", "critical");
    expect(query).toBe("passed severity:(high OR critical)");
    expect(valuesOf(query, "severity")).toEqual(["high", "critical"]);
    expect(toggle(toggle(query, "severity", "high"), "severity", "critical")).toBe("passed");
    expect(valuesOf(withValues("", "user", ['a "b" c']), "user")).toEqual(['a "b" c']);
    expect(add("a b", "b")).toBe("a b");
    expect(clause("ip", "::1")).toBe('ip:"::1"');
  });
  test("complete fields, then their values", () => {
    expect(complete("sev", 3).items.map((i) => i.text)).toEqual(["severity:"]);
    expect(complete("x severity:h", 12).items.map((i) => i.text)).toEqual(["severity:high "]);
    expect(complete("x -sta", 6)).toMatchObject({ from: 2 });
    expect(complete("rule_id:id", 10, { rule_id: ["identity.a", "cloud.b"] }).items.map((i) => i.text)).toEqual(["rule_id:identity.a "]);
  });
});

describe("titles of rows", () => {
  test("are cut where the row says the name beside it", () => {
    expect(brief("hana.haas@example.com made a token", ["hana.haas@example.com"])).toBe("hana.haa…e.com made a token");
    expect(brief("root made a token", ["root", "a"])).toBe("root made a token");
    expect(brief("<img src=x onerror=alert(1)>", ["somebody.else@example.com"])).toBe("<img src=x onerror=alert(1)>");
  });
});

describe("values", () => {
  test("a CSV cell cannot run in a spreadsheet or break its row", () => {
    expect(csvCell("=1+1")).toBe("'=1+1");
    expect(csvCell('a"b,c\n')).toBe('"a""b,c\n"');
    expect(csvCell(-5)).toBe("-5");
    expect(csv(["a", "b"], [{ a: 1, b: null }])).toBe("a,b\r\n1,\r\n");
  });
  test("numbers are short and texts keep both ends", () => {
    expect(short(999)).toBe("999");
    expect(short(12_345)).toBe("12.3 k");
    expect(short(1_234_567)).toBe("1.2 M");
    expect(bytes(1_536)).toBe("1.5 KiB");
    expect(middle("abcdefghij", 7)).toBe("abcd…ij");
    expect([...middle("🦀".repeat(20), 5)]).toHaveLength(5);
  });
  test("only https links are links", () => {
    expect(safeLink("https://attack.mitre.org/")).not.toBeNull();
    for (const link of ["javascript:alert(1)", "http://x", "data:text/html,x", "//x", "x"]) expect(safeLink(link)).toBeNull();
  });
});

describe("times", () => {
  test("read as people say them", () => {
    expect(duration(65_000)).toBe("1 m");
    expect(duration(2 * 3_600_000 + 5 * 60_000)).toBe("2 h 5 m");
    expect(duration(40)).toBe("40 ms");
    expect(ago(0, 90_000)).toBe("1 m ago");
    expect(absolute("2026-11-24T08:15:02.123Z", true)).toBe("2026-11-24 08:15:02");
    expect(absolute("nonsense", true)).toBe("nonsense");
  });
  test("relative ones resolve as in the API", () => {
    expect(resolve("now-15m", 1_000_000)).toBe(100_000);
    expect(resolve("", 5)).toBeNull();
    expect(resolve("yesterday", 5)).toBeNull();
    expect(resolve("1970-01-01T00:00:01Z", 0)).toBe(1_000);
  });
});

describe("SQL", () => {
  test("pieces put together are the text", () => {
    for (const sql of ["SELECT count(*) FROM t -- c\nWHERE a = 'it''s' AND b >= 1.5", "/* open", "'open", "ü≠x", ""]) {
      expect(pieces(sql).map((piece) => piece.text).join("")).toBe(sql);
    }
    expect(pieces("count(x)")[0]).toEqual({ kind: "function", text: "count" });
  });
  test("a rule file holds what was given, as YAML text", () => {
    const text = ruleText({ id: "a.b", title: 'say "x": y', severity: "low", entity: "user_entity", kind: "user", sql: "SELECT 1;" });
    expect(text).toContain('title: "say \\"x\\": y"');
    expect(text).toContain("entity: {user_entity: user}");
    expect(text.trimEnd().endsWith("SELECT 1")).toBe(true);
    expect(literal("it's")).toBe("'it''s'");
  });
});
