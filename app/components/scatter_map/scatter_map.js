// A picture of points to draw on. Zooming, moving and drawing happen here; one message leaves when a shape is closed, a spot is
// clicked, or a move has come to rest. All places are fractions of the whole picture. Text is set as text, never as HTML.
// What a pointer is over is previewed from data that another component put into window.heatShared: `rows` says of what set and class
// each row is, `values` how it scores, and the data of the plot's own name where it lies, with lines to draw over the picture.

const STILL = 5; // px that a click may move
const REACH = 9; // px around a click
const REST = 300; // ms without a move before the window counts as come to rest
const STEP = 4; // px between corners of a lasso
const NO_TOOL = ""; // one finger scrolls the page over the map, until a tool is pressed
const HOVER = 12; // px around a pointer, within which a point is previewed
const PAUSE = 60; // ms that a pointer rests on a point before its thumbnail is asked for
const PATIENCE = 3000; // ms after which a thumbnail that did not come is asked for anew
const AROUND = 80; // px around it, of whose points thumbnails are asked for, too
const UNITS = 65534; // of which packed fractions are numbers
const NOTHING = 65535; // a packed number that is not there
const maps = new WeakMap(); // parentElement -> what is remembered between renders

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return undefined;
  const map = maps.get(parentElement) ?? create(parentElement);
  maps.set(parentElement, map);
  map.send = setTriggerValue;
  accept(map, data);
  return () => {
    clearTimeout(map.timer);
    clearTimeout(map.pause);
    for (const [name, listener] of Object.entries(map.listeners)) document.removeEventListener(name, listener);
    map.observer.disconnect();
    maps.delete(parentElement);
  };
}

function create(root) {
  const map = {
    face: root.querySelector(".face"), canvas: root.querySelector("canvas"), legend: root.querySelector(".legend"),
    tools: [...root.querySelectorAll("[data-tool]")], tool: "lasso", window: [0, 0, 1, 1], held: new Map(), shape: null, timer: 0,
    cursor: null, corner: null, image: null, whole: null, busy: false, preview: root.querySelector(".preview"), ring: root.querySelector(".ring"), hovered: -1, askedAt: -Infinity,
  };
  map.observer = new ResizeObserver(() => draw(map));
  map.observer.observe(map.face);
  for (const button of map.tools) button.onclick = () => press_tool(map, button.dataset.tool);
  for (const button of root.querySelectorAll("[data-zoom]")) button.onclick = () => zoom(map, Number(button.dataset.zoom), 0.5, 0.5);
  map.face.onpointerdown = (event) => press(map, event);
  map.face.onpointermove = (event) => move(map, event);
  map.face.onpointerup = (event) => release(map, event);
  map.face.onpointercancel = (event) => { map.held.delete(event.pointerId); map.shape = null; draw(map); };
  map.face.onkeydown = (event) => key(map, event);
  map.face.addEventListener("wheel", (event) => wheel(map, event), { passive: false });
  map.face.addEventListener("pointermove", (event) => hover(map, event));
  map.face.addEventListener("blur", () => { map.byMouse = false; });
  map.face.addEventListener("pointerleave", () => showHovered(map, -1));
  map.listeners = { "heat-shared": (event) => arrived(map, event.detail), "heat-hover": (event) => follow(map, event.detail) };
  for (const [name, listener] of Object.entries(map.listeners)) document.addEventListener(name, listener);
  use(map, matchMedia("(pointer: coarse)").matches ? NO_TOOL : "lasso");
  return map;
}

// Where a finger points, a tool is put away by a second press, so that the page scrolls again.
function press_tool(map, tool) {
  const isFinger = matchMedia("(pointer: coarse)").matches;
  use(map, isFinger && map.tool === tool ? NO_TOOL : tool);
}

function use(map, tool) {
  map.tool = map.face.dataset.tool = tool;
  for (const button of map.tools) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
}

// -- data -------------------------------------------------------------------------------------------------------------

function accept(map, data) {
  const fresh = map.data?.image !== data.image;
  if (map.data && data.opened && data.opened !== map.data.opened) reveal(map);
  if (!map.busy && String(map.data?.window) !== String(data.window)) map.window = [...data.window];
  map.data = data;
  map.face.setAttribute("aria-label", `${data.alt} Arrow keys move a cross, Enter looks at the nearest point, Space marks two corners of a box, + and - zoom, 0 shows the whole map.`);
  legend(map.legend, data.legend);
  if (!fresh) return draw(map);
  const image = new Image();
  image.onload = () => {
    map.image = { image, window: data.window };
    if (data.window[2] - data.window[0] > 0.999) map.whole = map.image;
    draw(map);
  };
  image.src = data.image;
  return undefined;
}

// What is opened is shown beside the map, or below it where that is as wide as the window.
function reveal(map) {
  const { top, bottom, width } = map.face.getBoundingClientRect();
  if (bottom > 0.3 * window.innerHeight && top < 0.7 * window.innerHeight) return;
  const isNarrow = width > 0.7 * window.innerWidth;
  (isNarrow ? map.legend : map.face).scrollIntoView({ block: isNarrow ? "start" : "center" });
}

function legend(place, said) {
  const title = document.createElement("b");
  title.textContent = said.title;
  place.hidden = !said.title && !said.entries.length;
  place.replaceChildren(title, ...said.entries.map(entry));
  if (!said.scale.length) return;
  const scale = document.createElement("span");
  scale.className = "scale";
  scale.style.background = `linear-gradient(to right, ${said.scale.join(", ")})`;
  const line = document.createElement("span");
  line.append(said.ends[0], scale, said.ends[1]);
  place.append(line);
}

function entry([colour, symbol, text]) {
  const made = document.createElement("span"), mark = document.createElement("i");
  mark.style.color = colour;
  mark.textContent = symbol;
  made.append(mark, text);
  return made;
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function draw(map) {
  const { canvas, face, data } = map, wide = face.clientWidth, scale = window.devicePixelRatio || 1;
  if (!data || !wide) return;
  const high = Math.round(wide / data.aspect);
  if (canvas.width !== Math.round(wide * scale)) {
    canvas.width = Math.round(wide * scale);
    canvas.height = Math.round(high * scale);
    canvas.style.height = `${high}px`;
  }
  const pen = canvas.getContext("2d"), style = getComputedStyle(face);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, wide, high);
  const ink = style.color, accent = style.getPropertyValue("--st-primary-color") || "#0072B2";
  const paper = style.getPropertyValue("--st-background-color") || "#fff";
  for (const shown of [map.whole, map.image]) if (shown) paint(map, pen, shown, wide, high);
  if (data.has_lines) for (const line of plot(map)?.lines ?? []) stroke(map, pen, line, wide, high, ink);
  pen.lineWidth = 1.5;
  pen.strokeStyle = accent;
  pen.fillStyle = accent;
  for (const outline of data.outlines) trace(map, pen, outline, wide, high, [6, 4]);
  if (map.shape) trace(map, pen, map.shape.corners, wide, high, []);
  for (const mark of data.marks) label(map, pen, mark, wide, high, ink, paper);
  placeHovered(map);
  if (map.cursor) cross(map, pen, map.cursor, wide, high, ink);
  if (map.corner) cross(map, pen, map.corner, wide, high, accent);
}

function on(map, [x, y], wide, high) {
  const [left, top, right, bottom] = map.window;
  return [((x - left) / (right - left)) * wide, ((y - top) / (bottom - top)) * high];
}

function paint(map, pen, { image, window: [left, top, right, bottom] }, wide, high) {
  const [x0, y0] = on(map, [left, top], wide, high), [x1, y1] = on(map, [right, bottom], wide, high);
  pen.clearRect(x0, y0, x1 - x0, y1 - y0);
  pen.drawImage(image, x0, y0, x1 - x0, y1 - y0);
}

function trace(map, pen, corners, wide, high, dash) {
  if (corners.length < 2) return;
  pen.beginPath();
  corners.forEach((spot, i) => pen[i ? "lineTo" : "moveTo"](...on(map, spot, wide, high)));
  pen.closePath();
  pen.setLineDash(dash);
  pen.stroke();
  pen.globalAlpha = 0.07;
  pen.fill("evenodd");
  pen.globalAlpha = 1;
  pen.setLineDash([]);
}

function label(map, pen, { spot, text }, wide, high, ink, paper) {
  const [x, y] = on(map, spot, wide, high);
  pen.strokeStyle = paper;
  pen.fillStyle = ink;
  pen.lineWidth = 4;
  pen.lineJoin = "round";
  if (text) {
    pen.font = `600 13px ${getComputedStyle(map.face).fontFamily}`;
    pen.textAlign = "center";
    pen.strokeText(text, x, y);
    pen.fillText(text, x, y);
    return;
  }
  pen.beginPath();
  pen.arc(x, y, 9, 0, 7);
  pen.stroke();
  pen.strokeStyle = ink;
  pen.lineWidth = 2;
  pen.stroke();
}

function cross(map, pen, spot, wide, high, colour) {
  const [x, y] = on(map, spot, wide, high);
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(x - 10, y);
  pen.lineTo(x + 10, y);
  pen.moveTo(x, y - 10);
  pen.lineTo(x, y + 10);
  pen.stroke();
}

// -- previews ---------------------------------------------------------------------------------------------------------

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Uint16Array(bytes.buffer);
}

// What is shared under a name, its packed arrays unpacked once; undefined before it is there.
function shared(name, ...arrays) {
  const found = window.heatShared?.[name];
  if (found) for (const array of arrays) found[`${array}Unpacked`] ??= unpack(found[array]);
  return found;
}

function plot(map) {
  const found = map.data && shared(map.data.plot, "positions");
  if (found) for (const line of found.lines) line.ends ??= unpack(line.pieces);
  return found;
}

function stroke(map, pen, { ends, dash, strength }, wide, high, ink) {
  pen.strokeStyle = ink;
  pen.globalAlpha = strength;
  pen.lineWidth = 1.25;
  pen.setLineDash(dash);
  pen.beginPath();
  for (let i = 0; i < ends.length; i += 4) {
    pen.moveTo(...on(map, [ends[i] / UNITS, ends[i + 1] / UNITS], wide, high));
    pen.lineTo(...on(map, [ends[i + 2] / UNITS, ends[i + 3] / UNITS], wide, high));
  }
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

function hover(map, event) {
  if (event.pointerType === "touch" || event.buttons) return showHovered(map, -1);
  return preview(map, spotOf(map, event));
}

function preview(map, spot) {
  showHovered(map, nearest(map, spot, HOVER, 1)[0] ?? -1);
}

// The rows nearest to a spot, nearest first, of the sets that are shown; at most `many`, and none that is farther than `reach` px.
function nearest(map, spot, reach, many, isWanted = () => true) {
  const places = plot(map)?.positionsUnpacked, rows = shared("rows", "labels");
  if (!places || !rows) return [];
  const [left, top, right, bottom] = map.window, wide = map.face.clientWidth, high = wide / map.data.aspect;
  const across = wide / (right - left) / UNITS, down = high / (bottom - top) / UNITS;
  const found = [];
  let limit = reach * reach;
  for (const set of map.data.shown) {
    const { start, stop, has_images } = rows.sets[set];
    for (let i = Math.ceil(start / rows.every); i * rows.every < stop; i++) {
      const x = places[2 * i], dx = (x - spot[0] * UNITS) * across, dy = (places[2 * i + 1] - spot[1] * UNITS) * down;
      const far = dx * dx + dy * dy;
      if (x === NOTHING || far > limit || !isWanted(i * rows.every, has_images)) continue;
      if (many === 1) found[0] = [(limit = far), i * rows.every];
      else found.push([far, i * rows.every]);
    }
  }
  return found.sort((a, b) => a[0] - b[0]).slice(0, many).map(([, row]) => row);
}

function spotOfRow(map, row) {
  const places = plot(map)?.positionsUnpacked, rows = shared("rows", "labels");
  if (row < 0 || !places || !rows) return null;
  const i = row / rows.every;
  return places[2 * i] === NOTHING ? null : [places[2 * i] / UNITS, places[2 * i + 1] / UNITS];
}

// Shows the preview of a row; of none where it is -1. The other drawings on the page mark it, too.
function showHovered(map, row) {
  if (row === map.hovered) return;
  map.hovered = row;
  clearTimeout(map.pause);
  describe(map);
  placeHovered(map);
  document.dispatchEvent(new CustomEvent("heat-hover", { detail: { from: map.face, row } }));
  if (row >= 0) map.pause = setTimeout(() => askForThumbnails(map), PAUSE);
}

function follow(map, { from, row }) {
  if (from === map.face) return;
  map.hovered = row;
  map.preview.hidden = true;
  placeHovered(map);
}

function arrived(map, name) {
  if (name === "thumbnails") map.askedAt = -Infinity;
  if (!map.preview.hidden) {
    describe(map);
    askForThumbnails(map);
  }
  if (name !== "thumbnails") draw(map);
}

function describe(map) {
  const spot = spotOfRow(map, map.hovered), rows = shared("rows", "labels");
  map.preview.hidden = !spot;
  if (!spot) return;
  const set = rows.sets.find(({ start, stop }) => start <= map.hovered && map.hovered < stop);
  const name = rows.classes[rows.labelsUnpacked[map.hovered / rows.every]];
  const lines = [name ?? set.title, ...(name ? [set.title] : []), ...idLines(map.hovered / rows.every), ...valueLines(map.hovered / rows.every)];
  map.preview.replaceChildren(...thumbnail(map.hovered), ...lines.map(textLine));
}

function idLines(i) {
  const rows = shared("rows", "labels");
  rows.idsSplit ??= rows.ids.split("\n");
  return rows.idsSplit[i] ? [rows.idsSplit[i]] : [];
}

function valueLines(i) {
  const values = shared("values", "percentiles");
  if (!values) return [];
  const units = values.percentilesUnpacked[i];
  return [units === NOTHING ? values.missing : `${values.title} ${((100 * units) / UNITS).toFixed(1)} %`];
}

function textLine(text) {
  const made = document.createElement("span");
  made.textContent = text;
  return made;
}

function thumbnail(row) {
  const address = window.heatThumbnails?.images.get(row);
  if (!address) return [];
  const image = document.createElement("img");
  image.src = address;
  image.alt = "";
  return [image];
}

// Puts the ring and the preview to where the row lies. Neither is drawn on the canvas, which takes longer than a pointer waits.
function placeHovered(map) {
  const spot = spotOfRow(map, map.hovered), wide = map.face.clientWidth, high = wide / (map.data?.aspect ?? 1);
  map.ring.hidden = !spot;
  if (!spot) return;
  const [x, y] = on(map, spot, wide, high);
  map.ring.style.transform = `translate(${x}px, ${y}px)`;
  map.preview.style.left = x < wide / 2 ? `${x + 16}px` : "";
  map.preview.style.right = x < wide / 2 ? "" : `${wide - x + 16}px`;
  map.preview.style.top = y < high / 2 ? `${y + 8}px` : "";
  map.preview.style.bottom = y < high / 2 ? "" : `${high - y + 8}px`;
}

// Asks for the thumbnail of what is previewed, and for those around it, which may be next; one question at a time.
function askForThumbnails(map) {
  const spot = spotOfRow(map, map.hovered), kept = window.heatThumbnails, now = performance.now();
  if (!spot || !kept || kept.images.has(map.hovered) || now - map.askedAt < PATIENCE) return;
  const isNew = (row, hasImages) => hasImages && !kept.images.has(row);
  const wanted = nearest(map, spot, AROUND, map.data.max_wanted, isNew);
  if (!wanted.includes(map.hovered)) return;
  map.askedAt = now;
  document.dispatchEvent(new CustomEvent("heat-thumbnails-wanted", { detail: wanted }));
}

// -- hands ------------------------------------------------------------------------------------------------------------

function spotOf(map, event) {
  const box = map.canvas.getBoundingClientRect(), [left, top, right, bottom] = map.window;
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  return [left + x * (right - left), top + y * (bottom - top)];
}

function press(map, event) {
  if (event.button) return;
  map.byMouse = true;
  map.face.setPointerCapture(event.pointerId);
  map.held.set(event.pointerId, [event.clientX, event.clientY]);
  map.shape = map.held.size > 1 ? null : { corners: [spotOf(map, event)], from: [event.clientX, event.clientY], moved: false };
}

function move(map, event) {
  const before = map.held.get(event.pointerId);
  if (!before) return;
  if (map.held.size === 2) pinch(map, event, before);
  else if (map.shape && (map.tool !== "move" || !map.shape.moved)) extend(map, event, before);
  else if (map.shape) pan(map, event, before);
  draw(map);
}

function extend(map, event, before) {
  const shape = map.shape, now = [event.clientX, event.clientY];
  if (!shape.moved && Math.hypot(now[0] - shape.from[0], now[1] - shape.from[1]) < STILL) return;
  shape.moved = true;
  if (map.tool === NO_TOOL) return undefined;
  if (map.tool === "move") return pan(map, event, before);
  if (map.tool === "box") shape.corners = box(shape.corners[0], spotOf(map, event));
  else if (Math.hypot(now[0] - before[0], now[1] - before[1]) >= STEP) {
    shape.corners.push(spotOf(map, event));
    map.held.set(event.pointerId, now);
  }
  return undefined;
}

function box([x0, y0], [x1, y1]) {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}

function pan(map, event, [x, y]) {
  const [left, top, right, bottom] = map.window, seen = map.canvas.getBoundingClientRect();
  const dx = ((x - event.clientX) / seen.width) * (right - left), dy = ((y - event.clientY) / seen.height) * (bottom - top);
  map.held.set(event.pointerId, [event.clientX, event.clientY]);
  look(map, left + dx, top + dy, right - left);
}

function pinch(map, event, before) {
  const [id] = [...map.held.keys()].filter((other) => other !== event.pointerId), other = map.held.get(id);
  const now = [event.clientX, event.clientY], seen = map.canvas.getBoundingClientRect();
  const far = (a) => Math.max(10, Math.hypot(a[0] - other[0], a[1] - other[1]));
  zoom(map, far(now) / far(before), ((now[0] + other[0]) / 2 - seen.left) / seen.width, ((now[1] + other[1]) / 2 - seen.top) / seen.height);
  map.held.set(event.pointerId, now);
  const [left, top, right, bottom] = map.window, share = 0.5; // of the way: the other finger goes the rest
  const dx = ((before[0] - now[0]) / seen.width) * (right - left), dy = ((before[1] - now[1]) / seen.height) * (bottom - top);
  look(map, left + share * dx, top + share * dy, right - left);
}

function release(map, event) {
  map.held.delete(event.pointerId);
  const shape = map.shape;
  map.shape = null;
  draw(map);
  if (!shape) return;
  if (!shape.moved) sendDrawing(map, "spot", [spotOf(map, event)], false);
  else if (!["move", NO_TOOL].includes(map.tool) && shape.corners.length > 2) sendDrawing(map, map.tool, shape.corners, event.shiftKey);
}

function sendDrawing(map, kind, spots, adds) {
  const every = Math.ceil(spots.length / map.data.max_corners);
  const corners = spots.filter((_, i) => i % every === 0).flat().map((n) => Math.round(n * 1e5) / 1e5);
  const reach = (REACH / map.face.clientWidth) * (map.window[2] - map.window[0]);
  map.send("drawn", { kind, corners, adds, reach });
}

function wheel(map, event) {
  if (!event.ctrlKey && !event.metaKey) return; // a page is scrolled by the wheel alone; a trackpad's pinch says ctrl
  event.preventDefault();
  const seen = map.canvas.getBoundingClientRect();
  const factor = Math.exp(-Math.max(-200, Math.min(200, event.deltaY)) / 400);
  zoom(map, factor, (event.clientX - seen.left) / seen.width, (event.clientY - seen.top) / seen.height);
}

function zoom(map, factor, x, y) {
  const [left, top, right, bottom] = map.window, wide = right - left;
  const next = factor ? Math.min(1, Math.max(map.data.smallest_window, wide / factor)) : 1;
  look(map, left + x * (wide - next), top + y * (bottom - top - next), next);
}

function look(map, left, top, wide) {
  const x = Math.min(Math.max(left, 0), 1 - wide), y = Math.min(Math.max(top, 0), 1 - wide);
  map.window = [x, y, x + wide, y + wide];
  map.busy = true;
  draw(map);
  clearTimeout(map.timer);
  map.timer = setTimeout(() => {
    map.busy = false;
    map.send("moved", map.window.map((n) => Math.round(n * 1e5) / 1e5));
  }, REST);
}

// -- keys -------------------------------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function key(map, event) {
  const [left, top, right, bottom] = map.window;
  const middle = [(left + right) / 2, (top + bottom) / 2];
  const arrow = ARROWS[event.key], step = (right - left) * (event.shiftKey ? 0.1 : 0.02);
  if (map.byMouse && !map.cursor && (arrow || event.key === "Escape")) return; // whoever clicked goes on with the page's own keys
  if (arrow) {
    const at = map.cursor ?? middle;
    map.cursor = [Math.min(Math.max(at[0] + step * arrow[0], left), right), Math.min(Math.max(at[1] + step * arrow[1], top), bottom)];
  } else if (event.key === "Enter") sendDrawing(map, "spot", [map.cursor ?? middle], false);
  else if (event.key === " " && map.cursor && map.corner) {
    sendDrawing(map, "box", box(map.corner, map.cursor), event.shiftKey);
    map.corner = null;
  } else if (event.key === " ") map.corner = map.cursor = map.cursor ?? middle;
  else if (event.key === "Escape") {
    map.corner = map.cursor = map.shape = null;
    showHovered(map, -1);
  } else if (event.key === "+" || event.key === "-") {
    const at = map.cursor ?? middle;
    zoom(map, event.key === "+" ? 2 : 0.5, (at[0] - left) / (right - left), (at[1] - top) / (bottom - top));
  } else if (event.key === "0") zoom(map, 0, 0.5, 0.5);
  else return;
  event.preventDefault();
  event.stopPropagation(); // the page goes through images by arrow keys, too
  if (map.cursor) preview(map, map.cursor);
  draw(map);
}
