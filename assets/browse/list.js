// The list of all directions as strips.

import { $, afterPause, beginning, draw, fail, figure, isNamed, state } from "./page.js";

const AT_ONCE = 3; // strips under way: a browser opens six connections, and the large picture must not wait
const rows = new Map(); // number -> its row
const visible = new Set();
const queue = []; // rows whose strips are missing, the next one last
let underWay = 0;

export const rowOf = (index) => rows.get(index);

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries.reverse()) {
      if (isIntersecting) {
        visible.add(target);
        queue.push(target);
      } else {
        visible.delete(target);
        target.asked?.abort();
      }
    }
    drawStrips();
  },
  { rootMargin: "300px 0px" },
);

function drawStrips() {
  while (underWay < AT_ONCE && queue.length) {
    const row = queue.pop();
    const wanted = `reach=${state.reach}&${beginning()}`;
    if (!visible.has(row) || row.wanted === wanted) continue;
    row.wanted = wanted;
    row.asked?.abort();
    const asked = (row.asked = new AbortController());
    underWay += 1;
    row.classList.add("pending");
    draw(row.querySelector("img"), `api/strip/${row.dataset.index}?${wanted}`, asked.signal)
      .catch((error) => {
        if (row.asked === asked) row.wanted = null;
        fail(error);
      })
      .finally(() => {
        underWay -= 1;
        if (row.asked === asked) row.classList.remove("pending");
        drawStrips();
      });
  }
}

export const redrawStrips = afterPause(() => {
  queue.push(...[...visible].reverse());
  drawStrips();
});

function fillRow(row, direction) {
  const chosen = state.set.choice?.index === direction.index;
  row.classList.toggle("named", isNamed(direction));
  row.querySelector(".index").textContent = direction.index;
  row.querySelector(".name").textContent = isNamed(direction) ? direction.name : "";
  row.querySelector(".badge").hidden = !chosen;
  row.setAttribute("aria-label", `Direction ${direction.index}, ${direction.name}${chosen ? ", chosen" : ""}`);
  const sorted = $("sort").value;
  const order = state.set.columns.map((name, column) => ({ name, value: direction.scores[column] }));
  order.sort((a, b) => (b.name === sorted) - (a.name === sorted));
  row.querySelector(".figures").replaceChildren(
    ...order.map(({ name, value }) => {
      const span = document.createElement("span");
      span.className = name === sorted ? "sorted" : "";
      span.textContent = `${name.replaceAll("_", " ")} ${figure(value)}`;
      return span;
    }),
  );
}

export function ordered() {
  const text = $("find").value.trim().toLowerCase();
  const by = $("sort").value, column = state.set.columns.indexOf(by);
  const key = (d) => (by === "number" ? d.index : by === "name" ? d.name : d.scores[column]);
  const sign = $("order").textContent === "↓" ? -1 : 1;
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y) || a.index - b.index;
  };
  return state.set.directions.filter((d) => `${d.index} ${d.name}`.toLowerCase().includes(text)).sort(compare);
}

function letFocus(index) {
  for (const [number, row] of rows) row.tabIndex = number === index ? 0 : -1;
}

export function showList() {
  const shown = ordered();
  for (const direction of shown) fillRow(rows.get(direction.index), direction);
  $("list").replaceChildren(...shown.map((d) => rows.get(d.index)));
  const total = state.set.directions.length;
  $("count").textContent = shown.length === total ? `${total} directions` : `${shown.length} of ${total} directions`;
  const selected = state.shifts[0]?.index;
  letFocus(shown.some((d) => d.index === selected) ? selected : shown[0]?.index);
}

/** Mark the rows of the directions that are moved along, and where on their strips. */
export function markRows() {
  const [first, ...others] = state.shifts;
  const side = (state.set.frames - 1) / 2 / state.set.frames;
  for (const [index, row] of rows) {
    const shift = state.shifts.find((one) => one.index === index);
    const added = others.some((one) => one.index === index);
    row.setAttribute("aria-selected", String(index === first.index));
    row.classList.toggle("moved", shift !== undefined);
    const plus = row.querySelector(".plus");
    plus.hidden = index === first.index;
    plus.setAttribute("aria-pressed", String(added));
    plus.textContent = added ? "Added" : "Add";
    plus.setAttribute("aria-label", `Add direction ${index} to the sliders`);
    if (!shift) continue;
    const place = Math.max(-0.5, Math.min(0.5, (shift.alpha / state.reach) * side));
    row.querySelector(".strip").style.setProperty("--at", `${100 * (0.5 + place)}%`);
  }
  if (rows.get(first.index).isConnected) letFocus(first.index);
}

/** Return the alpha of the frame at a place between 0 and 1 along a strip; that in the middle keeps the present one. */
function alphaAt(place) {
  const side = (state.set.frames - 1) / 2;
  const steps = Math.min(state.set.frames - 1, Math.floor(place * state.set.frames)) - side;
  return steps === 0 ? undefined : (steps / side) * state.reach;
}

/** Make the rows; `select(index, alpha)` and `toggle(index)` are what a click or a key on them does. */
export function makeList(select, toggle) {
  for (const direction of state.set.directions) {
    const row = $("row").content.firstElementChild.cloneNode(true);
    row.dataset.index = direction.index;
    rows.set(direction.index, row);
    watcher.observe(row);
    row.addEventListener("click", (event) => {
      if (event.target.closest(".plus")) return toggle(direction.index);
      const strip = row.querySelector(".strip").getBoundingClientRect();
      const inside = event.clientY >= strip.top && event.clientY <= strip.bottom && event.detail > 0;
      select(direction.index, inside ? alphaAt((event.clientX - strip.left) / strip.width) : undefined);
    });
  }
  $("list").addEventListener("keydown", (event) => {
    const shown = [...$("list").children];
    const at = shown.indexOf(document.activeElement);
    const goals = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1, PageDown: at + 5, PageUp: at - 5 };
    if (event.key in goals) {
      const row = shown[Math.max(0, Math.min(shown.length - 1, goals[event.key]))];
      letFocus(Number(row.dataset.index));
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      select(Number(shown[at].dataset.index));
    } else if (event.key === "+" && at >= 0) {
      toggle(Number(shown[at].dataset.index));
    } else return;
    event.preventDefault();
  });
}
