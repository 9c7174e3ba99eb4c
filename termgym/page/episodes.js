// The list of episodes: filtered, sorted, and a page of it at a time, so that thousands stay quick.

const PER_PAGE = 50;

function episodeList(episodes, open) {
  const rows = episodes.map((one, number) => ({ ...one, number, low: `${one.task} ${one.domain}`.toLowerCase(),
    film: document.getElementById(`film-${number}`) !== null,
    kept: document.getElementById(`details-${number}`) !== null,
    time: training ? at(training.evaluations[one.when]) : "" }));
  const state = { text: "", outcome: "", family: "", time: "", by: 0, descending: false, page: 0 };
  const place = h("div");
  const count = h("span", { class: "note", role: "status" });
  const pager = h("div", { class: "pager" });
  const columns = episodeColumns();

  function shown() {
    const { text, outcome, family, time, by, descending } = state;
    const found = rows.filter((row) => (!text || row.low.includes(text)) && (!family || row.family === family)
      && (!time || row.time === time)
      && (!outcome || (outcome === "invalid" ? INVALID.has(row.outcome) : row.outcome === outcome)));
    const order = descending ? -1 : 1;
    return found.sort((a, b) => order * compared(columns[by].value(a), columns[by].value(b)) || a.number - b.number);
  }

  function draw() {
    const found = shown();
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    state.page = Math.min(state.page, pages - 1);
    const from = state.page * PER_PAGE;
    count.textContent = plural(found.length, "episode");
    place.replaceChildren(table(found.slice(from, from + PER_PAGE)));
    pager.replaceChildren(...pages < 2 ? [] : [turn(-1, state.page > 0, "‹"),
      h("span", { class: "note" }, `${from + 1}–${Math.min(from + PER_PAGE, found.length)} of ${found.length}`),
      turn(1, state.page < pages - 1, "›")]);
  }

  const turn = (by, can, label) => h("button", { type: "button", disabled: !can, "aria-label": by < 0 ? "before" : "next",
    onclick: () => { state.page += by; draw(); } }, label);

  function table(page) {
    const heads = columns.map((column, index) => h("th", { class: column.left ? "left" : "", "aria-sort":
      index !== state.by ? "none" : state.descending ? "descending" : "ascending" }, h("button", { type: "button",
      onclick: () => { state.descending = index === state.by && !state.descending; state.by = index; draw(); } },
      column.name)));
    const lines = page.map((row) => h("tr", { class: "link", tabindex: "0", onclick: () => open(row.number),
      onkeydown: (event) => { if (event.key === "Enter") open(row.number); } },
      columns.map((column) => h("td", { class: column.left ? "left" : "" }, column.cell(row)))));
    return h("div", { class: "scroll" }, h("table", { class: "episodes" }, h("thead", {}, h("tr", {}, heads)),
      h("tbody", {}, lines)));
  }

  const filter = (name) => (event) => { state[name] = event.target.value.toLowerCase(); state.page = 0; draw(); };
  const exact = (name) => (event) => { state[name] = event.target.value; state.page = 0; draw(); };
  draw();
  return h("section", { class: "card" }, h("div", { class: "filters" }, h("h3", {}, "Episodes"), count,
    h("input", { type: "search", placeholder: "task or domain", "aria-label": "filter by text", oninput: filter("text") }),
    training ? choice("any time", [...new Set(rows.map((row) => row.time))], exact("time")) : null,
    choice("every outcome", outcomeChoices(rows), exact("outcome")),
    choice("every family", [...new Set(rows.map((row) => row.family))].sort(), exact("family"))), place, pager);
}

function outcomeChoices(rows) {
  const seen = OUTCOMES.filter((outcome) => rows.some((row) => row.outcome === outcome));
  return seen.some((outcome) => INVALID.has(outcome)) ? [...seen, "invalid"] : seen;
}

const choice = (all, names, onchange) => h("select", { "aria-label": all, onchange },
  h("option", { value: "" }, all), names.map((name) => h("option", { value: name }, words(name))));

function episodeColumns() {
  const number = (name, key, text = String) => ({ name, value: (row) => row[key],
    cell: (row) => row[key] === null ? "–" : text(row[key]) });
  return [
    { name: "#", value: (row) => row.number, cell: (row) => String(row.number) },
    { name: "task", left: true, value: (row) => row.task,
      cell: (row) => h("a", { href: `#episode=${row.number}` }, row.task) },
    ...training ? [{ name: "when", left: true, value: (row) => row.when, cell: (row) => row.time }] : [],
    { name: "outcome", left: true, value: (row) => OUTCOMES.indexOf(row.outcome), cell: (row) => chip(row.outcome) },
    number("checks", "dense", (share) => share.toFixed(2)),
    number("level", "level"), { name: "attempt", value: (row) => row.attempt,
      cell: (row) => row.retry ? `${row.attempt} (retry ${row.retry})` : String(row.attempt) }, number("turns", "turns"),
    ...run.episodes.some((row) => row.tokens) ? [number("tokens", "tokens", (n) => n.toLocaleString("en"))] : [],
    number("time", "seconds", duration),
    { name: "kept", left: true, value: (row) => row.film + row.kept,
      cell: (row) => h("span", { class: "note" }, row.film ? "▶ recording" : row.kept ? "turns" : "row only") },
  ];
}
