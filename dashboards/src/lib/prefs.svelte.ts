// What a person chose on this machine: colours, time zone, saved views. Nothing of it is needed.

export interface View {
  name: string;
  q: string;
  from: string;
}

const KEY = "sluice-prefs";

interface Stored {
  theme?: "system" | "light" | "dark";
  utc?: boolean;
  views?: View[];
}

function stored(): Stored {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Stored;
  } catch {
    return {};
  }
}

class Preferences {
  theme = $state<"system" | "light" | "dark">(stored().theme ?? "system");
  utc = $state(stored().utc ?? false);
  views = $state<View[]>(stored().views ?? []);
  #dark = matchMedia("(prefers-color-scheme: dark)");
  systemDark = $state(this.#dark.matches);

  constructor() {
    this.#dark.addEventListener("change", (event) => { this.systemDark = event.matches; });
  }

  get dark(): boolean {
    return this.theme === "dark" || (this.theme === "system" && this.systemDark);
  }

  save(): void {
    const value: Stored = { theme: this.theme, utc: this.utc, views: this.views };
    localStorage.setItem(KEY, JSON.stringify(value));
  }
}

export const prefs = new Preferences();
