// Hears which files somebody picks or drops on an uploader, and says which of them Streamlit will refuse without a word.

const PATIENCE = 100; // ms: Streamlit must have taken the event first

export default function (component) {
  const { data, setTriggerValue } = component;
  if (!data) return undefined;
  const is_here = (event) => event.target.closest?.(`.st-key-${data.uploader}`);
  const say = (name, size) => setTimeout(() => setTriggerValue("refused", { name, size }), PATIENCE);
  const look = (event, files) => {
    const refused = is_here(event) && [...(files ?? [])].find((file) => !taken(file, data));
    if (refused) say(refused.name, refused.size);
  };
  const listeners = {
    change: (event) => look(event, event.target.files),
    drop: (event) => look(event, event.dataTransfer?.files),
    click: (event) => { // a file that was refused is taken away
      if (is_here(event) && event.target.closest('[data-testid="stFileChipDeleteBtn"]')) say("", 0);
    },
  };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener, true);
  return () => {
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener, true);
  };
}

function taken(file, data) {
  const name = file.name.toLowerCase();
  return file.size <= data.bytes && data.types.some((type) => name.endsWith(`.${type}`));
}
