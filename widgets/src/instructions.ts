// What whoever made the project tells its raters: laid over the grid before the first vote, and whenever it is asked for.

import { h, type Label } from "./dom";
import { safeMarkdown } from "./markdown";
import { card } from "./panels";
import type { Parts } from "./parts";
import type { Shell } from "./shell";

export class Instructions {
  private readonly place: string;

  /** closed: called when the rater has read them. */
  constructor(
    readonly text: string,
    grid: string,
    private readonly shell: Shell,
    private readonly label: Label,
    private readonly parts: Parts,
    private readonly closed: () => void,
  ) {
    this.place = `sftkit-instructed-${grid}`;
  }

  /** Before the first vote, once a browser. */
  atStart(rated: number): void {
    if (rated === 0 && !this.read) this.show("grid.instructions.begin");
  }

  show(closeWord = "grid.close"): void {
    if (!this.text) return;
    const text = h("div", { class: "markdown instructions", tabindex: 0 });
    text.append(safeMarkdown(this.text, this.parts));
    this.shell.showCard((close) => card(this.label("grid.instructions"), this.label(closeWord), close, text), () => {
      this.read = true;
      this.closed();
    });
  }

  // the browser may refuse storage: they are then shown at every start until there is a vote
  private get read(): boolean {
    try {
      return localStorage.getItem(this.place) !== null;
    } catch {
      return false;
    }
  }

  private set read(read: boolean) {
    try {
      if (read) localStorage.setItem(this.place, "1");
    } catch {
      /* see above */
    }
  }
}
