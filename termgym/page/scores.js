// The headline numbers, and the tables by family, domain and level.

const greatest = (rates) => Math.max(1, ...Object.keys(rates).map(Number));

function headline(total) {
  const k = greatest(total.pass_at);
  const cards = [
    ["solved", `${total.solved}/${total.n}`, `valid episodes, of ${plural(total.tasks, "task")}`],
    ["pass@1", percent(total.pass_at["1"]), total.n ? `95%: ${range(total.pass_at_1_interval_95)}` : "nothing is valid"],
  ];
  if (k > 1) {
    cards.push([`pass@${k}`, percent(total.pass_at[k]), `one of ${k} attempts solves it`]);
    cards.push([`pass^${k}`, percent(total.pass_hat[k]), `all of ${k} attempts solve it`]);
  }
  cards.push(["mean of checks", total.mean_dense === null ? "–" : total.mean_dense.toFixed(2), "the weighted share passed"]);
  cards.push(["invalid", String(total.invalid), "in no rate above", total.invalid ? "warn" : "calm"]);
  return numbers(cards);
}

// Each is [name, value, note, tone].
const numbers = (cards) => h("div", { class: "headline" }, cards.map(([name, value, note, tone]) =>
  h("div", { class: `number ${tone ?? ""}` }, h("span", { class: "label" }, name), h("strong", {}, value),
    h("span", { class: "note" }, note))));

// A table that sorts by a click on its head. A column: {name, value(row), cell(row), left}.
function sortable(columns, rows, { by = 0, descending = false, onrow } = {}) {
  const body = h("tbody");
  const heads = columns.map((column, index) => h("th", { class: column.left ? "left" : "", "aria-sort": "none" },
    h("button", { type: "button", onclick: () => sort(index) }, column.name)));
  const state = { by, descending };

  function sort(index) {
    state.descending = index === state.by ? !state.descending : !columns[index].left;
    state.by = index;
    draw();
  }

  function draw() {
    const order = state.descending ? -1 : 1;
    const value = columns[state.by].value;
    const sorted = [...rows].sort((a, b) => order * compared(value(a), value(b)));
    heads.forEach((head, index) => head.setAttribute("aria-sort",
      index !== state.by ? "none" : state.descending ? "descending" : "ascending"));
    body.replaceChildren(...sorted.map((row) => h("tr", onrow ? { onclick: () => onrow(row) } : {},
      columns.map((column) => h("td", { class: column.left ? "left" : "" }, column.cell(row))))));
  }

  draw();
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body));
}

function compared(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

function scoreColumns(what, total) {
  const k = greatest(total.pass_at);
  const share = (name, of) => ({ name, value: ([, one]) => of(one), cell: ([, one]) => percent(of(one)) });
  return [
    { name: what, left: true, value: ([name]) => name, cell: ([name]) => name },
    { name: "solved", value: ([, one]) => one.solved, cell: ([, one]) => `${one.solved}/${one.n}` },
    { name: "tasks", value: ([, one]) => one.tasks, cell: ([, one]) => String(one.tasks) },
    share("pass@1", (one) => one.pass_at["1"]),
    { name: "95%", value: ([, one]) => one.pass_at_1_interval_95?.[0],
      cell: ([, one]) => range(one.pass_at_1_interval_95) },
    ...k > 1 ? [share(`pass@${k}`, (one) => one.pass_at[k]), share(`pass^${k}`, (one) => one.pass_hat[k])] : [],
    { name: "checks", value: ([, one]) => one.mean_dense, cell: ([, one]) => one.mean_dense?.toFixed(2) ?? "–" },
    { name: "invalid", value: ([, one]) => one.invalid, cell: ([, one]) => one.invalid ? String(one.invalid) : "–" },
  ];
}

function scoreTables(report) {
  const kinds = [["family", report.families], ["domain", report.domains], ["level", report.levels]];
  const place = h("div");
  const tabs = kinds.map(([what, scores]) => h("button", { type: "button", role: "tab", onclick: () => show(what) },
    `by ${what}`, h("span", { class: "count" }, String(Object.keys(scores).length))));

  function show(what) {
    kinds.forEach(([name, scores], index) => {
      tabs[index].setAttribute("aria-selected", String(name === what));
      if (name === what) place.replaceChildren(sortable(scoreColumns(what, report.total), Object.entries(scores)));
    });
  }

  show("family");
  return h("section", { class: "card" }, h("div", { class: "tabs", role: "tablist" }, tabs), place);
}
