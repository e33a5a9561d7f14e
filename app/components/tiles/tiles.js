// Images as buttons, and a row of text for each item without an image. What is drawn is set as text and attributes, never as HTML: captions come from data that somebody brought.

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
    const parts = [["images", data.tiles.filter((tile) => tile.image)], ["rows", data.tiles.filter((tile) => !tile.image)]];
    const shown_parts = parts.filter(([, some]) => some.length).map(([name, some]) => {
      const part = text("div", "", name);
      part.append(...some.map((tile) => button(tile, wall)));
      return part;
    });
    grid.replaceChildren(...shown_parts); // else they stay, and whoever has the focus keeps it
    wall.shown = shown;
  }
  for (const made of grid.querySelectorAll("button")) made.setAttribute("aria-current", made.dataset.item === data.at);
  // A tile that had the focus may be gone: a dialog without the focus would not hear its keys.
  const dialog = grid.getRootNode().host?.closest('[role="dialog"]');
  if (dialog && document.activeElement === document.body) grid.querySelector("button")?.focus({ preventScroll: true });
}

function button(tile, wall) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.item = tile.item;
  made.setAttribute("aria-label", tile.label);
  made.onclick = () => wall.send(tile.item);
  if (tile.image) made.appendChild(face(tile));
  else if (tile.colour) made.style.setProperty("--edge", tile.colour);
  for (const line of tile.lines) made.appendChild(text("span", line));
  return made;
}

function face(tile) {
  const image = document.createElement("img");
  image.src = tile.image;
  image.alt = "";
  if (tile.colour) image.style.borderBottomColor = tile.colour;
  return image;
}

function text(tag, content, name) {
  const made = document.createElement(tag);
  made.textContent = content;
  if (name) made.className = name;
  return made;
}
