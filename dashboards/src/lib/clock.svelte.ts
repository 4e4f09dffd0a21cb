// The time that ages are measured against: one timer for the whole page.

class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => { this.now = Date.now(); }, 5_000);
  }
}

export const clock = new Clock();
