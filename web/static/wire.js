// Talking to the doors: problems become errors with their remedy, the live feed resumes where it stopped.
const ROOT = "/api/v1";
let csrf = null;

export class Problem extends Error {
  constructor(body, status) {
    super(body.title || "the server did not answer");
    this.status = status;
    this.errorId = body.error_id || "no-answer";
    this.field = body.field || null;
    this.remedy = body.remedy || "";
  }
}

export function keepCsrf(token) {
  csrf = token;
}

export async function ask(path, { method = "GET", json, form, query } = {}) {
  const address = new URL(ROOT + path, location.origin);
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== null && value !== undefined && value !== "") address.searchParams.set(name, value);
  }
  const headers = { Accept: "application/json" };
  if (csrf && method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (json) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address, { method, headers, body: json ? JSON.stringify(json) : form, credentials: "same-origin" });
  } catch {
    throw new Problem({ title: "The server does not answer", remedy: "检查网络后重试 · check the network and try again" }, 0);
  }
  if (answer.status === 204) return null;
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  const body = isJson ? await answer.json() : { title: answer.statusText };
  if (!answer.ok) throw new Problem(body, answer.status);
  return body;
}

// Follows the event log. Reconnects by itself, from the last number it has, so nothing is missed.
export class LiveFeed {
  constructor({ onEvents, onState, onEnded }) {
    Object.assign(this, { onEvents, onState, onEnded });
    this.last = null;
    this.wait = 500;
    this.stopped = false;
    this.silence = null;
  }

  start(after) {
    this.last = after;
    this.stopped = false;
    this.open();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.silence);
    this.socket?.close();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${ROOT}/live?after=${this.last}`);
    this.socket = socket;
    socket.onopen = () => {
      this.wait = 500;
      this.onState(true);
      this.watch();
    };
    socket.onmessage = (message) => {
      this.watch();
      const batch = JSON.parse(message.data);
      this.last = batch.last;
      if (batch.events.length) this.onEvents(batch.events);
    };
    socket.onclose = (event) => {
      clearTimeout(this.silence);
      if (this.stopped || socket !== this.socket) return;
      this.onState(false);
      if (event.code === 4401) return this.onEnded();
      setTimeout(() => !this.stopped && this.open(), this.wait);
      this.wait = Math.min(this.wait * 2, 10000);
    };
  }

  // The server gives a sign of life every 15 s; without one for 40 s the line is dead even if nobody said so.
  watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket.close(), 40000);
  }
}
