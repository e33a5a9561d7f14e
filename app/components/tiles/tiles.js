// Images as buttons. What is drawn is set as text and attributes, never as HTML: captions come from data that somebody brought.

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return;
  const grid = parentElement.querySelector(".tiles");
  const root = grid.getRootNode();
  const focused = grid.contains(root.activeElement) ? root.activeElement.dataset.item : null;
  grid.replaceChildren(...data.tiles.map((tile) => button(tile, tile.item === data.at, setTriggerValue)));
  if (focused !== null) [...grid.children].find((made) => made.dataset.item === focused)?.focus({ preventScroll: true });
  // The tile that had the focus is gone: a dialog without the focus would not hear its keys.
  const dialog = root.host?.closest('[role="dialog"]');
  if (dialog && document.activeElement === document.body) grid.firstElementChild?.focus({ preventScroll: true });
}

function button(tile, current, setTriggerValue) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.item = tile.item;
  made.setAttribute("aria-label", tile.label);
  if (current) made.setAttribute("aria-current", "true");
  made.onclick = () => setTriggerValue("clicked", tile.item);
  made.appendChild(face(tile));
  for (const line of tile.lines) made.appendChild(text("span", line));
  return made;
}

function face(tile) {
  if (!tile.image) return edged(text("div", "no image at hand", "none"), tile);
  const image = document.createElement("img");
  image.src = tile.image;
  image.alt = "";
  return edged(image, tile);
}

function edged(element, tile) {
  if (tile.colour) element.style.borderBottomColor = tile.colour;
  return element;
}

function text(tag, content, name) {
  const made = document.createElement(tag);
  made.textContent = content;
  if (name) made.className = name;
  return made;
}
