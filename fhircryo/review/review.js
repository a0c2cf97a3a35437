"use strict";
// Decisions stay in this browser until they are downloaded. Nothing is sent anywhere.
(() => {
  const root = "fhircryo-review:" + document.body.dataset.review;
  const field = document.getElementById("reviewer");
  const status = document.getElementById("status");
  const read = (key) => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
  const say = (words) => { if (status) status.textContent = words; };
  const write = (key, value) => {
    try { localStorage.setItem(key, JSON.stringify(value)); return true; }
    catch { say("This browser keeps nothing for these pages: allow storage, or use another one."); return false; }
  };
  const reviewer = () => field.value.trim();
  const place = () => root + ":" + reviewer();
  const decisions = () => (reviewer() && read(place())) || {};
  const keyOf = (box) => JSON.stringify([document.body.dataset.patient, box.dataset.endpoint, box.dataset.timePoint]);

  const show = () => {
    const found = decisions();
    for (const box of document.querySelectorAll(".endpoint")) {
      const one = found[keyOf(box)] || {};
      box.dataset.decision = one.decision || "";
      for (const radio of box.querySelectorAll("input[type=radio]")) radio.checked = radio.value === (one.decision || "");
      box.querySelector("input[type=text]").value = one.reviewed || "";
      box.querySelector("textarea").value = one.comment || "";
      const since = box.querySelector(".since");
      since.textContent = one.computed !== undefined && one.computed !== box.dataset.value ? "The value was " + one.computed + " when it was marked." : "";
    }
    for (const entry of document.querySelectorAll(".entries li")) {
      const one = found[JSON.stringify([entry.dataset.patient, entry.dataset.endpoint, entry.dataset.timePoint])];
      entry.dataset.decided = one ? "yes" : "";
      entry.querySelector(".decided").textContent = one ? " [" + one.decision + "]" : "";
    }
    say(reviewer() ? Object.keys(found).length + " decisions of " + reviewer() + " are kept in this browser." : "Enter your name or initials to mark endpoints.");
    filter();
  };

  const keep = (box) => {
    if (!reviewer()) { say("Enter your name or initials first."); field.focus(); show(); return; }
    const found = decisions();
    const chosen = box.querySelector("input[type=radio]:checked");
    const decision = chosen ? chosen.value : "";
    const reviewed = box.querySelector("input[type=text]").value.trim();
    const comment = box.querySelector("textarea").value.trim();
    if (decision) {
      found[keyOf(box)] = { computed: box.dataset.value, decision, reviewed: decision === "disagreed" ? reviewed : "", comment, at: new Date().toISOString() };
    } else {
      delete found[keyOf(box)];
    }
    if (write(place(), found)) show();
  };

  // As in all CSV files of this program: an apostrophe before what a spreadsheet would compute.
  const cell = (text) => '"' + (/^['"=+\-@\s\u00a0\uff0b\uff0d\uff1d\uff20]/.test(text) ? "'" + text : text).replaceAll('"', '""') + '"';
  const HEADING = ["patient", "endpoint", "time_point", "computed", "decision", "reviewed", "comment", "reviewer", "at"];
  const download = () => {
    const rows = [HEADING];
    for (const [key, one] of Object.entries(decisions())) {
      rows.push([...JSON.parse(key), one.computed, one.decision, one.reviewed, one.comment, reviewer(), one.at]);
    }
    const text = rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "decisions-" + reviewer().replace(/[^\w-]+/g, "_") + ".csv";
    link.click();
    URL.revokeObjectURL(link.href);
  };

  // The rows of CSV, each an array of cells without the apostrophes of cell(); throws words.
  const parse = (text) => {
    const rows = [];
    let row = [], value = "", quoted = false, wasQuoted = false;
    const endCell = () => { row.push(value.startsWith("'") ? value.slice(1) : value); value = ""; wasQuoted = false; };
    const endRow = () => { endCell(); if (row.length > 1 || row[0]) rows.push(row); row = []; };
    for (let at = 0; at < text.length; at++) {
      const one = text[at];
      if (quoted) {
        if (one !== '"') value += one;
        else if (text[at + 1] === '"') { value += one; at++; }
        else quoted = false;
      } else if (one === '"' && !value && !wasQuoted) { quoted = wasQuoted = true; }
      else if (one === ",") endCell();
      else if (one === "\n") endRow();
      else if (one !== "\r") value += one;
    }
    if (quoted) throw "its end is missing";
    if (value || row.length) endRow();
    return rows;
  };
  // The decisions of a file by reviewer and key, all of them or none; throws words.
  const decisionsIn = (text) => {
    const [heading, ...rows] = parse(text.replace(/^\ufeff/, ""));
    if (!heading || heading.join() !== HEADING.join()) throw "its first line is not that of a file of decisions";
    const found = new Map();
    rows.forEach((row, number) => {
      const [patient, endpoint, timePoint, computed, decision, reviewed, comment, by, at] = row;
      const right = row.length === HEADING.length && patient && endpoint && by.trim()
        && (decision === "agreed" || decision === "disagreed") && !Number.isNaN(Date.parse(at));
      if (!right) throw "decision " + (number + 1) + " is damaged";
      const own = found.get(by.trim()) || new Map();
      found.set(by.trim(), own);
      const key = JSON.stringify([patient, endpoint, timePoint]), former = own.get(key);
      if (!former || Date.parse(former.at) < Date.parse(at)) own.set(key, { computed, decision, reviewed, comment, at });
    });
    return found;
  };
  const onThisPage = () => {
    const keys = [...document.querySelectorAll(".entries li")].map((one) => JSON.stringify([one.dataset.patient, one.dataset.endpoint, one.dataset.timePoint]));
    return new Set([...keys, ...[...document.querySelectorAll(".endpoint")].map(keyOf)]);
  };
  // Restores the decisions of a file; of two on the same endpoint by the same reviewer, the later counts.
  const load = async (file) => {
    let found;
    try {
      found = decisionsIn(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()));
    } catch (error) {
      say(file.name + " was not loaded, and nothing was changed: " + (typeof error === "string" ? error : "it cannot be read as text") + ".");
      return;
    }
    const known = onThisPage(), words = [];
    let strange = 0;
    for (const [by, own] of found) {
      const kept = read(root + ":" + by) || {};
      let restored = 0, older = 0;
      for (const [key, one] of own) {
        if (!known.has(key)) strange++;
        else if (kept[key] && Date.parse(kept[key].at) >= Date.parse(one.at)) older++;
        else { kept[key] = one; restored++; }
      }
      if (restored && !write(root + ":" + by, kept)) return;
      if (restored || older) words.push(restored + " decisions of " + by + " were restored" + (older ? ", and " + older + " kept that are as new or newer" : ""));
      if (restored && !reviewer()) { field.value = by; write(root + ":reviewer", by); }
    }
    show();
    if (strange) words.push(strange + " are left out, because this page has no such patient or endpoint");
    say((words.join("; ") || file.name + " has no decisions") + ".");
  };

  const filter = () => {
    const value = (id) => { const one = document.getElementById(id); return one ? (one.type === "checkbox" ? one.checked : one.value) : ""; };
    const wanted = { endpoint: value("by-endpoint"), reason: value("by-reason"), flag: value("by-flag"), changed: value("by-changed"), open: value("by-open") };
    let patients = 0, entries = 0;
    for (const row of document.querySelectorAll("[data-row]")) {
      let any = false;
      for (const entry of row.querySelectorAll(".entries li")) {
        const shown = (!wanted.endpoint || entry.dataset.name === wanted.endpoint)
          && (!wanted.reason || entry.dataset.reason === wanted.reason)
          && (!wanted.flag || entry.dataset.flags.split(",").includes(wanted.flag))
          && (!wanted.changed || entry.dataset.changed === "yes")
          && (!wanted.open || !entry.dataset.decided);
        entry.classList.toggle("hidden", !shown);
        any = any || shown;
        entries += shown;
      }
      row.classList.toggle("hidden", !any);
      patients += any;
    }
    const count = document.getElementById("count");
    if (count) count.textContent = patients + " patients, " + entries + " endpoints";
  };

  field.value = read(root + ":reviewer") || "";
  field.addEventListener("change", () => { write(root + ":reviewer", reviewer()); show(); });
  for (const box of document.querySelectorAll(".endpoint")) box.addEventListener("change", () => keep(box));
  for (const one of document.querySelectorAll(".filter")) one.addEventListener("change", filter);
  document.getElementById("download").addEventListener("click", () => { if (reviewer()) download(); else { say("Enter your name or initials first."); field.focus(); } });
  document.getElementById("load").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) await load(file);
    event.target.value = "";
  });
  show();
})();
