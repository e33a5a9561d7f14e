// The scores of a stream, a dot a row, and a line at a moment. Dragging moves the line alone; one message leaves when it is let go,
// and the page answers with the stream that changes then.

const HEIGHT = 120; // px, as the style sheet says
const EDGE = 4; // px above the highest score, and below the lowest
const PATIENCE = 250; // ms without a key before the line counts as let go
const ECHO = 2000; // ms to wait for the answer to a message before older data are believed
const lines = new WeakMap(); // parentElement -> what is remembered between renders

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return undefined;
  const line = lines.get(parentElement) ?? create(parentElement);
  lines.set(parentElement, line);
  line.send = (moment) => setTriggerValue("released", moment);
  accept(line, data);
  return () => {
    clearTimeout(line.timer);
    clearTimeout(line.patience);
    cancelAnimationFrame(line.frame);
    line.observer.disconnect();
    lines.delete(parentElement);
  };
}

function create(root) {
  const find = (name) => root.querySelector(name);
  const line = { plot: find(".plot"), canvas: find("canvas"), handle: find(".line"), flag: find(".flag"), held: null, timer: 0, sent: null, frame: 0 };
  line.observer = new ResizeObserver(() => ask(line));
  line.observer.observe(line.plot);
  line.plot.onmousedown = (event) => event.preventDefault(); // keeps the focus on the line
  line.plot.onpointerdown = (event) => press(line, event);
  line.plot.onpointermove = (event) => move(line, event);
  line.plot.onpointerup = (event) => release(line, event);
  line.plot.onpointercancel = () => abandon(line);
  line.handle.onkeydown = (event) => key(line, event);
  line.handle.onblur = () => line.timer && let_go(line);
  return line;
}

function accept(line, data) {
  line.data = data;
  const busy = line.held !== null || line.timer;
  if (!busy && (line.sent === null || line.sent === data.moment)) settle(line);
  line.handle.setAttribute("aria-label", data.label);
  line.handle.setAttribute("aria-valuemin", data.low);
  line.handle.setAttribute("aria-valuemax", data.high);
  ask(line);
}

function settle(line) {
  line.sent = null;
  line.moment = line.data.moment;
}

// -- the line ---------------------------------------------------------------------------------------------------------

function step_to(line, moment) {
  const { low, high } = line.data;
  line.moment = Math.min(Math.max(Math.round(moment), low), high);
  ask(line);
}

function follow(line, event) {
  const box = line.plot.getBoundingClientRect(), { first, last, step } = line.data;
  const moment = first + ((event.clientX - box.left) / box.width) * (last - first);
  step_to(line, Math.round(moment / step) * step);
}

function press(line, event) {
  if (event.button) return;
  line.held = { moment: line.moment, pointer: event.pointerId };
  line.plot.setPointerCapture(event.pointerId);
  line.handle.classList.add("held");
  line.handle.focus({ preventScroll: true });
  if (event.pointerType === "mouse") follow(line, event); // a finger may only want to scroll
}

function move(line, event) {
  if (line.held?.pointer === event.pointerId) follow(line, event);
}

function release(line, event) {
  if (line.held?.pointer !== event.pointerId) return;
  follow(line, event);
  const before = line.held.moment;
  line.held = null;
  line.handle.classList.remove("held");
  if (line.moment !== before) let_go(line);
  else if (line.sent === null) settle(line);
}

function abandon(line) {
  if (!line.held) return;
  line.moment = line.held.moment;
  line.held = null;
  line.handle.classList.remove("held");
  ask(line);
}

function key(line, event) {
  const { step, low, high } = line.data, far = 10 * step, one = event.shiftKey ? far : step;
  const places = {
    ArrowLeft: line.moment - one, ArrowDown: line.moment - one, ArrowRight: line.moment + one, ArrowUp: line.moment + one,
    PageDown: line.moment - far, PageUp: line.moment + far, Home: low, End: high,
  };
  if (!(event.key in places) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  step_to(line, places[event.key]);
  clearTimeout(line.timer);
  line.timer = setTimeout(() => let_go(line), PATIENCE);
}

function let_go(line) {
  clearTimeout(line.timer);
  clearTimeout(line.patience);
  line.timer = 0;
  line.sent = line.moment;
  line.send(line.moment);
  line.patience = setTimeout(() => {
    if (line.sent === null || line.held || line.timer) return;
    settle(line); // no answer with this moment came; what came last holds
    ask(line);
  }, ECHO);
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function ask(line) {
  if (!line.frame) line.frame = requestAnimationFrame(() => { line.frame = 0; draw(line); });
}

function draw(line) {
  const { data, canvas } = line, width = line.plot.clientWidth, ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(HEIGHT * ratio)) canvas.height = Math.round(HEIGHT * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, HEIGHT);
  const across = (row) => ((row - data.first) / (data.last - data.first)) * width;
  const up = (height) => HEIGHT - EDGE - height * (HEIGHT - 2 * EDGE); // heights are fractions
  paint_dots(pen, data, across, up);
  pen.strokeStyle = data.colours.limit;
  pen.setLineDash([6, 4]);
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(0, up(data.threshold));
  pen.lineTo(width, up(data.threshold));
  pen.stroke();
  pen.setLineDash([]);
  const x = across(line.moment), flag = line.flag.offsetWidth / 2;
  line.handle.style.transform = `translateX(${x}px)`;
  line.flag.textContent = `row ${line.moment.toLocaleString("en")}`;
  line.flag.style.left = `${22 + Math.max(0, flag - x) - Math.max(0, x + flag - width)}px`; // stays inside the plot
  line.handle.setAttribute("aria-valuenow", line.moment);
  line.handle.setAttribute("aria-valuetext", `row ${line.moment}`);
}

// ID rows are small dots; rows that were mixed in are larger diamonds, in another colour.
function paint_dots(pen, data, across, up) {
  pen.globalAlpha = 0.55;
  pen.fillStyle = data.colours.inside;
  data.rows.forEach((row, i) => {
    if (!data.changed[i]) pen.fillRect(across(row) - 1, up(data.heights[i]) - 1, 2, 2);
  });
  pen.globalAlpha = 0.95;
  pen.fillStyle = data.colours.changed;
  data.rows.forEach((row, i) => {
    if (!data.changed[i]) return;
    const x = across(row), y = up(data.heights[i]);
    pen.beginPath();
    pen.moveTo(x, y - 4);
    pen.lineTo(x + 4, y);
    pen.lineTo(x, y + 4);
    pen.lineTo(x - 4, y);
    pen.fill();
  });
  pen.globalAlpha = 1;
}
