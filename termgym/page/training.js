// The page of training: the curves of its stages, their evaluations, and the episodes of these.

const training = run.training;
const at = ({ stage, step }) => `${training.stages[stage].label}, step ${step.toLocaleString("en")}`;

// Each stage with the first and the last step that any chart of it shows; a step's work is done between it and the one before.
function stagesShown() {
  return training.stages.map((stage, number) => {
    const evaluated = training.evaluations.filter((one) => one.stage === number).map(({ step }) => step);
    const ends = [...evaluated, ...stage.points.flat(), ...stage.points.slice(0, 1).map(([from]) => from - 1)];
    const first = ends.length ? Math.min(...ends) : 0;
    return { ...stage, number, first, last: Math.max(first + 1, ...ends) };
  });
}

function trainingOverview() {
  const stages = stagesShown();
  const measure = (title, unit, name, field, of = stages) => curveChart(title, unit, of, [[name, "measured", field]]);
  // Losses of two kinds are not on one scale.
  const losses = stages.map((stage) => measure(`Loss, ${stage.label}`, "loss", "loss", "loss", [stage]));
  return h("div", { class: "overview" }, masthead(), trainingHeadline(),
    h("div", { class: "charts" }, evaluationChart(stages, training.evaluations),
      curveChart("Training episodes", "mean over the episodes of a step", stages,
        [["reward", "measured", "reward"], ["solved", "solved", "solved"]], [0, 1]),
      stepTimeChart(stages), losses, measure("Entropy", "nats", "entropy", "entropy"),
      measure("Norm of the gradient", "norm", "norm of the gradient", "grad_norm")),
    evaluationTable(), run.episodes.length ? episodeList(run.episodes, openEpisode) : null, remark());
}

function trainingHeadline() {
  const scored = training.evaluations.filter(({ n }) => n);
  const pass = (name, one) => [name, percent(one.pass_at_1), `95%: ${range(one.interval_95)}; ${at(one)}`];
  const cards = scored.length > 1 ? [pass("pass@1 before", scored[0]), pass("pass@1 after", scored.at(-1))]
    : scored.map((one) => pass("pass@1", one));
  const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);
  cards.push(["steps", sum(training.stages, "steps").toLocaleString("en"),
    training.stages.map((stage) => `${stage.label} ${stage.steps.toLocaleString("en")}`).join(", ")]);
  cards.push(["time", duration(spent(training.stages)), "of all steps"]);
  const playing = training.stages.filter(({ totals }) => totals.environment);
  if (playing.length) cards.push(["environment", portion(spent(playing, "environment") / spent(playing)),
    `of the time of ${playing.map(({ label }) => label).join(" and ")}`]);
  const invalid = sum(training.evaluations, "invalid");
  if (run.episodes.length) cards.push(["invalid", String(invalid), "episodes, in no rate", invalid ? "warn" : "calm"]);
  return numbers(cards);
}

function evaluationTable() {
  const rows = training.evaluations.map((one, number) => ({ ...one, number }));
  const column = (name, key, text = String) => ({ name, value: (row) => row[key], cell: (row) => text(row[key]) });
  const columns = [
    { name: "stage", left: true, value: (row) => row.number, cell: (row) => training.stages[row.stage].label },
    column("step", "step", (step) => step.toLocaleString("en")),
    column("pass@1", "pass_at_1", percent),
    { name: "95%", value: (row) => row.interval_95?.[0], cell: (row) => range(row.interval_95) },
    column("n", "n"), column("invalid", "invalid", (n) => n ? String(n) : "–"),
  ];
  return h("section", { class: "card" }, h("h3", {}, "Evaluations"), rows.length ? sortable(columns, rows)
    : h("p", { class: "note" }, "There was none yet."));
}

// In the player: the same attempt at other times, as far as it can be played or read.
function otherTimes(number) {
  const { task: name, attempt } = run.episodes[number];
  const found = run.episodes.map((one, place) => ({ ...one, place })).filter((one) => one.task === name
    && one.attempt === attempt && (one.place === number || document.getElementById(`details-${one.place}`)));
  return found.length < 2 ? null : h("nav", { class: "times", "aria-label": "the same task at other times" },
    found.map((one) => h("a", { class: "button", href: `#episode=${one.place}`,
      "aria-current": one.place === number ? "true" : undefined }, h("i", { class: `dot ${one.outcome}` }),
    at(training.evaluations[one.when]))));
}
