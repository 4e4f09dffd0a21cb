// Short messages about what was done, each with at most one thing to do about it.

export interface Toast {
  id: number;
  text: string;
  kind: "done" | "error";
  action?: { label: string; run: () => void };
}

class Toasts {
  items = $state<Toast[]>([]);
  #next = 1;

  show(text: string, kind: Toast["kind"] = "done", action?: Toast["action"]): void {
    const id = this.#next;
    this.#next += 1;
    const toast: Toast = action === undefined ? { id, text, kind } : { id, text, kind, action };
    this.items = [...this.items.slice(-3), toast];
    setTimeout(() => this.close(id), kind === "error" ? 10_000 : 6_000);
  }

  close(id: number): void {
    this.items = this.items.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
