"use strict";
// Only filters what is already on the page; without it every case is simply shown.
(() => {
  const form = document.getElementById("filter");
  const controls = form.elements;
  const cases = [...document.querySelectorAll(".case")];
  const areas = [...document.querySelectorAll(".area")];
  const nothing = document.getElementById("nothing");

  const matches = (one, area, verdict, words) =>
    (!area || one.closest(".area").dataset.area === area) &&
    (!verdict || (verdict === "bad" ? "bad" in one.dataset
      : one.dataset.verdicts.split(" ").includes(verdict))) &&
    words.every((word) => one.dataset.text.includes(word));

  const apply = () => {
    const words = controls.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const one of cases) {
      one.hidden = !matches(one, controls.area.value, controls.verdict.value, words);
      shown += one.hidden ? 0 : 1;
    }
    for (const area of areas) area.hidden = !area.querySelector(".case:not([hidden])");
    nothing.hidden = shown > 0;
    controls.shown.value = shown === cases.length ? `${shown} cases` : `${shown} of ${cases.length}`;
  };

  controls.all.addEventListener("click", () => {
    const open = cases.some((one) => !one.hidden && !one.open);
    for (const one of cases) if (!one.hidden) one.open = open;
    controls.all.textContent = open ? "Close all" : "Open all";
  });
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
