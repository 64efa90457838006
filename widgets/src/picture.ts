// The saved picture of a grid (sftkit/widgets/grid_picture.py) stands under it for notebooks without a kernel. While the
// grid lives, one is enough.

/** The part of JupyterLab's widget manager that is used here; other hosts have none of it. */
interface Manager {
  context?: { model?: { cells?: Iterable<{ outputs?: Outputs }> } };
}

interface Outputs {
  length: number;
  get(n: number): { data?: Record<string, unknown> };
  set(n: number, output: object): void;
}

/**
 * Put the newest picture into the notebook, which saves it. The kernel does so itself as long as the page knows which output
 * it means; a page that was loaded anew no longer does, so the output is looked for in the notebook's cells.
 */
export function keepPicture(manager: unknown, grid: string, picture: Record<string, string>): void {
  const mark = `class="sftkit-picture" data-grid="${grid}"`;
  for (const { outputs } of (manager as Manager | undefined)?.context?.model?.cells ?? []) {
    for (let n = 0; outputs && n < outputs.length; n++) {
      if (!String(outputs.get(n).data?.["text/html"] ?? "").includes(mark)) continue;
      outputs.set(n, { output_type: "display_data", data: picture, metadata: {} });
    }
  }
}

/** Hide the pictures of that grid until what comes back is called. */
export function hidePicture(grid: string): () => void {
  if (!document.adoptedStyleSheets) return () => {};
  const sheet = new CSSStyleSheet(); // not a style element: the rating page's policy allows none
  const picture = `.sftkit-picture[data-grid="${grid.replace(/[^\w-]/g, "")}"]`;
  sheet.replaceSync(`${picture}, .jp-OutputArea-child:has(${picture}) { display: none; }`);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  return () => void (document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet));
}
