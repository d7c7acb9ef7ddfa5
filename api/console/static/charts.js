// Draws the overview's charts from one JSON answer, again every few seconds; the same numbers stand in a table.
"use strict";
(() => {
  const EVERY_MS = 5000;
  const WHOLE = [1, 2, 5].flatMap((step) => [...Array(9).keys()].map((power) => step * 10 ** power)).sort((a, b) => a - b);
  const charts = document.getElementById("charts");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const short = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const drawn = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(4)).toString());
  const lastOf = (values) => [...values].reverse().find((value) => value !== null) ?? null;

  // Rounded down: what is not whole must not look whole.
  const share = (value) => (value === null ? null : Math.floor(value * 10000) / 100);
  const percent = (sources) => Object.fromEntries(Object.entries(sources).map(([name, shares]) => [name, shares.map(share)]));

  const contents = (data) => ({
    throughput: { axis: data.axis, series: data.throughput, bars: true },
    verdicts: { axis: data.axis, series: data.verdicts },
    latency: { axis: data.axis, series: data.latency, unit: " s" },
    pending: { axis: data.axis, series: data.pending, unit: " s" },
    completeness: { axis: data.completeness.axis, series: percent(data.completeness.sources), range: [0, 100], unit: " %" },
  });

  const options = (figure, content) => {
    const times = { values: (_plot, marks) => marks.map((at) => short.format(new Date(at * 1000))) };
    times.space = 84; // a label such as "09:30 AM" with room around it
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid") } };
    return {
      width: Math.max(200, figure.querySelector("figcaption").clientWidth),
      height: 190,
      legend: { show: false }, // the line below the chart and the table say the same, readably
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: content.range || ((_plot, _low, high) => [0, Math.max(high || 0, content.unit ? 0.001 : 1) * 1.1]) } },
      axes: [{ ...axis, ...times }, { ...axis, size: 56, ...(content.unit || content.range ? {} : { incrs: WHOLE }) }],
      series: [{}, ...Object.keys(content.series).map((label, at) => ({
        label,
        stroke: colour(`--chart-${(at % 5) + 1}`),
        width: 2,
        spanGaps: true,
        dash: at > 4 ? [6, 4] : undefined,
        points: { size: 5, show: (plot, line) => plot.data[line].filter((value) => value !== null).length < 40 },
        ...(content.bars ? { fill: colour("--chart-1"), paths: uPlot.paths.bars({ size: [0.8] }), points: { show: false } } : {}),
      }))],
    };
  };

  const tell = (figure, content, title) => {
    const labels = Object.keys(content.series);
    const spoken = (label) => label.replaceAll("_", " ");
    const latest = labels.map((label) => `${spoken(label)} ${number(lastOf(content.series[label]))}${content.unit || ""}`);
    const nothing = (value) => value === null || (content.bars && value === 0);
    const empty = Object.values(content.series).every((values) => values.every(nothing));
    const text = empty ? figure.dataset.empty : `Latest: ${latest.join(", ")}`;
    figure.querySelector(".now").replaceChildren(...(empty ? [text] : ["Latest: ", ...latest.map((each, at) => {
      const key = document.createElement("span");
      key.className = `key key-${(at % 5) + 1}${at > 4 ? " key-again" : ""}`; // dashed, as its line is
      key.textContent = each;
      return key;
    })]));
    figure.querySelector(".plot").setAttribute("aria-label", `${title}. ${text}`);
    const cells = (kind, values) => {
      const row = document.createElement("tr");
      for (const [at, value] of values.entries()) {
        const cell = document.createElement(at === 0 ? "th" : kind);
        cell.scope = kind === "th" ? "col" : "row";
        if (kind === "td" && at > 0) cell.removeAttribute("scope");
        cell.textContent = value;
        row.append(cell);
      }
      return row;
    };
    figure.querySelector("details thead").replaceChildren(cells("th", ["Time", ...labels]));
    figure.querySelector("details tbody").replaceChildren(...content.axis.map((at, index) => cells("td", [
      clock.format(new Date(at * 1000)), ...labels.map((label) => number(content.series[label][index])),
    ])));
    return empty;
  };

  const draw = (data) => {
    for (const [name, content] of Object.entries(contents(data))) {
      const figure = charts.querySelector(`[data-chart="${name}"]`);
      const empty = tell(figure, content, figure.querySelector("strong").textContent);
      const lines = [content.axis, ...Object.values(content.series)];
      const labels = Object.keys(content.series).join();
      const before = drawn.get(name);
      if (before && before.labels === labels && !empty) {
        before.plot.setData(lines);
        continue;
      }
      if (before) before.plot.destroy();
      drawn.delete(name);
      if (!empty) drawn.set(name, { labels, plot: new uPlot(options(figure, content), lines, figure.querySelector(".plot")) });
    }
  };

  let latest = null;
  const redraw = () => {
    for (const { plot } of drawn.values()) plot.destroy();
    drawn.clear();
    if (latest) draw(latest);
  };
  const look = async () => {
    if (!document.hidden || latest === null) {
      try {
        const answer = await fetch(charts.dataset.series, { headers: { Accept: "application/json" } });
        if (answer.redirected) { window.location.reload(); return; }
        if (answer.ok) draw(latest = await answer.json());
      } catch { /* the server is away: the next look may find it */ }
    }
    window.setTimeout(look, EVERY_MS);
  };
  dark.addEventListener("change", redraw);
  let resizing = 0;
  window.addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 150); });
  look();
})();
