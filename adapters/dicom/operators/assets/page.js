"use strict";

// What comes from studies is only ever set as text, never read as markup.
const view = document.getElementById("view");
const told = document.getElementById("told");
const by = document.getElementById("by");
const base = location.pathname.replace(/\/?$/, "/");

const REASONS = {
  113001: "quality",
  113037: "patient safety",
  113038: "wrong worklist entry",
  113039: "retention expired",
};
const MATCHES = {
  linked: "linked",
  created: "patient created",
  chosen: "chosen by an operator",
  phantom: "phantom",
  held: "no such patient",
  conflict: "another patient",
  ambiguous: "several patients",
  anonymous: "names nobody",
  mixed: "several patients in one study",
};

by.value = sessionStorage.getItem("by") || "";
by.addEventListener("change", () => sessionStorage.setItem("by", by.value));

function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  for (const one of [content].flat()) {
    if (one !== null && one !== undefined) made.append(one instanceof Node ? one : String(one));
  }
  return made;
}

function when(instant) {
  // With the month in letters, since 11/12 is two days.
  return instant ? new Date(instant).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
}

function day(date) {
  return (date || "").replace(/^(\d{4})(\d\d)(\d\d)$/, "$1-$2-$3");
}

function studyLink(uid) {
  return element("a", uid, { href: `#/study/${encodeURIComponent(uid)}` });
}

function table(columns, rows, empty) {
  if (!rows.length) return element("p", empty, { class: "quiet" });
  const head = element("tr", columns.map(([title]) => element("th", title, { scope: "col" })));
  const lines = rows.map((row) =>
    element("tr", columns.map(([, cell]) => element("td", cell(row)))),
  );
  return element("table", [element("thead", head), element("tbody", lines)]);
}

function section(title, ...content) {
  return element("section", [element("h2", title), ...content]);
}

async function get(path) {
  const response = await fetch(base + path, { headers: { Accept: "application/json" } });
  const said = await response.json();
  if (!response.ok) throw new Error(typeof said.detail === "string" ? said.detail : response.statusText);
  return said;
}

async function act(path, body = {}) {
  told.textContent = "…";
  try {
    const response = await fetch(base + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...body, by: by.value }),
    });
    const said = await response.json();
    if (!response.ok) throw new Error(typeof said.detail === "string" ? said.detail : response.statusText);
    told.textContent = "Done.";
    await show();
  } catch (error) {
    told.textContent = error.message;
  }
}

function button(title, action) {
  const made = element("button", title, { type: "button" });
  made.addEventListener("click", action);
  return made;
}

const STUDY = [
  ["Study", (row) => studyLink(row.study)],
  ["Date", (row) => day(row.date)],
  ["Accession", (row) => row.accession],
  ["Description", (row) => row.description],
  ["Modalities", (row) => (row.modalities || []).filter(Boolean).join(" ")],
  ["Instances", (row) => row.instances],
  ["Patient", (row) => MATCHES[row.match] || row.match],
  ["Received", (row) => when(row.received_at)],
];
const REJECTED = [
  ["Study", (row) => studyLink(row.study)],
  ["Reason", (row) => REASONS[row.code] || row.code],
  ["Instances", (row) => `${row.instances} (${row.present} here)`],
  ["By", (row) => row.rejected_by],
  ["At", (row) => when(row.rejected_at)],
  ["Approved", (row) => row.approved_by],
  ["", (row) => [
    button("Restore", () => act(`studies/${row.study}/restore`)),
    row.approved_by ? null : button("Approve removal", () => act(`studies/${row.study}/approve`)),
  ]],
];
const CONFLICTS = [
  ["Study", (row) => studyLink(row.stored_study || row.study_instance_uid)],
  ["Instance", (row) => row.sop_instance_uid],
  ["Differs in", (row) => row.kind],
  ["State", (row) => row.state],
  ["From", (row) => row.calling_ae],
  ["Received", (row) => when(row.received_at)],
  ["", (row) => [
    row.state === "open" ? button("Keep the first", () => act(`conflicts/${row.id}/keep`)) : null,
    row.kind === "study" ? null : button("Take this one", () => act(`conflicts/${row.id}/accept`)),
  ]],
];
const ACTIONS = [
  ["Study", (row) => studyLink(row.study)],
  ["What", (row) => row.action],
  ["Who", (row) => row.actor],
  ["When", (row) => when(row.at)],
  ["Undone", (row) => row.undone_by],
  ["", (row) => (row.undoable ? button("Undo", () => act(`actions/${row.id}/undo`)) : null)],
];

const VIEWS = {
  "": async () => {
    const found = await get("overview");
    const titles = {
      studies: "Studies", today: "Last 24 hours", unmatched: "Unmatched", conflicts: "Conflicts",
      rejected: "Rejected instances", to_approve: "To be approved",
    };
    const cards = Object.entries(titles).map(([key, title]) =>
      section(title, element("div", found[key], { class: "figure" })),
    );
    return [element("h1", "Images"), element("div", cards, { class: "cards" })];
  },
  studies: async () => [
    element("h1", "Studies"),
    element("section", table(STUDY, (await get("studies")).studies, "No study has come yet.")),
  ],
  unmatched: async () => [
    element("h1", "Studies whose patient is not known"),
    element("section", table(STUDY, (await get("unmatched")).studies, "None: each study has its patient.")),
  ],
  conflicts: async () => [
    element("h1", "Other contents of known instances"),
    element("section", table(CONFLICTS, (await get("conflicts")).conflicts, "None is undecided.")),
  ],
  rejected: async () => [
    element("h1", "Rejected"),
    element("section", table(REJECTED, (await get("rejected")).rejected, "Nothing is rejected.")),
  ],
  actions: async () => [
    element("h1", "What was done"),
    element("section", table(ACTIONS, (await get("actions")).actions, "Nothing yet.")),
  ],
  peers: async () => [
    element("h1", "Peers"),
    element("section", table([
      ["AE title", (row) => row.ae_title],
      ["Host", (row) => row.host],
      ["Port", (row) => row.port || "-"],
      ["Services", (row) => row.services.join(" ")],
      ["Heard", (row) => when(row.heard_at)],
      ["Reached", (row) => when(row.reached_at)],
      ["Failure", (row) => element("span", row.failure, { class: "bad" })],
    ], (await get("peers")).peers, "None: sangam dicom peers add")),
  ],
  study: showStudy,
};

async function showStudy(uid) {
  const found = await get(`studies/${uid}`);
  const path = `studies/${uid}`;
  const patient = element("input", null, { placeholder: "Patient/…", "aria-label": "Patient" });
  const name = element("input", null, { placeholder: "StudyDescription", "aria-label": "Keyword" });
  const value = element("input", null, { placeholder: "value", "aria-label": "Value" });
  const code = element("select", Object.entries(REASONS).map(([key, text]) => element("option", text, { value: key })), { "aria-label": "Reason" });
  const chosen = new Set();
  const pick = (row) => {
    const box = element("input", null, { type: "checkbox", "aria-label": `Series ${row.series}` });
    box.addEventListener("change", () => (box.checked ? chosen.add(row.series) : chosen.delete(row.series)));
    return box;
  };
  return [
    element("h1", `Study ${uid}`),
    element("p", element("a", "Open in the viewer", { href: `../viewer?study=${encodeURIComponent(uid)}` })),
    section("What it says", table(
      [["Attribute", (row) => row[0]], ["Value", (row) => row[1]]], Object.entries(found.says), "Nothing."),
      element("p", [MATCHES[found.match] || found.match, found.patient ? `: ${found.patient}` : "", found.corrected ? " (corrected)" : ""], { class: "quiet" })),
    section("Whose it may be", table([
      ["Patient", (row) => row.patient],
      ["Name", (row) => row.name],
      ["Born", (row) => day(row.birth_date)],
      ["Agrees", (row) => `${row.score}: ${row.agrees.join(", ")}`],
      ["", (row) => button("Link", () => act(`${path}/link`, { patient: row.patient }))],
    ], found.candidates, "Nobody is offered."),
    element("div", [patient, button("Link", () => act(`${path}/link`, { patient: patient.value })), button("Create the patient", () => act(`${path}/create`))], { class: "row" })),
    section("Orders", table([
      ["Order", (row) => row.order], ["Patient", (row) => row.patient], ["Status", (row) => row.status], ["What", (row) => row.code],
    ], found.orders, "None of its accession number or day.")),
    section("Series", table([
      ["", pick],
      ["Series", (row) => row.series], ["Number", (row) => row.number], ["Modality", (row) => row.modality],
      ["Description", (row) => row.description], ["Instances", (row) => row.instances],
      ["Rejected", (row) => row.rejected], ["From", (row) => row.calling_ae],
    ], found.series, "None."),
    element("div", [button("Make them a study of their own", () => act(`${path}/split`, { series: [...chosen] }))], { class: "row" })),
    section("Correct and reject",
      element("div", [name, value, button("Correct", () => act(`${path}/correct`, { values: { [name.value || "StudyDescription"]: value.value } }))], { class: "row" }),
      element("div", [code, button("Reject the study", () => act(`${path}/reject`, { code: code.value }))], { class: "row" })),
    section("Rejected", table(REJECTED, found.rejections, "Nothing.")),
    section("Conflicts", table(CONFLICTS, found.conflicts, "None.")),
    section("What was done", table(ACTIONS, found.actions, "Nothing.")),
  ];
}

async function show() {
  const [, name = "", ...rest] = location.hash.split("/");
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.hash === `#/${name}`);
  }
  try {
    const way = VIEWS[name] || VIEWS[""];
    view.replaceChildren(...(await way(decodeURIComponent(rest.join("/")))));
  } catch (error) {
    view.replaceChildren(element("p", error.message, { class: "bad" }));
  }
}

window.addEventListener("hashchange", () => { told.textContent = ""; show(); });
show();
