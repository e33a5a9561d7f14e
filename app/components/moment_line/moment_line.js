// The scores of a stream, a dot a row, and a line at a moment. Dragging moves the line alone; one message leaves when it is let go,
// and the page answers with the stream that changes then.

const HEIGHT = 120; // px, as the style sheet says
const EDGE = 4; // px above the highest score, and below the lowest
const dragging = draggable({
  moving: ["moment"], value: (line) => line.moment, rest: (line) => { line.moment = line.data.moment; },
  draw, steps, step_to, follow,
});

export default dragging.mounting(create, accept);

function create(root) {
  const find = (name) => root.querySelector(name);
  const line = { plot: find(".plot"), canvas: find("canvas"), handle: find(".line"), flag: find(".flag") };
  line.observer = new ResizeObserver(() => dragging.ask(line));
  line.observer.observe(line.plot);
  dragging.listen(line, line.plot, [line.handle]);
  return line;
}

function accept(line, data) {
  line.data = data;
  line.handle.setAttribute("aria-label", data.label);
  line.handle.setAttribute("aria-valuemin", data.low);
  line.handle.setAttribute("aria-valuemax", data.high);
  dragging.arrived(line, data.moment);
}

// -- the line ---------------------------------------------------------------------------------------------------------

function step_to(line, moment) {
  const { low, high } = line.data;
  line.moment = Math.min(Math.max(Math.round(moment), low), high);
  dragging.ask(line);
}

function follow(line, event) {
  const { first, last, step } = line.data;
  const moment = first + across(line.plot.getBoundingClientRect(), event) * (last - first);
  step_to(line, Math.round(moment / step) * step);
}

function steps(line, event) {
  const { step, low, high } = line.data, far = 10 * step, one = event.shiftKey ? far : step, at = line.moment;
  return key_places({ down: at - one, up: at + one, far_down: at - far, far_up: at + far, first: low, last: high });
}

// -- drawing ----------------------------------------------------------------------------------------------------------

function draw(line) {
  const { data } = line, width = line.plot.clientWidth, pen = pen_of(line.canvas, width, HEIGHT);
  const right = (row) => ((row - data.first) / (data.last - data.first)) * width;
  const up = (height) => HEIGHT - EDGE - height * (HEIGHT - 2 * EDGE); // heights are fractions
  paint_dots(pen, data, right, up);
  pen.strokeStyle = data.colours.limit;
  pen.setLineDash([6, 4]);
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(0, up(data.threshold));
  pen.lineTo(width, up(data.threshold));
  pen.stroke();
  pen.setLineDash([]);
  line.flag.textContent = `row ${line.moment.toLocaleString("en")}`;
  put_line(line.handle, line.flag, right(line.moment), width);
  line.handle.setAttribute("aria-valuenow", line.moment);
  line.handle.setAttribute("aria-valuetext", `row ${line.moment}`);
}

// ID rows are small dots; rows that were mixed in are larger diamonds, in another colour.
function paint_dots(pen, data, right, up) {
  pen.globalAlpha = 0.55;
  pen.fillStyle = data.colours.inside;
  data.rows.forEach((row, i) => {
    if (!data.changed[i]) pen.fillRect(right(row) - 1, up(data.heights[i]) - 1, 2, 2);
  });
  pen.globalAlpha = 0.95;
  pen.fillStyle = data.colours.changed;
  data.rows.forEach((row, i) => {
    if (!data.changed[i]) return;
    const x = right(row), y = up(data.heights[i]);
    pen.beginPath();
    pen.moveTo(x, y - 4);
    pen.lineTo(x + 4, y);
    pen.lineTo(x, y + 4);
    pen.lineTo(x - 4, y);
    pen.fill();
  });
  pen.globalAlpha = 1;
}
