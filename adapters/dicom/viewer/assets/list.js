"use strict";

const PAGE = 50;
const FIELDS = ["PatientName", "PatientID", "AccessionNumber", "ModalitiesInStudy"];
const SHOWN = ["00081030", "00080061", "00201206", "00201208", "00100030", "00100040"];

const form = document.getElementById("search");
const told = document.getElementById("told");
const asked = new URLSearchParams(location.search);

function day(name) {
  return (asked.get(name) || "").replaceAll("-", "");
}

// Each word of a name is the beginning of one of the patient's; other values are exact, or have *.
function query() {
  const sent = new URLSearchParams({ limit: PAGE + 1, offset: offset(), includefield: SHOWN.join(",") });
  for (const name of FIELDS) {
    const value = (asked.get(name) || "").trim();
    if (!value) continue;
    sent.set(name, name === "ModalitiesInStudy" ? value.toUpperCase() : value);
    if (name === "PatientName" && !/[*?^]/.test(value)) {
      sent.set(name, value.replace(/[,\s]+/g, " "));
      sent.set("fuzzymatching", "true");
    }
  }
  if (day("from") || day("to")) {
    sent.set("StudyDate", day("from") === day("to") ? day("from") : `${day("from")}-${day("to")}`);
  }
  return sent;
}

function offset() {
  return Math.max(0, Number.parseInt(asked.get("offset") || "0", 10) || 0);
}

function row(study) {
  const href = `viewer?${new URLSearchParams({ study: values(study, "0020000D")[0] })}`;
  const name = text(study, "00100010") || "No name";
  const born = [text(study, "00100040"), date(study, "00100030")].filter(Boolean).join(" · ");
  const when = [date(study, "00080020"), time(study, "00080030")].filter(Boolean).join(" ");
  const count = number(study, "00201208", 0);
  const patient = element("td", {}, element("a", { href }, name));
  if (born) patient.append(element("small", {}, born));
  const made = element(
    "tr",
    {},
    patient,
    element("td", { "data-label": "ID" }, text(study, "00100020") || "–"),
    element("td", { class: "tight", "data-label": "Date" }, when || "–"),
    element("td", { "data-label": "Modality" }, text(study, "00080061") || "–"),
    element("td", { "data-label": "Study" }, text(study, "00081030") || "–"),
    element("td", { "data-label": "Accession" }, text(study, "00080050") || "–"),
    element("td", { class: "number", "data-label": "Images" }, String(count)),
  );
  made.addEventListener("click", (event) => {
    if (!event.target.closest("a") && !String(getSelection())) location.href = href;
  });
  return made;
}

function turn(id, to) {
  const link = document.getElementById(id);
  link.hidden = to === null;
  if (to === null) return;
  const next = new URLSearchParams(asked);
  next.set("offset", to);
  link.href = `viewer?${next}`;
}

function summary(count, more) {
  if (!count) {
    const searched = [...asked].some(([key, value]) => value && key !== "offset");
    return searched
      ? "No study matches. Words of a name are found by how they begin; try fewer fields."
      : "There is no study that you may see yet. They appear here as soon as a modality has sent them, and those of unknown patients once their patient is found.";
  }
  const first = offset() + 1;
  return `${first}–${first + count - 1}${more ? ", and more" : ""}, the newest first`;
}

async function show() {
  const found = await ask(`studies?${query()}`);
  const more = found.length > PAGE;
  const studies = found.slice(0, PAGE);
  document.querySelector("#studies tbody").replaceChildren(...studies.map(row));
  document.getElementById("studies").hidden = !studies.length;
  told.textContent = summary(studies.length, more);
  turn("before", offset() ? Math.max(0, offset() - PAGE) : null);
  turn("after", more ? offset() + PAGE : null);
  document.getElementById("pages").hidden = !more && !offset();
}

for (const one of form.elements) if (one.name) one.value = asked.get(one.name) || "";
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const filled = [...new FormData(form)].filter(([, value]) => value.trim());
  location.href = `viewer?${new URLSearchParams(filled)}`;
});
show().catch((error) => {
  told.textContent = error instanceof Refused ? error.message : "The list cannot be shown.";
  told.className = "bad";
  if (!(error instanceof Refused)) throw error;
});
