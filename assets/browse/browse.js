"use strict";

const $ = (id) => document.getElementById(id);
const TAB = Math.random().toString(36).slice(2, 10) + "0"; // the server lets one tab overtake only itself
const AT_ONCE = 3; // strips under way: a browser opens six connections, and the large picture must not wait
const PAUSE = 120; // milliseconds without a move after which the strips follow a slider
let set = null;
let selected = null; // number of a direction
const rows = new Map(); // number -> its row in the list

// ---------------------------------------------------------------- asking

/** Return the answer to a request; throws an Error whose message is one line for the user. */
async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("toolkit browse does not answer; start it again and reload this page");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.error ?? `toolkit browse failed (${answer.status}); its terminal says why`);
}

function tell(message, next = "", wrong = false) {
  $("status").className = wrong ? "wrong" : "";
  $("close").hidden = !message;
  $("status").replaceChildren(message);
  if (next) {
    const code = document.createElement("code");
    code.textContent = next;
    $("status").append(code);
  }
}

$("close").addEventListener("click", () => tell(""));

const fail = (error) => error.name === "AbortError" || tell(error.message, "", true);

/** Show the picture at `url` in an image. An answer that came too late for a newer one is dropped. */
async function draw(image, url, signal) {
  const answer = await ask(url, { signal });
  if (answer.status === 204) return;
  const picture = await answer.blob();
  if (signal?.aborted) return;
  const before = image.src;
  image.src = URL.createObjectURL(picture);
  if (before) URL.revokeObjectURL(before);
}

/** Return a function that runs `work`, one at a time: asked for meanwhile, it runs once more, for the newest state. */
function newest(work) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    while (again) {
      again = false;
      await work().catch(fail);
    }
    busy = false;
  };
}

function afterPause(work) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, PAUSE);
  };
}

// ---------------------------------------------------------------- the list

const visible = new Set();
const queue = []; // rows whose strips are missing, the next one last
let underWay = 0;

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
    const wanted = `reach=${$("reach").value}&seed=${$("seed").value}`;
    if (!visible.has(row) || row.wanted === wanted) continue;
    row.wanted = wanted;
    row.asked?.abort();
    const asked = (row.asked = new AbortController());
    underWay += 1;
    row.classList.add("pending");
    draw(row.querySelector("img"), `api/strip/${row.dataset.index}?${wanted}&tab=${TAB}`, asked.signal)
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

const redrawStrips = afterPause(() => {
  queue.push(...[...visible].reverse());
  drawStrips();
});

const figure = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(2));
const isNamed = (direction) => direction.name !== `direction_${direction.index}`;

function fillRow(row, direction) {
  const chosen = set.choice?.index === direction.index;
  row.classList.toggle("named", isNamed(direction));
  row.querySelector(".index").textContent = direction.index;
  row.querySelector(".name").textContent = isNamed(direction) ? direction.name : "";
  row.querySelector(".badge").hidden = !chosen;
  row.setAttribute("aria-label", `Direction ${direction.index}, ${direction.name}${chosen ? ", chosen" : ""}`);
  const sorted = $("sort").value;
  const order = set.columns.map((name, column) => ({ name, value: direction.scores[column] }));
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

function ordered() {
  const text = $("find").value.trim().toLowerCase();
  const by = $("sort").value, column = set.columns.indexOf(by);
  const key = (d) => (by === "number" ? d.index : by === "name" ? d.name : d.scores[column]);
  const sign = $("order").textContent === "↓" ? -1 : 1;
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y) || a.index - b.index;
  };
  return set.directions.filter((d) => `${d.index} ${d.name}`.toLowerCase().includes(text)).sort(compare);
}

function showList() {
  const shown = ordered();
  for (const direction of shown) fillRow(rows.get(direction.index), direction);
  $("list").replaceChildren(...shown.map((d) => rows.get(d.index)));
  const total = set.directions.length;
  $("count").textContent = shown.length === total ? `${total} directions` : `${shown.length} of ${total} directions`;
  const entry = shown.some((d) => d.index === selected) ? selected : shown[0]?.index;
  for (const [index, row] of rows) row.tabIndex = index === entry ? 0 : -1;
}

function makeRows() {
  for (const direction of set.directions) {
    const row = $("row").content.firstElementChild.cloneNode(true);
    row.dataset.index = direction.index;
    rows.set(direction.index, row);
    watcher.observe(row);
    row.addEventListener("click", (event) => {
      const strip = row.querySelector(".strip").getBoundingClientRect();
      const inside = event.clientY >= strip.top && event.clientY <= strip.bottom && event.detail > 0;
      select(direction.index, inside ? alphaAt((event.clientX - strip.left) / strip.width) : undefined);
    });
  }
}

/** Return the alpha of the frame at a place between 0 and 1 along a strip; that in the middle keeps the present one. */
function alphaAt(place) {
  const side = (set.frames - 1) / 2;
  const steps = Math.min(set.frames - 1, Math.floor(place * set.frames)) - side;
  return steps === 0 ? undefined : (steps / side) * Number($("reach").value);
}

$("list").addEventListener("keydown", (event) => {
  const shown = [...$("list").children];
  const at = shown.indexOf(document.activeElement);
  const goals = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1, PageDown: at + 5, PageUp: at - 5 };
  if (event.key in goals) {
    const row = shown[Math.max(0, Math.min(shown.length - 1, goals[event.key]))];
    for (const other of rows.values()) other.tabIndex = -1;
    row.tabIndex = 0;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
    select(Number(shown[at].dataset.index));
  } else return;
  event.preventDefault();
});

// ---------------------------------------------------------------- the selected direction

const signed = (value) => (value > 0 ? "+" : "") + Number(value).toFixed(1);

const drawShifted = newest(async () => {
  if (selected === null) return;
  const asked = new URLSearchParams({ alpha: $("alpha").value, seed: $("seed").value, tab: TAB });
  if ($("second").value) {
    asked.set("second", $("second").value);
    asked.set("second_alpha", $("second-alpha").value);
  }
  if ($("mask").checked) asked.set("rule", $("rule").value);
  const number = selected, masked = $("mask").checked;
  $("twins").classList.add("pending");
  await draw($("shifted"), `api/shifted/${number}?${asked}`).finally(() => $("twins").classList.remove("pending"));
  $("twins").style.setProperty("--rows", masked ? 3 : 2);
  $("twins").querySelector(".labels").lastElementChild.hidden = !masked;
  $("shifted").alt = `Direction ${number} at alpha ${asked.get("alpha")}: before, after${masked ? ", mask" : ""}`;
});

function showNumbers() {
  for (const output of document.querySelectorAll("output")) {
    const slider = $(output.htmlFor.value);
    output.textContent = slider.id.endsWith("alpha") ? signed(slider.value) : slider.value;
  }
  const alpha = Number($("alpha").value);
  $("choose").textContent = `Choose ${signed(alpha)} for segmentation`;
  $("second-control").hidden = !$("second").value;
  $("rule").disabled = !$("mask").checked;
  const side = (set.frames - 1) / 2 / set.frames;
  const place = Math.max(-0.5, Math.min(0.5, (alpha / Number($("reach").value)) * side));
  rows.get(selected)?.querySelector(".strip").style.setProperty("--at", `${100 * (0.5 + place)}%`);
}

function showDetail() {
  const direction = set.directions[selected];
  $("detail").hidden = false;
  $("number").textContent = direction.index;
  $("name").textContent = isNamed(direction) ? direction.name : "";
  $("is-chosen").hidden = set.choice?.index !== selected;
  $("new-name").value = isNamed(direction) ? direction.name : "";
  $("read-only").hidden = set.file !== null;
  $("copy").textContent = `Copy to ${set.copy_to}`;
  for (const control of [$("new-name"), $("naming").querySelector("button"), $("choose")]) control.disabled = set.file === null;
  $("scores").replaceChildren(
    ...set.columns.map((name, column) => {
      const pair = document.createElement("div");
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name.replaceAll("_", " ");
      value.textContent = figure(direction.scores[column]);
      pair.append(term, value);
      return pair;
    }),
  );
}

function select(index, alpha) {
  rows.get(selected)?.setAttribute("aria-selected", "false");
  const changed = index !== selected;
  selected = index;
  rows.get(index).setAttribute("aria-selected", "true");
  for (const [number, row] of rows) row.tabIndex = number === index ? 0 : -1;
  if (alpha !== undefined || changed) $("alpha").value = alpha ?? set.directions[index].start;
  showDetail();
  showNumbers();
  drawShifted();
  if (changed && getComputedStyle($("back")).display !== "none" && rows.get(index).contains(document.activeElement)) {
    $("detail").scrollIntoView({ behavior: "smooth", block: "start" });
  }
}

/** Send a change; show what was written and the set as it is now. */
async function change(url, body) {
  const answer = await ask(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const { message, next, set: now } = await answer.json();
  showSet(now);
  showDetail();
  tell(message, `next: ${next}`);
}

$("naming").addEventListener("submit", (event) => {
  event.preventDefault();
  change("api/name", { direction: selected, name: $("new-name").value }).catch(fail);
});
$("choose").addEventListener("click", () => {
  change("api/choose", { direction: selected, alpha: Number($("alpha").value), rule: $("rule").value }).catch(fail);
});
$("copy").addEventListener("click", () => change("api/copy", {}).catch(fail));
$("back").addEventListener("click", () => {
  rows.get(selected).focus();
  rows.get(selected).scrollIntoView({ block: "center" });
});

// ---------------------------------------------------------------- photos

// As a shell takes it: a line to copy should do what it says, whatever a file is called.
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

async function segment(file) {
  if (file.size > set.largest_upload) {
    throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; choose a photo of at most ${set.largest_upload / 1e6} MB`);
  }
  const form = new FormData();
  form.append("photo", file);
  tell(`segmenting ${file.name} ...`);
  $("found").classList.add("pending");
  const answer = await ask(`api/segment?tab=${TAB}`, { method: "POST", body: form }).finally(() =>
    $("found").classList.remove("pending"),
  );
  if (answer.status === 204) return;
  const found = await answer.json();
  for (const kind of ["photo", "mask", "soft"]) $(`found-${kind}`).src = found[kind];
  $("share").textContent = `Mask: ${(100 * found.share).toFixed(0)} % of the photo`;
  $("found").hidden = false;
  const [photo, model] = [file.name, set.segmenter].map(quoted);
  tell(`segmented ${file.name}`, `next: toolkit predict ${photo} --segmenter ${model} --out masks`);
}

function take(files) {
  if (files.length && set?.segmenter) segment(files[0]).catch(fail);
}
$("file").addEventListener("change", () => {
  take($("file").files);
  $("file").value = ""; // the same photo again is a change too
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("photo").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}

// ---------------------------------------------------------------- the page

for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("nav button")) {
      other.toggleAttribute("aria-current", false);
      $(other.dataset.view).hidden = other !== button;
    }
    button.setAttribute("aria-current", "page");
    tell("");
  });
}

function option(value, text = value.replaceAll("_", " ")) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

/** Show names, scores and choice of a set; its rows are made once. */
function showSet(now) {
  set = { ...set, ...now };
  document.title = `${set.title}: directions`;
  $("title").textContent = set.title;
  $("about").textContent = `Directions of ${set.generator}, ${set.method}; ${set.file ?? "read-only"}`;
  const second = $("second").value;
  const choices = set.directions.map((d) => option(String(d.index), isNamed(d) ? `${d.index} ${d.name}` : String(d.index)));
  $("second").replaceChildren($("second").firstElementChild, ...choices);
  $("second").value = second;
  showList();
  showNumbers();
}

async function start() {
  const first = await (await ask("api/set")).json();
  set = first;
  $("sort").replaceChildren(...["number", "name", ...set.columns].map((name) => option(name)));
  $("sort").value = set.columns.includes("score") ? "score" : "number";
  $("order").textContent = $("sort").value === "score" ? "↓" : "↑";
  $("rule").replaceChildren(...set.rules.map((rule) => option(rule, rule)));
  const told = set.choice && set.choice.mask_rule;
  $("rule").value = told || (set.rules.includes("mean_thr") ? "mean_thr" : set.rules[0]);
  for (const slider of [$("alpha"), $("second-alpha")]) [slider.min, slider.max] = [-set.longest, set.longest];
  $("second-alpha").value = 0;
  $("reach").max = set.longest;
  $("list").style.setProperty("--frames", set.frames);
  $("twins").style.setProperty("--frames", set.latents);
  $("segmenter").textContent = set.segmenter
    ? `The segmenter ${set.segmenter} marks the foreground of a photo of yours.`
    : `There is no segmenter yet: toolkit segment ${set.run} --out segmenter, then toolkit browse ${set.run} --segmenter segmenter`;
  $("drop").hidden = !set.segmenter;
  makeRows();
  showSet(first);
  select(set.choice?.index ?? ordered()[0].index);
}

$("tools").addEventListener("submit", (event) => event.preventDefault());
$("find").addEventListener("input", showList);
$("sort").addEventListener("change", () => {
  $("order").textContent = ["number", "name"].includes($("sort").value) ? "↑" : "↓";
  showList();
});
$("order").addEventListener("click", () => {
  $("order").textContent = $("order").textContent === "↓" ? "↑" : "↓";
  showList();
});
for (const id of ["alpha", "second", "second-alpha", "mask", "rule", "seed"]) {
  $(id).addEventListener("input", () => (showNumbers(), drawShifted()));
}
for (const id of ["reach", "seed"]) $(id).addEventListener("input", () => (showNumbers(), redrawStrips()));

start().catch(fail);
