// All that anywidget gets of a widget whose code and styles come compressed (sftkit/widgets/packed.py): it unpacks them
// and hands on to that code.

import { fromSource, unpacked } from "./unpack";

interface View {
  model: { get(name: string): unknown };
  el: HTMLElement;
}

interface Widget {
  default: { render(view: View): () => void };
}

let coming: Promise<[Widget, string]> | null = null; // once for all views of this widget

async function load(model: View["model"]): Promise<[Widget, string]> {
  const { code, style } = JSON.parse(await unpacked(model.get("_packed") as DataView)) as { code: string; style: string };
  return [await fromSource<Widget>(code), style];
}

/** The style is there as long as a view is, after all other styles of the page, where anywidget would put it too. */
function dress(style: string): () => void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  return () => void (document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet));
}

async function render(view: View): Promise<() => void> {
  const [widget, style] = await (coming ??= load(view.model));
  const undress = dress(style);
  const close = widget.default.render(view);
  return () => {
    close();
    undress();
  };
}

export default { render };
