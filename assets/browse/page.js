// What all parts of the page share: asking the server, messages, numbers that are typed.

export const $ = (id) => document.getElementById(id);
export const TAB = Math.random().toString(36).slice(2, 10) + "0"; // the server lets one tab overtake only itself
const PAUSE = 120; // milliseconds without a move after which the strips follow a slider

/** What the page shows: the set as the server describes it, and the edit that its pictures are of. */
export const state = {
  set: null,
  shifts: [], // {index, alpha, layers}: the selected direction first
  seed: 0,
  images: 5,
  photo: null, // {key, name, file, steps, error}: in place of the seed
  psi: null, // how far latents are drawn towards their mean, where the generator can
  mix: "", // layers that take their latents from those of the seed `donor`
  donor: 1,
  reach: 6,
};

/** Return the answer to a request; throws an Error whose message is one line for the user. */
export async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("toolkit browse does not answer; start it again and reload this page");
  }
  if (answer.ok) return answer;
  const refusal = await answer.json().catch(() => ({}));
  throw new Error(refusal.error ?? `toolkit browse failed (${answer.status}); its terminal says why`);
}

/** Send a photo; returns what the server says of it, or null where a newer one took its place. */
export async function send(url, file) {
  const most = state.set.largest_upload;
  if (file.size > most) {
    throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; choose a photo of at most ${most / 1e6} MB`);
  }
  const form = new FormData();
  form.append("photo", file);
  const answer = await ask(url, { method: "POST", body: form });
  return answer.status === 204 ? null : answer.json();
}

export function say(message, next = "", wrong = false) {
  $("status").className = wrong ? "wrong" : "";
  $("close").hidden = !message;
  $("status").replaceChildren(message);
  if (next) {
    const code = document.createElement("code");
    code.textContent = next;
    $("status").append(code);
  }
}

export const fail = (error) => error.name === "AbortError" || say(error.message, "", true);

/** Show the picture at `url` in an image and return true; false where the answer came too late for a newer one. */
export async function draw(image, url, signal) {
  const answer = await ask(url, { signal });
  if (answer.status === 204) return false;
  const picture = await answer.blob();
  if (signal?.aborted) return false;
  const before = image.src;
  image.src = URL.createObjectURL(picture);
  if (before) URL.revokeObjectURL(before);
  return true;
}

/** Return a function that runs `work`, one at a time: asked for meanwhile, it runs once more, for the newest state. */
export function newest(work) {
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

export function afterPause(work) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, PAUSE);
  };
}

/** Return what the server is asked for the latents that are moved. */
export function beginning() {
  const asked = new URLSearchParams({ tab: TAB });
  if (state.photo) asked.set("photo", state.photo.key);
  else {
    asked.set("seed", state.seed);
    if (state.psi !== null) asked.set("psi", state.psi);
  }
  if (state.mix) {
    asked.set("mix", state.mix);
    asked.set("donor", state.donor);
  }
  return asked;
}

/** Return whether a text names layers that there are, as 0-3,7, or all. */
export function namesLayers(text) {
  const last = state.set.num_layers - 1;
  if (text.trim() === "all") return true;
  return text.trim().split(",").every((part) => {
    const [, low, high] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
    return low !== undefined && Number(high ?? low) >= Number(low) && Number(high ?? low) <= last;
  });
}

/** Let layers be typed into a field; `take` is called with every text that names some, or with "" where `empty` may be. */
export function layered(field, empty, take) {
  let last = field.value;
  field.addEventListener("input", () => {
    const text = field.value.trim(), good = text ? namesLayers(text) : empty;
    if (good) field.removeAttribute("aria-invalid");
    else field.setAttribute("aria-invalid", "true");
    if (good && text !== last) take((last = text));
  });
  field.addEventListener("change", () => {
    if (!field.hasAttribute("aria-invalid")) return;
    field.removeAttribute("aria-invalid");
    field.value = last;
  });
}

export const figure = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(2));
export const signed = (value) => (value > 0 ? "+" : "") + (Math.round(value * 1000) / 1000).toString();
export const isNamed = (direction) => direction.name !== `direction_${direction.index}`;

export function option(value, text = value.replaceAll("_", " ")) {
  const entry = document.createElement("option");
  entry.value = value;
  entry.textContent = text;
  return entry;
}

/**
 * Let a number be typed, and moved by a slider where there is one; returns a function that shows another number.
 *
 * `take` is called with every number between `least` and `most` that is typed, whole ones alone if `whole`. Anything
 * else is marked while it stands there, and gives way to the last good number when the field is left. A number beyond
 * the slider's ends moves them.
 */
export function numbered(field, { least, most, whole = false, slider = null, take }) {
  let last = Number(field.value);
  const [low, high] = slider ? [Number(slider.min), Number(slider.max)] : [0, 0];
  [field.min, field.max] = [least, most];
  const mark = (wrong) => (wrong ? field.setAttribute("aria-invalid", "true") : field.removeAttribute("aria-invalid"));
  const place = (value) => {
    last = value;
    if (!slider) return;
    [slider.min, slider.max] = [Math.min(low, value), Math.max(high, value)];
    slider.value = value;
  };
  field.addEventListener("input", () => {
    const value = field.valueAsNumber;
    const good = value >= least && value <= most && (!whole || Number.isInteger(value));
    mark(!good);
    if (!good) return;
    place(value);
    take(value);
  });
  const show = (value) => {
    mark(false);
    place(value);
    field.value = Math.round(value * 1000) / 1000;
  };
  field.addEventListener("change", () => field.hasAttribute("aria-invalid") && show(last));
  slider?.addEventListener("input", () => {
    last = slider.valueAsNumber;
    mark(false);
    field.value = last;
    take(last);
  });
  return show;
}
