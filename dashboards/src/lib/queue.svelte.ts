// The list of findings as a page holds it: pages loaded as one scrolls, rows that change in place and
// never move, new ones counted until they are asked for.
import { api, type FindingQuery } from "../api/client";
import { follow } from "../api/stream";
import type { Facet, Finding, FindingPage } from "../api/types";
import { asApiError, Resource } from "./resource.svelte";

const PAGE = 100;
const FACETS = "severity,status,entity_kind,rule_id,tactic,attack,assignee";
/** How long after an event the search is asked: the index follows the store. It is asked again, later
 *  each time, since an event does not say when the search will know of it. */
const SETTLE = 700;
const SETTLE_MOST = 12_000;

export class Queue {
  page = new Resource<FindingPage>();
  items = $state.raw<Finding[]>([]);
  total = $state.raw<FindingPage["total"]>({ value: 0, relation: "eq" });
  facets = $state.raw<Record<string, Facet[]>>({});
  more = $state(false);
  loadingMore = $state(false);
  /** Findings that match and are not shown. */
  fresh = $state(0);
  live = $state<"live" | "waiting" | "refused">("waiting");
  #cursor: string | null = null;
  #query: FindingQuery = {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = 0;
  #wait = SETTLE;
  #following = false;

  async load(query: FindingQuery): Promise<void> {
    this.#query = query;
    this.fresh = 0;
    await this.page.load((signal) => api.findings({ ...query, limit: PAGE, facets: FACETS }, signal));
    const page = this.page.value;
    if (page === null || this.page.error !== null || this.#query !== query) return;
    this.items = page.items;
    this.#take(page);
    this.#cursor = page.next_cursor;
    this.more = page.next_cursor !== null;
  }

  async loadMore(): Promise<void> {
    if (!this.more || this.loadingMore || this.page.loading) return;
    this.loadingMore = true;
    const query = this.#query;
    try {
      const page = await api.findings({ ...query, limit: PAGE, cursor: this.#cursor });
      if (this.#query === query) {
        const have = new Set(this.items.map((item) => item.id));
        this.items = [...this.items, ...page.items.filter((item) => !have.has(item.id))];
        this.#cursor = page.next_cursor;
        this.more = page.next_cursor !== null;
      }
    } catch (error) {
      this.page.error = asApiError(error);
      this.more = false;
    }
    this.loadingMore = false;
  }

  /** Changes one row where it is. */
  patch(id: string, how: Partial<Finding>): void {
    this.items = this.items.map((item) => (item.id === id ? { ...item, ...how } : item));
  }

  async follow(signal: AbortSignal): Promise<void> {
    this.#following = true;
    signal.addEventListener("abort", () => {
      this.#following = false;
      clearTimeout(this.#timer);
    });
    await follow({
      finding: (finding) => {
        const held = this.items.find((item) => item.id === finding.id);
        if (held === undefined) this.#soon();
        // An event of before a change that is shown already would take it back for a moment.
        else if (finding.version >= held.version) this.patch(finding.id, finding);
      },
      withdrawn: (id) => this.patch(id, { state: "withdrawn" }),
      gap: () => this.#soon(),
      state: (state) => { this.live = state; },
    }, signal);
  }

  #soon(): void {
    this.#wait = SETTLE;
    this.#schedule();
  }

  /** Asks after the wait, or sooner if that is on its way. */
  #schedule(): void {
    const due = Date.now() + this.#wait;
    if (this.#timer !== undefined && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => void this.#look(), this.#wait);
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    this.#wait *= 2;
    const query = this.#query;
    try {
      const page = await api.findings({ ...query, limit: PAGE, facets: FACETS });
      if (this.#query === query) {
        const have = new Set(this.items.map((item) => item.id));
        this.fresh = page.items.filter((item) => !have.has(item.id)).length;
        this.#take(page);
      }
    } catch {
      // It is asked again; the health line says if the server is gone.
    }
    if (this.#wait <= SETTLE_MOST && this.#following) this.#schedule();
  }

  #take(page: FindingPage): void {
    this.total = page.total;
    this.facets = page.facets;
  }
}
