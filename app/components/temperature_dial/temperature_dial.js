// Histograms of the energy and the softmax of ID and OOD rows at a temperature that is dragged. The logits come once; every frame
// computes all scores, their AUROC and FPR95 anew. One message leaves when the temperature is let go.

const HEIGHT = 120; // px of a plot, as the style sheet says
const BARS = 60;
const STEPS = 200; // of the temperature, even in its logarithm
const PATIENCE = 250; // ms without a key before the temperature counts as let go
const ECHO = 2000; // ms to wait for the answer to a message before older data are believed
const dials = new WeakMap(); // parentElement -> what is remembered between renders

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return undefined;
  const dial = dials.get(parentElement) ?? create(parentElement);
  dials.set(parentElement, dial);
  dial.send = (temperature) => setTriggerValue("released", temperature);
  accept(dial, data);
  return () => {
    clearTimeout(dial.timer);
    clearTimeout(dial.patience);
    cancelAnimationFrame(dial.frame);
    dial.observer.disconnect();
    dials.delete(parentElement);
  };
}

function create(root) {
  const find = (name) => root.querySelector(name);
  const dial = {
    track: find(".track"), handle: find(".line"), flag: find(".flag"), ticks: find(".ticks"), legend: find(".legend"),
    plots: [...root.querySelectorAll("figure")].map((figure) => ({
      canvas: figure.querySelector("canvas"), axis: figure.querySelector(".axis"), figures: figure.querySelector(".figures"),
    })),
    held: null, timer: 0, sent: null, frame: 0,
  };
  dial.observer = new ResizeObserver(() => ask(dial));
  dial.observer.observe(find(".plots"));
  dial.track.onmousedown = (event) => event.preventDefault(); // keeps the focus on the handle
  dial.track.onpointerdown = (event) => press(dial, event);
  dial.track.onpointermove = (event) => dial.held?.pointer === event.pointerId && follow(dial, event);
  dial.track.onpointerup = (event) => release(dial, event);
  dial.track.onpointercancel = () => abandon(dial);
  dial.handle.onkeydown = (event) => key(dial, event);
  dial.handle.onblur = () => dial.timer && let_go(dial);
  return dial;
}

function accept(dial, data) {
  if (dial.data !== data) {
    dial.data = data;
    dial.sets = [data.inside, data.outside].map((text) => rows_of(text, data.classes));
    build(dial);
  }
  const busy = dial.held !== null || dial.timer;
  if (!busy && (dial.sent === null || dial.sent === data.temperature)) settle(dial);
  ask(dial);
}

function settle(dial) {
  dial.sent = null;
  dial.temperature = dial.data.temperature;
}

function rows_of(text, classes) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const logits = new Float32Array(bytes.buffer), n = logits.length / classes;
  return { logits, n, classes, energy: new Float32Array(n), doubt: new Float32Array(n) };
}

// -- scores -----------------------------------------------------------------------------------------------------------

// Fills in the energy, -T logsumexp(f / T), and the doubt, -log max softmax(f / T), of every row.
function score(set, temperature) {
  const { logits, n, classes, energy, doubt } = set;
  for (let row = 0, at = 0; row < n; row++, at += classes) {
    let largest = logits[at];
    for (let k = 1; k < classes; k++) largest = Math.max(largest, logits[at + k]);
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += Math.exp((logits[at + k] - largest) / temperature);
    doubt[row] = Math.log(sum);
    energy[row] = -largest - temperature * doubt[row];
  }
  energy.sort();
  doubt.sort();
}

// The share of pairs where OOD is above ID, ties counting half; and of OOD at or below the score that keeps 95 % of ID. Both sorted.
function separation(inside, outside) {
  let below = 0, upto = 0, pairs = 0;
  for (const value of outside) {
    while (below < inside.length && inside[below] < value) below++;
    while (upto < inside.length && inside[upto] <= value) upto++;
    pairs += (below + upto) / 2;
  }
  const threshold = inside[Math.ceil(0.95 * inside.length) - 1];
  let passed = 0;
  while (passed < outside.length && outside[passed] <= threshold) passed++;
  return { auroc: pairs / (inside.length * outside.length), fpr95: passed / outside.length };
}

// -- the temperature --------------------------------------------------------------------------------------------------

const span = (data) => Math.log(data.high / data.low);
const place = (dial) => Math.log(dial.temperature / dial.data.low) / span(dial.data);

function step_to(dial, step) {
  const { data } = dial, share = Math.min(Math.max(step / STEPS, 0), 1);
  dial.temperature = Number((data.low * Math.exp(share * span(data))).toPrecision(3));
  ask(dial);
}

function follow(dial, event) {
  const box = dial.track.getBoundingClientRect();
  step_to(dial, Math.round(((event.clientX - box.left) / box.width) * STEPS));
}

function press(dial, event) {
  if (event.button) return;
  dial.held = { temperature: dial.temperature, pointer: event.pointerId };
  dial.track.setPointerCapture(event.pointerId);
  dial.handle.classList.add("held");
  dial.handle.focus({ preventScroll: true });
  if (event.pointerType === "mouse") follow(dial, event); // a finger may only want to scroll
}

function release(dial, event) {
  if (dial.held?.pointer !== event.pointerId) return;
  follow(dial, event);
  const before = dial.held.temperature;
  dial.held = null;
  dial.handle.classList.remove("held");
  if (dial.temperature !== before) let_go(dial);
  else if (dial.sent === null) settle(dial);
}

function abandon(dial) {
  if (!dial.held) return;
  dial.temperature = dial.held.temperature;
  dial.held = null;
  dial.handle.classList.remove("held");
  ask(dial);
}

function key(dial, event) {
  const at = Math.round(place(dial) * STEPS), far = STEPS / 10, one = event.shiftKey ? far : 1;
  const steps = {
    ArrowLeft: at - one, ArrowDown: at - one, ArrowRight: at + one, ArrowUp: at + one,
    PageDown: at - far, PageUp: at + far, Home: 0, End: STEPS,
  };
  if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  step_to(dial, steps[event.key]);
  clearTimeout(dial.timer);
  dial.timer = setTimeout(() => let_go(dial), PATIENCE);
}

function let_go(dial) {
  clearTimeout(dial.timer);
  clearTimeout(dial.patience);
  dial.timer = 0;
  dial.sent = dial.temperature;
  dial.send(dial.temperature);
  dial.patience = setTimeout(() => {
    if (dial.sent === null || dial.held || dial.timer) return;
    settle(dial); // no answer with this temperature came; what came last holds
    ask(dial);
  }, ECHO);
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function ask(dial) {
  if (!dial.frame) dial.frame = requestAnimationFrame(() => { dial.frame = 0; draw(dial); });
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.appendChild(made);
  return made;
}

// Builds what does not move.
function build(dial) {
  const { data } = dial;
  dial.ticks.replaceChildren();
  for (let power = data.low; power <= data.high * 1.001; power *= 10) {
    element("span", String(Number(power.toPrecision(3))), dial.ticks).style.left = `${(100 * Math.log(power / data.low)) / span(data)}%`;
  }
  dial.legend.replaceChildren();
  data.names.forEach((name, i) => {
    const entry = element("span", "", dial.legend);
    element("i", "", entry).style.background = data.colours[i];
    entry.append(name);
  });
  element("span", "right: more OOD", dial.legend);
  dial.handle.setAttribute("aria-label", data.label);
  dial.handle.setAttribute("aria-valuemin", data.low);
  dial.handle.setAttribute("aria-valuemax", data.high);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function draw(dial) {
  const { sets, data } = dial;
  if (!data) return;
  for (const set of sets) score(set, dial.temperature);
  const figures = ["energy", "doubt"].map((name, i) => {
    const values = sets.map((set) => set[name]), { auroc, fpr95 } = separation(...values);
    paint(dial, dial.plots[i], values);
    dial.plots[i].figures.textContent = `AUROC ${percent(auroc)}, FPR95 ${percent(fpr95)}`;
    return auroc;
  });
  const shown = Number(dial.temperature.toPrecision(3));
  const x = place(dial) * dial.track.clientWidth;
  dial.handle.style.transform = `translateX(${x}px)`;
  dial.flag.textContent = `T = ${shown}`;
  dial.handle.setAttribute("aria-valuenow", shown);
  dial.handle.setAttribute("aria-valuetext", `T = ${shown}: AUROC of the energy ${percent(figures[0])}, of the softmax ${percent(figures[1])}`);
}

// Two histograms over each other, as shares of their set; what lies beyond the axis is in the bars at its ends.
function paint(dial, plot, values) {
  const { canvas } = plot, width = canvas.clientWidth, ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(HEIGHT * ratio)) canvas.height = Math.round(HEIGHT * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, HEIGHT);
  const at = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))];
  const low = Math.min(...values.map((sorted) => at(sorted, 0.005))), high = Math.max(...values.map((sorted) => at(sorted, 0.995)));
  const bar = (high - low) / BARS || 1;
  values.forEach((sorted, i) => {
    const bars = new Float32Array(BARS);
    for (const value of sorted) bars[Math.min(Math.max(Math.floor((value - low) / bar), 0), BARS - 1)] += 1;
    outline(pen, bars.map((count) => count / Math.max(...bars)), width, dial.data.colours[i], i);
  });
  const digits = high - low < 1 ? 3 : 1;
  plot.axis.replaceChildren();
  for (const share of [0, 0.5, 1]) element("span", (low + share * (high - low)).toFixed(digits), plot.axis);
}

// ID is filled; OOD is dashed as well, so that they are told apart without colour.
function outline(pen, heights, width, colour, i) {
  const one = width / BARS, room = HEIGHT - 4;
  pen.beginPath();
  pen.moveTo(0, HEIGHT);
  heights.forEach((share, k) => {
    pen.lineTo(k * one, HEIGHT - share * room);
    pen.lineTo((k + 1) * one, HEIGHT - share * room);
  });
  pen.lineTo(width, HEIGHT);
  pen.fillStyle = pen.strokeStyle = colour;
  pen.globalAlpha = i ? 0.15 : 0.35;
  pen.fill();
  pen.globalAlpha = 1;
  pen.lineWidth = 2;
  pen.setLineDash(i ? [6, 4] : []);
  pen.stroke();
  pen.setLineDash([]);
}
