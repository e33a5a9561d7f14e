// A histogram a group and a line over them all; below each, upside down, that of a detector that is compared, laid on the same
// axis so that a place keeps the same share of ID. Dragging costs no round trip: what is at or below each step of the axis comes
// with the data, so every number shown while dragging is exact. One message leaves when the line is let go.

const HEADER = 22; // px above the bars of a group
const BAR_HEIGHT = 46; // px of the tallest bar
const BELOW = 34; // px of the tallest bar of a detector that is compared
const GAP = 8;
const dragging = draggable({
  moving: ["threshold", "passed", "compared_passed", "compared_place"], value: (lab) => lab.threshold,
  rest, draw, steps, step_to, follow, is_fixed: (lab) => lab.data.fixed,
});

export default dragging.mounting(create, accept);

function create(root) {
  const find = (name) => root.querySelector(name);
  const lab = {
    plot: find(".plot"), canvas: find("canvas"), groups: find(".groups"), axis: find(".axis"), line: find(".line"),
    flag: find(".flag"), readout: find(".readout"),
  };
  lab.observer = new ResizeObserver(() => dragging.ask(lab));
  lab.observer.observe(lab.plot);
  dragging.listen(lab, lab.plot, [lab.line]);
  return lab;
}

// -- data -------------------------------------------------------------------------------------------------------------

function accept(lab, data) {
  lab.latest = data;
  if (lab.data !== data) {
    lab.data = data;
    lab.sets = data.groups.flatMap((group) => group.sets);
    lab.upto = lab.sets.map((set) => cumulated(set.counts));
    lab.compared = data.compared?.groups.flatMap((group) => group.sets) ?? [];
    lab.compared_upto = lab.compared.map((set) => cumulated(set.counts));
    lab.heights = data.groups.map((group, i) => shares_of_tallest(group_bars(group, data), data.compared && group_bars(data.compared.groups[i], data)));
    lab.outlines = data.groups.map(outline);
    build(lab);
  }
  dragging.arrived(lab, data.threshold);
}

function rest(lab) {
  lab.threshold = lab.latest.threshold;
  lab.passed = lab.sets.map((set) => set.passed);
  lab.compared_passed = lab.compared.map((set) => set.passed);
  lab.compared_place = lab.latest.compared?.place ?? null;
}

// Bars of a group and, where there are any, of the compared detector, as shares of the tallest of both.
function shares_of_tallest(bars, below) {
  const tallest = Math.max(...bars, ...(below ?? []));
  return { bars: bars.map((share) => share / tallest), below: below?.map((share) => share / tallest) };
}

// The selection of a group as shares of its own tallest bar; one bar may hold all of it.
function outline(group) {
  const tallest = Math.max(...group.selected_counts);
  return group.selected_counts.map((count) => count / tallest);
}

// -- the line ---------------------------------------------------------------------------------------------------------

function step_to(lab, index) {
  const edges = lab.data.edges;
  const i = Math.min(Math.max(index, 0), edges.length - 1);
  if (edges[i] === lab.threshold) return;
  lab.threshold = edges[i];
  lab.passed = lab.upto.map((upto) => upto[i]);
  lab.compared_passed = lab.compared_upto.map((upto) => upto[i]);
  lab.compared_place = null; // at the line: where both keep the same share
  dragging.ask(lab);
}

function follow(lab, event) {
  step_to(lab, step_at(lab, event));
}

// -- drawing ----------------------------------------------------------------------------------------------------------

// Builds what does not move; the texts that do are kept in lab.texts.
function build(lab) {
  const { data } = lab, texts = (lab.texts = { groups: [], sets: [] });
  build_axis(lab);
  for (const part of [lab.groups, lab.readout]) part.replaceChildren();
  data.groups.forEach((group, i) => {
    const line = element("div", "", lab.groups);
    line.style.top = `${i * row_height(lab)}px`;
    const name = element("span", "", line);
    element("i", "", name).style.background = group.colour;
    element("b", group.name, name);
    const selected = group.selected_counts.reduce((sum, count) => sum + count, 0);
    if (selected) {
      const said = element("em", `${selected.toLocaleString("en")} selected`, name);
      said.style.borderColor = data.selected_colour;
    }
    texts.groups.push(element("span", "", line));
  });
  const item = (card, label) => { const line = element("div", "", card); element("span", label, line).title = label; return element("span", "", line); };
  const card = (title) => { const made = element("div", "", lab.readout, "card"); element("h4", title, made); return made; };
  const names = data.compared?.names;
  const of = names ? `${names[0]}: ` : "";
  if (names) {
    const both = card("");
    texts.both = both.firstChild;
    both.classList.add("both");
    const pair = (label) => { const own = item(both, label); return { own, other: element("span", "", own.parentElement) }; };
    const heading = pair("");
    heading.own.textContent = names[0];
    heading.other.textContent = names[1];
    texts.pairs = lab.sets.map((set, i) => pair(i ? set.name : "ID kept"));
  } else if (lab.sets.length > 1) {
    const sets = card("OOD caught, by set");
    texts.sets = lab.sets.map((set, i) => (i ? item(sets, set.name) : null));
  }
  const deployment = data.deployment, oodCount = 1000 * deployment.prevalence;
  const counts = card(`${of}Of 1000 inputs, ${number(oodCount)} of them OOD`);
  for (const name of ["ID kept", "ID flagged", "OOD caught", "OOD missed"]) texts[name] = item(counts, name);
  const rates = card(`${of}False positives`);
  texts.missed = item(rates, "OOD missed, FPR (ID+)");
  texts.false_alarms = item(rates, "ID flagged, FPR (OOD+)");
  const cost = card(`${of}Expected cost of 1000 inputs`);
  texts.cost = element("div", "", cost, "big");
  element("div", `${number(deployment.miss_cost)} an OOD missed, ${number(deployment.false_alarm_cost)} an ID flagged`, cost);
  lab.line.setAttribute("aria-label", data.label);
  lab.line.setAttribute("aria-readonly", data.fixed);
}

const percent = (share) => (Number.isNaN(share) ? "–" : `${(100 * share + 1e-9).toFixed(1)} %`);
const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 2 });
const count = (value) => (Number.isNaN(value) ? "–" : value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }));
const score = (value) => String(Number(value.toPrecision(6))); // as the rest of the page writes it

// What share of ID is kept and of each group caught, of groups whose sets let `passed` rows pass.
function outcome(groups, passed) {
  let first = 0;
  const [[kept], ...missed] = groups.map((group) => {
    const shares = group.sets.map((set, i) => passed[first + i] / set.n);
    first += group.sets.length;
    return shares;
  });
  return { kept, caught: missed.map((shares) => 1 - mean(shares)) };
}

function draw(lab) {
  const { data, texts } = lab;
  if (!data) return;
  const { kept, caught } = outcome(data.groups, lab.passed), caughtMean = mean(caught);
  const other = data.compared && outcome(data.compared.groups, lab.compared_passed);
  const both = (own, others, verb) => (data.compared ? `${data.compared.names[0]} ▲ ${percent(own)}, ${data.compared.names[1]} ▼ ${percent(others)} ${verb}` : `${percent(own)} ${verb}`);
  texts.groups[0].textContent = both(kept, other?.kept, "kept");
  caught.forEach((share, i) => { texts.groups[i + 1].textContent = both(share, other?.caught[i], "caught"); });
  if (texts.both) texts.both.textContent = is_apart(lab) ? "OOD caught, each by the same rule" : "OOD caught, where both keep as much of ID";
  texts.pairs?.forEach(({ own, other: others }, i) => {
    const share = (passed, set) => percent(i ? 1 - passed / set.n : passed / set.n);
    own.textContent = share(lab.passed[i], lab.sets[i]);
    others.textContent = share(lab.compared_passed[i], lab.compared[i]);
  });
  lab.sets.forEach((set, i) => { if (texts.sets[i]) texts.sets[i].textContent = percent(1 - lab.passed[i] / set.n); });
  numbers(lab, kept, caughtMean);
  const at = place(lab, lab.threshold);
  const shown = score(lab.threshold);
  const [low, high] = [data.edges[0], data.edges.at(-1)];
  lab.flag.textContent = `${lab.threshold < low ? "◂ " : ""}${shown}${lab.threshold > high ? " ▸" : ""}`; // beyond the axis
  lab.line.setAttribute("aria-valuenow", lab.threshold);
  const catches = caught.map((share, i) => `, catches ${percent(share)} of ${data.groups[i + 1].name}`).join("");
  const others = other ? `; ${data.compared.names[1]} keeps ${percent(other.kept)}${other.caught.map((share, i) => `, catches ${percent(share)} of ${data.groups[i + 1].name}`).join("")}` : "";
  lab.line.setAttribute("aria-valuetext", `${shown}: keeps ${percent(kept)} of ID${catches}${others}`);
  paint(lab, at);
}

function numbers(lab, kept, caughtMean) {
  const { texts } = lab, { prevalence, miss_cost, false_alarm_cost } = lab.data.deployment;
  const idCount = 1000 * (1 - prevalence), oodCount = 1000 * prevalence;
  texts["ID kept"].textContent = count(idCount * kept);
  texts["ID flagged"].textContent = count(idCount * (1 - kept));
  texts["OOD caught"].textContent = count(oodCount * caughtMean);
  texts["OOD missed"].textContent = count(oodCount * (1 - caughtMean));
  texts.missed.textContent = percent(1 - caughtMean);
  texts.false_alarms.textContent = percent(1 - kept);
  texts.cost.textContent = count(miss_cost * oodCount * (1 - caughtMean) + false_alarm_cost * idCount * (1 - kept));
}

// Whether the compared detector's line is elsewhere, where the rule put it.
function is_apart(lab) {
  return lab.compared_place !== null && Math.abs(lab.compared_place - place(lab, lab.threshold)) * lab.plot.clientWidth > 1;
}

function row_height(lab) {
  return HEADER + BAR_HEIGHT + (lab.data.compared ? BELOW : 0) + GAP;
}

// Bars: what is decided rightly is solid, what is decided wrongly is an outline with a pale fill.
function paint(lab, at) {
  const { canvas, data } = lab, groupCount = data.groups.length;
  const width = lab.plot.clientWidth, height = groupCount * row_height(lab), pen = pen_of(canvas, width, height);
  canvas.style.height = `${height}px`;
  const x = at * width;
  band(lab, pen, width, height);
  data.groups.forEach((group, i) => {
    const floor = i * row_height(lab) + HEADER + BAR_HEIGHT, { bars: above, below } = lab.heights[i];
    pen.fillStyle = pen.strokeStyle = group.colour;
    bars(pen, above, floor, width, data, 0, x, i === 0);
    bars(pen, above, floor, width, data, x, width, i !== 0);
    if (below) {
      const apart = is_apart(lab), own = apart ? lab.compared_place * width : x;
      bars(pen, below, floor, width, data, 0, own, i === 0, true);
      bars(pen, below, floor, width, data, own, width, i !== 0, true);
      if (apart) mark(lab, pen, own, floor);
    }
    pen.globalAlpha = 0.5;
    pen.fillRect(0, floor, width, 1);
    pen.globalAlpha = 1;
    pen.strokeStyle = data.selected_colour;
    stairs(pen, lab.outlines[i], floor, width, data);
  });
  pen.globalAlpha = 1;
  put_line(lab.line, lab.flag, x, width);
}

// Where the line may lie, by the rule that chose it: a band of two pixels at least.
function band(lab, pen, width, height) {
  if (!lab.data.interval) return;
  const [low, high] = lab.data.interval.map((value) => place(lab, value) * width);
  pen.globalAlpha = 0.25;
  pen.fillStyle = "#808080";
  pen.fillRect(low, 0, Math.max(high - low, 2), height);
  pen.globalAlpha = 1;
}

function mark(lab, pen, x, floor) {
  pen.globalAlpha = 1;
  pen.strokeStyle = getComputedStyle(lab.plot).color;
  pen.lineWidth = 2;
  pen.setLineDash([4, 3]);
  pen.beginPath();
  pen.moveTo(x, floor);
  pen.lineTo(x, floor + BELOW);
  pen.stroke();
  pen.setLineDash([]);
}

function stairs(pen, heights, floor, width, data) {
  const one = (width * data.bar) / (data.edges.length - 1);
  pen.beginPath();
  pen.moveTo(0, floor);
  heights.forEach((share, k) => {
    pen.lineTo(k * one, floor - share * BAR_HEIGHT);
    pen.lineTo(Math.min((k + 1) * one, width), floor - share * BAR_HEIGHT);
  });
  if (heights.length) pen.lineTo(width, floor);
  pen.lineWidth = 2;
  pen.stroke();
}

function bars(pen, heights, floor, width, data, from, to, solid, hangs = false) {
  const one = (width * data.bar) / (data.edges.length - 1);
  const gap = one > 4 ? 1 : 0;
  pen.save();
  pen.beginPath();
  pen.rect(from, hangs ? floor + 1 : floor - BAR_HEIGHT - 1, to - from, hangs ? BELOW : BAR_HEIGHT + 2);
  pen.clip();
  pen.beginPath();
  for (let k = Math.floor(from / one); k < heights.length && k * one < to; k++) {
    const tall = heights[k] && Math.max(1, heights[k] * (hangs ? BELOW : BAR_HEIGHT));
    if (tall) pen.rect(k * one + (solid ? 0 : 0.5), hangs ? floor + 1 : floor - tall, Math.min(one, width - k * one) - gap - (solid ? 0 : 1), tall);
  }
  pen.globalAlpha = solid ? 0.95 : 0.22;
  pen.fill();
  if (!solid) {
    pen.globalAlpha = 0.7;
    pen.lineWidth = 0.75;
    pen.stroke();
  }
  pen.restore();
}
