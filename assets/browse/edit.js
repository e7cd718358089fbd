// The edit: directions with their sliders, the picture of what they do, and what is done with it.

import { $, ask, beginning, draw, fail, figure, isNamed, layered, newest, numbered, option, say, signed, state } from "./page.js";
import { markRows, redrawStrips, rowOf, showList } from "./list.js";

const LEAST_REACH = 1e-6;
const sliders = new Map(); // number of a direction -> its element, which has a function `show`

const named = (index) => {
  const direction = state.set.directions[index];
  return isNamed(direction) ? `${index} ${direction.name}` : String(index);
};

/** Return what the server is asked for the present edit. */
function query() {
  const asked = beginning();
  for (const { index, alpha, layers } of state.shifts) {
    asked.append("direction", index);
    asked.append("alpha", alpha);
    if (state.set.num_layers) asked.append("layers", layers);
  }
  if (!state.photo) asked.set("images", state.images);
  if ($("mask").checked) asked.set("rule", $("rule").value);
  return asked;
}

const drawShifted = newest(async () => {
  if (!state.shifts.length) return;
  const asked = query();
  const kinds = ["before", "after"];
  if (asked.has("photo")) kinds.unshift("photo");
  if (asked.has("rule")) kinds.push("mask");
  const count = asked.has("photo") ? 1 : state.images;
  const along = state.shifts.map(({ index, alpha }) => `direction ${index} at ${signed(alpha)}`).join(" and ");
  $("twins").classList.add("pending");
  const drawn = await draw($("shifted"), `api/shifted?${asked}`).finally(() => $("twins").classList.remove("pending"));
  if (drawn) arrange(kinds, count, `${kinds.join(", ")}: ${along}`);
});

/** Fit the frame and the words around the picture: a kind a row, or, of one image, a kind a column. */
function arrange(kinds, count, text) {
  const single = count === 1;
  $("twins").classList.toggle("single", single);
  $("twins").style.setProperty("--frames", single ? kinds.length : count);
  $("twins").style.setProperty("--rows", single ? 1 : kinds.length);
  $("twins").querySelector(".labels").replaceChildren(
    ...kinds.map((kind) => {
      const label = document.createElement("span");
      label.textContent = kind;
      return label;
    }),
  );
  $("shifted").alt = text[0].toUpperCase() + text.slice(1);
}

/** Show the newest edit: numbers at once, pictures as they come. */
function changed() {
  const [{ index, alpha }] = state.shifts;
  $("choose").textContent = `Choose ${index} at ${signed(alpha)} for segmentation`;
  $("rule").disabled = !$("mask").checked;
  $("detail").querySelector("[data-save=mask]").disabled = !$("mask").checked;
  for (const shift of state.shifts) {
    const label = sliders.get(shift.index)?.querySelector("label");
    if (label) label.textContent = label.title = withDeviations(shift);
  }
  markRows();
  drawShifted();
}

/** Return what a slider is called: its direction and, where the set records them, in deviations how far it is moved. */
function withDeviations({ index, alpha }) {
  const { sigma } = state.set.directions[index];
  return sigma ? `${named(index)} · ${signed(Math.round((alpha / sigma) * 100) / 100)} σ` : named(index);
}

// ---------------------------------------------------------------- sliders

function makeSlider(shift) {
  const element = $("slider").content.firstElementChild.cloneNode(true);
  const [slider, field] = element.querySelectorAll("input");
  [slider.min, slider.max] = [-state.set.longest, state.set.longest];
  slider.id = `alpha-${shift.index}`;
  element.querySelector("label").htmlFor = slider.id;
  const show = numbered(field, {
    least: -state.set.longest_alpha,
    most: state.set.longest_alpha,
    slider,
    take: (value) => {
      shift.alpha = value;
      changed();
    },
  });
  show(shift.alpha);
  const layers = element.querySelector(".layers");
  layers.hidden = !state.set.num_layers;
  element.classList.toggle("layered", !layers.hidden);
  layers.value = shift.layers;
  layered(layers, false, (text) => {
    shift.layers = text;
    changed();
  });
  element.show = (alpha) => show((shift.alpha = alpha));
  element.querySelector(".remove").addEventListener("click", () => {
    toggle(shift.index);
    $("add").focus();
  });
  return element;
}

/** Show a slider for each direction that is moved along, keeping those that are there. */
function showSliders() {
  const wanted = new Set(state.shifts.map(({ index }) => index));
  for (const index of [...sliders.keys()]) if (!wanted.has(index)) sliders.delete(index);
  for (const shift of state.shifts) {
    if (!sliders.has(shift.index)) sliders.set(shift.index, makeSlider(shift));
    const element = sliders.get(shift.index), text = named(shift.index);
    const [label, , field, layers, remove] = element.children;
    label.textContent = label.title = withDeviations(shift);
    field.setAttribute("aria-label", `Alpha of direction ${text}, typed`);
    layers.setAttribute("aria-label", `Layers that direction ${text} moves`);
    remove.setAttribute("aria-label", `Remove direction ${text}`);
    remove.hidden = shift === state.shifts[0];
  }
  const order = state.shifts.map(({ index }) => sliders.get(index));
  const present = [...$("sliders").children];
  if (order.length !== present.length || order.some((one, i) => one !== present[i])) $("sliders").replaceChildren(...order);
  const full = state.shifts.length >= state.set.most.directions;
  $("add").disabled = full;
  const choices = state.set.directions.filter(({ index }) => !wanted.has(index));
  const first = $("add").firstElementChild;
  first.textContent = full ? `${state.shifts.length} directions are the most` : "another direction ...";
  $("add").replaceChildren(first, ...choices.map(({ index }) => option(String(index), named(index))));
  $("add").value = "";
}

/** Return a shift along a direction as the set has it. */
function shiftAlong(index) {
  const { start: alpha, layers } = state.set.directions[index];
  return { index, alpha, layers };
}

/** Add a direction to the sliders, or remove it from them; the selected one stays. */
export function toggle(index) {
  const at = state.shifts.findIndex((shift) => shift.index === index);
  if (at === 0) return;
  if (at > 0) state.shifts.splice(at, 1);
  else if (state.shifts.length >= state.set.most.directions) {
    return say(`${state.shifts.length} directions are moved along, which is the most; remove one first`, "", true);
  } else state.shifts.push(shiftAlong(index));
  showSliders();
  changed();
}

// ---------------------------------------------------------------- the selected direction

export function showDetail() {
  const [{ index }] = state.shifts;
  const direction = state.set.directions[index], fixed = state.set.file === null;
  $("detail").hidden = false;
  $("number").textContent = index;
  $("name").textContent = isNamed(direction) ? direction.name : "";
  $("is-chosen").hidden = state.set.choice?.index !== index;
  $("new-name").value = isNamed(direction) ? direction.name : "";
  $("read-only").hidden = !fixed;
  $("copy").textContent = `Copy to ${state.set.copy_to}`;
  for (const control of [$("new-name"), $("naming").querySelector("button"), $("choose")]) control.disabled = fixed;
  $("scores").replaceChildren(
    ...state.set.columns.map((name, column) => {
      const pair = document.createElement("div");
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name.replaceAll("_", " ");
      value.textContent = figure(direction.scores[column]);
      pair.append(term, value);
      return pair;
    }),
  );
  showSliders();
}

/** Select a direction in place of the one selected so far; of two that are moved along, they change places. */
export function select(index, alpha) {
  const before = state.shifts[0]?.index;
  const at = state.shifts.findIndex((shift) => shift.index === index);
  if (at > 0) [state.shifts[0], state.shifts[at]] = [state.shifts[at], state.shifts[0]];
  else if (at < 0) state.shifts[0] = shiftAlong(index);
  showDetail();
  if (alpha !== undefined) sliders.get(index).show(alpha);
  changed();
  if (before !== index && getComputedStyle($("back")).display !== "none" && rowOf(index).contains(document.activeElement)) {
    $("detail").scrollIntoView({ behavior: "smooth", block: "start" });
  }
}

/** Send a change of the set; show what was written and the set as it is now. */
async function change(url, body) {
  const answer = await ask(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const { message, next, set } = await answer.json();
  showSet(set);
  showDetail();
  markRows();
  say(message, `next: ${next}`);
}

/** Show names, scores and choice of a set. */
export function showSet(now) {
  state.set = { ...state.set, ...now };
  document.title = `${state.set.title}: directions`;
  $("title").textContent = state.set.title;
  $("about").textContent = `Directions of ${state.set.generator}, ${state.set.method}; ${state.set.file ?? "read-only"}`;
  showList();
}

// ---------------------------------------------------------------- saving

async function save(kind, button) {
  button.disabled = true;
  say(`saving the ${kind} ...`);
  const answer = await ask(`api/save/${kind}?${query()}`).finally(() => (button.disabled = false));
  if (answer.status === 204) return say("");
  const link = document.createElement("a");
  link.download = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))[1];
  link.href = URL.createObjectURL(await answer.blob());
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`saved ${link.download}`);
}

// ---------------------------------------------------------------- controls

/** Show that other latents are moved. */
export function restarted() {
  redrawStrips();
  drawShifted();
}

/** Bring to life what style-based generators alone have: truncation, and mixed styles. */
function prepareStyles() {
  const { psi, furthest_psi: most, num_layers: count, last_seed: last } = state.set;
  $("truncation").hidden = psi === null;
  if (psi !== null) {
    const take = (value) => ((state.psi = value), restarted());
    numbered($("psi-number"), { least: -most, most, slider: $("psi"), take })(psi);
  }
  $("mixing").hidden = $("heads").hidden = !count;
  layered($("mix"), true, (text) => ((state.mix = text), restarted()));
  const take = (value) => ((state.donor = value), state.mix && restarted());
  numbered($("donor"), { least: 0, most: last, whole: true, take })(state.donor);
}

/** Bring the controls to life, once the set is known. */
export function prepareEdit() {
  const { most, last_seed: last } = state.set;
  const seed = { least: 0, most: last, whole: true, take: (value) => ((state.seed = value), restarted()) };
  const showSeed = numbered($("seed"), seed);
  $("another").addEventListener("click", () => {
    state.seed = Math.floor(Math.random() * 1e6);
    showSeed(state.seed);
    restarted();
  });
  numbered($("images"), { least: 1, most: most.images, whole: true, take: (n) => ((state.images = n), drawShifted()) });
  $("images").value = state.images;
  prepareStyles();
  const reach = { least: LEAST_REACH, most: state.set.longest_alpha, slider: $("reach") };
  const showReach = numbered($("reach-number"), { ...reach, take: (value) => ((state.reach = value), markRows(), redrawStrips()) });
  showReach(state.reach);
  $("add").addEventListener("change", () => $("add").value && toggle(Number($("add").value)));
  for (const id of ["mask", "rule"]) $(id).addEventListener("input", changed);
  for (const button of $("detail").querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => save(button.dataset.save, button).catch(fail));
  }
  $("naming").addEventListener("submit", (event) => {
    event.preventDefault();
    change("api/name", { direction: state.shifts[0].index, name: $("new-name").value }).catch(fail);
  });
  $("choose").addEventListener("click", () => {
    const [{ index, alpha, layers }] = state.shifts;
    const moved = state.set.num_layers ? { layers } : {};
    change("api/choose", { direction: index, alpha, rule: $("rule").value, ...moved }).catch(fail);
  });
  $("copy").addEventListener("click", () => change("api/copy", {}).catch(fail));
  $("back").addEventListener("click", () => {
    const row = rowOf(state.shifts[0].index);
    if (!row.isConnected) return $("find").focus(); // what is searched for leaves it out
    row.focus();
    row.scrollIntoView({ block: "center" });
  });
}
