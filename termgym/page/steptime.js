// Where the time of each step of training went, of the stages that have an environment.

const PARTS = ["environment", "verify", "generate", "learn"];
const partKind = (name) => PARTS.includes(name) ? `step-${name}` : "rest";
const portion = (share) => share > 0 && share < 0.0995 ? `${(100 * share).toFixed(1)}%` : percent(share);

// Seconds of one part, or of all.
const spent = (stages, part) => stages.flatMap(({ totals }) => Object.entries(totals))
  .reduce((sum, [name, seconds]) => part === undefined || name === part ? sum + seconds : sum, 0);

function stepTimeChart(stages) {
  const shown = stages.filter(({ totals }) => totals.environment);
  if (!shown.length) return null;
  const names = [...new Set([...PARTS, ...shown.flatMap(({ totals }) => Object.keys(totals))])]
    .filter((name) => spent(shown, name));
  const sums = shown.flatMap(({ points, seconds }) => points.map((_, place) =>
    names.reduce((sum, name) => sum + (seconds[name]?.[place] ?? 0), 0)));
  const legend = names.map((name) => h("li", {}, h("i", { class: `dot ${partKind(name)}` }), name,
    h("b", {}, duration(spent(shown, name))), h("span", { class: "note" }, portion(spent(shown, name) / spent(shown)))));
  return card("Where the time of a step went", timeInWords(shown),
    plot(sideBySide(shown), axisOf(sums, [0, 0]), { name: "seconds", label: "seconds by step" },
      (scale, y) => scale.points.map((_, place) => stepBar(scale, y, names, place))),
    h("ul", { class: "legend" }, legend));
}

function stepBar({ label, x, points, seconds }, y, names, place) {
  const [left, right] = [x(points[place][0] - 1), x(points[place][1])];
  const gap = points.length > 60 ? 0 : 0.08 * (right - left);
  let sum = 0;
  const rects = names.filter((name) => seconds[name]?.[place] > 0).map((name) => {
    const bottom = y(sum);
    sum += seconds[name][place];
    return svg("rect", { class: `part ${partKind(name)}`, x: left + gap, width: right - left - 2 * gap, y: y(sum),
      height: bottom - y(sum) });
  });
  const told = names.map((name) => `${name} ${duration(seconds[name]?.[place] ?? 0)}`).join(", ");
  return svg("g", {}, svg("title", {}, `${label}, ${stepsText(points[place])}: ${told}`), rects);
}

function timeInWords(stages) {
  const judged = spent(stages, "verify") ? `, and judging the work ${portion(spent(stages, "verify") / spent(stages))}` : "";
  return `The environment took ${portion(spent(stages, "environment") / spent(stages))} of the time of `
    + `${stages.map(({ label }) => label).join(" and ")}${judged}.`;
}
