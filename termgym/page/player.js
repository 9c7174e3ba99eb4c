// The player of one episode: the screen, a seek bar with the turns marked, and the turn's reply beside it.

const SPEEDS = [0.5, 1, 2, 4, 8];
const ICONS = { play: "M4 2l10 6-10 6z", pause: "M3 2h4v12H3zM9 2h4v12H9z", back: "M2 2h2v12H2zM14 2v12L5 8z",
  on: "M12 2h2v12h-2zM2 2l9 6-9 6z" };
const icon = (name) => svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

class Player {
  constructor(number, details, film) {
    this.episode = run.episodes[number];
    [this.number, this.details] = [number, details];
    this.screen = film?.frames.length ? new FilmScreen(film) : new TextScreen(details);
    this.film = this.screen.film;
    this.recorded = this.film.marks.length;
    // Turns behind the end of a recording, as of one that was cut, come a second each.
    while (this.film.marks.length < details.turns.length) {
      this.film.marks.push(this.film.end);
      this.film.end += 1000;
    }
    [this.time, this.turn, this.speed, this.playing, this.before] = [0, -1, 1, false, 0];
    this.controls();
    this.panel = h("div", { class: "panel-body" });
    this.title = h("h3", { class: "turn-title" });
    this.element = this.page(film);
    this.seek(0);
  }

  page(film) {
    const remark = film === null ? "There is no recording on this page: what the agent was shown, turn by turn."
      : film.cut ? "The recording is longer than what is kept of one, and ends early." : null;
    return h("div", { class: "player" },
      h("div", { class: "stage" },
        h("div", { class: "screen-card" }, h("div", { class: "screen-scroll" }, this.screen.element), this.bar),
        h("aside", { class: "card panel" }, this.title, this.panel)),
      remark ? h("p", { class: "note" }, remark) : null,
      h("div", { class: "below" }, verdict(this.details, this.episode), task(this.details)));
  }

  controls() {
    const button = (label, name, onclick) => h("button", { type: "button", "aria-label": name, title: name, onclick,
      onmousedown: (event) => event.preventDefault() }, label); // the keyboard stays the player's
    this.button = button(icon("play"), "play or pause (space)", () => this.toggle());
    this.slider = h("input", { type: "range", min: 0, max: Math.max(1, this.film.end), step: 1, "aria-label": "time",
      oninput: () => { this.seek(Number(this.slider.value)); } });
    this.clock = h("span", { class: "clock" });
    const ticks = this.film.marks.map((mark, place) => svg("line", { x1: 1000 * mark / Math.max(1, this.film.end),
      x2: 1000 * mark / Math.max(1, this.film.end), y1: 0, y2: 10 }, svg("title", {}, `turn ${place + 1}`)));
    const track = h("div", { class: "timeline" }, svg("svg", { class: "ticks", viewBox: "0 0 1000 10",
      preserveAspectRatio: "none" }, ticks), this.slider);
    const speed = h("select", { "aria-label": "speed", title: "speed",
      onchange: (event) => { this.speed = Number(event.target.value); } },
      SPEEDS.map((value) => h("option", { value, selected: value === 1 }, `${value}×`)));
    this.bar = h("div", { class: "controls" }, button(icon("back"), "the turn before (left)", () => this.step(-1)), this.button,
      button(icon("on"), "the next turn (right)", () => this.step(1)), track, this.clock, speed);
  }

  seek(time) {
    this.time = Math.min(Math.max(0, time), this.film.end);
    this.screen.draw(this.time);
    this.slider.value = String(this.time);
    this.clock.textContent = `${clock(this.time)} / ${clock(this.film.end)}`;
    const turn = this.film.marks.filter((mark) => mark <= this.time).length;
    if (turn !== this.turn) this.show(turn);
  }

  show(turn) {
    this.turn = turn;
    const known = Math.min(turn, this.details.turns.length);
    this.title.textContent = known ? `Turn ${known} of ${this.details.turns.length}` : "Before turn 1";
    this.panel.replaceChildren(...turnPanel(this.details, known, known > this.recorded).filter(Boolean));
    this.panel.scrollTop = 0;
  }

  // To the next turn, or to the beginning of this one, and from there to the one before.
  step(by) {
    const { marks } = this.film;
    const late = this.time - (marks[this.turn - 1] ?? 0) > (this.playing ? 700 : 0);
    const target = by > 0 ? this.turn : this.turn - (late ? 1 : 2);
    if (target >= marks.length) this.seek(this.film.end);
    else this.seek(target < 0 ? 0 : marks[target]);
  }

  toggle(playing = !this.playing) {
    if (playing && this.time >= this.film.end) this.seek(0);
    [this.playing, this.before] = [playing, performance.now()];
    this.button.replaceChildren(icon(playing ? "pause" : "play"));
    if (playing) requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    if (!this.playing || !this.element.isConnected) return;
    this.seek(this.time + Math.max(0, now - this.before) * this.speed);
    this.before = now;
    if (this.time >= this.film.end) this.toggle(false);
    else requestAnimationFrame((later) => this.tick(later));
  }

  // Letters as large as the width allows, and not so small that nobody reads them.
  fit() {
    const { cols, element } = this.screen;
    if (!cols) return;
    const probe = h("span", { class: "probe" }, "0".repeat(100));
    element.append(probe);
    const ratio = probe.getBoundingClientRect().width / 100 / Number.parseFloat(getComputedStyle(probe).fontSize);
    probe.remove();
    const width = element.parentElement.clientWidth - 26;
    element.style.setProperty("font-size", `${Math.min(16, Math.max(7.5, width / cols / (ratio || 0.6)))}px`);
  }

  key(event) {
    const actions = { " ": () => this.toggle(), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      Home: () => this.seek(0), End: () => this.seek(this.film.end) };
    if (!(event.key in actions) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  }
}
