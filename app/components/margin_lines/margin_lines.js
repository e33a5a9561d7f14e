// Histograms of ID and auxiliary energies with a margin each to drag. The energies come once; what lies beyond a margin is counted in
// the browser. One message leaves when a margin is let go.

const HEIGHT = 150; // px, as the style sheet says
const BARS = 80;
const STEPS = 400; // places of a margin
const PATIENCE = 250; // ms without a key before a margin counts as let go
const ECHO = 2000; // ms to wait for the answer to a message before older data are believed
const views = new WeakMap(); // parentElement -> what is remembered between renders

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return undefined;
  const view = views.get(parentElement) ?? create(parentElement);
  views.set(parentElement, view);
  view.send = (margins) => setTriggerValue("released", margins);
  accept(view, data);
  return () => {
    clearTimeout(view.timer);
    clearTimeout(view.patience);
    cancelAnimationFrame(view.frame);
    view.observer.disconnect();
    views.delete(parentElement);
  };
}

function create(root) {
  const find = (name) => root.querySelector(name);
  const view = {
    plot: find(".plot"), canvas: find("canvas"), axis: find(".axis"), legend: find(".legend"), readout: find(".readout"),
    lines: [...root.querySelectorAll(".line")], held: null, timer: 0, sent: null, frame: 0,
  };
  view.observer = new ResizeObserver(() => ask(view));
  view.observer.observe(view.plot);
  view.plot.onmousedown = (event) => event.preventDefault(); // keeps the focus on the line
  view.plot.onpointerdown = (event) => press(view, event);
  view.plot.onpointermove = (event) => view.held?.pointer === event.pointerId && follow(view, event);
  view.plot.onpointerup = (event) => release(view, event);
  view.plot.onpointercancel = () => abandon(view);
  view.lines.forEach((line, i) => {
    line.onkeydown = (event) => key(view, event, i);
    line.onblur = () => view.timer && let_go(view);
  });
  return view;
}

function accept(view, data) {
  if (view.data !== data) {
    view.data = data;
    view.sets = data.sets.map(numbers);
    view.before = data.before.map(numbers);
    build(view);
  }
  const busy = view.held !== null || view.timer;
  if (!busy && (view.sent === null || same(view.sent, data.margins))) settle(view);
  ask(view);
}

const same = (one, other) => one.every((value, i) => value === other[i]);

function settle(view) {
  view.sent = null;
  view.margins = [...view.data.margins];
}

function numbers(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer).sort();
}

// -- the lines --------------------------------------------------------------------------------------------------------

const place = (view, value) => Math.min(Math.max((value - view.data.low) / (view.data.high - view.data.low), 0), 1);
const stride = (view) => (view.data.high - view.data.low) / STEPS;

// Sets one margin; the ID margin, the first, stays at or below the other.
function set(view, i, value) {
  const { low, high } = view.data;
  const rounded = Number(Math.min(Math.max(value, low), high).toFixed(2));
  view.margins[i] = i ? Math.max(rounded, view.margins[0]) : Math.min(rounded, view.margins[1]);
  ask(view);
}

function follow(view, event) {
  const box = view.plot.getBoundingClientRect();
  const share = (event.clientX - box.left) / box.width;
  set(view, view.held.i, view.data.low + Math.round(share * STEPS) * stride(view));
}

function press(view, event) {
  if (event.button || view.data.fixed) return;
  const box = view.plot.getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
  const [first, second] = view.margins.map((margin) => place(view, margin));
  const i = Math.abs(share - first) < Math.abs(share - second) || (first === second && share < first) ? 0 : 1;
  view.held = { i, margins: [...view.margins], pointer: event.pointerId };
  view.plot.setPointerCapture(event.pointerId);
  view.lines[i].classList.add("held");
  view.lines[i].focus({ preventScroll: true });
  if (event.pointerType === "mouse") follow(view, event); // a finger may only want to scroll
}

function release(view, event) {
  if (view.held?.pointer !== event.pointerId) return;
  follow(view, event);
  const { i, margins } = view.held;
  view.held = null;
  view.lines[i].classList.remove("held");
  if (!same(margins, view.margins)) let_go(view);
  else if (view.sent === null) settle(view);
}

function abandon(view) {
  if (!view.held) return;
  view.margins = view.held.margins;
  view.lines[view.held.i].classList.remove("held");
  view.held = null;
  ask(view);
}

function key(view, event, i) {
  const { low, high } = view.data, one = stride(view) * (event.shiftKey ? 10 : 1), far = 20 * stride(view), at = view.margins[i];
  const places = {
    ArrowLeft: at - one, ArrowDown: at - one, ArrowRight: at + one, ArrowUp: at + one,
    PageDown: at - far, PageUp: at + far, Home: low, End: high,
  };
  if (view.data.fixed || !(event.key in places) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  set(view, i, places[event.key]);
  clearTimeout(view.timer);
  view.timer = setTimeout(() => let_go(view), PATIENCE);
}

function let_go(view) {
  clearTimeout(view.timer);
  clearTimeout(view.patience);
  view.timer = 0;
  view.sent = [...view.margins];
  view.send(view.sent);
  view.patience = setTimeout(() => {
    if (view.sent === null || view.held || view.timer) return;
    settle(view); // no answer with these margins came; what came last holds
    ask(view);
  }, ECHO);
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function ask(view) {
  if (!view.frame) view.frame = requestAnimationFrame(() => { view.frame = 0; draw(view); });
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.appendChild(made);
  return made;
}

// Builds what does not move; the texts that do are kept in view.texts.
function build(view) {
  const { data } = view;
  for (const part of [view.legend, view.axis, view.readout]) part.replaceChildren();
  data.names.forEach((name, i) => {
    const entry = element("span", "", view.legend);
    element("i", "", entry).style.background = data.colours[i];
    entry.append(name);
  });
  if (data.before.length) element("span", "outline: before fine-tuning", view.legend);
  for (const [share, text] of data.ticks) element("span", text, view.axis).style.left = `${100 * share}%`;
  view.texts = data.names.map(() => element("span", "", view.readout));
  view.lines.forEach((line, i) => {
    line.style.setProperty("--colour", data.colours[i]);
    line.setAttribute("aria-label", data.labels[i]);
    line.setAttribute("aria-readonly", data.fixed);
    line.setAttribute("aria-valuemin", data.low);
    line.setAttribute("aria-valuemax", data.high);
  });
}

function draw(view) {
  const { data, sets, margins } = view;
  if (!data) return;
  const beyond = [
    sets[0].filter((value) => value <= margins[0]).length / sets[0].length,
    sets[1].filter((value) => value >= margins[1]).length / sets[1].length,
  ];
  const width = view.plot.clientWidth;
  view.lines.forEach((line, i) => {
    const share = `${(100 * beyond[i]).toFixed(1)} %`, x = place(view, margins[i]) * width;
    const flag = line.querySelector(".flag"), half = flag.offsetWidth;
    view.texts[i].textContent = `${share} of ${data.names[i]} ${i ? "at or above" : "at or below"} ${data.labels[i]}`;
    flag.textContent = `${data.labels[i]} ${margins[i].toFixed(1)}`;
    line.style.transform = `translateX(${x}px)`;
    const wanted = i ? half / 2 + 2 : -half / 2 - 2; // the flags stand on either side of their lines
    flag.style.left = `${22 + Math.min(Math.max(wanted, half / 2 - x), width - x - half / 2)}px`;
    line.setAttribute("aria-valuenow", margins[i]);
    line.setAttribute("aria-valuetext", `${margins[i].toFixed(1)} nats: ${share} of ${data.names[i]} beyond it`);
  });
  paint(view, width);
}

// Bars of both sets, as shares of each; the auxiliary ones are dashed as well, what was before is an outline alone.
function paint(view, width) {
  const { canvas, data } = view, ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(HEIGHT * ratio)) canvas.height = Math.round(HEIGHT * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, HEIGHT);
  view.before.forEach((values, i) => outline(pen, heights(view, values), width, data.colours[i], i, false));
  view.sets.forEach((values, i) => outline(pen, heights(view, values), width, data.colours[i], i, true));
}

function heights(view, values) {
  const { low, high } = view.data, bars = new Float32Array(BARS);
  for (const value of values) bars[Math.min(Math.max(Math.floor(((value - low) / (high - low)) * BARS), 0), BARS - 1)] += 1;
  const tallest = Math.max(...bars);
  return bars.map((count) => count / tallest);
}

function outline(pen, heights, width, colour, i, filled) {
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
  if (filled) pen.fill();
  pen.globalAlpha = filled ? 1 : 0.5;
  pen.lineWidth = filled ? 2 : 1;
  pen.setLineDash(i ? [6, 4] : []);
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}
