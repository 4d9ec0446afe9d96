"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const quantized = report.tensors.filter((t) => t.action === "quantized");
  const measured = quantized.length > 0 && "relative_error" in quantized[0];
  const detailed = measured && "max_squared_error" in quantized[0];
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  const $ = (id) => document.getElementById(id);

  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const short = (value, unit = "") => {
    const prefixes = ["", "k", "M", "G", "T", "P"];
    let i = 0;
    for (; value >= 999.5 && i < 5; ++i) value /= 1000;
    return (i === 0 || value >= 100 ? value.toFixed(0) : value.toPrecision(3)) + " " + prefixes[i] + unit;
  };
  const percent = (value, digits = 2) => (100 * value).toFixed(digits) + " %";
  const relative = (error, total) => (total > 0 ? Math.sqrt(error / total) : 0);
  const elements = (tensor) => tensor.shape.reduce((a, b) => a * b, 1);
  const moduleOf = (name) => name.replace(/\.weight$/, "");
  // What follows the layer's number, other numbers as *.
  const kindOf = (name) => {
    const parts = moduleOf(name).split(".");
    const at = parts.findIndex((part) => /^\d+$/.test(part));
    if (at < 0 || at + 1 === parts.length) return moduleOf(name);
    return parts.slice(at + 1).map((part) => (/^\d+$/.test(part) ? "*" : part)).join(".");
  };
  const methodName = { mse: "search (mse)", max: "max", "four-over-six": "four over six", gptq: "GPTQ, effort " + report.effort }[report.method] || report.method;
  // GPTQ trades the weights' error for that of a layer's outputs, which the report does not know.
  const gains = report.method !== "gptq";

  const row = (table, cells, tag = "td") => {
    const tr = make("tr", undefined, table);
    for (const cell of cells) {
      const td = make(tag, undefined, tr);
      td.append(cell);
    }
    return tr;
  };

  // ---- head ----
  const folder = report.input.replace(/\/+$/, "").split("/").pop() || report.input;
  document.title = folder + " in NVFP4";
  $("title").textContent = folder + " in NVFP4";
  $("subtitle").textContent =
    `${report.input} → ${report.output} · ${report.format}, ${report.output_format} format, method ${report.method}` +
    (report.dry_run ? " · a dry run: nothing was written" : "");
  const card = (value, label) => {
    const div = make("div", undefined, $("cards"));
    div.className = "card";
    make("b", value, div);
    make("span", label, div);
  };
  const totals = report.totals;
  if (measured) card(percent(totals.relative_error), "relative error, " + methodName);
  if (detailed && report.method !== "max") {
    card(percent(totals.max_relative_error), "relative error, method max");
    if (gains && totals.max_squared_error > 0)
      card(percent(1 - totals.squared_error / totals.max_squared_error, 1), "less squared error than max");
  }
  card(short(totals.elements_quantized), `elements in ${totals.quantized} quantized layers`);
  card(short(totals.bytes_out, "B"), `tensor data, ${percent(totals.bytes_out / totals.bytes_in, 0)} of ${short(totals.bytes_in, "B")}`);
  if (!report.dry_run) card(totals.seconds.toFixed(1) + " s", short(totals.gel_per_s * 1e9) + " elements a second");
  if (report.warnings.length > 0) {
    $("warnings").hidden = false;
    for (const text of report.warnings) make("li", text, $("warnings").querySelector("ul"));
  }

  // ---- charts ----
  const axis = (label, more = {}) => ({ label, labelSize: 22, stroke: color("soft"), grid: { stroke: "#eef1f4" }, ticks: { stroke: color("line") }, ...more });
  const widthOf = (element) => Math.max(300, element.clientWidth);
  const charts = [];
  const show = (holder, height, options, data) => {
    const chart = new uPlot({ width: widthOf(holder), height, ...options }, data, holder);
    charts.push([chart, holder, height]);
    return chart;
  };
  addEventListener("resize", () => charts.forEach(([chart, holder, height]) => chart.setSize({ width: widthOf(holder), height })));

  const layerChart = () => {
    const all = quantized.map((t, i) => ({
      name: t.name, place: i + 1, kind: kindOf(t.name), error: 100 * t.relative_error,
      ofMax: detailed ? 100 * relative(t.max_squared_error, t.sum_squares) : null,
    }));
    const kinds = [...new Set(all.map((l) => l.kind))];
    make("option", `all ${all.length} layers`, $("kind")).value = "";
    for (const kind of kinds) make("option", kind, $("kind")).value = kind;
    const both = detailed && report.method !== "max";
    $("layers").hidden = false;
    $("layers-note").textContent = "√(Σ(w − decoded)² / Σw²), layers in the order of the model" +
      (both ? "; method max at the same global scale beside it." : ".") +
      (gains ? "" : " GPTQ lets the error of weights grow where that of the layer's outputs falls.");
    const size = all.length > 1000 ? 3 : all.length > 200 ? 4 : 6;
    const points = (name) => ({ stroke: color(name), paths: () => null, points: { show: true, size, fill: color(name), stroke: color(name) },
      value: (_, v) => (v == null ? "–" : v.toFixed(3) + " %") });
    const series = [{ label: "layer", value: (_, v) => (v == null ? "–" : v) }];
    if (both) series.push({ label: "method max", ...points("max") });
    series.push({ label: methodName, ...points("search") });
    let shown = all;
    const holder = $("layers-chart");
    const data = () => [shown.map((l) => l.place), ...(both ? [shown.map((l) => l.ofMax)] : []), shown.map((l) => l.error)];
    const chart = show(holder, 340, {
      series,
      scales: { x: { time: false, range: (_, lo, hi) => (lo == null ? [0, 1] : [lo - 0.5, hi + 0.5]) }, y: { range: (_, lo, hi) => {
        if (lo == null) return [0, 1];
        const room = Math.max((hi - lo) * 0.12, hi * 0.01, 1e-6);
        return [Math.max(0, lo - room), hi + room];
      } } },
      axes: [axis("layer", { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }), axis("relative error, %", { size: 64 })],
      cursor: { drag: { x: true, y: false }, points: { size: size + 4 } },
      hooks: { setCursor: [(u) => {
        const at = u.cursor.idx;
        const l = at == null ? null : shown[at];
        $("pointed").textContent = l ? `${l.name}: ${l.error.toFixed(3)} %` + (both ? `, max ${l.ofMax.toFixed(3)} %` : "") : "\u00a0";
      }] },
    }, data());
    $("kind").addEventListener("change", () => {
      shown = all.filter((l) => !$("kind").value || l.kind === $("kind").value);
      chart.setData(data());
    });
  };

  const bars = (id, label, xs, counts, options = {}) => {
    $(id).hidden = false;
    const total = counts.reduce((a, b) => a + b, 0);
    show($(id + "-chart"), 260, {
      series: [{ label, value: (_, v) => (v == null ? "–" : options.name ? options.name(v) : v) },
        { label: "blocks", stroke: color("search"), fill: color("search"), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 60] }),
          value: (_, v) => (v == null ? "–" : v.toFixed(v < 0.1 ? 4 : 2) + " %") }],
      scales: { x: { time: false, range: (_, lo, hi) => [lo - 0.7, hi + 0.7] }, y: { range: (_, lo, hi) => [0, hi * 1.08] } },
      axes: [axis(label, { incrs: [1, 2, 5, 10, 20, 50] }), axis("blocks, %", { size: 56 })],
      cursor: { drag: { x: false, y: false } },
    }, [xs, counts.map((n) => (100 * n) / total)]);
  };
  const e4m3 = (code) => (code < 8 ? code / 512 : (1 + (code & 7) / 8) * 2 ** ((code >> 3) - 7));
  const span = (list) => { // without the zeros at both ends
    let first = list.findIndex(([, n]) => n > 0), last = list.length - 1;
    while (last > first && list[last][1] === 0) --last;
    return list.slice(Math.max(first, 0), last + 1);
  };
  if (measured) layerChart();
  if (detailed && report.code_offsets.length > 0) {
    const counts = new Map(report.code_offsets);
    const lowest = Math.min(-3, ...counts.keys()), highest = Math.max(3, ...counts.keys());
    const xs = Array.from({ length: highest - lowest + 1 }, (_, i) => lowest + i);
    bars("offsets", "code steps", xs, xs.map((x) => counts.get(x) || 0));
    const codes = span(report.scale_codes.map((n, code) => [code, n]));
    bars("codes", "E4M3 code", codes.map(([code]) => code), codes.map(([, n]) => n), { name: (code) => `${code} (${e4m3(code)})` });
  }

  // ---- tables ----
  const kinds = new Map();
  for (const t of quantized) {
    const name = kindOf(t.name);
    const kind = kinds.get(name) || { name, tensors: 0, elements: 0, error: 0, total: 0, ofMax: 0 };
    ++kind.tensors;
    kind.elements += elements(t);
    kind.error += t.squared_error || 0;
    kind.total += t.sum_squares || 0;
    kind.ofMax += t.max_squared_error || 0;
    kinds.set(name, kind);
  }
  const errorCells = (error, ofMax, total) => {
    if (!measured) return [];
    const cells = [percent(relative(error, total))];
    if (detailed && report.method !== "max") cells.push(percent(relative(ofMax, total)));
    if (detailed && report.method !== "max" && gains) cells.push(ofMax > 0 ? percent(1 - error / ofMax, 1) : "–");
    return cells;
  };
  const errorHeads = !measured ? [] : ["rel. error", ...(detailed && report.method !== "max" ? ["of max", ...(gains ? ["less squared error"] : [])] : [])];
  row($("kinds"), ["kind", "layers", "elements", ...errorHeads], "th");
  const sum = { tensors: 0, elements: 0, error: 0, total: 0, ofMax: 0 };
  for (const kind of kinds.values()) {
    row($("kinds"), [kind.name, String(kind.tensors), short(kind.elements), ...errorCells(kind.error, kind.ofMax, kind.total)]);
    for (const key of Object.keys(sum)) sum[key] += kind[key];
  }
  row($("kinds"), ["total", String(sum.tensors), short(sum.elements), ...errorCells(sum.error, sum.ofMax, sum.total)]).className = "total";

  const reasons = new Map();
  for (const t of report.tensors) {
    if (t.action !== "copied") continue;
    const reason = t.reason.replace(/^(fused with|of the same experts as) .*$/, "$1 a layer that is copied");
    reasons.set(reason, [...(reasons.get(reason) || []), t]);
  }
  const group = (title, names) => {
    const details = make("details", undefined, $("copied"));
    make("summary", title, details);
    const list = make("ul", undefined, details);
    for (const name of names) make("li", name, list);
  };
  for (const [reason, list] of [...reasons].sort((a, b) => b[1].reduce((n, t) => n + elements(t), 0) - a[1].reduce((n, t) => n + elements(t), 0))) {
    const count = list.reduce((n, t) => n + elements(t), 0);
    group(`${reason === "1-D" ? "1-D (norms, biases)" : reason}: ${list.length} tensor${list.length === 1 ? "" : "s"}, ${short(count)} elements`,
      list.map((t) => `${t.name} [${t.shape.join(", ")}]`));
  }
  if (report.files_left.length > 0) group(`files left behind: ${report.files_left.length}`, report.files_left.map((f) => `${f.name}: ${f.reason}`));
  if (!$("copied").hasChildNodes()) make("p", "Everything was quantized.", $("copied"));

  const worst = measured ? [...quantized].sort((a, b) => b.relative_error - a.relative_error) : quantized;
  $("all-summary").textContent = `${worst.length} layers` + (measured ? ", the largest relative error first" : "");
  row($("all"), ["layer", "shape", ...(measured ? ["global amax"] : []), ...errorHeads], "th");
  for (const t of worst)
    row($("all"), [moduleOf(t.name), t.shape.join(" × "), ...(measured ? [t.global_amax.toPrecision(4)] : []),
      ...errorCells(t.squared_error, t.max_squared_error, t.sum_squares)]);
  $("footer").textContent = `nvfp4cal ${report.nvfp4cal} · charts by uPlot (MIT)`;
})();
