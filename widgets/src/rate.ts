// The rating page of `sftkit rate`: gives the grid a model that speaks over a websocket to sftkit/widgets/rate_server.py
// instead of to a kernel. A lost line is taken up again, and what was asked meanwhile is asked then.

import type { Model } from "./kernel";

const WAITS_MS = [300, 1000, 2000, 4000]; // between tries; the last one goes on

type Handler = (message: any) => void;

/** What the page shows of the line: null when it is there. */
export type Trouble = "lost" | "old" | "failed" | "closed" | null;

export class Line implements Model {
  private socket: WebSocket | null = null;
  private traits: Record<string, unknown> = {};
  private readonly handlers = new Set<Handler>();
  private readonly open = new Map<string, string>(); // questions without an answer: a vote by its key, else by number
  private tries = 0;
  private ready = false; // the traits of this connection are here

  constructor(
    private readonly address: string,
    private readonly started: () => void,
    private readonly trouble: (trouble: Trouble) => void,
    private readonly mayEnter: () => Promise<boolean>, // rejects when the server is not there
  ) {
    this.connect();
  }

  get(name: string): unknown {
    return this.traits[name];
  }

  on(event: string, handler: Handler): void {
    if (event === "msg:custom") this.handlers.add(handler);
  }

  off(_event: string, handler: Handler): void {
    this.handlers.delete(handler);
  }

  send(content: any): void {
    const text = JSON.stringify(content);
    this.open.set(content.key ?? content.ask, text);
    if (this.ready) this.socket!.send(text);
  }

  private connect(): void {
    const socket = (this.socket = new WebSocket(this.address));
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = ({ code }) => void this.closed(code);
  }

  private receive(message: any): void {
    if (message.traits) return this.begin(message.traits);
    for (const [name, text] of this.open) if (JSON.parse(text).ask === message.ask) this.open.delete(name);
    for (const handler of [...this.handlers]) handler(message);
  }

  private begin(traits: Record<string, unknown>): void {
    const first = Object.keys(this.traits).length === 0;
    this.traits = traits;
    this.ready = true;
    this.tries = 0;
    this.trouble(null);
    if (first) this.started();
    else for (const text of this.open.values()) this.socket!.send(text); // each may come twice without harm
  }

  private async closed(code: number): Promise<void> {
    this.ready = false;
    if (code === 1008) return this.trouble("closed");
    this.trouble("lost");
    try {
      if (!(await this.mayEnter())) return this.trouble("old");
      if (code === 1011) this.trouble("failed");
    } catch {
      /* not there: try again */
    }
    const wait = WAITS_MS[Math.min(this.tries++, WAITS_MS.length - 1)]!;
    setTimeout(() => this.connect(), wait);
  }
}

/** The page's parts joined. `load` brings the grid's bundle, which stands beside this file. */
export function join(page: Document, load: () => Promise<{ default: { render(view: object): void } }>): Line {
  const place = page.getElementById("grid")!;
  const notice = page.getElementById("line")!;
  const here = new URL("./", page.location.href);
  const socket = new URL("socket", here);
  socket.protocol = here.protocol === "https:" ? "wss:" : "ws:";
  const started = () =>
    void load().then((grid) => {
      grid.default.render({ model: line, el: place });
      place.querySelector<HTMLElement>(".sftkit-grid")?.focus(); // nothing else wants the keys here
    });
  const trouble = (kind: Trouble) => {
    notice.hidden = kind === null;
    notice.textContent = kind && (place.dataset[kind] ?? kind);
  };
  const mayEnter = async () => (await fetch(new URL("here", here), { cache: "no-store" })).ok;
  const line = new Line(socket.href, started, trouble, mayEnter);
  return line;
}

if (typeof document !== "undefined" && document.getElementById("grid")) {
  join(document, () => import(new URL("grid.js", import.meta.url).href));
}
