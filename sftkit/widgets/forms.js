// Keys pressed in a form are the form's. Without this, JupyterLab takes them as its own when a button or a checkbox has
// the focus: x cuts the cell. Keys with Ctrl, Alt or Cmd stay JupyterLab's.
// What the form says of its settings is dimmed from the first key until the kernel, which may be busy, has looked at them.
function guard(el, frames) {
  const root = el.closest(".sft-form, .sft-monitor, .sft-curves");
  if (root) {
    root.addEventListener("keydown", keep);
    root.addEventListener("click", copy);
    root.addEventListener("mouseover", name);
    for (const kind of ["input", "change"]) root.addEventListener(kind, (event) => wait(root, event));
  } else if (frames > 0) requestAnimationFrame(() => guard(el, frames - 1)); // not on the page yet
}

function keep(event) {
  if (!(event.ctrlKey || event.altKey || event.metaKey)) event.stopPropagation();
}

// Over a whole row: what other programs call its setting, which stands with its help.
function name(event) {
  const row = event.target.closest?.(".sft-row");
  const help = row?.querySelector(".sft-help[title]");
  if (help && row.title !== help.title) row.title = help.title;
}

function wait(root, event) {
  if (event.target.closest?.(".sft-row")) root.classList.add("sft-waiting");
}

// Copies the text beside the button; on a page that is not https the browser has only the old way.
async function copy(event) {
  const button = event.target.closest?.(".sft-copy");
  if (!button) return;
  const text = button.parentElement.querySelector(".sft-code");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  const words = button.textContent;
  if (words === button.dataset.done) return;
  button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = words), 1500);
}

export default {
  render: ({ el, model }) => {
    guard(el, 600);
    model.on("change:seen", () => el.closest(".sft-form")?.classList.remove("sft-waiting"));
  },
};
