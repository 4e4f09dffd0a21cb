// Something that is loaded: what is known of it, why it failed, whether it is on its way. A newer
// request ends an older one, so that answers never arrive in the wrong order; a page that is left ends its
// own, so that the server does not work for nobody. Made where a component begins.
import { onDestroy } from "svelte";
import { ApiError } from "../api/client";

export class Resource<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<ApiError | null>(null);
  loading = $state(false);
  #abort: AbortController | null = null;

  constructor() {
    onDestroy(() => this.#abort?.abort());
  }

  async load(request: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.loading = true;
    try {
      const value = await request(abort.signal);
      if (abort.signal.aborted) return;
      this.value = value;
      this.error = null;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.error = asApiError(error);
    }
    this.loading = false;
  }

  cancel(): void {
    this.#abort?.abort();
    this.loading = false;
  }
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, null, error instanceof Error ? error.message : String(error));
}

/** Runs requests a few at a time: one page must not take all places of its token. */
export async function few<A, B>(
  items: readonly A[],
  work: (item: A) => Promise<B>,
  atOnce = 4,
): Promise<B[]> {
  const results: B[] = new Array<B>(items.length);
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await work(items[at] as A);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, run));
  return results;
}
