// Images as buttons. What is drawn is set as text and attributes, never as HTML: captions come from data that somebody brought.

const walls = new WeakMap(); // grid -> what it shows, and how it speaks

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return;
  const grid = parentElement.querySelector(".tiles");
  const wall = walls.get(grid) ?? { shown: "" };
  walls.set(grid, wall);
  wall.send = (item) => setTriggerValue("clicked", item);
  const shown = JSON.stringify(data.tiles);
  if (shown !== wall.shown) {
    grid.replaceChildren(...data.tiles.map((tile) => button(tile, wall))); // else they stay, and whoever has the focus keeps it
    wall.shown = shown;
  }
  for (const made of grid.children) made.setAttribute("aria-current", made.dataset.item === data.at);
  // A tile that had the focus may be gone: a dialog without the focus would not hear its keys.
  const dialog = grid.getRootNode().host?.closest('[role="dialog"]');
  if (dialog && document.activeElement === document.body) grid.firstElementChild?.focus({ preventScroll: true });
}

function button(tile, wall) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.item = tile.item;
  made.setAttribute("aria-label", tile.label);
  made.onclick = () => wall.send(tile.item);
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
