// For components whose lines one drags, or moves by keys; this text comes before their own. A line moves in the browser alone, one
// message leaves when it is let go, and until its answer has come older data are not believed.

const PATIENCE = 250; // ms without a key before a line counts as let go
const ECHO = 2000; // ms to wait for the answer to a message before older data are believed

const same = (one, other) => String(one) === String(other); // numbers, or arrays of them
const across = (box, event) => (event.clientX - box.left) / box.width; // where a pointer is, as a fraction of the width

// Returns what moves the lines of a component, whose `view` is all that it remembers between renders. The component says:
//   moving               names of the fields of a view that a drag changes
//   value(view)          what is sent once a line was let go
//   rest(view)           puts the fields back where the data say
//   draw(view)           draws a frame
//   steps(view, event, i)  {key: place} that a key moves the i-th line to
//   step_to(view, place, i)
//   follow(view, event, i) moves the i-th line to a pointer
//   nearest(view, event)   which line a pointer takes
//   is_fixed(view)         whether the lines cannot be moved
function draggable({ moving, value, rest, draw, steps, step_to, follow, nearest = () => 0, is_fixed = () => false }) {
  // Returns what Streamlit calls to mount the component; `create(root)` makes a view, `accept(view, data)` takes up new data.
  function mounting(create, accept) {
    const views = new WeakMap(); // parentElement -> view
    return ({ parentElement, data, setTriggerValue }) => {
      if (!data) return undefined;
      const view = views.get(parentElement) ?? Object.assign(create(parentElement), { held: null, timer: 0, sent: null, frame: 0 });
      views.set(parentElement, view);
      view.send = setTriggerValue;
      accept(view, data);
      return () => {
        clearTimeout(view.timer);
        clearTimeout(view.patience);
        cancelAnimationFrame(view.frame);
        view.observer.disconnect();
        views.delete(parentElement);
      };
    };
  }

  function ask(view) {
    if (!view.frame) view.frame = requestAnimationFrame(() => { view.frame = 0; draw(view); });
  }

  function settle(view) {
    view.sent = null;
    rest(view);
  }

  // Puts the lines where new data say, unless they are being moved, or the data are older than what was sent last.
  function arrived(view, latest) {
    const busy = view.held !== null || view.timer;
    if (!busy && (view.sent === null || same(view.sent, latest))) settle(view);
    ask(view);
  }

  // -- by a pointer ---------------------------------------------------------------------------------------------------

  // Lets a surface take up lines that lie on it.
  function listen(view, surface, lines) {
    surface.onmousedown = (event) => event.preventDefault(); // keeps the focus on the line
    surface.onpointerdown = (event) => press(view, event, surface, lines);
    surface.onpointermove = (event) => is_held_by(view, event) && follow(view, event, view.held.i);
    surface.onpointerup = (event) => release(view, event);
    surface.onpointercancel = () => abandon(view);
    lines.forEach((line, i) => listen_to_keys(view, line, i));
  }

  const is_held_by = (view, event) => view.held?.pointer === event.pointerId;

  function press(view, event, surface, lines) {
    if (event.button || is_fixed(view)) return;
    const i = nearest(view, event);
    hold(view, event, surface, lines[i], i);
    grab(view);
    if (event.pointerType === "mouse") follow(view, event, i); // a finger may only want to scroll
  }

  // Remembers where a line was as a pointer came down.
  function hold(view, event, surface, line, i = 0) {
    const before = Object.fromEntries(moving.map((name) => [name, view[name]]));
    view.held = { i, line, before, value: value(view), pointer: event.pointerId };
    surface.setPointerCapture(event.pointerId);
  }

  // Shows that the line which is held is moved.
  function grab(view) {
    view.held.line.classList.add("held");
    view.held.line.focus({ preventScroll: true });
  }

  function release(view, event) {
    if (!is_held_by(view, event)) return;
    follow(view, event, view.held.i);
    drop(view);
  }

  function drop(view) {
    const { line, value: before } = view.held;
    view.held = null;
    line.classList.remove("held");
    if (!same(value(view), before)) let_go(view);
    else if (view.sent === null) settle(view);
  }

  function abandon(view) {
    if (!view.held) return;
    Object.assign(view, view.held.before);
    view.held.line.classList.remove("held");
    view.held = null;
    ask(view);
  }

  // -- by keys --------------------------------------------------------------------------------------------------------

  function listen_to_keys(view, line, i = 0) {
    line.onkeydown = (event) => key(view, event, i);
    line.onblur = () => view.timer && let_go(view);
  }

  function key(view, event, i) {
    if (is_fixed(view) || event.ctrlKey || event.metaKey || event.altKey) return;
    const places = steps(view, event, i);
    if (!(event.key in places)) return;
    event.preventDefault();
    step_to(view, places[event.key], i);
    clearTimeout(view.timer);
    view.timer = setTimeout(() => let_go(view), PATIENCE);
  }

  function let_go(view) {
    clearTimeout(view.timer);
    clearTimeout(view.patience);
    view.timer = 0;
    view.sent = value(view);
    view.send("released", view.sent);
    view.patience = setTimeout(() => {
      if (view.sent === null || view.held || view.timer) return;
      settle(view); // no answer with this value came; what came last holds
      ask(view);
    }, ECHO);
  }

  return { mounting, ask, arrived, listen, listen_to_keys, is_held_by, hold, grab, drop, abandon };
}

// Returns {key: place} of keys that go down and up by one and by many, and to both ends.
function key_places({ down, up, far_down, far_up, first, last }) {
  return {
    ArrowLeft: down, ArrowDown: down, ArrowRight: up, ArrowUp: up, PageDown: far_down, PageUp: far_up, Home: first, End: last,
  };
}

// -- small things that are drawn --------------------------------------------------------------------------------------

function element(tag, text, parent, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  parent.appendChild(made);
  return made;
}

// Puts a line at x px of a plot's width; its flag stays inside the plot.
function put_line(line, flag, x, width) {
  const half = flag.offsetWidth / 2;
  line.style.transform = `translateX(${x}px)`;
  flag.style.left = `${22 + Math.max(0, half - x) - Math.max(0, x + half - width)}px`;
}

// Returns the pen of an empty canvas of this size in px, as sharp as the screen is.
function pen_of(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

// Traces the outline of bars, shares of the tallest, that stand on the lower edge of a plot.
function trace_bars(pen, shares, width, height, room) {
  const one = width / shares.length;
  pen.beginPath();
  pen.moveTo(0, height);
  shares.forEach((share, k) => {
    pen.lineTo(k * one, height - share * room);
    pen.lineTo((k + 1) * one, height - share * room);
  });
  pen.lineTo(width, height);
}

// Draws a histogram of shares: the first set is filled, another is dashed as well, so that they are told apart without colour.
function draw_histogram(pen, shares, width, height, colour, is_first, is_filled = true) {
  trace_bars(pen, shares, width, height, height - 4);
  pen.fillStyle = pen.strokeStyle = colour;
  pen.globalAlpha = is_first ? 0.35 : 0.15;
  if (is_filled) pen.fill();
  pen.globalAlpha = is_filled ? 1 : 0.5;
  pen.lineWidth = is_filled ? 2 : 1;
  pen.setLineDash(is_first ? [] : [6, 4]);
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

// Returns a number of bars of values between two ends, as shares of the tallest; what lies beyond is in the bars at the ends.
function bars_of(values, low, high, count) {
  const bars = new Float32Array(count), bar = (high - low) / count || 1;
  for (const value of values) bars[Math.min(Math.max(Math.floor((value - low) / bar), 0), count - 1)] += 1;
  const tallest = Math.max(...bars);
  return bars.map((held) => held / tallest);
}

// Lists sets, each behind a square of its colour.
function list_sets(legend, names, colours) {
  legend.replaceChildren();
  names.forEach((name, i) => {
    const entry = element("span", "", legend);
    element("i", "", entry).style.background = colours[i];
    entry.append(name);
  });
}

function floats(text) {
  return new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

function cumulated(counts) {
  let sum = 0;
  return Uint32Array.from(counts, (count) => (sum += count));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length; // nan of none

