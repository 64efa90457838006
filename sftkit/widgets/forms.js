// Keys pressed in a form are the form's. Without this, JupyterLab takes them as its own when a button or a checkbox has
// the focus: x cuts the cell. Keys with Ctrl, Alt or Cmd stay JupyterLab's. And the curve is as wide as its box.
function guard(el, frames) {
  const root = el.closest(".sft-form, .sft-monitor, .sft-curves");
  if (root) {
    root.addEventListener("keydown", keep);
    // Plotly draws 700 pixels wide before it is on the page, and then looks at its box only when the window changes.
    const told = () => window.dispatchEvent(new Event("resize"));
    new ResizeObserver(() => requestAnimationFrame(told)).observe(root); // a frame later: no loop of resizes
  } else if (frames > 0) requestAnimationFrame(() => guard(el, frames - 1)); // not on the page yet
}

function keep(event) {
  if (!(event.ctrlKey || event.altKey || event.metaKey)) event.stopPropagation();
}

export default { render: ({ el }) => guard(el, 600) };
