// Beside the screen: what the agent thought and typed in a turn. Below it: the task, and the verdict.

const part = (title, text, kind = "") =>
  text ? h("div", { class: `part-of-turn ${kind}` }, h("h4", {}, title), h("p", {}, text)) : null;

function turnPanel(details, number, opened) {
  if (!number) return [h("p", { class: "note" }, "Nothing is typed yet.")];
  const turn = details.turns[number - 1];
  const spent = `policy ${duration(turn.seconds[0])}, environment ${duration(turn.seconds[1])}`;
  return [
    h("p", { class: "note" }, turn.tokens ? `${spent}, ${plural(turn.tokens, "token")}` : spent),
    turn.error ? part("refused", turn.error, "bad") : null,
    turn.warnings.length ? h("div", { class: "part-of-turn warned" }, h("h4", {}, "warnings"),
      h("ul", {}, turn.warnings.map((warning) => h("li", {}, warning)))) : null,
    turn.thinking ? h("details", { class: "part-of-turn thought" }, h("summary", {}, "thinking"), h("p", {}, turn.thinking))
      : null,
    part("analysis", turn.analysis),
    part("plan", turn.plan),
    turn.commands ? commandList(turn) : null,
    turn.complete ? h("p", { class: "done" }, "says that the task is complete") : null,
    turn.reply ? h("div", { class: "part-of-turn" }, h("h4", {}, "reply"), h("pre", { class: "reply" }, turn.reply)) : null,
    h("details", { class: "part-of-turn", open: opened }, h("summary", {}, "what the agent saw then"),
      h("pre", { class: "reply" }, turn.observation)),
  ];
}

function commandList(turn) {
  if (!turn.commands.length) return h("p", { class: "note" }, "Nothing was typed.");
  return h("div", { class: "part-of-turn" }, h("h4", {}, "keystrokes"), h("ol", { class: "keys" },
    turn.commands.map(([keys, wait], place) => h("li", {}, h("code", {}, keystrokes(keys)),
      h("span", { class: "note" }, `${turn.settled[place] ?? "not typed"}, at most ${wait} s`)))));
}

// Newlines and controls are shown, and a line is broken where one was typed.
const keystrokes = (keys) => keys === "" ? [h("i", {}, "only waits")] : keys.split(/(\n)|([\x00-\x1f\x7f])/)
  .filter(Boolean).map((piece) => piece === "\n" ? [h("i", {}, "⏎"), "\n"]
    : /^[\x00-\x1f\x7f]$/.test(piece) ? h("i", {}, `^${String.fromCharCode(piece.charCodeAt(0) ^ 64)}`) : piece);

function verdict(details, episode) {
  const rows = details.checks.map(([name, weight, score, output]) => h("tr", {},
    h("td", { class: "left" }, h("i", { class: `dot ${score >= 1 ? "solved" : score > 0 ? "out_of_turns" : "failed"}` }), name),
    h("td", {}, String(weight)), h("td", {}, score.toFixed(2)),
    h("td", { class: "left" }, output ? h("pre", { class: "output" }, output) : "–")));
  return h("section", { class: "card" }, h("h3", {}, "Verdict"),
    h("p", {}, chip(episode.outcome), episode.dense === null ? " no score" : ` ${episode.dense.toFixed(2)} of the checks' weight`),
    details.error ? h("pre", { class: "output" }, details.error) : null,
    rows.length ? h("div", { class: "scroll" }, h("table", { class: "checks" }, h("thead", {}, h("tr", {},
      ["check", "weight", "score", "output"].map((name) => h("th", { class: name === "check" || name === "output" ? "left" : "" },
        name)))), h("tbody", {}, rows))) : h("p", { class: "note" }, "No check was run."));
}

const task = (details) => h("section", { class: "card" }, h("h3", {}, "Task"),
  h("p", { class: "instruction" }, details.instruction || details.first));
