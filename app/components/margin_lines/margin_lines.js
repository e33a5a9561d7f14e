// Histograms of ID and auxiliary energies with a margin each to drag. The energies come once; what lies beyond a margin is counted in
// the browser. One message leaves when a margin is let go.

const HEIGHT = 150; // px, as the style sheet says
const BARS = 80;
const STEPS = 400; // places of a margin
const dragging = draggable({
  moving: ["margins"], value: (view) => view.margins, rest: (view) => { view.margins = view.data.margins; },
  draw, steps, step_to: set, follow, nearest, is_fixed: (view) => view.data.fixed,
});

export default dragging.mounting(create, accept);

function create(root) {
  const find = (name) => root.querySelector(name);
  const view = {
    plot: find(".plot"), canvas: find("canvas"), axis: find(".axis"), legend: find(".legend"), readout: find(".readout"),
    lines: [...root.querySelectorAll(".line")],
  };
  view.observer = new ResizeObserver(() => dragging.ask(view));
  view.observer.observe(view.plot);
  dragging.listen(view, view.plot, view.lines);
  return view;
}

function accept(view, data) {
  if (view.data !== data) {
    view.data = data;
    view.sets = data.sets.map(floats);
    view.before = data.before.map(floats);
    build(view);
  }
  dragging.arrived(view, data.margins);
}

// -- the lines --------------------------------------------------------------------------------------------------------

const place = (view, value) => Math.min(Math.max((value - view.data.low) / (view.data.high - view.data.low), 0), 1);
const stride = (view) => (view.data.high - view.data.low) / STEPS;

// Sets one margin; the ID margin, the first, stays at or below the other.
function set(view, value, i) {
  const { low, high } = view.data, [first, second] = view.margins;
  const rounded = Number(Math.min(Math.max(value, low), high).toFixed(2));
  view.margins = i ? [first, Math.max(rounded, first)] : [Math.min(rounded, second), second];
  dragging.ask(view);
}

function follow(view, event, i) {
  const share = across(view.plot.getBoundingClientRect(), event);
  set(view, view.data.low + Math.round(share * STEPS) * stride(view), i);
}

// The margin that is nearer; of two at one place, the one on the pointer's side.
function nearest(view, event) {
  const share = across(view.plot.getBoundingClientRect(), event);
  const [first, second] = view.margins.map((margin) => place(view, margin));
  return Math.abs(share - first) < Math.abs(share - second) || (first === second && share < first) ? 0 : 1;
}

function steps(view, event, i) {
  const { low, high } = view.data, one = stride(view) * (event.shiftKey ? 10 : 1), far = 20 * stride(view), at = view.margins[i];
  return key_places({ down: at - one, up: at + one, far_down: at - far, far_up: at + far, first: low, last: high });
}

// -- drawing ----------------------------------------------------------------------------------------------------------

// Builds what does not move; the texts that do are kept in view.texts.
function build(view) {
  const { data } = view;
  for (const part of [view.axis, view.readout]) part.replaceChildren();
  list_sets(view.legend, data.names, data.colours);
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
  const { data } = view, pen = pen_of(view.canvas, width, HEIGHT);
  const bars = (values) => bars_of(values, data.low, data.high, BARS);
  view.before.forEach((values, i) => draw_histogram(pen, bars(values), width, HEIGHT, data.colours[i], i === 0, false));
  view.sets.forEach((values, i) => draw_histogram(pen, bars(values), width, HEIGHT, data.colours[i], i === 0));
}
