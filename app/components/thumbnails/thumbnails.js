// Passes on which thumbnails a drawing wants, and keeps those that came for all drawings on the page.

const asking = new WeakMap(); // parentElement -> what listens for it

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  if (!data) return undefined;
  if (window.heatThumbnails?.of !== data.of) window.heatThumbnails = { of: data.of, images: new Map() };
  data.rows.forEach((row, i) => window.heatThumbnails.images.set(row, data.images[i]));
  document.dispatchEvent(new CustomEvent("heat-shared", { detail: "thumbnails" }));
  document.removeEventListener("heat-thumbnails-wanted", asking.get(parentElement));
  const ask = (event) => setTriggerValue("wanted", event.detail);
  asking.set(parentElement, ask);
  document.addEventListener("heat-thumbnails-wanted", ask);
  return () => document.removeEventListener("heat-thumbnails-wanted", ask);
}
