// Slides that fill what is left of the window: a headline, a picture, notes. Every text is set as text, never as HTML. In the app it
// sends which slide is shown and where a lead goes; by itself, in a file, it needs nobody.

const BELOW = 8; // px below the stage
const BAR = 64; // px of the app's own bar, which stays at the top as one scrolls
const LEAST = 520; // px; where the window leaves less, on a phone, what stands below is out of it, or what stands above, too
const GAP = 8; // px between small pictures
const GAPS = { across: 24, down: 8 }; // px between maps
const CAPTION = { map: 52, large: 64, small: 22, small_upright: 36 }; // px below or above pictures
const stages = new WeakMap(); // parentElement -> what is remembered between renders

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return undefined;
  const stage = stages.get(parentElement) ?? create(parentElement);
  stages.set(parentElement, stage);
  stage.send = setTriggerValue;
  accept(stage, data);
  return () => {
    stage.observer.disconnect();
    stage.around_observer.disconnect();
    window.removeEventListener("resize", stage.on_resize);
    document.removeEventListener("keydown", stage.on_key);
    clear(stage);
    stages.delete(parentElement);
  };
}

function create(root) {
  const find = (name) => root.querySelector(name);
  const stage = {
    root: find(".stage"), title: find("h2"), text: find("header p"), picture: find(".picture"), notes: find("aside"),
    dots: find("nav"), leads: find(".leads"), back: find(".back"), next: find(".next"), toggle: find(".notes"),
    key: null, at: 0, sent: null, threshold: null, built: [],
  };
  stage.back.onclick = () => go(stage, stage.at - 1);
  stage.next.onclick = () => go(stage, stage.at + 1);
  stage.toggle.onclick = () => { stage.notes.hidden = !stage.notes.hidden; stage.toggle.setAttribute("aria-pressed", !stage.notes.hidden); };
  stage.on_resize = () => fill_window(stage);
  stage.on_key = (event) => press(stage, event);
  stage.observer = new ResizeObserver(() => { const slide = stage.built[stage.at]; if (slide) slide.fit(); });
  stage.observer.observe(stage.picture);
  stage.around = stage.root.getRootNode().host?.closest('[data-testid="stMainBlockContainer"]');
  stage.around_observer = new ResizeObserver(() => fill_window(stage)); // what stands above and below may come later
  if (stage.around) stage.around_observer.observe(stage.around);
  window.addEventListener("resize", stage.on_resize);
  document.addEventListener("keydown", stage.on_key);
  return stage;
}

function accept(stage, data) {
  const latest = data.step - 1;
  if (stage.key !== data.key) {
    clear(stage);
    Object.assign(stage, { key: data.key, slides: data.slides, lead_data: data.leads, at: latest, sent: null, threshold: null });
    stage.dots.replaceChildren(...data.slides.map((slide, i) => dot(stage, slide, i)));
    show(stage);
  } else if (stage.sent === null || stage.sent === latest) {
    stage.sent = null;
    if (stage.at !== latest) { stage.at = latest; show(stage); }
  }
  fill_window(stage);
}

function clear(stage) {
  for (const slide of stage.built) slide?.leave?.();
  stage.built = [];
  stage.picture.replaceChildren();
}

// Makes the stage as high as the window leaves room for, with what stands below it in the app.
function fill_window(stage) {
  const { around } = stage, main = around?.closest('[data-testid="stMain"]'), box = stage.root.getBoundingClientRect();
  const below = around ? around.getBoundingClientRect().bottom - box.bottom : BELOW, top = box.top + (main?.scrollTop ?? window.scrollY);
  const [all, alone] = [below, BELOW].map((under) => window.innerHeight - top - under);
  stage.is_scrolled_to = Math.max(all, alone) < LEAST;
  const scrolled_to = Math.max(LEAST, window.innerHeight - BAR - BELOW);
  stage.root.style.height = `${Math.floor([all, alone].find((height) => height >= LEAST) ?? scrolled_to)}px`;
}

// -- steps ------------------------------------------------------------------------------------------------------------

function dot(stage, slide, i) {
  const made = document.createElement("button");
  made.type = "button";
  made.setAttribute("aria-label", `Step ${i + 1} of ${stage.slides.length}: ${slide.title}`);
  made.title = `${i + 1}. ${slide.title}`;
  made.onclick = () => go(stage, i);
  return made;
}

function press(stage, event) {
  const target = event.composedPath()[0], step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 }[event.key];
  if (!step || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches?.("input, textarea, select, canvas, [role=slider], [contenteditable]")) return;
  event.preventDefault();
  go(stage, stage.at + step);
}

function go(stage, at) {
  if (at < 0 || at >= stage.slides.length || at === stage.at) return;
  stage.at = stage.sent = at;
  show(stage);
  if (stage.is_scrolled_to) stage.root.scrollIntoView({ block: "start" });
  stage.send("step", at + 1);
}

function show(stage) {
  const slide = stage.slides[stage.at], last = stage.slides.length - 1;
  stage.title.textContent = `${stage.at + 1}. ${spaced(slide.title)}`;
  stage.text.textContent = spaced(slide.text);
  stage.notes.replaceChildren();
  for (const text of [slide.say, slide.source]) if (text) line("p", spaced(text), stage.notes);
  [...stage.dots.children].forEach((made, i) => { i === stage.at ? made.setAttribute("aria-current", "step") : made.removeAttribute("aria-current"); });
  stage.back.disabled = stage.at === 0;
  stage.next.hidden = stage.at === last;
  stage.leads.replaceChildren(...(stage.at === last ? stage.lead_data.map((lead) => lead_button(stage, lead)) : []));
  stage.built[stage.at] ??= build(stage, slide);
  stage.built.forEach((other, i) => { other.box.hidden = i !== stage.at; });
  stage.built[stage.at].fit();
}

const spaced = (text) => text.replaceAll(" %", "\u00a0%"); // a line never begins with the sign of percent

function lead_button(stage, lead) {
  const made = line("button", lead.label);
  made.type = "button";
  made.title = lead.help;
  made.onclick = () => stage.send("lead", { page: lead.page, threshold: stage.threshold });
  return made;
}

// -- pictures ---------------------------------------------------------------------------------------------------------

// Builds a slide's picture; it says how it fits into its box, and what is to be done as it goes.
function build(stage, slide) {
  const kind = slide.picture.kind, box = line("div", "", stage.picture, `slide ${kind}`);
  return { box, ...{ maps, examples, line: day }[kind](stage, box, slide) };
}

// Maps in as many rows as make them largest, below them what their colours say, and shares as bars beside or below it all.
function maps(stage, box, { picture, bars }) {
  const wall = line("div", "", box, "places"), places = picture.maps.map(() => nested("surfaces", wall));
  const key = colour_key(picture.key, wall), list = bars_list(Object.entries(bars), box);
  const flat = picture.maps[0].flat, count = places.length, caption = flat ? CAPTION.map : 8, leave = [];
  const choices = places.flatMap((_, i) => [[count - i, false], [count - i, true]]); // [columns, whether the bars are below]
  const arrange = (below) => box.classList.toggle("below", below);
  // What is left for each map in so many columns.
  const room = ([columns, below]) => {
    arrange(below);
    const [right, under] = !list ? [0, 0] : below ? [0, list.offsetHeight + GAPS.down] : [list.offsetWidth + GAPS.across, 0];
    const rows = Math.ceil(count / columns), wide = (box.clientWidth - right - GAPS.across * (columns - 1)) / columns;
    const high = (box.clientHeight - under - key.offsetHeight - GAPS.down * rows) / rows - caption;
    return { columns, below, wide, high, side: Math.min(wide, high) };
  };
  const fit = () => {
    if (!box.clientWidth || !box.clientHeight) return;
    const best = choices.map(room).reduce((one, other) => (other.side > one.side * 1.05 ? other : one));
    arrange(best.below);
    const width = Math.floor(flat ? best.side : best.wide);
    wall.style.width = `${best.columns * width + (best.columns - 1) * GAPS.across}px`;
    places.forEach((place, i) => {
      place.style.width = `${width}px`;
      const data = { ...picture.maps[i], aspect: flat ? 1 : width / Math.max(best.high, 80) };
      leave[i] = surfaces({ parentElement: place, data, setTriggerValue: () => {} });
    });
  };
  return { fit, leave: () => leave.forEach((end) => end?.()) };
}

function colour_key({ low, colours, high }, parent) {
  const made = line("div", low, parent, "key");
  line("i", "", made).style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  made.append(high);
  return made;
}

// The list of shares as bars; none of no share.
function bars_list(bars, box) {
  if (!bars.length) return null;
  const list = line("dl", "", box, "bars");
  for (const [name, share] of bars) {
    line("dt", `Caught by ${name}`, list);
    const value = line("dd", "", list);
    line("i", "", value).style.setProperty("--share", `${100 * share}%`);
    value.append(`${(100 * share).toFixed(0)}\u00a0%`);
  }
  return list;
}

// A strange input beside a familiar one, large, and the others, small, to choose from; rows of text where there are no images.
function examples(stage, box, { picture }) {
  if (!picture.pairs.some(({ strange }) => strange.image)) return table(box, picture);
  const pair = line("div", "", box, "pair"), others = line("div", "", box, "others");
  const buttons = picture.pairs.map(({ strange }, i) => {
    const made = line("button", "", others);
    made.type = "button";
    made.setAttribute("aria-label", `${strange.says}, ${strange.truth}`);
    made.append(image_of(strange));
    line("span", spaced(strange.says), made);
    made.onclick = () => choose(i);
    return made;
  });
  const choose = (at) => {
    const { strange, familiar } = picture.pairs[at];
    pair.replaceChildren(...[[familiar, "familiar"], [strange, "strange"]].filter(([one]) => one).map(([one, name]) => figure(one, name)));
    buttons.forEach((made, i) => made.setAttribute("aria-current", i === at));
  };
  choose(0);
  const fit = () => {
    const wide = box.clientWidth, high = box.clientHeight, upright = wide < Math.max(high, 600), count = buttons.length;
    const caption = upright ? CAPTION.small_upright : CAPTION.small;
    if (!wide || !high) return;
    box.classList.toggle("upright", upright);
    const large = upright ? Math.min((wide - 20) / 2, high * 0.4) : Math.min(high - CAPTION.large, (wide * 0.62 - 60) / 2);
    box.style.setProperty("--large", `${Math.floor(large)}px`);
    const left = upright ? [wide, high - large - CAPTION.large - 24] : [wide - 2 * large - 60, high];
    const fits = [2, 3, 4, 6, 12].map((columns) => {
      const rows = Math.ceil(count / columns);
      return [Math.min((left[0] - GAP * (columns - 1)) / columns, (left[1] - GAP * (rows - 1)) / rows - caption - 10), columns];
    }).reduce((best, one) => (one[0] > best[0] ? one : best));
    box.style.setProperty("--columns", fits[1]);
    box.style.setProperty("--small", `${Math.floor(Math.max(fits[0], 24))}px`);
  };
  return { fit };
}

function figure(one, name) {
  const made = line("figure", "", undefined, name), caption = document.createElement("figcaption");
  made.append(one.image ? image_of(one) : line("span", one.row), caption);
  line("span", "the classifier says", caption);
  line("b", spaced(one.says), caption);
  line("span", one.truth, caption);
  return made;
}

function image_of(one) {
  const image = document.createElement("img");
  image.src = one.image;
  image.alt = `An image of ${one.truth}`;
  return image;
}

function table(box, { pairs, rows }) {
  const made = line("table", "", box, "rows");
  for (const cells of [...pairs.map(({ strange }) => [strange.truth, strange.row, `the classifier says ${strange.says}`]), ...rows]) {
    const row = line("tr", "", made);
    for (const cell of cells) line("td", spaced(cell), row);
  }
  box.tabIndex = 0; // it may be longer than its place
  return { fit: () => {} };
}

// The line, which remembers where it was let go.
function day(stage, box, { picture }) {
  const place = nested("day_line", box);
  place.style.height = "100%";
  stage.threshold = picture.data.threshold;
  const mount = () => day_line({
    parentElement: place, data: { ...picture.data, threshold: stage.threshold },
    setTriggerValue: (name, value) => { stage.threshold = value; mount(); },
  });
  return { fit: () => {}, leave: mount() };
}

function nested(name, parent) {
  const place = line("div", "", parent, `nested-${name}`);
  place.innerHTML = NESTED[name]; // the component's own, a file of this project
  return place;
}

function line(tag, content, parent, name) {
  const made = document.createElement(tag);
  made.textContent = content;
  if (name) made.className = name;
  parent?.append(made);
  return made;
}
