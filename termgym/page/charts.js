// Charts: inline SVG, each in a card with what it says as text too.

const card = (title, note, ...children) =>
  h("section", { class: "card" }, h("h3", {}, title), note ? h("p", { class: "note" }, note) : null, ...children);

// pass@1 of each family with its interval.
function familyChart(families) {
  const rows = Object.entries(families).filter(([, one]) => one.n);
  rows.sort(([, a], [, b]) => b.pass_at["1"] - a.pass_at["1"]);
  const list = rows.map(([name, one]) => h("div", { class: "bar-row", title: `${name}: ${percent(one.pass_at["1"])}` },
    h("span", { class: "bar-name" }, name),
    intervalBar(one.pass_at["1"], one.pass_at_1_interval_95),
    h("span", { class: "bar-value" }, percent(one.pass_at["1"]))));
  return card("pass@1 by family", "The line is the 95% interval.", h("div", { class: "bars" }, list));
}

function intervalBar(share, interval) {
  const [low, high] = interval.map((end) => 100 * end);
  return svg("svg", { class: "interval", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img",
    "aria-label": `${percent(share)}, ${range(interval)}` },
    svg("rect", { class: "track", x: 0, y: 2, width: 100, height: 6 }),
    svg("rect", { class: "value", x: 0, y: 2, width: 100 * share, height: 6 }),
    svg("line", { class: "whisker", x1: low, x2: high, y1: 5, y2: 5 }),
    [low, high].map((end) => svg("line", { class: "whisker", x1: end, x2: end, y1: 2.6, y2: 7.4 })));
}

// Parts of a whole in one bar, with a legend: [name, class, amount, text].
function stackedBar(parts) {
  const shown = parts.filter(([, , amount]) => amount > 0);
  const total = shown.reduce((sum, [, , amount]) => sum + amount, 0) || 1;
  let x = 0;
  const rects = shown.map(([name, kind, amount, text]) => {
    const width = 100 * amount / total;
    const rect = svg("rect", { class: `part ${kind}`, x, y: 0, width, height: 10 }, svg("title", {}, `${name}: ${text}`));
    x += width;
    return rect;
  });
  const legend = shown.map(([name, kind, amount, text]) => h("li", {}, h("i", { class: `dot ${kind}` }), name,
    h("b", {}, text), h("span", { class: "note" }, percent(amount / total))));
  return [svg("svg", { class: "stacked", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img" }, rects),
    h("ul", { class: "legend" }, legend)];
}

function outcomeChart(outcomes) {
  const parts = OUTCOMES.map((name) => [words(name), name, outcomes[name] ?? 0, String(outcomes[name] ?? 0)]);
  return card("Outcomes", "Of all episodes; verifier and infra errors are invalid, and have no score.",
    ...stackedBar(parts));
}

function timeChart(seconds) {
  const parts = Object.entries(seconds).map(([name, amount]) => [
    name === "policy" ? "policy" : `environment: ${name}`, `time-${name}`, amount, duration(amount)]);
  return card("Where the time went", "Summed over all episodes, many of which may run at a time.", ...stackedBar(parts));
}

// How many turns the episodes took, solved ones apart.
function turnsChart(episodes) {
  const most = Math.max(1, ...episodes.map((one) => one.turns));
  const width = Math.max(1, Math.ceil((most + 1) / 24));
  const bins = Array.from({ length: Math.floor(most / width) + 1 }, () => ({ solved: 0, other: 0 }));
  for (const one of episodes) bins[Math.floor(one.turns / width)][one.outcome === "solved" ? "solved" : "other"] += 1;
  const tallest = Math.max(1, ...bins.map((bin) => bin.solved + bin.other));
  const step = 100 / bins.length;
  const bars = bins.map((bin, index) => {
    const [solved, other] = [40 * bin.solved / tallest, 40 * bin.other / tallest];
    const from = index * width;
    const turns = width === 1 ? plural(from, "turn") : `${from} to ${from + width - 1} turns`;
    const place = { x: index * step + step * 0.08, width: step * 0.84 };
    return svg("g", {}, svg("title", {}, `${turns}: ${bin.solved} solved, ${bin.other} not`),
      svg("rect", { class: "part solved", ...place, y: 40 - solved, height: solved }),
      svg("rect", { class: "part rest", ...place, y: 40 - solved - other, height: other }));
  });
  return card("Turns of an episode", null,
    svg("svg", { class: "histogram", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" }, bars),
    h("div", { class: "axis" }, h("span", {}, "0"), h("span", {}, String(most))),
    h("ul", { class: "legend" }, h("li", {}, h("i", { class: "dot solved" }), "solved"),
      h("li", {}, h("i", { class: "dot rest" }), "not solved"),
      h("li", { class: "note" }, `the highest bar is ${plural(tallest, "episode")}`)));
}
