// The saved picture of a grid (sftkit/widgets/grid_picture.py) stands under it for notebooks without a kernel. While the
// grid lives, one is enough.

/** Hide the pictures of that grid until what comes back is called. */
export function hidePicture(grid: string): () => void {
  if (!document.adoptedStyleSheets) return () => {};
  const sheet = new CSSStyleSheet(); // not a style element: the rating page's policy allows none
  const picture = `.sftkit-picture[data-grid="${grid.replace(/[^\w-]/g, "")}"]`;
  sheet.replaceSync(`${picture}, .jp-OutputArea-child:has(${picture}) { display: none; }`);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  return () => void (document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet));
}
