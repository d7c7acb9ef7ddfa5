// Puts times into the viewer's zone, labels the cells of tables, asks before large commands. Every page works without it.
"use strict";
(() => {
  const shown = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = shown.resolvedOptions().timeZone.replaceAll("_", " ");
  const here = document.querySelector("nav a[aria-current='page']");
  if (here) here.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a small screen the row is cut off
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) time.textContent = shown.format(at); // its title keeps the exact UTC
    }
  };
  const label = (root) => { // on a small screen a row is a card, and each of its cells says what it is
    for (const table of root.querySelectorAll("table.stack")) {
      const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent);
      for (const row of table.querySelectorAll("tbody tr")) {
        [...row.cells].forEach((cell, at) => { cell.dataset.label = heads[at]; });
      }
    }
  };
  const dress = () => { localise(document); label(document); };
  dress();
  document.addEventListener("htmx:afterSwap", dress);
  document.addEventListener("submit", (event) => {
    const question = event.submitter && event.submitter.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
})();
