// Says on the page whether it draws widgets (else nobody reads this) and whether its kernel answers.
export default {
  render({ model, el }) {
    const labels = model.get("_labels");
    let asked = 0, answers = 0;
    const ask = () => {
      asked = performance.now();
      model.send({ kind: "are you there" });
    };
    // The first answer waits for cells that run: the second one tells how long an answer takes.
    const answer = () => {
      const ms = Math.round(performance.now() - asked);
      answers += 1;
      if (answers === 1) return ask();
      el.textContent = labels["check.works"].replace("{ms}", ms.toLocaleString());
      el.classList.add("works");
    };
    el.classList.add("sft-widget-check");
    el.setAttribute("role", "status");
    el.textContent = labels["check.asking"];
    model.on("msg:custom", answer);
    ask();
    return () => model.off("msg:custom", answer);
  },
};
