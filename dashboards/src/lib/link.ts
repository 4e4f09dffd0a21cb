// Links to elsewhere: only https, only from configuration and rules, never from events.
export function safeLink(text: string): string | null {
  try {
    return new URL(text).protocol === "https:" ? text : null;
  } catch {
    return null;
  }
}
