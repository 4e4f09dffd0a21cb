// Who is signed in. The token lives in the tab's session storage, is sent in a header only, and
// leaves the address bar at once when it came in the fragment (`#token=…`, as `sluice demo` prints).
import { api, ApiError, useToken } from "../api/client";
import type { Me } from "../api/types";
import { router } from "./router.svelte";

const KEY = "sluice-token";

export type Permission =
  | "findings:read" | "findings:write" | "rules:read" | "rules:write" | "sources:read"
  | "dead_letters:read" | "dead_letters:replay" | "dead_letters:drop" | "hunts:run"
  | "risk:read" | "signals:read" | "signals:send" | "ingest:write" | "metrics:read" | "audit:read";

class Session {
  me = $state<Me | null>(null);
  phase = $state<"checking" | "out" | "in">("checking");
  error = $state("");

  async start(): Promise<void> {
    const found = /(?:^#|&)token=([^&]+)/.exec(location.hash);
    if (found?.[1] !== undefined) {
      sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
      history.replaceState(null, "", location.pathname);
      router.refresh();
    }
    const token = sessionStorage.getItem(KEY);
    if (token === null) this.phase = "out";
    else await this.signIn(token);
  }

  async signIn(token: string): Promise<void> {
    this.error = "";
    useToken(token.trim(), () => this.phase === "in" && this.signOut("Your token has ended. Sign in again."));
    try {
      this.me = await api.me();
      sessionStorage.setItem(KEY, token.trim());
      this.phase = "in";
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.signOut("This token is unknown, revoked or expired.");
        return;
      }
      // The server is away: the token stays, so that loading the page again goes on.
      this.error = error instanceof Error ? error.message : String(error);
      this.phase = "out";
    }
  }

  signOut(reason = ""): void {
    sessionStorage.removeItem(KEY);
    useToken("", () => {});
    this.me = null;
    this.error = reason;
    this.phase = "out";
  }

  may(permission: Permission): boolean {
    return this.me?.permissions.includes(permission) ?? false;
  }
}

export const session = new Session();
