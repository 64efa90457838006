// A button that copies a text, and says so.

import { h, type Label } from "./dom";

const SAID_MS = 1600;

export function copyButton(text: () => string, what: string, label: Label): HTMLButtonElement {
  const button = h("button", { type: "button", class: "copy", title: what, "aria-label": what, onclick: () => void press() }, label("grid.copy"));
  const said = h("span", { role: "status" });
  const press = async () => {
    const done = await copied(text());
    said.textContent = label(done ? "grid.copied" : "grid.not_copied");
    button.replaceChildren(said);
    setTimeout(() => button.replaceChildren(label("grid.copy")), SAID_MS);
  };
  return button;
}

/** Pages without https, and frames that were not given the clipboard, still have the old way. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = h("textarea", { class: "unseen", readonly: true });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand?.("copy") ?? false;
    field.remove();
    return done;
  }
}
