// The page of `toolkit browse`: what it opens with.

import { $, ask, fail, option, say, state } from "./page.js";
import { makeList, ordered, showList } from "./list.js";
import { prepareEdit, select, showSet, toggle } from "./edit.js";
import { preparePhotos } from "./photos.js";

for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("nav button")) {
      other.toggleAttribute("aria-current", false);
      $(other.dataset.view).hidden = other !== button;
    }
    button.setAttribute("aria-current", "page");
    say("");
  });
}
$("close").addEventListener("click", () => say(""));

// On a narrow screen what a direction does comes before the list of all, to the eye and to the keyboard alike.
const narrow = matchMedia("(max-width: 960px)");
const order = () => $("directions").append(...(narrow.matches ? [$("detail"), $("all")] : [$("all"), $("detail")]));
narrow.addEventListener("change", order);
order();

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

async function start() {
  const set = (state.set = await (await ask("api/set")).json());
  $("sort").replaceChildren(...["number", "name", ...set.columns].map((name) => option(name)));
  $("sort").value = set.columns.includes("score") ? "score" : "number";
  $("order").textContent = $("sort").value === "score" ? "↓" : "↑";
  $("rule").replaceChildren(...set.rules.map((rule) => option(rule, rule)));
  const recorded = set.choice && set.choice.mask_rule;
  $("rule").value = recorded || (set.rules.includes("mean_thr") ? "mean_thr" : set.rules[0]);
  $("reach").max = set.longest;
  $("list").style.setProperty("--frames", set.frames);
  makeList(select, toggle);
  prepareEdit();
  preparePhotos();
  showSet(set);
  select(set.choice?.index ?? ordered()[0].index);
}

start().catch(fail);
