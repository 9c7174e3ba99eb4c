// What is shown goes by the address: nothing for the run, #episode=3 for an episode, &time=1.5 or &turn=2 for a place in it.

const page = document.getElementById("page");
let player = null;
let overview = null;
let scrolled = 0;
const ABSENT = "Of this episode the page keeps its row in the list only: with more it would be too large. "
  + "Its line in episodes.jsonl has all of it.";

function masthead() {
  const tasks = run.report?.total.tasks ?? new Set(run.episodes.map((one) => one.task)).size;
  const models = run.models.length > 3 ? plural(run.models.length, "model") : run.models.join(", ");
  const counts = run.episodes.length ? [plural(run.episodes.length, "episode"), plural(tasks, "task")] : [];
  const about = [run.policies.join(", "), models, ...counts, run.dates.at(-1)?.slice(0, 10), `termgym ${run.termgym}`];
  return h("header", {}, h("p", { class: "brand" }, "termgym report"), h("h1", {}, run.run),
    h("p", { class: "note" }, about.filter(Boolean).join("  ·  ")));
}

function remark() {
  const { length } = run.episodes;
  const parts = [];
  if (run.films < length) parts.push(`${length - run.films} of ${plural(length, "episode")} have no recording here`);
  if (run.details < length) parts.push(`of ${length - run.details} only the row is kept`);
  return parts.length ? h("p", { class: "note remark" }, `${parts.join("; ")}.`) : null;
}

function wholeRun() {
  const { report } = run;
  return h("div", { class: "overview" }, masthead(), headline(report.total),
    h("div", { class: "charts" }, familyChart(report.families), turnsChart(run.episodes),
      outcomeChart(report.total.outcomes), timeChart(run.seconds)),
    scoreTables(report),
    episodeList(run.episodes, openEpisode), remark());
}

const openEpisode = (number) => { location.hash = `episode=${number}`; };

function topBar(number) {
  const episode = run.episodes[number];
  const link = (to, label, name) => run.episodes[to]
    ? h("a", { class: "button", href: `#episode=${to}`, title: name, "aria-label": name }, label) : null;
  return h("header", { class: "top" }, h("a", { class: "button", href: "#", title: "Escape" }, "← All episodes"),
    h("div", { class: "who" }, h("h1", {}, episode.task), chip(episode.outcome),
      h("span", { class: "note" }, `attempt ${episode.attempt}, ${plural(episode.turns, "turn")}, ${duration(episode.seconds)}`)),
    h("nav", {}, link(number - 1, "↑", "the episode before"), link(number + 1, "↓", "the next episode")),
    training ? otherTimes(number) : null);
}

async function showEpisode(number, place) {
  const address = location.hash;
  let [details, film, why] = [null, null, ABSENT];
  try {
    [details, film] = await Promise.all([unpacked(`details-${number}`), unpacked(`film-${number}`)]);
  } catch (error) {
    why = `This browser cannot unpack the episode: ${error.message}`;
  }
  if (location.hash !== address) return; // another one was chosen meanwhile
  if (!details) {
    page.replaceChildren(topBar(number), h("p", { class: "card" }, why));
    return;
  }
  player = new Player(number, details, film);
  page.replaceChildren(topBar(number), player.element);
  scrollTo(0, 0);
  player.fit();
  if (place.has("turn")) player.seek(player.film.marks[Number(place.get("turn")) - 1] ?? player.film.end);
  else if (place.has("time")) player.seek(1000 * Number(place.get("time")));
  document.body.dataset.shown = `episode ${number}`;
}

async function route() {
  const place = new URLSearchParams(location.hash.slice(1));
  const number = Number(place.get("episode"));
  if (!overview) overview = training ? trainingOverview() : wholeRun();
  if (overview.isConnected) scrolled = scrollY;
  player?.toggle(false);
  player = null;
  if (place.has("episode") && run.episodes[number]) return showEpisode(number, place);
  page.replaceChildren(overview);
  scrollTo(0, scrolled);
  document.body.dataset.shown = "run";
}

addEventListener("hashchange", route);
addEventListener("resize", () => player?.fit());
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && player) location.hash = "";
  else if (player && !event.target.matches("select, [type=search]")
    && !(event.key === " " && event.target.matches("button, a, summary"))) player.key(event);
});
route();
