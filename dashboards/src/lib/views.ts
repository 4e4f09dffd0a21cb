// The views everybody has. Others are saved on this machine; every view is only an address.
import { clause } from "./query";
import type { View } from "./prefs.svelte";

/** What is shown at home: nobody is done with it, and its rule is not on trial. */
export const OPEN = "-status:resolved shadow:false";

export function standard(me: string): View[] {
  return [
    { name: "Open", q: OPEN, from: "" },
    { name: "Mine", q: `${clause("assignee", me)} -status:resolved`, from: "" },
    { name: "Critical and high", q: `severity:>=high ${OPEN}`, from: "" },
    { name: "New, 24 hours", q: "status:new shadow:false", from: "now-24h" },
    { name: "Resolved", q: "status:resolved", from: "" },
    { name: "On trial", q: "shadow:true", from: "" },
    { name: "All", q: "", from: "" },
  ];
}
