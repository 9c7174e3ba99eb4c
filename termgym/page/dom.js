// What all parts share: elements, numbers as text, and the data. Text only ever becomes text nodes, never HTML.

const SVG = "http://www.w3.org/2000/svg";
const OUTCOMES = ["solved", "failed", "out_of_turns", "out_of_time", "out_of_tokens", "agent_died", "verifier_error",
  "infra_error"];
const INVALID = new Set(["verifier_error", "infra_error"]);

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const h = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
const svg = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

const words = (name) => name.replaceAll("_", " ");
const percent = (share) => share === null || share === undefined ? "–" : `${Math.round(100 * share)}%`;
const range = (ends) => ends ? `${Math.round(100 * ends[0])}–${Math.round(100 * ends[1])}%` : "–";
const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

function duration(seconds) {
  if (seconds >= 5400) return `${(seconds / 3600).toFixed(1)} h`;
  if (seconds >= 90) return `${(seconds / 60).toFixed(1)} min`;
  return seconds >= 1 ? `${seconds.toFixed(1)} s` : `${Math.round(1000 * seconds)} ms`;
}

function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}.${Math.floor(ms % 1000 / 100)}`;
}

const chip = (outcome) => h("span", { class: `chip ${outcome}` }, h("i", { class: "dot" }), words(outcome));

const stored = (name) => {
  const element = document.getElementById(name);
  return element ? JSON.parse(element.textContent) : null;
};

// An episode's details or film, or null where the page has none.
async function unpacked(name) {
  const text = stored(name);
  if (text === null) return null;
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

const run = stored("index");
