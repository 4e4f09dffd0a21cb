// The queue that a finding was opened from: the way back to its row, and to the rows beside it. It is
// gone with the page; the address of a finding does not need it.
import { address } from "./router.svelte";

class Trail {
  #ids: readonly string[] = [];
  #params = new URLSearchParams();
  /** The finding that was looked at last. */
  #last = "";

  /** What the queue shows now. */
  keep(ids: readonly string[], params: URLSearchParams): void {
    this.#ids = ids;
    this.#params = own(params);
  }

  visit(id: string): void {
    this.#last = id;
  }

  /** The finding that a queue of these parameters was left for, if it was left. */
  left(params: URLSearchParams): string {
    return this.#last !== "" && own(params).toString() === this.#params.toString() ? this.#last : params.get("at") ?? "";
  }

  /** Its place in the queue from 1, and how many there are; null if it was not opened from there. */
  place(id: string): { at: number; of: number; before: string | undefined; after: string | undefined } | null {
    const at = this.#ids.indexOf(id);
    return at < 0 ? null : { at: at + 1, of: this.#ids.length, before: this.#ids[at - 1], after: this.#ids[at + 1] };
  }

  /** The address of the queue, at the row of a finding. */
  back(id: string): string {
    const params = new URLSearchParams(this.#params);
    if (this.#ids.includes(id)) params.set("at", id);
    return address(["findings"], params);
  }
}

/** What decides which rows are shown, in one order. */
function own(params: URLSearchParams): URLSearchParams {
  const kept = new URLSearchParams();
  for (const name of ["q", "from", "to", "peek"]) {
    const value = params.get(name);
    if (value !== null) kept.set(name, value);
  }
  return kept;
}

export const trail = new Trail();
