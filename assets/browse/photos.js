// Photos: one that the sliders move in place of a seed's images, and one that is segmented.

import { $, TAB, fail, numbered, say, send, state } from "./page.js";
import { restarted } from "./edit.js";

let steps = 100;

// As a shell takes it: a line to copy should do what it says, whatever a file is called.
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

// ---------------------------------------------------------------- under the sliders

async function embed(file, refine = 0) {
  say([refine ? "refining" : "embedding", file.name, state.set.embedding_note, "..."].filter(Boolean).join(" "));
  $("detail").classList.add("embedding");
  const asked = new URLSearchParams({ tab: TAB, refine });
  const embedded = await send(`api/embed?${asked}`, file).finally(() => $("detail").classList.remove("embedding"));
  if (!embedded) return;
  state.photo = { key: embedded.photo, name: file.name, file };
  $("held-photo").src = embedded.square;
  $("held-photo").alt = `The middle of ${file.name}`;
  $("held-name").textContent = $("held-name").title = file.name;
  $("error").textContent = `error ${embedded.error.toFixed(3)}${refine ? ` after ${refine} steps` : ""}`;
  showStart();
  restarted();
  say(refine ? `refined ${file.name}` : `${file.name} is under the sliders`);
}

function showStart() {
  const held = state.photo !== null;
  $("seeded").hidden = held;
  $("truncation").hidden = held || state.set.psi === null;
  $("held").hidden = $("refining").hidden = !held;
  $("own").lastChild.textContent = held ? "Other photo" : "Own photo";
}

// ---------------------------------------------------------------- segmented

async function segment(file) {
  say(`segmenting ${file.name} ...`);
  $("found").classList.add("pending");
  const found = await send(`api/segment?tab=${TAB}`, file).finally(() => $("found").classList.remove("pending"));
  if (!found) return;
  for (const kind of ["photo", "mask", "soft"]) $(`found-${kind}`).src = found[kind];
  $("share").textContent = `Mask: ${(100 * found.share).toFixed(0)} % of the photo`;
  $("unlike").textContent = found.unlike ? `Warning: ${found.unlike}.` : "";
  $("unlike").hidden = !found.unlike;
  $("found").hidden = false;
  const [photo, model] = [file.name, state.set.segmenter].map(quoted);
  say(`segmented ${file.name}`, `next: toolkit predict ${photo} --segmenter ${model} --out masks`);
}

// ---------------------------------------------------------------- where photos come from

/** Do with a photo what the shown view is for. */
function take(files) {
  const segmenting = !$("photo").hidden;
  if (!files.length || !state.set) return;
  if (segmenting && state.set.segmenter) segment(files[0]).catch(fail);
  if (!segmenting && state.set.no_embedder === null) embed(files[0]).catch(fail);
  if (!segmenting && state.set.no_embedder !== null) say(state.set.no_embedder, "", true);
}

/** Bring the controls to life, once the set is known. */
export function preparePhotos() {
  const { set } = state;
  $("segmenter").textContent = set.segmenter
    ? `The segmenter ${set.segmenter} marks the foreground of a photo of yours.`
    : `There is no segmenter yet: toolkit segment ${quoted(set.run)} --out segmenter, then toolkit browse ${quoted(set.run)} --segmenter segmenter`;
  $("drop").hidden = !set.segmenter;
  $("own").hidden = set.no_embedder !== null;
  $("no-embedder").hidden = set.no_embedder === null;
  $("no-embedder").textContent = `Photos cannot be moved along directions: ${set.no_embedder}`;
  numbered($("steps"), { least: 1, most: set.most.steps, whole: true, take: (value) => (steps = value) });
  $("refining").addEventListener("submit", (event) => {
    event.preventDefault();
    embed(state.photo.file, steps).catch(fail);
  });
  $("let-go").addEventListener("click", () => {
    state.photo = null;
    showStart();
    restarted();
    $("seed").focus();
  });
  for (const field of [$("own-file"), $("file")]) {
    field.addEventListener("change", () => {
      take(field.files);
      field.value = ""; // the same photo again is a change too
    });
  }
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault(); // the browser would leave the page for the photo
      document.body.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files);
    });
  }
}
