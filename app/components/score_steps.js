// For components with a line over scores, on an axis of steps that may be uneven: their view has a `plot`, a `line`, a `flag`, a
// `threshold`, and `data` with the `edges` of the steps, `ticks`, and how many steps a `bar` of the histograms has. After `dragging`.

// The fraction of the axis at which a value lies; the axis may be uneven, so it is looked up.
function place(view, value) {
  const edges = view.data.edges, last = edges.length - 1;
  if (value <= edges[0]) return 0;
  if (value >= edges[last]) return 1;
  const above = edges.findIndex((edge) => edge > value);
  return (above - 1 + (value - edges[above - 1]) / (edges[above] - edges[above - 1])) / last;
}

// The step that is nearest to a pointer.
function step_at(view, event) {
  return Math.round(across(view.plot.getBoundingClientRect(), event) * (view.data.edges.length - 1));
}

// {key: step} that a key moves the line to; it may lie between steps.
function steps(view, event) {
  const last = view.data.edges.length - 1, at = place(view, view.threshold) * last, more = Math.max(1, Math.round(last / 50)) - 1;
  const down = Math.ceil(at - 1e-9) - 1, up = Math.floor(at + 1e-9) + 1, one = event.shiftKey ? more : 0;
  return key_places({ down: down - one, up: up + one, far_down: down - more, far_up: up + more, first: 0, last });
}

// Shares of a group a bar, every set counting the same; what lies beyond the axis is in the first and the last bar.
function group_bars(group, data) {
  const bars = new Float64Array(Math.ceil((data.edges.length - 1) / data.bar));
  for (const set of group.sets) {
    const one = 1 / (set.n * group.sets.length);
    let beyond = set.n;
    set.counts.forEach((count, i) => {
      bars[Math.floor(Math.max(i - 1, 0) / data.bar)] += count * one;
      beyond -= count;
    });
    bars[bars.length - 1] += beyond * one;
  }
  return bars;
}

// Builds the ticks of the axis, and says to a screen reader from where to where the line goes.
function build_axis(view) {
  const { ticks, edges } = view.data, last = ticks.length - 1;
  view.axis.replaceChildren();
  ticks.forEach(([at, label], i) => {
    const tick = element("span", label, view.axis);
    tick.style.left = `${100 * at}%`;
    if (at < 0.03 && i === 0) tick.style.transform = "none";
    if (at > 0.97 && i === last) tick.style.transform = "translateX(-100%)";
  });
  view.line.setAttribute("aria-valuemin", edges[0]);
  view.line.setAttribute("aria-valuemax", edges[edges.length - 1]);
}
