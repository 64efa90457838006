// The comparison grid, browser half: sftkit/widgets/grid.py is the kernel half and speaks protocol.ts with it.
// anywidget calls `render` for every view. No model's name reaches this page before it is revealed.

import { Dock } from "./dock";
import { detail, type Look } from "./detail";
import { Attention, labelled, type Label } from "./dom";
import { FilterBar } from "./filter";
import { fill } from "./full";
import { Instructions } from "./instructions";
import { Hands } from "./hands";
import { Judging } from "./judging";
import { List } from "./list";
import { Outbox } from "./outbox";
import { allDone, Bar, message, type Saving } from "./panels";
import { Parts } from "./parts";
import { hidePicture, keepPicture } from "./picture";
import { Kernel, NO_OPINION, Unreachable, type Filtered, type Model, type Opinion, type Saved, type Setup, type Side, type Vote } from "./protocol";
import { Shell } from "./shell";
import { GridState, isComplete, same, withRank, withScore, withTag, withVerdict } from "./state";
import { Team, type Told } from "./team";
import { fromSource } from "./unpack";

const PATIENCE_MS = 1500; // after which a vote without an answer is called unsaved

export class Grid {
  private readonly kernel: Kernel;
  readonly label: Label;
  readonly shell: Shell;
  private readonly body: HTMLElement;
  readonly look: Look = { view: "markdown", diff: ["a", "b"], reference: true, full: false, dense: false };
  readonly attention = new Attention();
  private readonly parts: Parts;
  private readonly judging: Judging;
  private readonly hands = new Hands(this);
  state!: GridState;
  list!: List;
  dock!: Dock;
  private bar!: Bar;
  filter!: FilterBar;
  instructions!: Instructions;
  judges = false; // what they said may be looked at
  outbox!: Outbox;
  private team: Team | null = null;
  private name = ""; // of this grid in the browser
  private project = false; // what comes next is the kernel's to say
  private revealed = false;
  private gone = false; // the kernel was restarted, and does not know this widget
  private advanceFrom: number | null = null; // the row whose first verdict is on its way to the disk
  private mine: number | null = null; // the row that the kernel gave this rater last
  private finished = false; // nothing is left to rate
  private free = 0; // rows that others have given back since then
  private reviewing = false; // and the rater wants to see the rows all the same
  private ticker = 0;
  private showPicture = (): void => {}; // of a notebook without a kernel

  constructor(model: Model, element: HTMLElement) {
    this.label = labelled(model.get("_labels") as Record<string, string>);
    this.shell = new Shell(element, this.label);
    this.body = this.shell.body;
    this.kernel = new Kernel(model, {
      saved: (saved) => this.state && this.receive(saved),
      filtered: (filter) => this.state && (this.filter.show(filter), this.filtered(filter)),
      revealed: () => this.state && void this.showNames(),
      pictured: (picture) => keepPicture(model.widget_manager, this.name, picture),
      gone: () => this.cut(true),
      back: () => this.cut(false),
    });
    this.parts = new Parts(async (name) => fromSource((await this.kernel.ask({ kind: "part", name })).source));
    this.judging = new Judging(
      (id) => this.kernel.ask({ kind: "judge", id }),
      (row) => row === this.state.focus && this.redraw(),
      (error) => this.fail(error),
    );
    this.shell.root.addEventListener("keydown", this.hands.keydown);
    this.shell.root.addEventListener("pointermove", this.attention.alive);
    void this.open();
  }

  close(): void {
    clearInterval(this.ticker);
    this.team?.close();
    this.showPicture();
    this.attention.close();
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
    this.state = new GridState(setup.states, setup.dimensions, setup.columns, setup.order);
    if (this.state.total === 0) return this.body.replaceChildren(message(this.label("grid.nothing")));
    this.showPicture = hidePicture((this.name = setup.grid));
    this.state.recall(setup.steps);
    [this.project, this.judges, this.revealed] = [setup.project !== null, setup.judges, setup.revealed];
    this.build(setup);
    this.ticker = setInterval(() => this.outbox.size && this.update(), 500) as unknown as number;
    this.state.kept = setup.filter.rows;
    this.filter.offer(setup.filterable);
    this.filter.show(setup.filter);
    this.list.only(setup.filter.rows);
    if (this.project) {
      const inSight = () => this.body.isConnected && this.body.clientHeight > 0;
      this.team = new Team(inSight, () => this.kernel.ask({ kind: "progress" }), (told) => this.others(told));
      void this.next(null);
    } else this.go(this.state.nextUnrated(null) ?? this.state.kept?.[0] ?? 0);
    this.instructions.atStart(this.state.total - this.state.count(".", "x"));
  }

  private build(setup: Setup): void {
    const { kernel, state, label } = this;
    this.list = new List(state, label, (from, to) => kernel.ask({ kind: "rows", from, to }), (row) => this.go(row));
    this.dock = new Dock(state, setup.tags, label, {
      verdict: (verdict) => this.change(withVerdict(state.opinion, verdict)),
      place: (side, rank) => this.place(side, rank),
      tie: () => this.hands.run({ do: "tying" }),
      score: (dimension, side, value) => this.score(dimension, side, value),
      note: (note) => this.change({ ...state.opinion, note }),
      tag: (tag, there) => this.change(withTag(state.opinion, tag, there)),
      flag: () => this.change({ ...state.opinion, flag: !state.opinion.flag }),
      skip: (reason) => this.change({ ...state.opinion, verdict: "skipped", reason }),
    });
    this.instructions = new Instructions(setup.instructions, setup.grid, this.shell, label, this.parts, () => this.attention.reset());
    const names = ["unrated", "undo", "redo", "full", "dense", "filter", "judge", "instructions", "card"] as const;
    const actions = Object.fromEntries(names.map((name) => [name, () => this.hands.run({ do: name })]));
    this.bar = new Bar(state, label, { ...(actions as Record<(typeof names)[number], () => void>), filter: () => this.filter.press() }, setup.instructions !== "");
    this.filter = new FilterBar(label, (text) => kernel.ask({ kind: "filter", text }), (filter) => this.filtered(filter));
    this.outbox = new Outbox(
      setup.grid,
      (vote) => kernel.ask({ kind: "vote", ...vote }),
      (saved, vote) => this.acknowledged(saved, vote),
      (error) => this.fail(error),
      () => this.update(),
    );
  }

  /** Bring a row into focus; its text is fetched when it is not here yet. */
  go(row: number): void {
    this.outbox.flush();
    this.attention.reset();
    this.advanceFrom = null;
    this.dock.closeSkip();
    this.state.go(row);
    this.layOut();
    void this.fetch(this.state.focus).then(() => {
      const next = this.state.nextUnrated(this.state.focus);
      if (next !== null) void this.fetch(next); // so that it is there when the vote is cast
    });
    if (this.project && row !== this.mine) void this.hold(this.state.focus);
  }

  /** On to the row that is to be rated after this one; in a project the kernel leases it to this rater first. */
  async next(row: number | null): Promise<void> {
    try {
      const next = this.project ? (await this.kernel.ask({ kind: "next", row: row ?? -1 })).row : this.state.nextUnrated(row);
      this.follow(next);
    } catch (error) {
      this.fail(error);
    }
  }

  private follow(next: number | null): void {
    const unsaved = next !== null && ![".", "o", "x"].includes(this.state.states[next]!); // rated here, not on disk yet
    const row = unsaved ? this.state.nextUnrated(next) : next;
    this.finished = row === null;
    this.free = 0;
    if (row === null) return this.layOut();
    this.mine = row === next ? row : null;
    const leased = this.mine === null ? undefined : this.state.comparisons.get(this.mine);
    if (leased) leased.closed = null; // as it was when the rater passed by and others had it
    this.reviewing = false;
    this.go(row);
  }

  /** Take the open row for this rater, in a project; it is closed when others have it. */
  private async hold(row: number): Promise<void> {
    try {
      const { closed } = await this.kernel.ask({ kind: "hold", row });
      await this.fetch(row);
      const comparison = this.state.comparisons.get(row);
      if (!comparison || comparison.closed === closed) return;
      comparison.closed = closed;
      if (row === this.state.focus) this.redraw();
    } catch (error) {
      this.fail(error);
    }
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
    const done = this.project ? this.finished : this.state.nextUnrated(null) === null;
    if (done && !this.reviewing && this.state.kept?.length !== 0) {
      const panel = allDone(this.state, this.label, this.revealed, this.free, {
        next: () => void this.next(null),
        back: () => this.review(this.state.kept?.[0] ?? 0), // from the top: below the last row there is nothing
        unfilter: () => this.filter.clear(),
        reveal: async () => void (await this.kernel.ask({ kind: "reveal" }).catch((error) => this.fail(error))),
      });
      this.body.replaceChildren(this.bar.element, this.filter.element, panel);
      return this.update();
    }
    if (!this.tableShown) this.body.replaceChildren(this.bar.element, this.filter.element, this.list.element, this.dock.element);
    this.list.show(this.detail());
    this.update();
  }

  private review(row: number): void {
    this.reviewing = true;
    this.go(row);
  }

  get tableShown(): boolean {
    return this.list.element.parentNode === this.body; // even while JupyterLab has the whole cell out of the page
  }

  private detail(): HTMLElement {
    const { current, dimensions } = this.state;
    if (!current) return message(this.label("grid.loading"));
    const earlier = async (id: string) => (await this.kernel.ask({ kind: "history", id })).earlier;
    const judges = { of: this.judging.of.bind(this.judging), earlier, dimensions };
    return detail(current, this.look, judges, this.label, (look) => this.changeLook(look, false), this.parts);
  }

  changeLook(look: Partial<Look>, redraw = true): void {
    Object.assign(this.look, look);
    fill(this.shell.root, this.look.full);
    this.list.arrange(this.look);
    if (redraw && this.tableShown) this.list.show(this.detail());
    this.update();
  }

  /** To the verdict: of the open row if it has one, else of the row voted on last. */
  showJudge(): void {
    const { current } = this.state;
    const here = this.tableShown && current?.judged;
    if (this.judging.newest !== null && !here) this.review(this.judging.newest);
    this.body.querySelector(".judges")?.scrollIntoView({ block: "nearest" });
  }

  private update(): void {
    const { size, waited } = this.outbox;
    const saving: Saving = this.gone ? "gone" : !size ? "saved" : waited > PATIENCE_MS ? "waiting" : "saving";
    if (saving === "waiting") this.shell.warn(this.label("grid.waiting_why"));
    if (saving === "gone") this.shell.warn(this.label(size ? "grid.gone_why" : "grid.gone_idle", { n: size }));
    this.bar.update(this.look, saving, size, this.judging.newest);
    this.dock.update();
  }

  /** The open row anew, where it stands. */
  redraw(): void {
    if (this.tableShown) this.list.replace(this.detail());
    this.update();
  }

  place(side: Side, rank?: number | null): void {
    const { opinion, places, tying } = this.state;
    this.change(withRank(opinion, side, places, rank, tying));
    this.state.tying = false;
    this.dock.update();
  }

  score(dimension: number, side: Side, value: number | null): void {
    const name = this.state.dimensions[dimension]?.name;
    if (name === undefined) return; // a rubric without dimensions
    this.state.mark = { dimension, side };
    this.change(withScore(this.state.opinion, name, side, value));
    if (value !== null) this.state.advanceMark();
    this.update();
  }

  /** A first verdict, ranking or skip opens the next row, once it is on disk. */
  change(opinion: Opinion): void {
    const { focus, opinion: before, places, current } = this.state;
    if (current?.closed || !this.state.change(opinion)) return;
    const complete = isComplete(opinion, places.length);
    if (!complete) this.advanceFrom = null;
    else if (!isComplete(before, places.length)) this.advanceFrom = focus;
    const decided = opinion.verdict !== before.verdict || !same({ ...before, ranking: opinion.ranking }, before);
    this.save(focus, decided && (complete || isComplete(before, places.length)));
    if (decided) this.redraw();
    else this.update();
  }

  private save(row: number, now: boolean, step: Vote["step"] = null): void {
    const comparison = this.state.comparisons.get(row);
    if (!comparison) return;
    const { id, opinion, rating } = comparison;
    this.outbox.put({ id, opinion, base: rating, seconds: this.attention.seconds, next: this.project && this.advanceFrom === row, step }, now);
  }

  /** A step of before this page was opened may concern a row whose text is not here yet. */
  async step(which: "undo" | "redo"): Promise<void> {
    const row = this.state.rowOf(which);
    if (row === null) return;
    if (!this.state.comparisons.has(row)) await this.fetch(row);
    if (row !== this.state.rowOf(which) || !this.state.comparisons.has(row)) return;
    this.state[which]();
    this.advanceFrom = null;
    this.finished = false;
    this.save(row, true, which);
    this.layOut();
  }

  /** The store has it. Only now the next row is opened: nothing unsaved is left behind. */
  private acknowledged(saved: Saved, { opinion, restored }: Vote): void {
    if (!this.gone) this.shell.calm();
    this.receive(saved);
    if (saved.stale) this.fail(this.label("grid.stale", { row: saved.row + 1 }));
    if (saved.row !== this.state.focus || !isComplete(opinion, this.state.places.length)) return;
    if (restored) return void this.next(saved.row); // kept since before a restart: the next key is not meant for this row
    if (saved.row !== this.advanceFrom) return;
    this.advanceFrom = null;
    this.follow(this.project ? saved.next : this.state.nextUnrated(saved.row));
  }

  private receive(saved: Saved): void {
    const comparison = this.state.comparisons.get(saved.row);
    if (comparison) Object.assign(comparison, { rating: saved.rating, judged: saved.judged });
    this.judging.saved(saved);
    if (comparison && this.outbox.opinion(comparison.id)) return; // a newer one is under way
    const known = comparison?.opinion ?? NO_OPINION;
    this.state.set(saved.row, saved.opinion);
    const fresh = !same(known, saved.opinion) || saved.judged > 0;
    if (saved.row === this.state.focus && this.advanceFrom !== saved.row && fresh) this.redraw();
    else this.update();
    if (this.tableShown) this.list.render();
  }

  private others({ all, states }: Told): void {
    if (all) this.bar.others(all, states);
    if (!this.state.refresh(states)) return;
    if (this.tableShown) return this.list.render();
    this.free = this.state.count(".");
    this.layOut();
  }

  private filtered({ rows }: Filtered): void {
    this.state.kept = rows;
    this.list.only(rows);
    const next = this.state.nextUnrated(null);
    this.reviewing = next === null;
    this.finished = false;
    if (!rows?.length || rows.includes(this.state.focus)) this.layOut(); // a vote under way goes on from here
    else this.go(next ?? rows[0]!);
  }

  private async showNames(): Promise<void> {
    this.revealed = true;
    this.state.comparisons.clear();
    try {
      this.filter.offer((await this.kernel.ask({ kind: "hello" })).filterable);
    } catch (error) {
      this.fail(error);
    }
    this.review(this.state.focus);
  }

  /** The kernel was restarted: what is not saved waits in the browser for the cell to be run again. */
  private cut(gone: boolean): void {
    this.gone = gone;
    this.shell.calm();
    if (!gone) this.outbox?.resend();
    if (this.outbox) this.update();
  }

  private fail(error: unknown): void {
    if (this.gone) return;
    const known = error instanceof Unreachable ? this.label("grid.no_kernel") : null;
    this.shell.fail(known ?? (error instanceof Error ? error.message : String(error)));
  }
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const grid = new Grid(model, el);
  return () => grid.close();
}

export default { render };
