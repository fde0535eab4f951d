// Keeps the focus on the page: where what had it is gone or disabled, the nearest place around it gets it.
const CAN = "[tabindex], a[href], button:not(:disabled), input:not(:disabled), select, summary";

let around = []; // what has the focus, and what it is in, from the inside

// What is opened, with what opened it, which gets the focus when that goes.
export const cameFrom = new WeakMap();

export function keepFocus() {
  addEventListener("focusin", ({ target }) => {
    around = [];
    for (let each = target; each && each !== document.body; each = each.parentElement) around.push(each);
  });
  // A click beside everything takes the focus away on purpose.
  addEventListener("pointerdown", () => { around = []; });
  const watched = { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] };
  new MutationObserver(() => { if (around.length) soon(); }).observe(document.body, watched);
}

// What is disabled has the focus until the page is painted.
const soon = () => requestAnimationFrame(() => requestAnimationFrame(look));

function look() {
  const [last, ...places] = around;
  if (!last || document.activeElement !== document.body || (last.isConnected && !last.disabled)) return;
  const place = places.find((each) => each.isConnected && (each.matches(CAN) || each.querySelector(CAN)));
  const near = place?.matches(CAN) ? place : place?.querySelector("[tabindex='0']") ?? place?.querySelector(CAN);
  const from = around.map((each) => !each.isConnected && cameFrom.get(each)).find((each) => each && each.isConnected);
  if (from) from.focus();
  else near?.focus({ preventScroll: true });
}
