"use strict";
// What both pages know of DICOM JSON (PS3.18, annex F) and of the way to DICOMweb.

const ROOT = new URL("dicom-web/", document.baseURI).href;

function values(item, tag) {
  return (item && item[tag] && item[tag].Value) || [];
}

function text(item, tag) {
  const found = values(item, tag).map((one) => (one === null ? "" : nameOf(one)));
  return found.filter((one) => one !== "").join(", ");
}

function nameOf(value) {
  if (typeof value !== "object") return String(value);
  const group = value.Alphabetic || value.Ideographic || value.Phonetic || "";
  const parts = group.split("^").map((one) => one.trim());
  const given = parts.slice(1, 3).filter(Boolean).join(" ");
  const around = [parts[3], [parts[0], given].filter(Boolean).join(", "), parts[4]];
  return around.filter(Boolean).join(" ");
}

function number(item, tag, fallback) {
  const found = Number(values(item, tag)[0]);
  return values(item, tag).length && Number.isFinite(found) ? found : fallback;
}

function date(item, tag) {
  const said = String(values(item, tag)[0] || "");
  return /^\d{8}$/.test(said) ? `${said.slice(0, 4)}-${said.slice(4, 6)}-${said.slice(6)}` : said;
}

function time(item, tag) {
  const said = String(values(item, tag)[0] || "");
  return /^\d{4}/.test(said) ? `${said.slice(0, 2)}:${said.slice(2, 4)}` : "";
}

class Refused extends Error {}

async function ask(path) {
  let answer;
  try {
    answer = await fetch(ROOT + path, { headers: { Accept: "application/dicom+json" } });
  } catch {
    throw new Refused("The server cannot be reached. Check the network and try again.");
  }
  if (answer.status === 204) return [];
  if (!answer.ok) throw new Refused(await reason(answer));
  return answer.json();
}

async function reason(answer) {
  const known = {
    401: "Please sign in to see this.",
    403: "You may not see this.",
    404: "There is no such study, or you may not see it.",
    410: "This was removed from the archive.",
    503: "The archive is busy. Try again in a moment.",
  };
  let detail = "";
  try {
    detail = (await answer.json()).detail || "";
  } catch {
    // The status says enough.
  }
  return detail || known[answer.status] || `The server answered with status ${answer.status}.`;
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
