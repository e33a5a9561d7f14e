// A histogram a detector and one line in all of them, which keeps the same share of ID everywhere. Dragging costs no round
// trip: what is at or below every place of the line comes with the data. One message leaves when the line is let go.

const HEIGHT = 92; // px of a plot
const MOVED = 4; // px from which on a press is a drag, no click
const DASHES = { solid: [], dash: [7, 4], dot: [2, 3], dashdot: [7, 3, 2, 3], longdash: [11, 4] };
const dragging = draggable({ moving: ["at", "percent"], value: (lab) => lab.percent, rest, draw, steps, step_to });

export default dragging.mounting(create, accept);

function create(root) {
  const find = (name) => root.querySelector(name);
  const lab = {
    root: find(".detector-lines"), finding: find(".finding"), legend: find(".legend"), place: find(".charts"), table: find("table"),
    hint: find(".hint"), charts: new Map(), at: -1,
  };
  lab.observer = new ResizeObserver(() => { lab.stale = true; dragging.ask(lab); });
  lab.observer.observe(lab.place);
  return lab;
}

const percent = (share) => (Number.isNaN(share) ? "–" : `${(100 * share + 1e-9).toFixed(1)}\u00a0%`);
const score = (value) => String(Number(value.toPrecision(4)));

// Sets the text of an element that holds nothing else; one text node stays, so that a frame makes none.
function say(node, text) {
  if (!node.firstChild) node.textContent = text;
  else if (node.firstChild.data !== text) node.firstChild.data = text;
}

// -- data -------------------------------------------------------------------------------------------------------------

function accept(lab, data) {
  lab.latest = data;
  if (lab.data !== data) {
    lab.data = data;
    lab.counts = data.sets.map((set) => set.counted);
    lab.detectors = data.detectors.map((detector) => ({
      ...detector,
      inside: { ...detector.inside, upto: cumulated(detector.inside.passed) },
      sets: detector.sets.map((set) => ({ ...set, upto: cumulated(set.passed) })),
      selected: detector.selected && { ...detector.selected, upto: cumulated(detector.selected.passed) },
    }));
    build(lab);
  }
  dragging.arrived(lab, data.percent);
}

// Puts the line where the data say; `at` is -1 there, since that may be between the places to drag it to.
function rest(lab) {
  lab.at = -1;
  lab.percent = lab.latest.percent;
}

const threshold = (lab, detector) => (lab.at < 0 ? detector.threshold_now : detector.thresholds[lab.at]);
const place = (lab, detector) => (lab.at < 0 ? detector.place_now : detector.places[lab.at]);
const passed = (lab, rows) => (lab.at < 0 ? rows.passed_now : rows.upto[lab.at]);

// What a detector keeps and catches at the line: by set, by group (the mean of its sets that count), and in all.
function outcome(lab, detector) {
  const { data, counts } = lab;
  const bySet = detector.sets.map((set, i) => 1 - passed(lab, set) / data.sets[i].n);
  const byGroup = data.groups.map((group) => mean(bySet.filter((_, i) => counts[i] && data.sets[i].group === group.name)));
  return {
    name: detector.name, kept: passed(lab, detector.inside) / data.inside.n, bySet, byGroup,
    caught: mean(byGroup.filter((share) => !Number.isNaN(share))),
    selected: detector.selected ? 1 - passed(lab, detector.selected) / data.selected.n : NaN,
  };
}

// -- the line ---------------------------------------------------------------------------------------------------------

function step_to(lab, index) {
  const { percents } = lab.data;
  const at = Math.min(Math.max(index, 0), percents.length - 1);
  if (percents[at] === lab.percent) return;
  lab.at = at;
  lab.percent = percents[at];
  dragging.ask(lab);
}

// The place of the line that is nearest to the pointer; places of one detector rise.
function follow(lab, chart, event) {
  const x = across(chart.plot.getBoundingClientRect(), event), { places } = chart.detector;
  let low = 0, high = places.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle] < x) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && x - places[low - 1] < places[low] - x) low -= 1;
  step_to(lab, low);
}

function press(lab, chart, event) {
  if (event.button) return;
  dragging.hold(lab, event, chart.plot, chart.line);
  Object.assign(lab.held, { chart, x: event.clientX, moved: false });
  lab.hint.hidden = true;
}

function move(lab, chart, event) {
  const { held } = lab;
  if (!held) return show_hint(lab, chart, event);
  if (!dragging.is_held_by(lab, event)) return;
  if (!held.moved && Math.abs(event.clientX - held.x) >= MOVED) {
    held.moved = true;
    dragging.grab(lab);
  }
  if (held.moved) follow(lab, chart, event);
}

// A press that has not moved is a click on a bar.
function release(lab, chart, event) {
  if (!dragging.is_held_by(lab, event)) return;
  if (lab.held.moved) return dragging.drop(lab);
  lab.held = null;
  lab.send("clicked", [chart.detector.name, bar_at(chart, event)]);
}

function steps(lab, event) {
  const { percents } = lab.data, last = percents.length - 1;
  const down = percents.findLastIndex((each) => each < lab.percent - 1e-9);
  const up = percents.findIndex((each) => each > lab.percent + 1e-9);
  const lower = down < 0 ? 0 : down, upper = up < 0 ? last : up, one = event.shiftKey ? 9 : 0;
  return key_places({ down: lower - one, up: upper + one, far_down: lower - 9, far_up: upper + 9, first: 0, last });
}

// -- bars -------------------------------------------------------------------------------------------------------------

function bar_at(chart, event) {
  const bars = chart.detector.edges.length - 1;
  return Math.min(Math.max(Math.floor(across(chart.plot.getBoundingClientRect(), event) * bars), 0), bars - 1);
}

function show_hint(lab, chart, event) {
  if (event.pointerType !== "mouse") return;
  const bar = bar_at(chart, event), { edges } = chart.detector, last = edges.length - 2;
  const range = bar === 0 ? `below ${score(edges[1])}` : bar === last ? `from ${score(edges[last])} up` : `${score(edges[bar])} to ${score(edges[bar + 1])}`;
  const shares = chart.shapes.filter((shape) => shape.name !== "selected").map((shape) => `${shape.name} ${percent(shape.bars[bar])}`);
  lab.hint.textContent = `${range}: ${shares.join(", ")}. Click to select`;
  lab.hint.hidden = false;
  const box = lab.root.getBoundingClientRect(), plot = chart.plot.getBoundingClientRect();
  const x = Math.min(Math.max(event.clientX - box.left - lab.hint.offsetWidth / 2, 0), Math.max(box.width - lab.hint.offsetWidth, 0));
  lab.hint.style.transform = `translate(${x}px, ${plot.bottom - box.top + 24}px)`;
}

// Shares of each group a bar; every set of it that counts counts the same.
function shapes(lab, detector) {
  const { data, counts } = lab;
  const shape = (name, colour, dash, parts) => ({
    name, colour, dash,
    bars: detector.inside.bars.map((_, k) => mean(parts.map(([bars, n]) => bars[k] / n))),
  });
  const drawn = [shape("ID", data.inside.colour, "solid", [[detector.inside.bars, data.inside.n]])];
  for (const group of data.groups) {
    const parts = data.sets.flatMap((set, i) => (counts[i] && set.group === group.name ? [[detector.sets[i].bars, set.n]] : []));
    if (parts.length) drawn.push(shape(group.name, group.colour, group.dash, parts));
  }
  if (detector.selected) {
    const total = detector.selected.bars.reduce((sum, count) => sum + count, 0);
    drawn.push(shape("selected", data.selected.colour, "longdash", [[detector.selected.bars, total]]));
  }
  return drawn;
}

// -- what does not move -----------------------------------------------------------------------------------------------

function build(lab) {
  const focused = [...lab.charts.values()].find((chart) => chart.line.matches(":focus"));
  build_legend(lab);
  const old = lab.charts;
  lab.charts = new Map(lab.detectors.map((detector) => [detector.name, old.get(detector.name) ?? build_chart(lab)]));
  for (const detector of lab.detectors) fill_chart(lab, lab.charts.get(detector.name), detector);
  const sections = [...lab.charts.values()].map((chart) => chart.section);
  if (sections.some((section, i) => section !== lab.place.children[i]) || sections.length !== lab.place.children.length) {
    lab.place.replaceChildren(...sections);
    if (focused?.section.isConnected) focused.line.focus({ preventScroll: true });
  }
  build_table(lab);
  lab.stale = true;
}

function build_legend(lab) {
  const { data } = lab, active = lab.root.getRootNode().activeElement?.dataset?.set;
  lab.legend.replaceChildren();
  const entry = (name, colour, dash) => {
    const made = element("span", "", lab.legend);
    made.innerHTML = `<svg viewBox="0 0 28 12" aria-hidden="true"><path d="M0 6H28" fill="none" stroke-width="3"/></svg>`;
    const path = made.querySelector("path");
    path.setAttribute("stroke", colour);
    path.setAttribute("stroke-dasharray", DASHES[dash].join(" "));
    element("span", name, made);
    return made;
  };
  entry("ID", data.inside.colour, "solid");
  for (const group of data.groups) {
    const made = entry(group.name, group.colour, group.dash);
    data.sets.forEach((set, i) => {
      if (set.group !== group.name) return;
      const button = element("button", set.title, made);
      button.type = "button";
      button.dataset.set = set.name;
      button.setAttribute("aria-pressed", lab.counts[i]);
      button.title = "Counts, or does not";
      button.onclick = () => toggle(lab, i);
      if (set.name === active) button.focus({ preventScroll: true });
    });
  }
  if (data.selected.is_any) entry("selected", data.selected.colour, "longdash");
}

function toggle(lab, i) {
  const counts = lab.counts.map((counted, j) => (j === i ? !counted : counted));
  if (!counts.some(Boolean)) return; // one counts at least
  lab.counts = counts;
  lab.legend.querySelectorAll("button").forEach((button) => {
    button.setAttribute("aria-pressed", counts[lab.data.sets.findIndex((set) => set.name === button.dataset.set)]);
  });
  for (const chart of lab.charts.values()) chart.shapes = shapes(lab, chart.detector);
  lab.stale = true;
  dragging.ask(lab);
  lab.send("counted", lab.data.sets.filter((_, j) => counts[j]).map((set) => set.name));
}

function build_chart(lab) {
  const section = document.createElement("section");
  section.className = "chart";
  const chart = { section };
  const header = element("header", "", section), title = element("span", "", header);
  chart.name = element("b", "", title);
  chart.total = element("span", "", title);
  chart.note = element("small", "", header);
  chart.caught = element("div", "", section, "caught");
  chart.plot = element("div", "", section, "plot surface");
  chart.canvas = element("canvas", "", chart.plot);
  chart.canvas.setAttribute("role", "img");
  chart.beyond = element("div", "", element("div", "", chart.plot, "beyond"));
  chart.line = element("div", "", chart.plot, "line");
  chart.line.setAttribute("role", "slider");
  chart.line.setAttribute("aria-orientation", "horizontal");
  chart.line.tabIndex = 0;
  element("span", "", chart.line, "grip");
  chart.flag = element("span", "", chart.line, "flag");
  chart.axis = element("div", "", section, "axis");
  chart.axis.setAttribute("aria-hidden", "true");
  chart.plot.onmousedown = (event) => event.preventDefault(); // keeps the focus on the line
  chart.plot.onpointerdown = (event) => press(lab, chart, event);
  chart.plot.onpointermove = (event) => move(lab, chart, event);
  chart.plot.onpointerup = (event) => release(lab, chart, event);
  chart.plot.onpointercancel = () => dragging.abandon(lab);
  chart.plot.onpointerleave = () => { lab.hint.hidden = true; };
  dragging.listen_to_keys(lab, chart.line);
  return chart;
}

function fill_chart(lab, chart, detector) {
  const { data } = lab;
  chart.detector = detector;
  chart.shapes = shapes(lab, detector);
  say(chart.name, detector.name);
  say(chart.note, detector.note);
  chart.section.setAttribute("aria-label", detector.name);
  const groups = data.groups.map((group) => group.name);
  const unit = data.unit === "raw" ? "score" : data.unit === "symlog" ? "score on a symlog axis" : data.unit;
  chart.canvas.setAttribute("aria-label", `${detector.name}: histograms of the ${unit} of ID${groups.map((name) => `, ${name}`).join("")}, as shares of each; larger is more OOD`);
  chart.line.setAttribute("aria-label", `Line of ${detector.name}`);
  chart.line.setAttribute("aria-valuemin", data.percents[0]);
  chart.line.setAttribute("aria-valuemax", data.percents.at(-1));
  chart.caught.replaceChildren();
  const figure = (colour) => {
    const made = element("span", "", chart.caught);
    element("i", "", made).style.background = colour;
    return element("span", "", made);
  };
  chart.groups = data.groups.map((group) => figure(group.colour));
  chart.selected = data.selected.n ? figure(data.selected.colour) : null;
  chart.axis.replaceChildren();
  const last = detector.ticks.length - 1;
  detector.ticks.forEach(([at, label], i) => {
    const tick = element("span", label, chart.axis);
    tick.style.left = `${100 * at}%`;
    if (at < 0.04 && i === 0) tick.style.transform = "none";
    if (at > 0.96 && i === last) tick.style.transform = "translateX(-100%)";
  });
}

function build_table(lab) {
  const { data, table } = lab;
  table.replaceChildren();
  table.style.minWidth = `${7 + 5.2 * (3 + data.groups.length + data.sets.length)}rem`; // columns are equally wide
  const head = element("thead", "", table), top = element("tr", "", head), names = element("tr", "", head);
  const heading = (row, text, span = 1, name = "") => {
    const made = element("th", text, row, name);
    made.colSpan = span;
    made.scope = span > 1 ? "colgroup" : "col";
  };
  heading(top, "");
  heading(top, "At the line", 2, "of");
  if (data.groups.length) heading(top, "OOD caught, by group", data.groups.length + 1, "of");
  if (data.sets.length) heading(top, "by set", data.sets.length, "of");
  const groups = data.groups.length ? ["all", ...data.groups.map((group) => group.name)] : [];
  for (const name of ["Detector", "Threshold", "ID kept", ...groups, ...data.sets.map((set) => set.title)]) heading(names, name);
  const body = element("tbody", "", table);
  lab.rows = lab.detectors.map((detector) => {
    const row = element("tr", "", body);
    element("th", detector.name, row).scope = "row";
    const cell = (name) => element("td", "", row, name);
    return {
      threshold: cell(), kept: cell(), caught: groups.length ? cell("mean") : null,
      groups: data.groups.map(() => cell()), sets: data.sets.map(() => cell()),
    };
  });
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function draw(lab) {
  if (!lab.data) return;
  const stale = lab.stale;
  lab.stale = false;
  if (stale) measure(lab);
  const outcomes = lab.detectors.map((detector) => outcome(lab, detector));
  outcomes.forEach((result, i) => {
    const chart = lab.charts.get(result.name);
    draw_chart(lab, chart, result);
    draw_row(lab, lab.rows[i], result, threshold(lab, chart.detector));
    if (stale) paint(lab, chart);
  });
  say(lab.finding, finding(lab, outcomes));
}

function measure(lab) {
  for (const chart of lab.charts.values()) chart.width = chart.plot.clientWidth;
}

function finding(lab, outcomes) {
  const kept = `Where ${Number(lab.percent.toFixed(2))}\u00a0% of ID is kept`;
  if (!lab.data.sets.length) return kept;
  const [best, ...others] = [...outcomes].sort((a, b) => b.caught - a.caught);
  const next = others.slice(0, 2).map((each) => `${each.name} ${percent(each.caught)}`);
  const followers = next.length ? `; then ${next.join(", ")}` : "";
  return `${kept}, ${best.name} leads: ${percent(best.caught)} of OOD is caught${followers}.`;
}

function draw_chart(lab, chart, result) {
  const { data } = lab, { detector, width } = chart;
  const at = place(lab, detector), value = threshold(lab, detector), x = at * width;
  say(chart.total, data.sets.length ? ` catches ${percent(result.caught)}` : "");
  chart.groups.forEach((node, i) => say(node, `${data.groups[i].name} ${percent(result.byGroup[i])}`));
  if (chart.selected) say(chart.selected, `OOD selected ${percent(result.selected)}`);
  say(chart.flag, `${at <= 0 ? "◂ " : ""}${score(value)}${at >= 1 ? " ▸" : ""}`);
  chart.line.style.transform = chart.beyond.style.transform = `translateX(${x}px)`;
  const half = 3.6 * chart.flag.textContent.length + 7; // the flag stays inside the plot
  const aside = Math.max(0, half - x) - Math.max(0, x + half - width);
  chart.flag.style.transform = `translateX(calc(-50% + ${aside}px))`;
  if (lab.held && lab.held.chart !== chart) return; // the other lines are read out once it is let go
  const groups = result.byGroup.map((share, i) => `, ${data.groups[i].name} ${percent(share)}`).join("");
  chart.line.setAttribute("aria-valuenow", lab.percent);
  chart.line.setAttribute("aria-valuetext", `threshold ${score(value)} keeps ${percent(result.kept)} of ID${groups && `, catches ${percent(result.caught)} of OOD${groups}`}`);
}

function draw_row(lab, row, result, value) {
  say(row.threshold, score(value));
  say(row.kept, percent(result.kept));
  if (row.caught) say(row.caught, percent(result.caught));
  row.groups.forEach((cell, i) => say(cell, percent(result.byGroup[i])));
  row.sets.forEach((cell, i) => say(cell, percent(result.bySet[i])));
}

// Outlines of the groups' shares, that of ID filled; what is selected may be cut off at the top. Heights are square roots on an
// axis of percentiles, where ID is flat and most of OOD in the last bar.
function paint(lab, chart) {
  const { width } = chart, pen = pen_of(chart.canvas, width, HEIGHT);
  const tallest = Math.max(...chart.shapes.filter((shape) => shape.name !== "selected").flatMap((shape) => shape.bars));
  const height = (share) => (lab.data.unit === "ID percentile" ? Math.sqrt(share / tallest) : share / tallest);
  for (const shape of chart.shapes) {
    trace_bars(pen, shape.bars.map(height), width, HEIGHT, HEIGHT - 4);
    pen.strokeStyle = pen.fillStyle = shape.colour;
    if (shape.name === "ID") {
      pen.globalAlpha = 0.3;
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.lineWidth = 2;
    pen.setLineDash(DASHES[shape.dash]);
    pen.stroke();
  }
}
