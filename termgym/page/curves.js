// Curves: what was measured at the steps of training, and at its evaluations.

const stepsText = ([from, to]) => from === to ? `step ${from.toLocaleString("en")}`
  : `mean of steps ${from.toLocaleString("en")} to ${to.toLocaleString("en")}`;

// Points {x, low, y, high} without those where nothing is known, as lines that are not broken.
function unbroken(points) {
  const lines = [[]];
  for (const point of points) {
    if (point.y === null) lines.push([]);
    else lines.at(-1).push(point);
  }
  return lines.filter((line) => line.length);
}

const through = (places) => `M${places.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(3)}`).join("L")}`;
const band = (line) => `${through([...line.map(({ x, high }) => [x, high]), ...line.map(({ x, low }) => [x, low]).reverse()])}Z`;
const spot = (kind, { x, y }) => svg("path", { class: `spot ${kind}`, d: `${through([[x, y]])}h0` });

// Lines, and a spot where a point stands alone.
const curve = (kind, points) => unbroken(points).map((line) => line.length === 1 ? spot(kind, line[0])
  : svg("path", { class: `curve ${kind}`, d: through(line.map(({ x, y }) => [x, y])) }));

// What is told of each point where the pointer is nearer to it than to the next.
function strips(points, { from, width }, tell) {
  const ends = [1000 * from, ...points.slice(1).map(({ x }, place) => (x + points[place].x) / 2), 1000 * (from + width)];
  return points.map((point, place) => svg("rect", { class: "strip", x: ends[place], y: 0, height: 100,
    width: Math.max(0, ends[place + 1] - ends[place]) }, svg("title", {}, tell(point))));
}

// Numbers by step, of the stages that have any; kinds are [name, class, field]. `within` is shown at least.
function curveChart(title, unit, stages, kinds, within) {
  const shown = stages.filter(({ curves }) => kinds.some(([, , field]) => curves[field]));
  if (!shown.length) return null;
  const found = shown.flatMap(({ curves }) => kinds.flatMap(([, , field]) => curves[field] ?? []));
  const values = found.flatMap(({ low, high }) => [...low, ...high]).filter((value) => value !== null);
  const most = Math.max(...shown.flatMap(({ points }) => points.map(([from, to]) => to - from + 1)));
  const note = most > 1 ? `A point is the mean of up to ${most} steps; the band is from the least to the greatest.` : null;
  return card(title, note,
    plot(sideBySide(shown), axisOf(values, within), { name: unit, label: title }, (scale, y) => stageCurves(scale, y, kinds)),
    h("ul", { class: "legend" }, kinds.map((kind) => curveLegend(shown, kind))), shown.map((stage) => amiss(stage, kinds)));
}

function stageCurves({ points, curves, ...scale }, y, kinds) {
  const known = kinds.filter(([, , field]) => curves[field]);
  const height = (value) => value === null ? null : y(value);
  const placed = (field) => points.map(([from, to], place) => ({ place, x: scale.x((from + to) / 2),
    low: height(curves[field].low[place]), y: height(curves[field].mean[place]), high: height(curves[field].high[place]) }));
  const told = ({ place }) => known.map(([name, , field]) => `${name} ${figure(curves[field].mean[place])}`).join(", ");
  const lines = known.map(([, kind, field]) => {
    const found = placed(field);
    const bands = points.every(([from, to]) => from === to) ? []
      : unbroken(found).map((line) => svg("path", { class: `band ${kind}`, d: band(line) }));
    return [bands, curve(kind, found)];
  });
  return [lines, strips(placed(known[0][2]), scale,
    (point) => `${scale.label}, ${stepsText(points[point.place])}: ${told(point)}`)];
}

function curveLegend(stages, [name, kind, field]) {
  const ways = stages.filter(({ curves }) => curves[field]).map(({ label, curves }) => {
    const known = curves[field].mean.filter((value) => value !== null);
    const way = known.length > 1 ? `${figure(known[0])} → ${figure(known.at(-1))}` : figure(known[0] ?? null);
    return stages.length > 1 ? `${label} ${way}` : way;
  });
  return ways.length ? h("li", {}, h("i", { class: `dot ${kind}` }), name, h("b", {}, ways.join(", "))) : null;
}

const amiss = ({ label, curves }, kinds) => kinds.filter(([, , field]) => curves[field]?.odd[0]).map(([name, , field]) =>
  h("p", { class: "amiss" }, `${label}: ${name} is not a finite number at ${plural(curves[field].odd[0], "step")}, `
    + `first at step ${curves[field].odd[1].toLocaleString("en")}.`));

// pass@1 on held-out tasks with its interval, by evaluation.
function evaluationChart(stages, evaluations) {
  const scored = stages.map((stage) => ({ ...stage, scored: evaluations.filter((one) => one.stage === stage.number && one.n) }));
  const shown = scored.filter((stage) => stage.scored.length);
  if (!shown.length) return null;
  const named = { name: "pass@1", label: "pass@1 by evaluation", text: percent, tall: true };
  return h("div", { class: "whole" }, card("pass@1 on held-out tasks", "The upright lines are the 95% intervals.",
    plot(sideBySide(shown), axisOf([], [0, 1]), named, stageEvaluations)));
}

function stageEvaluations({ scored, ...scale }, y) {
  const points = scored.map((one) => ({ ...one, x: scale.x(one.step), y: y(one.pass_at_1), ends: one.interval_95.map(y) }));
  const whiskers = points.map(({ x, ends }) => [svg("line", { class: "whisker", x1: x, x2: x, y1: ends[0], y2: ends[1] }),
    ends.map((end) => svg("line", { class: "whisker", x1: x - 3, x2: x + 3, y1: end, y2: end }))]);
  const told = (one) => `${at(one)}: ${percent(one.pass_at_1)}, 95%: ${range(one.interval_95)}, n = ${one.n}`;
  return [curve("pass", points), whiskers, points.map((point) => spot("pass", point)), strips(points, scale, told)];
}
