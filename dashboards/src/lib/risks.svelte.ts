// The risk of the entities of a list: as it was when each finding was made, and as it is. Asked for
// the rows in sight, in one request for all of them.
import { api } from "../api/client";
import type { Finding, RiskBrief } from "../api/types";

const WAIT = 80;

export class Risks {
  #known = $state.raw(new Map<string, RiskBrief>());
  #asked = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The risk of the first entity of a finding when it was made, once it is known. */
  then(finding: Finding): RiskBrief | undefined {
    return this.#known.get(thenKey(finding));
  }

  /** The risk it has now. */
  now(finding: Finding): RiskBrief | undefined {
    return this.#known.get(name(finding));
  }

  /** Asks for those of these findings that are not known yet. */
  want(findings: readonly Finding[]): void {
    const wanted = findings.filter((finding) => finding.entities.length > 0 && !this.#asked.has(thenKey(finding)));
    if (wanted.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(wanted), WAIT);
  }

  /** What is known as of now is asked again. */
  forget(): void {
    this.#asked.clear();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #ask(findings: readonly Finding[]): Promise<void> {
    const names = [...new Set(findings.map(name))];
    const keys = [...names, ...findings.map(thenKey)];
    keys.forEach((key) => this.#asked.add(key));
    try {
      const items = await api.risks(
        [...names, ...findings.map(name)],
        [...names.map(() => "now"), ...findings.map((finding) => finding.time)],
      );
      const known = new Map(this.#known);
      items.forEach((item, i) => known.set(keys[i] ?? "", item));
      this.#known = known;
    } catch {
      // The column stays empty; it is asked again with the next list.
      keys.forEach((key) => this.#asked.delete(key));
    }
  }
}

function name(finding: Finding): string {
  const [entity] = finding.entities;
  return entity === undefined ? "" : `${entity.kind}:${entity.id}`;
}

function thenKey(finding: Finding): string {
  return `${name(finding)} ${finding.time}`;
}
