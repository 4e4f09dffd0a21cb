// Keys that work wherever nobody is typing, and what they are called in the help.

/** Whether a key is a command: nobody types, no dialog is open, no modifier is held. */
export function isCommand(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
  // The SQL editor is inside a shadow root: the event is told of its host.
  if (target.matches("input:not([type=checkbox]), textarea, select, [contenteditable], .editor")) return false;
  return document.querySelector("dialog[open]") === null;
}

export interface Section {
  name: string;
  keys: readonly (readonly [readonly string[], string])[];
}

/** `g`, then one of these. */
export const PLACES: Record<string, string> = {
  f: "findings", i: "incidents", e: "entities", h: "hunt", m: "flows", r: "rules", c: "coverage", x: "suppressions", p: "pipeline", s: "signals", w: "webhooks", l: "audit",
};

export const SECTIONS: readonly Section[] = [
  {
    name: "Queue",
    keys: [
      [["j", "k"], "next, previous finding"],
      [["Enter"], "open it"],
      [["p"], "preview: why it fired, beside the list"],
      [["x"], "select it; selected ones are worked on together"],
      [["Shift", "x"], "select all that are loaded, or none"],
      [["a"], "assign to me, and in progress"],
      [["c"], "close with a reason"],
      [["f"], "close as false positive"],
      [["u"], "undo the last change"],
      [["n"], "show new findings"],
      [["/"], "search"],
      [["Esc"], "clear the selection"],
    ],
  },
  {
    name: "A finding",
    keys: [
      [["j", "k"], "next, previous finding of the queue"],
      [["Esc"], "back to its row in the queue"],
      [["a"], "assign to me, and in progress"],
      [["c"], "close with a reason"],
      [["f"], "close as false positive"],
      [["s"], "suppress findings like it"],
    ],
  },
  {
    name: "Everywhere",
    keys: [
      [["g", "f"], "go to findings"], [["g", "i"], "incidents"], [["g", "e"], "entities"], [["g", "h"], "hunt"], [["g", "m"], "flow map"], [["g", "r"], "rules"],
      [["g", "c"], "coverage"], [["g", "x"], "suppressions"], [["g", "p"], "pipeline"], [["g", "s"], "signals"], [["g", "w"], "webhooks"], [["g", "l"], "audit log"],
      [["?"], "this help"],
    ],
  },
];
