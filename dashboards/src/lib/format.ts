// Numbers and values as text.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export function count(value: number): string {
  return whole.format(value);
}

/** `1.2 M`, for tight places. */
export function short(value: number): string {
  const steps: readonly (readonly [number, string])[] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  for (const [size, unit] of steps) {
    if (Math.abs(value) >= size) {
      const scaled = value / size;
      return `${scaled >= 100 ? Math.round(scaled) : Math.round(scaled * 10) / 10} ${unit}`;
    }
  }
  return whole.format(value);
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let scaled = value;
  while (scaled >= 1024 && at < units.length - 1) {
    scaled /= 1024;
    at += 1;
  }
  return `${at === 0 || scaled >= 100 ? Math.round(scaled) : Math.round(scaled * 10) / 10} ${units[at]}`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Whatever an event holds, as one line of text. */
export function text(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return JSON.stringify(value);
}

/** Cuts the middle out of a long text: both ends tell values apart. */
export function middle(value: string, most: number): string {
  const chars = [...value];
  if (chars.length <= most) return value;
  const head = Math.ceil((most - 1) * 0.6);
  return `${chars.slice(0, head).join("")}…${chars.slice(chars.length - (most - 1 - head)).join("")}`;
}

/** A title for a narrow row: long names in it that the row says beside it are cut, so that its verb is seen. */
export function brief(title: string, names: readonly string[], most = 14): string {
  return names.filter((name) => [...name].length > most + 2)
    .reduce((text, name) => text.replaceAll(name, middle(name, most)), title);
}

/** `true_positive` as `true positive`. */
export function words(value: string): string {
  return value.replaceAll("_", " ");
}

/** A CSV cell. One that a spreadsheet would run begins with `'`, as the API writes it. */
export function csvCell(value: unknown): string {
  let cell = value === null || value === undefined ? "" : text(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(cell)) cell = `'${cell}`;
  return /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

export function csv(columns: string[], rows: Record<string, unknown>[]): string {
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  return `${lines.map((line) => line.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

/** Hands a file to the browser. */
export function download(name: string, content: Blob | string, type = "text/csv"): void {
  const blob = typeof content === "string" ? new Blob([content], { type }) : content;
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}
