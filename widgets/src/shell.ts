// The grid's outermost element: it keeps keys from JupyterLab, shows errors at its foot and the key card over all.

import { h, type Label } from "./dom";

export class Shell {
  readonly root: HTMLElement;
  readonly body = h("div", { class: "body" });
  private readonly errors = h("div", { class: "errors", role: "alert" });
  private failed = false; // what is shown is an error
  private card: HTMLElement | null = null;
  private closed = (): void => {}; // what is to be done when the card is gone

  constructor(
    element: HTMLElement,
    private readonly label: Label,
  ) {
    this.root = h(
      "div",
      // JupyterLab's own shortcuts (a, b, m, x, …) act on the cell: they must not see what is typed here
      { class: "sftkit-grid", tabindex: 0, "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": label("grid.table") },
      this.body,
      this.errors,
    );
    // after a click with the mouse the keys are the grid's again: Enter must not press the same button once more. Unless the
    // button opened something to type or choose in: what is typed there must not be taken for votes
    this.root.addEventListener("click", (event) => {
      this.inSight();
      const button = event.detail > 0 && (event.target as Element).closest("button");
      if (button && !document.activeElement?.closest("input, textarea, select, .skip, .reveal, .card")) this.focus();
    });
    this.keepKeys();
    element.append(this.root);
  }

  /** When what had the focus is drawn anew, the grid has it: else the next key would be JupyterLab's (x cuts the cell). */
  private keepKeys(): void {
    let held: Element | null = null;
    this.root.addEventListener("focusin", (event) => (held = event.target as Element));
    this.root.addEventListener("focusout", ({ relatedTarget: to }) => {
      if (to && !this.root.contains(to as Node)) held = null;
    });
    const redrawn = new MutationObserver(() => {
      if (!held || held.isConnected || !this.root.isConnected || document.activeElement !== document.body) return;
      held = null;
      this.focus();
    });
    redrawn.observe(this.root, { childList: true, subtree: true });
  }

  focus(): void {
    this.root.focus({ preventScroll: true });
  }

  /** Whoever rates sees the whole grid, the buttons at its foot included. */
  inSight(): void {
    this.root.scrollIntoView({ block: "nearest" });
  }

  fail(text: string): void {
    this.failed = true;
    const close = h("button", { type: "button", "aria-label": this.label("grid.close"), onclick: () => this.calm() }, "×");
    this.errors.replaceChildren(h("span", {}, text), close);
  }

  /** What is the matter until it is over; an error that says more stays. */
  warn(text: string): void {
    if (!this.failed && this.errors.textContent !== text) this.errors.replaceChildren(h("strong", {}, text));
  }

  calm(): void {
    this.failed = false;
    this.errors.replaceChildren();
  }

  get showsCard(): boolean {
    return this.card !== null;
  }

  /** Lay a card over all, in the place of another one. make: gets what closes it. */
  showCard(make: (close: () => void) => HTMLElement, closed = (): void => {}): void {
    this.card?.remove();
    this.card = make(() => this.hideCard());
    this.closed = closed;
    this.root.append(this.card);
    this.card.querySelector("button")?.focus({ preventScroll: true });
  }

  hideCard(): void {
    this.card?.remove();
    this.card = null;
    this.closed();
    this.focus();
  }
}
