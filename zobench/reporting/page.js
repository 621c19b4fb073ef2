"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Okabe and Ito's colours, without those that are too light on white or too dark on black
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
  const DASHES = ["solid", "dashdot", "longdash", "longdashdot"];
  const MARKS = ["circle", "square", "diamond", "triangle-up", "star", "pentagon"];
  const GREYS = ["#888888", "#666666", "#aaaaaa"]; // of no-query baselines
  const GREY_MARKS = ["cross-thin-open", "asterisk-open", "y-up-open"];
  const NAMES = [...new Set(data.rows.map((row) => row.optimizer))];
  const place = (name) => NAMES.indexOf(name);
  const colour = (name) => COLOURS[place(name) % COLOURS.length];
  const LEVELS = { embeddings: "dash", gradient: "dot" };
  const dash = (name, feedback) => LEVELS[feedback] ?? DASHES[Math.floor(place(name) / COLOURS.length) % DASHES.length];
  const mark = (name) => MARKS[Math.floor(place(name) / COLOURS.length) % MARKS.length];
  const problem = () => data.problems[$("problem").value];
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const of = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function layout(x, y, more) {
    const narrow = window.innerWidth < 640;
    const axis = { gridcolor: of("--line"), zerolinecolor: of("--soft"), linecolor: of("--soft"), automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: of("--ink"), family: "system-ui, sans-serif", size: narrow ? 12 : 14 },
      margin: { l: 55, r: 10, t: 34, b: 50 }, hovermode: "closest", modebar: { bgcolor: "rgba(0,0,0,0)" },
      showlegend: true, legend: { font: { size: 12 }, ...(narrow ? { orientation: "h", y: -0.3 } : { y: 1 }) },
      xaxis: { ...axis, ...x }, yaxis: { ...axis, ...y }, ...more,
    };
  }
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"], showSendToCloud: false, plotlyServerURL: "" };
  const budgetLine = (budget) => ({
    shapes: [{ type: "line", x0: budget, x1: budget, yref: "paper", y0: 0, y1: 1, line: { width: 1, dash: "dot", color: "#888888" } }],
    annotations: [{ x: Math.log10(budget), yref: "paper", y: 1, yanchor: "bottom", xanchor: "right", text: `budget ${budget.toLocaleString("en")}`, showarrow: false, font: { size: 11, color: of("--soft") } }],
  });
  // the corners of a staircase: each value holds until the next point
  const steps = (values, isX) => values.flatMap((value, i) => (i ? [isX ? value : values[i - 1], value] : [value]));

  const charts = {
    curves() {
      const { queries, lines, budget, baselines } = data.curves[problem()];
      const traces = Object.entries(baselines).map(([name, value], i) => ({
        x: [queries[0], queries[queries.length - 1]], y: [value, value], name: `${escaped(name)} (0 queries)`, mode: "lines",
        line: { color: GREYS[i % GREYS.length], width: 1.6, dash: DASHES[i % DASHES.length] },
      }));
      const bands = $("bands").checked;
      for (const [name, line] of Object.entries(lines)) {
        const known = line.mean.map((value) => value !== null);
        const x = queries.filter((_, i) => known[i]);
        const pick = (values) => values.filter((_, i) => known[i]);
        if (bands) traces.push({
          x: [...steps(x, true), ...steps(x, true).reverse()], y: [...steps(pick(line.high), false), ...steps(pick(line.low), false).reverse()], fill: "toself",
          fillcolor: colour(name), opacity: 0.13, line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false, legendgroup: name,
        });
        traces.push({
          x, y: pick(line.mean), name: escaped(name), legendgroup: name, mode: "lines",
          line: { color: colour(name), dash: dash(name, line.feedback), width: 2.2, shape: "hv" },
        });
      }
      const x = { type: "log", dtick: 1, tickformat: ",d", title: { text: "queries" }, range: [queries[0], queries[queries.length - 1]].map(Math.log10) };
      const least = Math.min(-0.1, ...Object.values(lines).flatMap((line) => line.mean.filter((value) => value !== null)));
      const y = { title: { text: "recovery" }, zeroline: true, zerolinewidth: 2, range: [1.2 * least, 1.05] };
      return [traces, layout(x, y, budgetLine(budget))];
    },
    runtimes() {
      const { queries, lines, budget } = data.runtimes[problem()];
      const traces = Object.entries(lines).map(([name, line]) => ({
        x: queries, y: line.share, name: escaped(name), mode: "lines",
        line: { color: colour(name), dash: dash(name, feedback(name)), width: 2.2, shape: "hv" },
      }));
      return [traces, layout({ type: "log", dtick: 1, tickformat: ",d", title: { text: "queries" } }, { title: { text: "share of targets reached" }, range: [-0.02, 1.02] }, budgetLine(budget))];
    },
    tradeoffs() {
      const { points, erm, baselines, placebos } = data.tradeoffs[problem()];
      const style = of("--ink");
      const trace = (name, rows, marker) => ({
        x: rows.map((row) => row.accuracy), y: rows.map((row) => row.gap), text: rows.map((row) => `seed ${row.seed}`),
        name: escaped(name), mode: "markers", marker, hovertemplate: "%{text}<br>accuracy %{x:.1f} %<br>gap %{y:.1f}",
      });
      const traces = Object.entries(points).map(([name, rows]) => trace(name, rows, { color: colour(name), symbol: mark(name), size: 10 }));
      traces.push(trace("ERM", erm, { color: style, symbol: "x-thin-open", size: 11, line: { width: 2 } }));
      Object.entries(baselines).forEach(([name, rows], i) =>
        traces.push(trace(`${name} (0 queries)`, rows, { color: GREYS[i % GREYS.length], symbol: GREY_MARKS[i % GREY_MARKS.length], size: 11, line: { width: 2 } })));
      if (placebos.length) traces.push(trace("placebos", placebos, { color: "#888888", symbol: "circle-open", size: 8 }));
      const arrows = Object.entries(points).flatMap(([name, rows]) => rows.flatMap((row) => {
        const from = erm.find((each) => each.seed === row.seed);
        return from ? [{ x: row.accuracy, y: row.gap, ax: from.accuracy, ay: from.gap, xref: "x", yref: "y", axref: "x", ayref: "y", showarrow: true, text: "", arrowhead: 2, arrowsize: 0.9, arrowwidth: 1.2, arrowcolor: colour(name), opacity: 0.55, standoff: 6 }] : [];
      }));
      return [traces, layout({ title: { text: "accuracy, %" } }, { title: { text: "mean of EO_n and EO_p, %" }, rangemode: "tozero" }, { annotations: arrows })];
    },
  };
  const feedback = (name) => data.rows.find((row) => row.optimizer === name).feedback;

  const tables = {
    curves() {
      const { queries, lines } = data.curves[problem()];
      const body = [];
      for (const [name, line] of Object.entries(lines))
        queries.forEach((at, i) => { if (line.mean[i] !== null) body.push([name, at, line.mean[i], line.low[i], line.high[i]]); });
      return [["optimizer", "queries", "recovery", "low", "high"], body];
    },
    runtimes() {
      const { queries, lines } = data.runtimes[problem()];
      const body = [];
      for (const [name, line] of Object.entries(lines)) queries.forEach((at, i) => body.push([name, at, line.share[i]]));
      return [["optimizer", "queries", "share of targets"], body];
    },
    tradeoffs() {
      const { points, erm, baselines, placebos } = data.tradeoffs[problem()];
      const body = [];
      for (const [name, rows] of [...Object.entries(points), ["ERM", erm], ...Object.entries(baselines)]) for (const row of rows) body.push([name, row.seed, row.accuracy, row.gap]);
      for (const row of placebos) body.push([`placebo of ${row.of}`, row.seed, row.accuracy, row.gap]);
      return [["optimizer", "seed", "accuracy", "gap"], body];
    },
  };

  function fill(name) {
    const [head, body] = tables[name]();
    const table = $(`${name}-numbers`);
    table.replaceChildren();
    const line = (parent, cells, tag) => {
      const row = parent.insertRow();
      for (const cell of cells) row.appendChild(Object.assign(document.createElement(tag), { textContent: cell, ...(tag === "th" ? { scope: "col" } : {}) }));
    };
    line(table.createTHead(), head, "th");
    const rows = table.createTBody();
    for (const cells of body) line(rows, cells, "td");
  }

  function draw() {
    for (const [name, chart] of Object.entries(charts)) {
      const [traces, shape] = chart();
      const drawn = traces.some((trace) => trace.x.length); // else nothing is scored yet
      $(name).closest("section").hidden = !drawn;
      if (drawn) Plotly.react($(name), traces, shape, CONFIG);
    }
    for (const each of document.querySelectorAll("details.numbers[open]")) fill(each.dataset.of);
  }

  function show() {
    const at = $("problem").value, target = $("target").value, words = $("filter").value.trim().toLowerCase();
    for (const each of document.querySelectorAll("[data-problem]")) {
      const filtered = each.closest("#results-table") && words && !each.textContent.toLowerCase().includes(words);
      each.hidden = each.dataset.problem !== at || Boolean(filtered);
    }
    for (const each of document.querySelectorAll(".level")) each.hidden = [...each.parentElement.rows].every((row) => row === each || row.hidden);
    for (const each of document.querySelectorAll(".of-target")) each.hidden = each.dataset.target !== target;
  }

  function price() {
    const given = $("cost").value; // empty until the reader gives one: that of the runs
    for (const cell of document.querySelectorAll(".spent")) {
      const cost = Math.max(0, Number(given === "" ? cell.dataset.cost : given) || 0);
      const queries = Number(cell.dataset.forward) + cost * Number(cell.dataset.backward);
      cell.dataset.value = queries;
      cell.textContent = Math.round(queries).toLocaleString("en");
    }
  }

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  function sort(header) {
    const table = header.closest("table"), column = header.cellIndex;
    const down = header.getAttribute("aria-sort") === "descending" || (header.getAttribute("aria-sort") === "none" && !header.classList.contains("number"));
    for (const each of table.tHead.rows[0].cells) each.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", down ? "ascending" : "descending");
    const sign = down ? 1 : -1;
    for (const body of table.tBodies) { // each feedback level is ranked by itself
      const rows = [...body.rows].filter((row) => !row.classList.contains("level")).sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        return sign * (typeof x === "number" ? x - y : x.localeCompare(y));
      });
      body.append(...rows);
    }
  }

  const plain = (cell) => {
    const number = Number(cell.dataset.value);
    if (cell.dataset.text !== undefined) return cell.dataset.text;
    if (cell.dataset.value === undefined) return cell.textContent.trim().replace(/\s+/g, " ");
    return Math.abs(number) >= 1e300 ? "" : String(number); // an infinite or unknown number becomes an empty cell
  };
  function download(id) {
    if (tables[id.replace("-numbers", "")]) fill(id.replace("-numbers", ""));
    const quoted = (text) => /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
    const rows = [...$(id).rows].filter((row) => !row.hidden && !row.classList.contains("level"));
    // ends of intervals, and reasons, become columns beside their number, whichever rows are shown
    const having = (name) => [...$(id).querySelectorAll(`[data-${name}]`)].map((cell) => cell.cellIndex);
    const more = ["low", "high", "why"].map((name) => [name, new Set(having(name))]);
    const beside = (row, cell) => more.filter(([, columns]) => columns.has(cell.cellIndex)).map(([name]) =>
      row === rows[0] ? `${plain(cell)} ${name}` : cell.dataset[name] ?? "");
    const lines = rows.map((row) =>
      [...row.cells].filter((cell) => !cell.hidden).flatMap((cell) => [plain(cell), ...beside(row, cell)]).map(quoted).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = `${id}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  $("bands").checked = Object.values(data.curves).every((each) => Object.keys(each.lines).length <= 6);
  $("bands").addEventListener("change", draw);
  for (const id of ["problem", "target"]) $(id).addEventListener("change", () => { show(); draw(); });
  $("filter").addEventListener("input", show);
  $("cost").addEventListener("input", price);
  for (const header of document.querySelectorAll(".sortable thead th")) header.firstElementChild.addEventListener("click", () => sort(header));
  for (const each of document.querySelectorAll("[data-csv]")) each.addEventListener("click", () => download(each.dataset.csv));
  for (const each of document.querySelectorAll("details.numbers")) each.addEventListener("toggle", () => { if (each.open) fill(each.dataset.of); });
  for (const each of document.querySelectorAll("[data-swatch]")) {
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colour(each.dataset.swatch);
    each.prepend(swatch);
  }
  dark.addEventListener("change", draw);
  price();
  show();
  draw();
})();
