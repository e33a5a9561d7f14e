// Histograms of the energy and the softmax of ID and OOD rows at a temperature that is dragged. The logits come once; every frame
// computes all scores, their AUROC and FPR95 anew. One message leaves when the temperature is let go.

const HEIGHT = 120; // px of a plot, as the style sheet says
const BARS = 60;
const STEPS = 200; // of the temperature, even in its logarithm
const dragging = draggable({
  moving: ["temperature"], value: (dial) => dial.temperature, rest: (dial) => { dial.temperature = dial.data.temperature; },
  draw, steps, step_to, follow,
});

export default dragging.mounting(create, accept);

function create(root) {
  const find = (name) => root.querySelector(name);
  const dial = {
    track: find(".track"), handle: find(".line"), flag: find(".flag"), ticks: find(".ticks"), legend: find(".legend"),
    plots: [...root.querySelectorAll("figure")].map((figure) => ({
      canvas: figure.querySelector("canvas"), axis: figure.querySelector(".axis"), figures: figure.querySelector(".figures"),
    })),
  };
  dial.observer = new ResizeObserver(() => dragging.ask(dial));
  dial.observer.observe(find(".plots"));
  dragging.listen(dial, dial.track, [dial.handle]);
  return dial;
}

function accept(dial, data) {
  if (dial.data !== data) {
    dial.data = data;
    dial.sets = [data.inside, data.outside].map((text) => rows_of(text, data.classes));
    build(dial);
  }
  dragging.arrived(dial, data.temperature);
}

function rows_of(text, classes) {
  const logits = floats(text), n = logits.length / classes;
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
  dragging.ask(dial);
}

function follow(dial, event) {
  step_to(dial, Math.round(across(dial.track.getBoundingClientRect(), event) * STEPS));
}

function steps(dial, event) {
  const at = Math.round(place(dial) * STEPS), far = STEPS / 10, one = event.shiftKey ? far : 1;
  return key_places({ down: at - one, up: at + one, far_down: at - far, far_up: at + far, first: 0, last: STEPS });
}

// -- drawing ----------------------------------------------------------------------------------------------------------

// Builds what does not move.
function build(dial) {
  const { data } = dial;
  dial.ticks.replaceChildren();
  for (let power = data.low; power <= data.high * 1.001; power *= 10) {
    element("span", String(Number(power.toPrecision(3))), dial.ticks).style.left = `${(100 * Math.log(power / data.low)) / span(data)}%`;
  }
  list_sets(dial.legend, data.names, data.colours);
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
  const width = plot.canvas.clientWidth, pen = pen_of(plot.canvas, width, HEIGHT);
  const at = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))];
  const low = Math.min(...values.map((sorted) => at(sorted, 0.005))), high = Math.max(...values.map((sorted) => at(sorted, 0.995)));
  values.forEach((sorted, i) => draw_histogram(pen, bars_of(sorted, low, high, BARS), width, HEIGHT, dial.data.colours[i], i === 0));
  const digits = high - low < 1 ? 3 : 1;
  plot.axis.replaceChildren();
  for (const share of [0, 0.5, 1]) element("span", (low + share * (high - low)).toFixed(digits), plot.axis);
}
