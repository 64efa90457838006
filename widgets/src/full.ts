// The grid over all of the window. Frames often refuse the browser's own full screen (VS Code, Colab), so this is a
// layer on top of the page; and as a popover, so that no element around the grid can cut it off or cover it.

export function fill(root: HTMLElement, full: boolean): void {
  if (root.classList.contains("full") === full) return;
  root.classList.toggle("full", full);
  if (typeof root.showPopover !== "function") return;
  if (full && root.isConnected) {
    root.setAttribute("popover", "manual");
    root.showPopover();
  } else if (root.hasAttribute("popover")) {
    if (root.isConnected && root.matches(":popover-open")) root.hidePopover();
    root.removeAttribute("popover");
  }
  root.focus({ preventScroll: true });
}
