// Closes the menu of pages where it lies over the page: Streamlit leaves it open after a choice.

export default function () {
  const chosen = (event) => {
    if (!event.target.closest?.('[data-testid="stSidebarNavLink"]')) return;
    setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click()); // after the choice itself
  };
  document.addEventListener("click", chosen, true);
  return () => document.removeEventListener("click", chosen, true);
}
