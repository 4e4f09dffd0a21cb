// The address: `#/path?parameters`. It holds the whole state of a page, so that it can be copied,
// bookmarked and gone back to.

export interface Route {
  /** `/findings/abc` as its parts. */
  parts: string[];
  params: URLSearchParams;
}

function read(): Route {
  const hash = location.hash.replace(/^#/, "");
  const [path = "", query = ""] = splitOnce(hash, "?");
  const parts = path.split("/").filter((part) => part !== "").map(decode);
  return { parts, params: new URLSearchParams(query) };
}

function splitOnce(text: string, by: string): string[] {
  const at = text.indexOf(by);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Router {
  route = $state.raw<Route>(read());

  constructor() {
    addEventListener("hashchange", () => { this.route = read(); });
  }

  /** Reads the address again after it was changed without an event. */
  refresh(): void {
    this.route = read();
  }

  get page(): string {
    return this.route.parts[0] ?? "findings";
  }

  param(name: string): string {
    return this.route.params.get(name) ?? "";
  }

  go(address: string): void {
    location.hash = address;
  }

  /** Changes parameters of the page that is shown; null removes one. */
  set(changes: Record<string, string | null>, how: "push" | "replace" = "push"): void {
    // Of the address as it is: the event of a change before this one may be on its way.
    const { parts, params } = read();
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) params.delete(name);
      else params.set(name, value);
    }
    const next = address(parts.length === 0 ? ["findings"] : parts, params);
    if (how === "push") location.hash = next;
    else {
      history.replaceState(null, "", next);
      this.refresh();
    }
  }
}

/** `#/a/b?c=d` with every part encoded. */
export function address(
  parts: string[],
  params: Record<string, string> | URLSearchParams = {},
): string {
  const query = new URLSearchParams(params).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${query === "" ? "" : `?${query}`}`;
}

export const router = new Router();
