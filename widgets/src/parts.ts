// Code in colour and math in its notation: heavy (75 and 270 kB) and needed by few answers, so each is a bundle of its
// own, fetched from the kernel when the first answer asks for it. Until then, or without a kernel, the plain text shows.

import type { Highlight } from "./grid_code";
import type { Typeset } from "./grid_math";

interface Kinds {
  code: { highlight: Highlight };
  math: { typeset: Typeset };
}

export type PartName = keyof Kinds;

export class Parts {
  private readonly here: Partial<Kinds> = {};
  private readonly coming: Partial<Record<PartName, Promise<void>>> = {};

  /** load: the module of a part; `fromSource` makes one of a kernel's answer. */
  constructor(private readonly load: <N extends PartName>(name: N) => Promise<Kinds[N]>) {}

  /** Calls `then` at once when the part is here, later when it has to be fetched, never when it cannot be had. */
  use<N extends PartName>(name: N, then: (part: Kinds[N]) => void): void {
    const part = this.here[name];
    if (part) return then(part);
    this.coming[name] ??= this.load(name).then(
      (loaded) => void (this.here[name] = loaded as Partial<Kinds>[N]),
      () => void delete this.coming[name], // asked again by the next answer
    );
    void this.coming[name].then(() => this.here[name] && then(this.here[name]));
  }
}
