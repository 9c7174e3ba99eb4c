// A screen that shows a film's frames: the emulator ran when the page was made, so this only draws lines.

const BITS = ["bold", "faint", "italic", "underline", "blink", "inverse", "invisible", "strike"];
const WIDE = 1 << 16;
const ODD = 1 << 17;
const DEFAULT = 7;

class FilmScreen {
  constructor(film) {
    this.film = film;
    this.cols = Math.max(80, ...film.lines.map(lineCells));
    const used = film.frames.flatMap(([, row, , changed]) => [row, ...changed.filter((_, place) => place % 2 === 0)]);
    this.rows = Math.min(film.rows, Math.max(23, ...uniq(used)) + 1);
    this.lines = Array.from({ length: this.rows }, () => h("div", { class: "line" }));
    this.element = h("div", { class: "terminal", tabindex: "-1", role: "img", "aria-label": "the terminal's screen" },
      this.lines);
    this.next = 0;
    this.state = [];
    this.drawn = [];
  }

  // Show what the screen was at this time, in milliseconds.
  draw(time) {
    const { frames } = this.film;
    if (this.next && frames[this.next - 1][0] > time) [this.next, this.state] = [0, []];
    while (this.next < frames.length && frames[this.next][0] <= time) {
      const changed = frames[this.next++][3];
      for (let place = 0; place < changed.length; place += 2) this.state[changed[place]] = changed[place + 1];
    }
    const [, cursorRow, cursorCol] = frames[Math.max(0, this.next - 1)] ?? [0, 0, 0];
    for (let row = 0; row < this.rows; row += 1) {
      const cursor = row === cursorRow ? cursorCol : -1;
      const key = `${this.state[row] ?? 0} ${cursor}`;
      if (this.drawn[row] === key) continue;
      this.drawn[row] = key;
      this.lines[row].replaceChildren(...lineSpans(this.film.lines[this.state[row] ?? 0], cursor));
    }
  }
}

const uniq = (numbers) => [...new Set(numbers)];

const pairs = (line) => typeof line === "string" ? [[line, DEFAULT]]
  : Array.from({ length: line.length / 2 }, (_, place) => [line[2 * place], line[2 * place + 1]]);

const lineCells = (line) => pairs(line).reduce(
  (sum, [text, style]) => sum + [...text].length * (style & WIDE ? 2 : 1), 0);

function lineSpans(line, cursor) {
  const spans = [];
  let col = 0;
  for (const [text, style] of pairs(line)) {
    const width = style & WIDE ? 2 : 1;
    const chars = [...text];
    const at = Math.floor((cursor - col) / width);
    if (cursor >= col && at < chars.length) {
      spans.push(...styled(chars.slice(0, at), style), ...styled([chars[at]], style, true),
        ...styled(chars.slice(at + 1), style));
    } else spans.push(...styled(chars, style));
    col += width * chars.length;
  }
  if (cursor >= col) spans.push(" ".repeat(cursor - col), h("span", { class: "cursor" }, " "));
  return spans;
}

function styled(chars, style, cursor = false) {
  if (!chars.length) return [];
  if (style & (WIDE | ODD) && chars.length > 1) return chars.flatMap((char) => styled([char], style, cursor));
  const names = BITS.filter((_, bit) => style >> bit & 256);
  let [ink, ground] = [style & 15, style >> 4 & 15];
  if (names.includes("inverse")) [ink, ground] = [ground, ink];
  if (ink !== 7) names.push(`f${ink}`);
  if (ground !== 0) names.push(`b${ground}`);
  if (style & WIDE) names.push("wide");
  if (style & ODD) names.push("odd");
  if (cursor) names.push("cursor");
  return [names.length ? h("span", { class: names.join(" ") }, chars.join("")) : chars.join("")];
}

// The same for an episode without a recording: what the agent was shown, a turn a second.
class TextScreen {
  constructor(details) {
    this.texts = [details.first, ...details.turns.map((turn) => turn.observation)];
    this.element = h("pre", { class: "terminal text", tabindex: "-1" });
    this.film = { marks: this.texts.slice(1).map((_, place) => 1000 * (place + 1)), end: 1000 * this.texts.length };
  }

  draw(time) {
    this.element.textContent = this.texts[Math.min(Math.floor(time / 1000), this.texts.length - 1)];
  }
}
