// Questions to the kernel, for whatever widget.

import { unpacked } from "./unpack";

/** The part of anywidget's model that is used here. */
export interface Model {
  get(name: string): unknown;
  send(content: unknown): void;
  widget_manager?: unknown; // the host's own
  on(event: string, handler: (message: any, buffers?: DataView[]) => void): void;
  off(event: string, handler: (message: any, buffers?: DataView[]) => void): void;
}

interface Message {
  ask?: string;
  error?: string;
  packed?: boolean; // the message is in its buffer, compressed
}

const AGAIN_MS = 6000;

/** No kernel is behind this view any more. */
export class Unreachable extends Error {}

/**
 * Each question is answered by one message that carries its number. `unasked` gets all other messages; `gone` is called
 * when JupyterLab cuts the widget off, because its kernel was restarted, and `back` with the first answer after that.
 */
export class Questions<Request extends object> {
  private readonly name = Math.random().toString(36).slice(2); // of this view: another one may show the same widget
  private readonly waiting = new Map<string, { done: (reply: any) => void; failed: (error: Error) => void }>();
  private count = 0;
  private isCut = false;
  private unpacking: Promise<void> | null = null; // what comes after waits for it: messages keep their order

  constructor(
    private readonly model: Model,
    private readonly unasked: (message: any) => void = () => {},
    private readonly gone: () => void = () => {},
    private readonly back: () => void = () => {},
  ) {
    model.on("msg:custom", this.receive);
    model.on("comm_live_update", this.cut);
  }

  /** again: send it anew, ever more seldom, as long as there is no answer; a line may have lost the first one. */
  ask<Reply>(request: Request, again = false): Promise<Reply> {
    const ask = `${this.name}:${++this.count}`;
    return new Promise((done, failed) => {
      this.waiting.set(ask, { done, failed });
      const send = (wait: number) => {
        if (!this.waiting.has(ask)) return;
        try {
          this.model.send({ ...request, ask });
        } catch {
          this.waiting.delete(ask);
          return failed(new Unreachable()); // after a restart of the kernel
        }
        if (again) setTimeout(() => send(3 * wait), wait);
      };
      send(AGAIN_MS);
    });
  }

  close(): void {
    this.model.off("msg:custom", this.receive);
    this.model.off("comm_live_update", this.cut);
    this.waiting.clear();
  }

  /** Set when the widget is cut off, and when it is taken up again: then it answers. */
  private readonly cut = (): void => {
    this.isCut = true;
    this.gone();
  };

  private readonly receive = (message: Message, buffers: DataView[] = []): void => {
    if (!message.packed && !this.unpacking) return this.take(message);
    const before = this.unpacking;
    const mine = (this.unpacking = (async () => {
      await before;
      this.take(message.packed ? JSON.parse(await unpacked(buffers[0]!)) : message);
    })().finally(() => {
      if (this.unpacking === mine) this.unpacking = null;
    }));
  };

  private take(message: Message): void {
    if (this.isCut) this.back();
    this.isCut = false;
    const question = this.waiting.get(message.ask ?? "");
    if (!question) return this.unasked(message);
    this.waiting.delete(message.ask ?? "");
    if (message.error === undefined) question.done(message);
    else question.failed(new Error(message.error));
  }
}
