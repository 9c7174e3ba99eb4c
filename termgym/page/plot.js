// A plot over the steps of training, the stages side by side. Its lines are SVG, stretched to the room that there is; its
// letters are HTML at places in percent, and are not stretched.

const EDGE = 0.012; // of the plot's width, free at both ends of a stage

// Each stage {label, first, last} with where it lies, from 0 to 1: as wide as its steps are many, but none too narrow.
function sideBySide(stages) {
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const steps = stages.map(({ first, last }) => last - first);
  const shares = steps.map((one) => Math.max(0.5 / stages.length, one / sum(steps)));
  return stages.map((stage, place) => {
    const [from, width] = [sum(shares.slice(0, place)) / sum(shares), shares[place] / sum(shares)];
    const x = (step) => 1000 * (from + EDGE + (width - 2 * EDGE) * (step - stage.first) / steps[place]);
    return { ...stage, from, width, x, ending: place === stages.length - 1 };
  });
}

// The multiples of 1, 2 or 5 times a power of ten between two numbers, about `count` of them.
function roundNumbers(low, high, count, least = 0) {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = Math.max(least, power * [1, 2, 5, 10].find((factor) => factor * power * count >= 0.999 * (high - low)));
  const first = Math.ceil(low / step - 1e-6);
  return Array.from({ length: Math.floor(high / step + 1e-6) - first + 1 }, (_, place) => (first + place) * step);
}

// An axis that holds all the values, from 0 where that is not far below them.
function axisOf(values, [low, high] = [Infinity, -Infinity]) {
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) [low, high] = [0, 1];
  if (low > 0 && low < 0.6 * high) low = 0;
  if (high - low <= 1e-9 * Math.abs(high)) [low, high] = low ? [low - Math.abs(low) / 10, high + Math.abs(low) / 10] : [0, 1];
  const marks = roundNumbers(low, high, 5);
  const step = marks.length > 1 ? marks[1] - marks[0] : high - low;
  const ends = [Math.floor(low / step + 1e-6) * step, Math.ceil(high / step - 1e-6) * step];
  return { low: ends[0], high: ends[1], marks: roundNumbers(...ends, Math.round((ends[1] - ends[0]) / step)) };
}

function figure(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (size >= 1e6 || size && size < 1e-4) return value.toExponential(2).replace(/\.?0+e\+?/, "e");
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

// `draw` gives what is seen of a stage, from its scale and the height of a value; `name` is that of the upright axis.
function plot(scales, { low, high, marks }, { name, label, text = figure, tall = false }, draw) {
  const y = (value) => 100 * (high - value) / (high - low);
  const lines = marks.map((mark) => svg("line", { class: "grid", x1: 0, x2: 1000, y1: y(mark), y2: y(mark) }));
  const changes = scales.slice(1).map(({ from }) => svg("line", { class: "change", x1: 1000 * from, x2: 1000 * from, y1: 0,
    y2: 100 }));
  return h("div", { class: `plot ${tall ? "tall" : ""}` }, h("p", { class: "upright" }, name),
    h("div", { class: "marks" }, marks.map((mark) => h("span", { style: { top: `${y(mark)}%` } }, text(mark)))),
    svg("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": label },
      lines, changes, scales.map((scale) => draw(scale, y))),
    h("div", { class: "level" }, scales.map(stageAxis)));
}

function stageAxis({ label, first, last, from, width, x, ending }) {
  const end = 1000 * (from + width - (ending ? 0 : 0.04)); // no mark runs into the next stage's
  const most = Math.max(1, Math.round(45 * width / (2 + last.toLocaleString("en").length)));
  const marks = roundNumbers(first, last, most, 1).filter((mark) => x(mark) <= end);
  return [h("span", { class: "stage-name", title: label, style: { left: `${100 * from}%`, width: `${100 * width}%` } },
    `${label}, step`),
  marks.map((mark) => h("span", { class: "step", style: { left: `${x(mark) / 10}%` } }, mark.toLocaleString("en")))];
}
