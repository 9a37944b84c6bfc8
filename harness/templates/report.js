"use strict";
// Only filters what is already on the page, and counts it; without it every case is simply shown.
(() => {
  const BAD = ["failed", "leaked", "unexpected_pass", "harness_error"];
  const form = document.getElementById("filter");
  const controls = form.elements;
  const asked = ["text", "verdict", "run", "level", "profile", "area"].filter((name) => controls[name]);
  const cases = [...document.querySelectorAll(".case")];
  const areas = [...document.querySelectorAll(".area")];
  const counts = [...document.querySelectorAll(".count")];
  const nothing = document.getElementById("nothing");
  const value = (name) => (controls[name] ? controls[name].value : "");

  const wanted = (verdict) => ({ "": true, differ: true, bad: BAD.includes(verdict) })[value("verdict")]
    ?? verdict === value("verdict");

  // Where a case is, its area and its run, is what the matrix tells: its numbers leave that out.
  const placed = (one) => {
    const there = value("run") ? one.dataset.verdicts.split(" ")[value("run")] : "";
    return (!value("area") || one.dataset.area === value("area")) && (!there || (there !== "-" && wanted(there)));
  };
  const matches = (one, words) => {
    const all = one.dataset.verdicts.split(" ");
    const verdicts = all.filter((verdict) => verdict !== "-");
    return ["level", "profile"].every((name) => !value(name) || one.dataset[name] === value(name)) &&
      verdicts.some(wanted) &&
      (value("verdict") !== "differ" || new Set(all).size > 1) &&
      words.every((word) => one.dataset.text.includes(word));
  };

  const count = (shown) => {
    const found = {};
    for (const one of shown) {
      one.dataset.verdicts.split(" ").forEach((verdict, run) => {
        if (!wanted(verdict)) return;
        for (const area of ["0", one.dataset.area]) {
          const key = `${area} ${run} ${verdict}`;
          found[key] = (found[key] ?? 0) + 1;
        }
      });
    }
    for (const one of counts) {
      const number = found[`${one.dataset.area} ${one.dataset.run} ${one.dataset.verdict}`] ?? 0;
      one.querySelector("b").textContent = number;
      one.hidden = number === 0;
    }
    for (const none of document.querySelectorAll("span.none")) {
      none.hidden = none.parentElement.querySelector(".count:not([hidden])") !== null;
    }
  };

  const apply = () => {
    const words = controls.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const told = cases.filter((one) => matches(one, words));
    const shown = told.filter(placed);
    for (const one of cases) one.hidden = true;
    for (const one of shown) one.hidden = false;
    for (const area of areas) area.hidden = !area.querySelector(".case:not([hidden])");
    count(told);
    for (const cell of document.querySelectorAll(".cell")) {
      const here = value("run") === cell.dataset.run && value("area") === (cell.dataset.area ?? "");
      if (here) cell.setAttribute("aria-current", "true");
      else cell.removeAttribute("aria-current");
    }
    nothing.hidden = shown.length > 0;
    controls.shown.value = shown.length === cases.length ? `${shown.length} cases` : `${shown.length} of ${cases.length}`;
    document.body.classList.toggle("filtered", asked.some(value));
    const kept = new URLSearchParams(asked.filter(value).map((name) => [name, value(name)])).toString();
    if (kept || location.hash.startsWith("#show:")) history.replaceState(null, "", `#${kept ? `show:${kept}` : "cases"}`);
  };

  // A link that another reader was given shows what its sender saw.
  const recall = () => {
    if (!location.hash.startsWith("#show:")) return;
    for (const [name, kept] of new URLSearchParams(location.hash.slice(6))) {
      if (asked.includes(name)) controls[name].value = kept;
    }
  };

  // A cell of the matrix shows its cases: those of its area, as its run had them.
  const follow = (event) => {
    const link = event.currentTarget;
    event.preventDefault();
    controls.area.value = link.dataset.area ?? "";
    if (controls.run) controls.run.value = link.dataset.run ?? "";
    apply();
    const heading = document.getElementById(link.dataset.area ? `area-${link.dataset.area}` : "cases");
    heading.closest("section").scrollIntoView();
    (heading.closest("[hidden]") ? document.getElementById("cases") : heading).focus({ preventScroll: true });
  };

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const walk = (event) => {
    const step = STEPS[event.key];
    if (!step || !event.target.matches("td .cell")) return;
    const rows = [...document.querySelectorAll(".matrix tbody tr, .matrix tfoot tr")];
    const row = event.target.closest("tr");
    const next = rows[rows.indexOf(row) + step[0]]?.cells[event.target.closest("td").cellIndex + step[1]];
    if (!next) return;
    event.preventDefault();
    next.querySelector("a")?.focus();
  };

  const open = (one) => {
    if (one instanceof HTMLDetailsElement) one.open = true;
  };
  const visit = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) open(target);
  };

  controls.open.addEventListener("click", () => {
    const opening = cases.some((one) => !one.hidden && !one.open);
    for (const one of cases) if (!one.hidden) one.open = opening;
    controls.open.textContent = opening ? "Close all" : "Open all";
  });
  for (const link of document.querySelectorAll("a[data-area], a[data-run]")) link.addEventListener("click", follow);
  document.addEventListener("keydown", walk);
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", visit);
  // Paper cannot be opened: what is not quiet is printed open, and closed again afterwards.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll(".case:not(.quiet):not([open]), .printed:not([open])")];
    opened.forEach(open);
  });
  window.addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
  form.hidden = false;
  recall();
  apply();
  visit();
})();
