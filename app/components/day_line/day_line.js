// Histograms, a line over them, and what a day of inputs costs where it lies. The counts below each step of the axis come with the
// data, so every number is exact while one drags. Nothing is sent but where the line was let go.

const INPUTS = 10000; // a day
const WORKDAY = 8; // hours
const TITLE_HEIGHT = 24; // px above the bars of a group
const AXIS_HEIGHT = 22; // px below the last
const BOXES = [
  ["prevalence", "strange, of 100 inputs", 100], ["minutes", "minutes a look", 1e6],
  ["hourly", "an hour of looking costs", 1e9], ["miss", "a strange one that passes costs", 1e9],
]; // [name, label, most]
const percent = (share) => `${(100 * share + 1e-9).toFixed(1)} %`;
const whole = (value) => Math.round(value).toLocaleString("en");
const decimal = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });
const dragging = draggable({
  moving: ["threshold"], value: (view) => view.threshold, rest: (view) => { view.threshold = view.data.threshold; },
  draw, steps, step_to, follow,
});

export default dragging.mounting(create, accept);

function create(root) {
  const find = (name) => root.querySelector(name);
  const view = {
    plot: find(".plot"), canvas: find("canvas"), groups: find(".groups"), axis: find(".axis"), line: find(".line"),
    flag: find(".flag"), examples: find(".examples"), cost: find(".cost"), built: null,
  };
  view.observer = new ResizeObserver(() => dragging.ask(view));
  view.observer.observe(view.plot);
  dragging.listen(view, view.plot, [view.line]);
  return view;
}

function accept(view, data) {
  view.data = data;
  if (view.built !== data.groups) {
    view.built = data.groups;
    view.upto = data.groups.map((group) => group.sets.map((set) => cumulated(set.counts)));
    view.bars = data.groups.map((group) => shares_of_tallest(group_bars(group, data)));
    view.assumed = { ...data.assumed };
    build(view);
  }
  dragging.arrived(view, data.threshold);
}

function shares_of_tallest(bars) {
  const tallest = Math.max(...bars);
  return bars.map((share) => share / tallest);
}

// -- the line ---------------------------------------------------------------------------------------------------------

function step_to(view, index) {
  const edges = view.data.edges;
  view.threshold = edges[Math.min(Math.max(index, 0), edges.length - 1)];
  dragging.ask(view);
}

function follow(view, event) {
  step_to(view, step_at(view, event));
}

// What share of ID is kept, and of each group caught, where `passed(set, upto)` rows of a set pass; `upto` are those at or below each step.
function outcome({ data, upto }, passed) {
  const shares = data.groups.map((group, g) => mean(group.sets.map((set, s) => passed(set, upto[g][s]) / set.n)));
  return { kept: shares[0], caught: shares.slice(1).map((share) => 1 - share) };
}

function outcome_at_line(view) {
  const { data, threshold } = view, edge = data.edges.indexOf(threshold);
  return outcome(view, (set, upto) => (edge < 0 ? set.passed : upto[edge])); // off the steps it lies where the data say
}

// What a day costs: hours of looking, misses, and both as money. Where no OOD set says what is caught, nothing strange is reckoned with.
function day({ assumed }, { kept, caught }) {
  const strange = caught.length ? (INPUTS * assumed.prevalence) / 100 : 0, familiar = INPUTS - strange;
  const found = caught.length ? strange * mean(caught) : 0, alarms = familiar * (1 - kept);
  const hours = ((found + alarms) * assumed.minutes) / 60, missed = strange - found;
  return { found, alarms, hours, missed, cost: hours * assumed.hourly + missed * assumed.miss };
}

// Finds the step of the axis where a day is cheapest; where no OOD set says what is caught there is none.
function find_cheapest(view) {
  view.cheapest.hidden = view.data.groups.length < 2;
  if (view.cheapest.hidden) return;
  let best = { cost: Infinity };
  view.data.edges.forEach((edge, i) => {
    const there = outcome(view, (set, upto) => upto[i]), { cost } = day(view, there);
    if (cost < best.cost) best = { cost, i, kept: there.kept };
  });
  view.cheapest_step = best.i;
  view.cheapest.textContent = `Cheapest line: ${whole(best.cost)} a day, ${percent(best.kept)} of familiar pass`;
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function build(view) {
  const { data } = view;
  build_axis(view);
  for (const part of [view.groups, view.examples, view.cost]) part.replaceChildren();
  view.shares = data.groups.map((group) => {
    const line = element("div", "", view.groups), name = element("span", "", line);
    element("i", "", name).style.background = group.colour;
    name.append(group.name === "ID" ? "familiar" : `strange: ${group.name}`);
    return element("span", "", line);
  });
  view.marks = data.examples.filter((example) => example.image).map((example) => {
    const box = element("span", "", view.examples), image = document.createElement("img");
    image.src = example.image;
    image.alt = image.title = `The classifier says ${example.label}`;
    box.append(image);
    return { example, box, text: element("span", "", box) };
  });
  element("h3", `A day of ${INPUTS.toLocaleString("en")} inputs, if`, view.cost);
  const boxes = element("div", "", view.cost, "assumed");
  for (const [name, label, most] of BOXES) if (data.groups.length > 1 || !["prevalence", "miss"].includes(name)) boxes.append(box_of(view, name, label, most));
  view.result = element("dl", "", view.cost, "result");
  view.cheapest = cheapest_button(view);
  find_cheapest(view);
  view.line.setAttribute("aria-label", "Threshold");
}

function box_of(view, name, label, most) {
  const made = document.createElement("label"), input = document.createElement("input");
  element("span", label, made);
  Object.assign(input, { type: "number", min: 0, max: most, step: "any", value: view.assumed[name] });
  input.oninput = () => {
    if (input.value === "" || !input.validity.valid) return;
    view.assumed[name] = Number(input.value);
    find_cheapest(view);
    dragging.ask(view);
  };
  made.append(input);
  return made;
}

function cheapest_button(view) {
  const button = element("button", "", element("p", "", view.cost, "cheapest"));
  button.type = "button";
  button.onclick = () => { step_to(view, view.cheapest_step); view.send("released", view.threshold); };
  return button;
}

function draw(view) {
  const { data } = view;
  if (!data || !view.plot.clientWidth) return;
  const now = outcome_at_line(view), at = place(view, view.threshold);
  view.shares[0].textContent = `${percent(now.kept)} pass`;
  now.caught.forEach((share, i) => { view.shares[i + 1].textContent = `${percent(share)} caught`; });
  for (const { example, box, text } of view.marks) {
    const caught = example.score > view.threshold;
    box.className = caught ? "caught" : "";
    text.textContent = caught ? "caught" : "passes";
  }
  view.flag.textContent = String(Number(view.threshold.toPrecision(4)));
  view.line.setAttribute("aria-valuenow", view.threshold);
  view.line.setAttribute("aria-valuetext", `${view.flag.textContent}: ${view.shares.map((share) => share.textContent).join(", ")}`);
  paint(view, at);
  reckon(view, now);
}

function reckon(view, now) {
  const { found, alarms, hours, missed, cost } = day(view, now), rows = [];
  const of = now.caught.length ? `: ${whole(found)} strange, ${whole(alarms)} familiar` : "";
  rows.push([whole(found + alarms), `are looked at${of}`]);
  rows.push([`${decimal(hours)} h`, `of looking, ${decimal(hours / WORKDAY)} people's day`]);
  rows.push(now.caught.length ? [whole(missed), "strange ones pass unread"] : ["–", "pass unread: no strange inputs to try here"]);
  rows.push([whole(cost), "is what the day costs", "big"]);
  view.result.replaceChildren();
  for (const [value, text, name] of rows) {
    element("dt", value, view.result, name);
    element("dd", text, view.result, name);
  }
}

// What is decided rightly is solid, what is decided wrongly pale.
function paint(view, at) {
  const { data, plot, canvas } = view, width = plot.clientWidth, high = plot.clientHeight;
  const pen = pen_of(canvas, width, high), x = at * width, row = (high - AXIS_HEIGHT) / data.groups.length;
  canvas.style.height = `${high}px`;
  const one = (width * data.bar) / (data.edges.length - 1);
  data.groups.forEach((group, g) => {
    view.groups.children[g].style.top = `${g * row + 2}px`; // below the floor of the group before
    const floor = (g + 1) * row, tall = row - TITLE_HEIGHT - 4;
    for (const [from, to, solid] of [[0, x, g === 0], [x, width, g !== 0]]) {
      pen.save();
      pen.beginPath();
      pen.rect(from, 0, to - from, high);
      pen.clip();
      pen.fillStyle = group.colour;
      pen.globalAlpha = solid ? 0.95 : 0.28;
      view.bars[g].forEach((share, k) => { if (share) pen.fillRect(k * one, floor - Math.max(1, share * tall), Math.min(one, width - k * one) - (one > 4 ? 1 : 0), Math.max(1, share * tall)); });
      pen.restore();
    }
    pen.fillStyle = group.colour;
    pen.globalAlpha = 0.5;
    pen.fillRect(0, floor, width, 1);
    pen.globalAlpha = 1;
  });
  put_line(view.line, view.flag, x, width);
}
