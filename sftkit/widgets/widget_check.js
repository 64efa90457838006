// Says on the page whether it draws widgets (else nobody reads this) and whether its kernel answers.
export default {
  render({ model, el }) {
    const labels = model.get("_labels");
    const begun = performance.now();
    el.classList.add("sft-widget-check");
    el.setAttribute("role", "status");
    el.textContent = labels["check.asking"];
    const answer = () => {
      const ms = Math.round(performance.now() - begun);
      el.textContent = labels["check.works"].replace("{ms}", ms.toLocaleString());
      el.classList.add("works");
    };
    model.on("msg:custom", answer);
    model.send({ kind: "are you there" });
    return () => model.off("msg:custom", answer);
  },
};
