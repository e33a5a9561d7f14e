// A button that puts the address of the page on the clipboard.

const SHOWN = 2500; // ms that it says so
const LABEL = "Copy link";

export default function (component) {
  const { parentElement, data } = component;
  const button = parentElement.querySelector("button");
  const text = button.querySelector("span");
  let timer;
  button.onclick = async () => {
    const copied = await copy(window.location.href);
    const caution = data && data.caution ? `: ${data.caution}` : "";
    text.textContent = copied ? `Copied${caution}` : "Copy it from the address line";
    clearTimeout(timer);
    timer = setTimeout(() => (text.textContent = LABEL), SHOWN + 60 * caution.length);
  };
  return () => clearTimeout(timer);
}

// Browsers have a clipboard only where the page came safely, or from this machine.
async function copy(link) {
  try {
    await navigator.clipboard.writeText(link);
    return true;
  } catch {
    return copyBySelection(link);
  }
}

function copyBySelection(link) {
  const field = document.createElement("textarea");
  field.value = link;
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}
