// SPDX-License-Identifier: GPL-2.0-only
"use strict";
const form = document.getElementById("filters");
const search = document.getElementById("search");
const tests = Array.from(document.querySelectorAll("details.test"));

function filter() {
  const wanted = search.value.toLowerCase();
  const outcomes = new Set();
  for (const box of form.querySelectorAll("input[type=checkbox]:checked")) outcomes.add(box.name);
  let shown = 0;
  for (const test of tests) {
    test.hidden = !outcomes.has(test.dataset.outcome) || !test.textContent.toLowerCase().includes(wanted);
    if (!test.hidden) shown += 1;
  }
  document.getElementById("shown").textContent = `${shown} of ${tests.length} shown`;
}

function open_target() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) { target.hidden = false; target.open = true; target.scrollIntoView(); }
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", open_target);
filter();
open_target();
