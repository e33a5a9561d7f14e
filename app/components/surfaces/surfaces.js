// Surfaces over one square, turned together, or seen straight from above as maps. Each is drawn pixel by pixel with a depth for
// every pixel, so that it needs no WebGL and a click knows its place. One message leaves when a spot is clicked. Text is set as
// text, never as HTML.

const STILL = 5; // px that a click may move
const SUN = [-0.42, -0.3, 0.86]; // where the light comes from
const WALL = 2; // in place of a height, where the block is cut off
const TILT_RANGE = [8, 85]; // degrees that the camera may look down
const DEEP = 0.04; // of the range of heights that a block reaches below the lowest of all surfaces
const SAME = 0.15; // how far apart, in depth, neighbours on one slope may be
const GREY = [150, 158, 168]; // of the walls
const MARGIN = 26; // px around a block, where its axes are written
const EDGE = { left: 34, bottom: 22, rest: 6 }; // px around a map
const blocks = new WeakMap(); // parentElement -> what is remembered between renders

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return undefined;
  const block = blocks.get(parentElement) ?? create(parentElement, data);
  blocks.set(parentElement, block);
  block.send = (spot) => setTriggerValue("picked", spot);
  accept(block, data);
  return () => {
    block.observer.disconnect();
    blocks.delete(parentElement);
  };
}

function create(root, data) {
  const block = { place: root.querySelector(".panels"), legend: root.querySelector(".legend"), panels: [], asked: false, held: false };
  block.camera = { turn: data.turn, tilt: data.tilt };
  block.observer = new ResizeObserver(() => ask(block));
  block.observer.observe(block.place);
  return block;
}

// -- data -------------------------------------------------------------------------------------------------------------

function accept(block, data) {
  block.data = data;
  while (block.panels.length > data.shown.length) block.panels.pop().figure.remove();
  while (block.panels.length < data.shown.length) block.panels.push(add(block));
  data.shown.forEach((shown, i) => take(block.panels[i], shown, data));
  block.floor = Math.max(0, Math.min(0.9, ...block.panels.map((panel) => panel.lowest - DEEP)));
  block.legend.textContent = data.axes ? hints(data) : "";
  block.place.style.setProperty("--columns", data.columns);
  block.place.dataset.flat = data.flat;
  ask(block);
}

function add(block) {
  const made = (tag) => document.createElement(tag);
  const panel = { figure: made("figure"), title: made("b"), meaning: made("small"), canvas: made("canvas"), bar: made("div"), read: made("output") };
  const caption = made("figcaption");
  caption.append(panel.title, panel.meaning);
  panel.bar.className = "bar";
  panel.figure.append(caption, panel.canvas, panel.read, panel.bar);
  panel.canvas.tabIndex = 0;
  panel.canvas.setAttribute("role", "img");
  panel.sheet = made("canvas");
  block.place.append(panel.figure);
  listen(block, panel);
  return panel;
}

function take(panel, shown, data) {
  panel.title.textContent = shown.title;
  panel.meaning.textContent = shown.meaning;
  panel.canvas.setAttribute("aria-label", data.flat ? shown.alt : `${shown.alt}. Arrow keys turn it, Home turns it back.`);
  panel.level = shown.level;
  panel.scale = shown.scale;
  panel.table = shades(shown.scale.colours);
  panel.bar.replaceChildren(...(data.axes && shown.labelled ? colourBar(shown.scale) : []));
  if (panel.sent === shown.values && panel.steep === data.steep) return;
  const raw = Uint8Array.from(atob(shown.values), (letter) => letter.charCodeAt(0));
  panel.heights = Float32Array.from(new Int16Array(raw.buffer), (whole) => whole / shown.full);
  Object.assign(panel, { sent: shown.values, side: shown.side, steep: data.steep, lowest: panel.heights.reduce((a, b) => Math.min(a, b)) });
  panel.light = lights(panel);
}

// How light each point of a surface is, by the angle between the sun and the ground.
function lights({ heights, side, steep }) {
  const light = new Float32Array(heights.length), at = (i, j) => heights[Math.min(Math.max(i, 0), side - 1) * side + Math.min(Math.max(j, 0), side - 1)];
  const slope = (steep * (side - 1)) / 2;
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) {
      const x = (at(i, j - 1) - at(i, j + 1)) * slope, y = (at(i - 1, j) - at(i + 1, j)) * slope;
      light[i * side + j] = 0.62 + 0.38 * Math.max(0, (x * SUN[0] + y * SUN[1] + SUN[2]) / Math.hypot(x, y, 1));
    }
  }
  return light;
}

// 256 colours between those that were given, (r, g, b) each.
function shades(colours) {
  const given = colours.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (given.length - 1), before = Math.min(Math.floor(at), given.length - 2), share = at - before;
    return [0, 1, 2].map((part) => given[before][part] * (1 - share) + given[before + 1][part] * share);
  });
}

// The colours of a panel, with ticks below them.
function colourBar({ colours, ticks, unit }) {
  const strip = document.createElement("span");
  strip.className = "strip";
  strip.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  const last = ticks.length - 1;
  return [strip, ...ticks.map(([text, share], i) => {
    const tick = document.createElement("span");
    tick.className = "tick";
    tick.textContent = i === last ? `${text} ${unit}` : text;
    tick.style.left = `${100 * share}%`;
    return tick;
  })];
}

function hints({ flat, picks }) {
  return [flat ? "" : "drag to turn", picks ? "click to look at a point" : ""].filter(Boolean).join(" · ");
}

// The height at a share of a scale, which is even in sign(h) log(1 + |h| / softness), or in h.
function heightAt({ low, high, softness }, share) {
  if (!softness) return low + share * (high - low);
  const even = (height) => Math.sign(height) * Math.log1p(Math.abs(height) / softness);
  const at = even(low) + share * (even(high) - even(low));
  return Math.sign(at) * Math.expm1(Math.abs(at)) * softness;
}

function short(number) {
  return String(Number(number.toPrecision(3))).replace("-", "−");
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function ask(block) {
  if (block.asked) return;
  block.asked = true;
  requestAnimationFrame(() => {
    block.asked = false;
    for (const panel of block.panels) draw(block, panel);
  });
}

function draw(block, panel) {
  const { canvas } = panel, wide = panel.figure.clientWidth, scale = block.held ? 1 : Math.min(window.devicePixelRatio || 1, 2); // coarse while it turns
  if (!wide) return;
  const high = Math.round(wide / block.data.aspect);
  if (canvas.width !== Math.round(wide * scale) || canvas.height !== Math.round(high * scale)) {
    canvas.width = panel.sheet.width = Math.round(wide * scale);
    canvas.height = panel.sheet.height = Math.round(high * scale);
    canvas.style.height = `${high}px`;
  }
  panel.eye = eye(block, wide, high, scale);
  paint(block, panel);
  const pen = canvas.getContext("2d"), ink = getComputedStyle(canvas).color;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(panel.sheet, 0, 0);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  if (block.data.axes) (block.data.flat ? ticks : axes)(block, panel, pen, ink);
  for (const [text, at] of Object.entries(block.data.marks)) mark(block, panel, pen, text, at);
}

// From the block, where x and y reach from -1 to 1 and heights from its floor to 1, to the screen, and back from a known height.
// The depth grows away from the eye.
function eye(block, wide, high, scale) {
  return { ...(block.data.flat ? above(block, wide, high) : aslant(block, wide, high)), scale };
}

function above({ data }, wide, high) {
  const { left, bottom, rest } = data.axes ? EDGE : { left: 0, bottom: 0, rest: 0 };
  const size = Math.min(wide - left - rest, high - bottom - rest) / 2, middle = [left + (wide - left - rest) / 2, rest + size];
  return { to: (x, y) => [middle[0] + size * x, middle[1] - size * y, 0], from: (px, py) => [(px - middle[0]) / size, (middle[1] - py) / size] };
}

function aslant({ camera, data, floor }, wide, high) {
  const rad = Math.PI / 180, [s, c] = [Math.sin(camera.turn * rad), Math.cos(camera.turn * rad)];
  const [p, q] = [Math.sin(camera.tilt * rad), Math.cos(camera.tilt * rad)], [p0, q0] = [Math.sin(data.tilt * rad), Math.cos(data.tilt * rad)];
  const margin = data.axes ? MARGIN : 8;
  const size = Math.min((wide / 2 - margin) / Math.SQRT2, (high / 2 - margin) / (Math.SQRT2 * p0 + data.steep * q0));
  const raised = (h) => ((2 * (h - floor)) / (1 - floor) - 1) * data.steep;
  const to = (x, y, h) => {
    const away = y * c - x * s, up = raised(h);
    return [wide / 2 + size * (x * c + y * s), high / 2 - size * (away * p + up * q), away * q - up * p];
  };
  const from = (px, py, h) => {
    const right = (px - wide / 2) / size, away = ((high / 2 - py) / size - raised(h) * q) / p;
    return [right * c - away * s, right * s + away * c];
  };
  return { to, from };
}

function paint(block, panel) {
  const { width, height } = panel.sheet, { side } = panel;
  const film = { width, height, depth: new Float32Array(width * height).fill(Infinity), value: new Float32Array(width * height), light: new Float32Array(width * height) };
  const net = ground(panel, block.data.flat);
  for (let at = 0; at < side * (side - 1); at++) {
    if (at % side === side - 1) continue;
    triangle(film, net, at, at + 1, at + side);
    triangle(film, net, at + 1, at + side + 1, at + side);
  }
  const foot = block.data.flat ? corners(0) : walls(panel, block.floor), last = 2 * side;
  for (let start = 0; start < foot.x.length; start += last) {
    for (let k = start; k < start + side - 1; k++) {
      triangle(film, foot, k, k + 1, k + side);
      triangle(film, foot, k + 1, k + side + 1, k + side);
    }
  }
  panel.film = film;
  const pen = panel.sheet.getContext("2d"), image = pen.createImageData(width, height);
  colour(block, panel, film, image.data);
  pen.putImageData(image, 0, 0);
}

// The corners of the surface on the screen: x, y, depth, value, light.
function ground({ heights, light, side, eye }, flat) {
  const net = corners(heights.length);
  for (let at = 0; at < heights.length; at++) put(net, at, eye, (2 * (at % side)) / (side - 1) - 1, (2 * Math.floor(at / side)) / (side - 1) - 1, heights[at], heights[at], flat ? 1 : light[at]);
  return net;
}

// The four sides of the block, each as the surface's edge and, below it, the edge of its floor.
function walls({ heights, side, eye }, floor) {
  const last = side - 1, foot = corners(8 * side);
  const edges = [[(k) => k, 0.5], [(k) => last * side + k, 0.7], [(k) => k * side, 0.6], [(k) => k * side + last, 0.6]];
  edges.forEach(([edge, shade], wall) => {
    for (let k = 0; k < side; k++) {
      const at = edge(k), x = (2 * (at % side)) / last - 1, y = (2 * Math.floor(at / side)) / last - 1, to = 2 * side * wall + k;
      put(foot, to, eye, x, y, heights[at], WALL, shade);
      put(foot, to + side, eye, x, y, floor, WALL, shade);
    }
  });
  return foot;
}

function corners(many) {
  const made = () => new Float32Array(many);
  return { x: made(), y: made(), depth: made(), value: made(), light: made() };
}

function put(net, at, eye, x, y, h, value, light) {
  const [px, py, depth] = eye.to(x, y, h);
  net.x[at] = px * eye.scale;
  net.y[at] = py * eye.scale;
  net.depth[at] = depth;
  net.value[at] = value;
  net.light[at] = light;
}

// What lies behind what was drawn is left out.
function triangle({ width, height, depth, value, light }, net, a, b, c) {
  const ax = net.x[a], ay = net.y[a], bx = net.x[b] - ax, by = net.y[b] - ay, cx = net.x[c] - ax, cy = net.y[c] - ay, area = bx * cy - cx * by;
  if (!area) return;
  const left = Math.max(0, Math.floor(ax + Math.min(0, bx, cx))), right = Math.min(width - 1, Math.ceil(ax + Math.max(0, bx, cx)));
  const top = Math.max(0, Math.floor(ay + Math.min(0, by, cy))), bottom = Math.min(height - 1, Math.ceil(ay + Math.max(0, by, cy)));
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const px = x + 0.5 - ax, py = y + 0.5 - ay, v = (px * cy - py * cx) / area, w = (py * bx - px * by) / area, u = 1 - v - w;
      if (u < -1e-4 || v < -1e-4 || w < -1e-4) continue;
      const far = u * net.depth[a] + v * net.depth[b] + w * net.depth[c], at = y * width + x;
      if (far >= depth[at]) continue;
      depth[at] = far;
      value[at] = u * net.value[a] + v * net.value[b] + w * net.value[c];
      light[at] = u * net.light[a] + v * net.light[b] + w * net.light[c];
    }
  }
}

function colour({ data }, { table, level, eye }, { width, height, depth, value, light }, image) {
  const dash = Math.round(5 * eye.scale), above = level ?? Infinity;
  const bands = Float32Array.from(value, (v) => (v > 1.5 ? Infinity : Math.floor(v * data.bands - 1e-6)));
  for (let at = 0; at < width * (height - 2) - 2; at++) {
    if (depth[at] === Infinity) continue;
    const wall = value[at] > 1.5, [r, g, b] = wall ? GREY : table[Math.min(255, Math.max(0, Math.round(value[at] * 255)))];
    let shade = light[at];
    if (!wall) {
      if (crossed(bands, depth, at, width)) shade *= 0.72;
      if (((at % width) + Math.floor(at / width)) % (2 * dash) < 1.3 * dash && parted(value, depth, at, width, above)) shade = 0.1;
    }
    image[4 * at] = r * shade;
    image[4 * at + 1] = g * shade;
    image[4 * at + 2] = b * shade;
    image[4 * at + 3] = 255;
  }
}

// Whether a neighbour on the same slope is of another band.
function crossed(bands, depth, at, width) {
  const here = (other) => bands[other] !== bands[at] && bands[other] < Infinity && Math.abs(depth[other] - depth[at]) < SAME;
  return here(at + 1) || here(at + width);
}

// Whether a neighbour on the same slope, two pixels away, lies on the other side of a height.
function parted(value, depth, at, width, height) {
  const here = (other) => value[other] > height !== value[at] > height && value[other] < 1.5 && Math.abs(depth[other] - depth[at]) < SAME;
  return here(at + 2) || here(at + 2 * width);
}

// Round numbers along the lower and the left edge of a map.
function ticks({ data }, { eye, figure }, pen, ink) {
  pen.fillStyle = ink;
  pen.font = `11px ${getComputedStyle(figure).fontFamily}`;
  for (const [name, [low, high]] of [["x", data.x], ["y", data.y]]) {
    const power = 10 ** Math.floor(Math.log10((high - low) / 4)), step = power * [5, 2, 1].find((times) => times * power <= (high - low) / 4);
    for (let k = Math.ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; k++) {
      const share = (2 * (k * step - low)) / (high - low) - 1, [px, py] = name === "x" ? eye.to(share, -1) : eye.to(-1, share);
      pen.textAlign = name === "x" ? "center" : "right";
      pen.textBaseline = name === "x" ? "top" : "middle";
      pen.fillText(short(k * step), px - (name === "x" ? 0 : 5), py + (name === "x" ? 5 : 0));
    }
  }
}

// x and y at the two edges of the ground that are nearest.
function axes({ data, floor }, { eye, figure }, pen, ink) {
  const corner = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => ({ x, y, at: eye.to(x, y, floor) })).reduce((a, b) => (b.at[2] < a.at[2] ? b : a));
  pen.fillStyle = ink;
  pen.font = `11px ${getComputedStyle(figure).fontFamily}`;
  pen.textBaseline = "middle";
  for (const [name, ends, spot] of [["x", data.x, (t) => [t, corner.y]], ["y", data.y, (t) => [corner.x, t]]]) {
    for (const [t, text] of [[-0.92, short(ends[0])], [0, name], [0.92, short(ends[1])]]) {
      const [x, y] = spot(t), [px, py] = eye.to(x, y, floor), [ox, oy] = name === "x" ? [0, corner.y] : [corner.x, 0];
      const [qx, qy] = eye.to(x + ox, y + oy, floor), far = Math.hypot(qx - px, qy - py) || 1;
      pen.textAlign = qx - px > 0.3 * far ? "left" : qx - px < -0.3 * far ? "right" : "center";
      pen.fillText(text, px + (8 * (qx - px)) / far, py + (12 * (qy - py)) / far);
    }
  }
}

function mark({ data }, { heights, side, eye, film, figure }, pen, text, at) {
  const [x, y] = [data.x, data.y].map(([low, high], i) => (2 * (at[i] - low)) / (high - low) - 1);
  if (Math.max(Math.abs(x), Math.abs(y)) > 1) return;
  const near = (place) => Math.round(((place + 1) / 2) * (side - 1));
  const [px, py, depth] = eye.to(x, y, heights[near(y) * side + near(x)]);
  const seen = film.depth[Math.round(py * eye.scale) * film.width + Math.round(px * eye.scale)];
  pen.globalAlpha = seen < depth - 0.05 ? 0.35 : 1; // behind a hill
  if (text) note(pen, text, px, py, getComputedStyle(figure).fontFamily);
  else cross(pen, px, py);
  pen.globalAlpha = 1;
}

function cross(pen, x, y) {
  for (const [colour, wide] of [["#ffffff", 5], ["#11161c", 2.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = wide;
    pen.beginPath();
    for (const way of [-1, 1]) {
      pen.moveTo(x - 6, y - 6 * way);
      pen.lineTo(x + 6, y + 6 * way);
    }
    pen.stroke();
  }
}

function note(pen, text, x, y, family) {
  pen.font = `600 14px ${family}`;
  const wide = pen.measureText(text).width + 16, [left, top] = [x + 24, y - 52];
  pen.strokeStyle = pen.fillStyle = "#11161c";
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(left + 12, top + 24);
  pen.stroke();
  pen.beginPath();
  pen.roundRect(left, top, wide, 26, 6);
  pen.fill();
  pen.beginPath();
  pen.arc(x, y, 6, 0, 7);
  pen.fillStyle = "#D55E00";
  pen.fill();
  pen.strokeStyle = pen.fillStyle = "#ffffff";
  pen.stroke();
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(text, left + 8, top + 13.5);
}

// -- hands ------------------------------------------------------------------------------------------------------------

function listen(block, panel) {
  const { canvas } = panel;
  let held = null;
  const rest = () => {
    held = null;
    block.held = false;
    ask(block);
  };
  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    held = { x: event.clientX, y: event.clientY, far: 0 };
  };
  canvas.onpointermove = (event) => {
    read(block, panel, event);
    if (!held) return;
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    held = { x: event.clientX, y: event.clientY, far: held.far + Math.hypot(dx, dy) };
    block.held = held.far >= STILL && !block.data.flat;
    if (block.held) turn(block, dx * 0.5, event.pointerType === "touch" ? 0 : dy * 0.4);
  };
  canvas.onpointerup = (event) => {
    const spot = held && held.far < STILL && block.data.picks && under(block, panel, event);
    rest();
    if (spot) block.send(spot.slice(0, 2));
  };
  canvas.onpointercancel = rest;
  canvas.onpointerleave = () => { panel.read.textContent = ""; };
  canvas.ondblclick = () => { if (!block.data.flat) home(block); };
  canvas.onkeydown = (event) => {
    if (block.data.flat) return;
    const step = { ArrowLeft: [-6, 0], ArrowRight: [6, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] }[event.key];
    if (step) turn(block, ...step);
    else if (event.key === "Home") home(block);
    else return;
    event.preventDefault();
  };
}

function turn(block, round, down) {
  const { turn, tilt } = block.camera;
  block.camera = { turn: turn - round, tilt: Math.min(TILT_RANGE[1], Math.max(TILT_RANGE[0], tilt + down)) };
  ask(block);
}

function home(block) {
  block.camera = { turn: block.data.turn, tilt: block.data.tilt };
  ask(block);
}

// x, y and height of what is seen under a pointer, or null beside the surface.
function under({ data }, { canvas, film, eye, scale }, event) {
  const box = canvas.getBoundingClientRect(), [px, py] = [event.clientX - box.left, event.clientY - box.top];
  const at = Math.floor(py * eye.scale) * film.width + Math.floor(px * eye.scale);
  if (!(film.depth[at] < Infinity) || film.value[at] > 1.5) return null;
  const spot = eye.from(px, py, film.value[at]).map((place) => (Math.min(1, Math.max(-1, place)) + 1) / 2);
  const [x, y] = spot.map((share, i) => { const [low, high] = i ? data.y : data.x; return low + share * (high - low); });
  return [x, y, heightAt(scale, film.value[at]), film.value[at]];
}

function read(block, panel, event) {
  const spot = panel.film && under(block, panel, event);
  if (!spot) panel.read.textContent = "";
  else {
    const [x, y, height, share] = spot, bound = share > 0.9999 ? "≥ " : share < 0.0001 ? "≤ " : "";
    panel.read.textContent = `x ${x.toFixed(2)}, y ${y.toFixed(2)}: ${bound}${height.toFixed(2)} ${panel.scale.unit}`.replaceAll("-", "−");
  }
}
