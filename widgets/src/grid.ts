// The comparison grid, browser half: sftkit/widgets/grid.py is the kernel half and speaks protocol.ts with it.
// anywidget calls `render` for every view. No model's name ever reaches this page.

import { Dock } from "./dock";
import { detail, type Judges, type Look } from "./detail";
import { Attention, h, labelled, type Label } from "./dom";
import { command, type Command } from "./keys";
import { List } from "./list";
import { Outbox } from "./outbox";
import { allDone, Bar, keyCard, message, type Saving } from "./panels";
import { Kernel, NO_OPINION, type Comparison, type JudgeVerdict, type Model, type Opinion, type Saved, type Setup, type Side, type Verdict, Unreachable } from "./protocol";
import { GridState, withScore } from "./state";

const PATIENCE_MS = 1500; // after which a vote without an answer is called unsaved

class Grid {
  private readonly kernel: Kernel;
  private readonly label: Label;
  private readonly root: HTMLElement;
  private readonly body = h("div", { class: "body" });
  private readonly errors = h("div", { class: "errors", role: "alert" });
  private readonly look: Look = { view: "markdown", diff: ["a", "b"], reference: true, full: false, dense: false };
  private readonly attention = new Attention();
  private state!: GridState;
  private list!: List;
  private dock!: Dock;
  private bar!: Bar;
  private outbox!: Outbox;
  private card: HTMLElement | null = null;
  private advanceFrom: number | null = null; // the row whose first verdict is on its way to the disk
  private readonly seen = new Map<number, JudgeVerdict[]>(); // what judges said, by row; of voted rows only
  private readonly asking = new Set<number>();
  private judged: number | null = null; // the row voted on last, when there is a judge's verdict on it
  private reviewing = false; // all are rated, and the rater wants to see them
  private ticker = 0;

  constructor(model: Model, element: HTMLElement) {
    this.label = labelled(model.get("_labels") as Record<string, string>);
    this.kernel = new Kernel(model, (saved) => this.state && this.receive(saved));
    this.root = h(
      "div",
      // JupyterLab's own shortcuts (a, b, m, x, …) act on the cell: they must not see what is typed here
      { class: "sftkit-grid", tabindex: 0, "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": this.label("grid.table") },
      this.body,
      this.errors,
    );
    this.root.addEventListener("keydown", this.keydown);
    this.root.addEventListener("pointermove", this.attention.alive);
    // after a click with the mouse the keys are the grid's again: Enter must not press the same button once more
    this.root.addEventListener("click", (event) => {
      this.inSight();
      if (event.detail > 0 && (event.target as Element).closest("button")) this.root.focus({ preventScroll: true });
    });
    element.append(this.root);
    void this.open();
  }

  close(): void {
    clearInterval(this.ticker);
    this.outbox?.close();
    this.list?.close();
    this.kernel.close();
  }

  private async open(): Promise<void> {
    this.body.replaceChildren(message(this.label("grid.loading")));
    const late = setTimeout(() => this.body.replaceChildren(message(this.label("grid.no_kernel"))), 4000);
    try {
      this.start(await this.kernel.ask({ kind: "hello" }));
    } catch (error) {
      this.fail(error);
    } finally {
      clearTimeout(late);
    }
  }

  private start(setup: Setup): void {
    this.state = new GridState(setup.states, setup.dimensions, setup.columns);
    if (this.state.total === 0) return this.body.replaceChildren(message(this.label("grid.nothing")));
    const ask = this.kernel;
    this.list = new List(
      this.state,
      this.label,
      (from, to) => ask.ask({ kind: "rows", from, to }),
      (row) => this.go(row),
    );
    this.dock = new Dock(this.state, this.label, {
      verdict: (verdict) => this.verdict(verdict),
      score: (dimension, side, value) => this.score(dimension, side, value),
      note: (text) => this.change({ ...this.state.opinion, note: text }, false),
    });
    const run = (command: Command) => () => this.run(command);
    this.bar = new Bar(this.state, this.label, {
      unrated: run({ do: "unrated" }),
      undo: run({ do: "undo" }),
      redo: run({ do: "redo" }),
      raw: run({ do: "raw" }),
      judge: run({ do: "judge" }),
      card: run({ do: "card" }),
    });
    this.outbox = new Outbox(
      setup.grid,
      (vote) => ask.ask({ kind: "vote", ...vote }),
      (saved, vote) => this.acknowledged(saved, vote.opinion),
      (error) => this.fail(error),
      () => this.update(),
    );
    this.ticker = setInterval(() => this.outbox.size && this.update(), 500) as unknown as number;
    this.go(this.state.focus);
  }

  /** Bring a row into focus; its text is fetched when it is not here yet. */
  private go(row: number): void {
    this.outbox.flush();
    this.attention.reset();
    this.advanceFrom = null;
    this.state.go(row);
    this.layOut();
    void this.fetch(this.state.focus).then(() => {
      const next = this.state.nextUnrated(this.state.focus);
      if (next !== null) void this.fetch(next); // so that it is there when the vote is cast
    });
  }

  private async fetch(row: number): Promise<void> {
    if (this.state.comparisons.has(row)) return;
    try {
      const comparison = await this.kernel.ask({ kind: "row", row });
      comparison.opinion = this.outbox.opinion(comparison.id) ?? comparison.opinion;
      this.state.comparisons.set(row, comparison);
      if (row === this.state.focus) this.layOut();
    } catch (error) {
      this.fail(error);
    }
  }

  private layOut(): void {
    if (this.state.nextUnrated(-1) === null && !this.reviewing) {
      const panel = allDone(this.state, this.label, () => {
        this.reviewing = true;
        this.layOut();
        this.root.focus({ preventScroll: true });
      });
      this.body.replaceChildren(this.bar.element, panel);
      return this.update();
    }
    if (!this.tableShown) this.body.replaceChildren(this.bar.element, this.list.element, this.dock.element);
    this.list.show(this.detail());
    this.update();
  }

  private get tableShown(): boolean {
    return this.list.element.parentNode === this.body; // even while JupyterLab has the whole cell out of the page
  }

  private detail(): HTMLElement {
    const { current } = this.state;
    if (!current) return message(this.label("grid.loading"));
    const judges: Judges = { of: (comparison) => this.judgesOf(comparison), dimensions: this.state.dimensions };
    return detail(current, this.look, judges, this.label, (look) => Object.assign(this.look, look));
  }

  /** What judges said of a comparison with a vote; it is fetched, and drawn, when it is not here yet. */
  private judgesOf({ row, id }: Comparison): JudgeVerdict[] | undefined {
    if (!this.seen.has(row) && !this.asking.has(row)) {
      this.asking.add(row);
      this.kernel.ask({ kind: "judge", id }).then(
        ({ judges }) => {
          this.asking.delete(row);
          this.seen.set(row, judges);
          if (row === this.state.focus) this.redraw();
        },
        (error) => {
          this.asking.delete(row);
          this.fail(error);
        },
      );
    }
    return this.seen.get(row);
  }

  /** To the verdict: of the open row if it has one, else of the row voted on last. */
  private showJudge(): void {
    const { current } = this.state;
    if (this.judged !== null && !(this.tableShown && current?.judged && current.opinion.verdict)) {
      this.reviewing = true;
      this.go(this.judged);
    }
    this.body.querySelector(".judges")?.scrollIntoView({ block: "nearest" });
  }

  private update(): void {
    const saving: Saving = !this.outbox?.size ? "saved" : this.outbox.waited > PATIENCE_MS ? "waiting" : "saving";
    this.bar.update(this.look.view === "raw", saving, this.outbox?.size ?? 0, this.judged);
    this.dock.update();
  }

  private redraw(): void {
    if (this.tableShown) this.list.replace(this.detail());
    this.update();
  }

  private verdict(verdict: Verdict): void {
    const first = this.state.opinion.verdict === null;
    this.change({ ...this.state.opinion, verdict }, true);
    if (first) this.advanceFrom = this.state.focus;
  }

  private score(dimension: number, side: Side, value: number | null): void {
    const { name } = this.state.dimensions[dimension]!;
    this.state.mark = { dimension, side };
    this.change(withScore(this.state.opinion, name, side, value), false);
    if (value !== null) this.state.advanceMark();
    this.update();
  }

  private change(opinion: Opinion, now: boolean): void {
    const verdict = this.state.opinion.verdict;
    if (!this.state.change(opinion)) return;
    this.save(this.state.focus, now);
    if (opinion.verdict !== verdict) this.redraw();
  }

  private save(row: number, now: boolean): void {
    const comparison = this.state.comparisons.get(row);
    if (!comparison) return;
    const { id, opinion, rating } = comparison;
    this.outbox.put({ id, opinion, base: rating, seconds: this.attention.seconds }, now);
  }

  private step(row: number | null): void {
    if (row === null) return;
    this.advanceFrom = null;
    this.save(row, true);
    this.layOut();
  }

  /** The store has it. The first verdict on a row opens the next one, and only now: nothing unsaved is left behind. */
  private acknowledged(saved: Saved, sent: Opinion): void {
    this.errors.replaceChildren();
    this.receive(saved);
    if (saved.stale) this.fail(this.label("grid.stale", { row: saved.row + 1 }));
    if (saved.row !== this.advanceFrom || saved.row !== this.state.focus || !sent.verdict) return;
    const next = this.state.nextUnrated(saved.row);
    this.advanceFrom = null;
    if (next === null) this.layOut();
    else this.go(next);
  }

  private receive(saved: Saved): void {
    const comparison = this.state.comparisons.get(saved.row);
    if (comparison) {
      comparison.rating = saved.rating;
      comparison.judged = saved.judged;
    }
    if (!saved.judged) this.seen.delete(saved.row); // a vote taken back hides them again
    this.judged = saved.judged ? saved.row : this.judged === saved.row ? null : this.judged;
    if (comparison && this.outbox.opinion(comparison.id)) return; // a newer one is under way
    const known = comparison?.opinion ?? NO_OPINION;
    this.state.set(saved.row, saved.opinion);
    const fresh = known.verdict !== saved.opinion.verdict || saved.judged > 0;
    if (saved.row === this.state.focus && this.advanceFrom !== saved.row && fresh) this.redraw();
    else this.update();
    if (this.tableShown) this.list.render();
  }

  private fail(error: unknown): void {
    const known = error instanceof Unreachable ? this.label("grid.no_kernel") : null;
    const text = known ?? (error instanceof Error ? error.message : String(error));
    const close = h("button", { type: "button", "aria-label": this.label("grid.close"), onclick: () => this.errors.replaceChildren() }, "×");
    this.errors.replaceChildren(h("span", {}, text), close);
  }

  private readonly keydown = (event: KeyboardEvent): void => {
    event.stopPropagation();
    this.attention.alive();
    const target = event.target as HTMLElement;
    if (target.closest("textarea, input")) {
      if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) this.leaveNote();
      return;
    }
    if ((event.key === "Enter" || event.key === " ") && target.closest("button, summary, a")) return; // it is pressed
    const wanted = this.state?.total ? command(event) : null;
    if (!wanted || (this.card && wanted.do !== "card" && wanted.do !== "close")) return;
    event.preventDefault();
    this.inSight();
    if (!event.repeat || wanted.do === "mark" || wanted.do === "go" || wanted.do === "scroll") this.run(wanted);
  };

  private run(wanted: Command): void {
    const { state } = this;
    switch (wanted.do) {
      case "verdict":
        return this.tableShown && state.current ? this.verdict(wanted.verdict) : undefined;
      case "score":
        return this.tableShown ? this.score(state.mark.dimension, state.mark.side, wanted.value) : undefined;
      case "mark":
        state.moveMark(wanted.dimensions, wanted.sides);
        return this.dock.update();
      case "go":
        return this.go(state.focus + wanted.step);
      case "unrated":
        return this.go(state.nextUnrated(state.focus) ?? state.focus);
      case "scroll":
        return this.list.scrollBy(wanted.pages);
      case "note":
        return this.dock.note.focus();
      case "undo":
        return this.step(state.undo());
      case "redo":
        return this.step(state.redo());
      case "judge":
        return this.showJudge();
      case "raw":
        this.look.view = this.look.view === "raw" ? "markdown" : "raw";
        return this.redraw();
      case "reference":
        this.look.reference = !this.look.reference;
        return this.redraw();
      case "card":
        return this.card ? this.hideCard() : this.showCard();
      case "close":
        return this.hideCard();
    }
  }

  /** Whoever rates sees the whole grid, the buttons at its foot included. */
  private inSight(): void {
    this.root.scrollIntoView({ block: "nearest" });
  }

  private leaveNote(): void {
    this.outbox.flush();
    this.root.focus({ preventScroll: true });
  }

  private showCard(): void {
    this.card = keyCard(this.label, () => this.hideCard());
    this.root.append(this.card);
    this.card.querySelector("button")?.focus();
  }

  private hideCard(): void {
    this.card?.remove();
    this.card = null;
    this.root.focus({ preventScroll: true });
  }
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const grid = new Grid(model, el);
  return () => grid.close();
}

export default { render };
