// The live stream of findings: server-sent events over fetch, since EventSource cannot send a token.
// It reconnects by itself and resumes where it was.
import { ApiError, send } from "./client";
import type { Finding } from "./types";

export interface StreamHandlers {
  finding(finding: Finding): void;
  withdrawn(id: string): void;
  /** This client was too slow: what it shows may be behind. */
  gap(): void;
  state(state: "live" | "waiting" | "refused"): void;
}

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/** Follows until the signal aborts. */
export async function follow(handlers: StreamHandlers, signal: AbortSignal): Promise<void> {
  let last = "";
  let wait = FIRST_WAIT;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (last !== "") headers["Last-Event-ID"] = last;
      const response = await send("GET", "/api/v1/findings/stream", { query: { include: "shadow" }, headers, signal });
      handlers.state("live");
      wait = FIRST_WAIT;
      for await (const event of events(response.body, signal)) {
        if (event.id !== "") last = event.id;
        dispatch(event, handlers);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        handlers.state("refused");
        return;
      }
    }
    handlers.state("waiting");
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

interface ServerEvent {
  id: string;
  event: string;
  data: string;
}

function dispatch({ event, data }: ServerEvent, handlers: StreamHandlers): void {
  if (event === "gap") handlers.gap();
  if (event !== "finding" && event !== "withdrawn") return;
  const finding = JSON.parse(data) as Finding;
  if (event === "finding") handlers.finding(finding);
  else handlers.withdrawn(finding.id);
}

async function* events(
  body: ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  if (body === null) return;
  const reader = body.pipeThrough(new TextDecoderStream() as never).getReader() as
    ReadableStreamDefaultReader<string>;
  let rest = "";
  let event: ServerEvent = { id: "", event: "", data: "" };
  while (!signal.aborted) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (event.data !== "") yield event;
        event = { id: "", event: "", data: "" };
        continue;
      }
      const [, name, text] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (name === "data") event.data += event.data === "" ? (text ?? "") : `\n${text}`;
      else if (name === "event") event.event = text ?? "";
      else if (name === "id") event.id = text ?? "";
    }
  }
}
