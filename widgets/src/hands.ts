// From keys and buttons to what the grid does.

import { forget } from "./fold";
import type { Grid } from "./grid";
import { command, type Command } from "./keys";
import { keyCard } from "./panels";
import { withVerdict } from "./state";

const REPEATED = ["mark", "go", "scroll"]; // what a key that is held down does again and again

export class Hands {
  constructor(private readonly grid: Grid) {}

  readonly keydown = (event: KeyboardEvent): void => {
    event.stopPropagation();
    this.grid.attention.alive();
    if (event.isComposing) return; // an input method's: its Esc drops a half-typed word and leaves no field
    const target = event.target as HTMLElement;
    if (target.closest("textarea, input, select")) {
      if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) this.leaveField(target);
      return;
    }
    if ((event.key === "Enter" || event.key === " ") && target.closest("button, summary, a")) return; // it is pressed
    const wanted = this.grid.state?.total ? command(event, this.grid.state.places) : null;
    if (!wanted || (this.grid.shell.showsCard && !["card", "instructions", "close"].includes(wanted.do))) return;
    event.preventDefault();
    this.grid.shell.inSight();
    if (!event.repeat || REPEATED.includes(wanted.do)) this.run(wanted);
  };

  run(wanted: Command): void {
    const { grid } = this;
    const { state, look } = grid;
    const here = grid.tableShown && state.current && !state.current.closed;
    switch (wanted.do) {
      case "verdict":
        return here ? grid.change(withVerdict(state.opinion, wanted.verdict)) : undefined;
      case "place":
        return here ? grid.place(wanted.side) : undefined;
      case "tying":
        state.tying = !state.tying && Object.keys(state.opinion.ranking).length > 0;
        return grid.dock.update();
      case "score":
        return here ? grid.score(state.mark.dimension, state.mark.side, wanted.value) : undefined;
      case "flag":
        return here ? grid.change({ ...state.opinion, flag: !state.opinion.flag }) : undefined;
      case "skip":
        return here ? grid.dock.askReason() : undefined;
      case "note":
        return grid.dock.note.focus();
      case "tags":
        return grid.dock.tags.field.focus();
      case "mark":
        state.moveMark(wanted.dimensions, wanted.sides);
        return grid.dock.update();
      case "go":
        return grid.go(state.from(state.focus, wanted.step));
      case "unrated":
        return void grid.next(state.focus);
      case "scroll":
        return grid.list.scrollBy(wanted.pages);
      case "undo":
      case "redo":
        return void grid.step(wanted.do);
      case "judge":
        return grid.showJudge();
      case "raw":
      case "diff":
        return grid.changeLook({ view: look.view === wanted.do ? "markdown" : wanted.do });
      case "expand":
        if (state.current) forget(state.current);
        return grid.changeLook({ expanded: !look.expanded }, false), grid.redraw();
      case "reference":
      case "full":
      case "dense":
        return grid.changeLook({ [wanted.do]: !look[wanted.do] });
      case "filter":
        return grid.filter.focus();
      case "instructions":
        return grid.shell.showsCard ? grid.shell.hideCard() : grid.instructions.show();
      case "card":
        return grid.shell.showsCard ? grid.shell.hideCard() : this.showKeys();
      case "close":
        return this.closeOne();
    }
  }

  /** Esc: what lies on top goes first. */
  private closeOne(): void {
    if (this.grid.shell.showsCard) this.grid.shell.hideCard();
    else if (this.grid.dock.asksReason) this.grid.dock.closeSkip();
    else if (this.grid.look.full) this.grid.changeLook({ full: false });
    else this.grid.shell.focus();
  }

  private showKeys(): void {
    const { shell, label, state, instructions, judges } = this.grid;
    const idle = new Set([instructions.text ? "" : "grid.key.instructions", judges ? "" : "grid.key.judge"]);
    shell.showCard((close) => keyCard(label, state.ranks, idle, close));
  }

  private leaveField(field: HTMLElement): void {
    this.grid.outbox?.flush();
    if (field.closest(".filter")) this.grid.filter.rest();
    this.grid.shell.focus();
  }
}
