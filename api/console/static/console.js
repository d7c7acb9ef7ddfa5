// Puts times into the viewer's zone and asks before large commands. Every page works without it.
"use strict";
(() => {
  const shown = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = shown.resolvedOptions().timeZone.replaceAll("_", " ");
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) time.textContent = shown.format(at); // its title keeps the exact UTC
    }
  };
  localise(document);
  document.addEventListener("htmx:afterSwap", () => localise(document));
  document.addEventListener("submit", (event) => {
    const question = event.submitter && event.submitter.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
})();
