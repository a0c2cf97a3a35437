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
  const download = () => {
    const rows = [["patient", "endpoint", "time_point", "computed", "decision", "reviewed", "comment", "reviewer", "at"]];
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
  show();
})();
