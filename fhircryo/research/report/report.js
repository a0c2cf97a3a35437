// Figures whose values can be read off, tables that can be sorted and searched. Everything is also
// on the page without this script; it loads nothing and stores nothing.
"use strict";

const SORTED_FROM = 4;
const SEARCHED_FROM = 12;
const LEAST_WIDTH = 160;
const SMALL_SCREEN = 560;

/** The figures that were drawn: their views by the parameters that can be changed. */
const views = [];
/** What was chosen, by parameter: a patient is highlighted in all figures that show patients. */
const chosen = new Map();

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ------------------------------------------------------------------ figures

/** Make a drawing narrower by so many pixels. */
function narrow(spec, by) {
  for (const part of [spec, ...(spec.vconcat ?? [])]) {
    if (typeof part.width === "number") part.width = Math.max(LEAST_WIDTH, part.width - by);
  }
}

function change(param, value) {
  chosen.set(param, value);
  for (const { view, params } of views) {
    if (params.has(param)) view.signal(param, value).runAsync();
  }
}

/** Checkboxes that show and hide the options. */
function switches(control) {
  const hidden = new Set();
  const boxes = control.options.map((option) => {
    const box = element("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(option);
      else hidden.add(option);
      change(control.param, [...hidden]);
    });
    return element("label", {}, box, ` ${option}`);
  });
  return element("fieldset", {}, element("legend", { textContent: control.label }), ...boxes);
}

/** A field that finds one of the options by typing. */
function finder(control, id) {
  const list = element("datalist", { id });
  list.append(...control.options.map((value) => element("option", { value })));
  const field = element("input", { type: "search", autocomplete: "off", spellcheck: false });
  field.setAttribute("list", id);
  field.dataset.param = control.param;
  field.addEventListener("input", () => {
    const known = control.options.includes(field.value) ? field.value : "";
    for (const other of document.querySelectorAll(`input[data-param="${control.param}"]`)) {
      if (other !== field) other.value = known;
    }
    change(control.param, known);
  });
  return element("label", {}, `${control.label} `, field, list);
}

async function draw(figure) {
  const { spec, controls } = JSON.parse(figure.querySelector(".drawing").textContent);
  const still = figure.querySelector(".still");
  const live = figure.querySelector(".live");
  const image = still.querySelector("img");
  const missing = image.naturalWidth - figure.clientWidth;
  if (missing > 0) narrow(spec, missing);
  if (figure.clientWidth < SMALL_SCREEN) spec.config.legend = { ...spec.config.legend, columns: 1 };
  spec.config = { ...spec.config, aria: false };
  const { view } = await window.vegaEmbed(live, spec, { actions: false, renderer: "svg" });
  const params = new Set((spec.params ?? []).map((param) => param.name));
  views.push({ view, params });
  for (const [param, value] of chosen) {
    if (params.has(param)) view.signal(param, value);
  }
  await view.runAsync();
  figure.classList.add("drawn");
  if (!controls.length) return;
  const place = element("div", { className: "controls" });
  controls.forEach((control, number) => {
    place.append(
      control.several ? switches(control) : finder(control, `${figure.id}-options-${number}`),
    );
  });
  live.before(place);
}

function drawWhenSeen() {
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: "400px" },
  );
  for (const drawing of document.querySelectorAll(".drawing")) seen.observe(drawing.closest("figure"));
}

// ------------------------------------------------------------------ tables

/** The number that a text begins with; null if it begins with none. */
function leadingNumber(text) {
  const found = /^[-+]?\d+(\.\d+)?/.exec(text.trim());
  return found === null ? null : Number(found[0]);
}

/** Compare numbers before texts, and texts as people sort them. */
function compare(first, second) {
  const [a, b] = [leadingNumber(first), leadingNumber(second)];
  if (a !== null && b !== null && a !== b) return a - b;
  if ((a === null) !== (b === null)) return a === null ? 1 : -1;
  return first.localeCompare(second, "en", { numeric: true });
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = element("button", { type: "button", className: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" };
      const order = next[head.getAttribute("aria-sort")] ?? "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      const rows = [...original];
      if (order !== "none") {
        head.setAttribute("aria-sort", order);
        const turn = order === "ascending" ? 1 : -1;
        const text = (row) => row.cells[column].textContent;
        rows.sort((one, other) => turn * compare(text(one), text(other)));
      }
      body.append(...rows);
    });
  });
}

function makeSearchable(table) {
  const rows = [...table.tBodies[0].rows];
  const field = element("input", { type: "search" });
  const said = element("span");
  said.setAttribute("role", "status");
  field.addEventListener("input", () => {
    const words = field.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(words);
      if (!row.hidden) shown += 1;
    }
    said.textContent = words ? ` ${shown} of ${rows.length} rows` : "";
  });
  const name = table.caption ? table.caption.textContent : "the table";
  field.setAttribute("aria-label", `Search: ${name}`);
  const place = element("p", { className: "controls" }, "Search ", field, said);
  (table.closest(".wide") ?? table).before(place);
}

for (const table of document.querySelectorAll("main table")) {
  const count = table.tBodies[0].rows.length;
  if (count >= SORTED_FROM) makeSortable(table);
  if (count >= SEARCHED_FROM) makeSearchable(table);
}
if (window.vegaEmbed) drawWhenSeen();
