// Puts data where the drawings on the page find them, and says so. The last of a name wins.

export default function ({ data }) {
  if (!data) return undefined;
  window.heatShared ??= {};
  window.heatShared[data.name] = data;
  document.dispatchEvent(new CustomEvent("heat-shared", { detail: data.name }));
  return () => {
    if (window.heatShared[data.name] === data) delete window.heatShared[data.name];
  };
}
