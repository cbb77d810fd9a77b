"use strict";
const view = document.getElementById("view");
const STATES = ["stored", "done", "stale", "dead", "rejected", "dismissed"];
const COLOUR = { done: "good", stored: "warn", stale: "quiet", dead: "bad", rejected: "bad", dismissed: "quiet" };

// Texts become text nodes only: nothing of a message is ever read as HTML.
function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick" || name === "onsubmit") node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== ""));
  return node;
}

async function call(path, method, body) {
  const said = { method: method || "GET", headers: {} };
  if (typeof body === "string") { said.body = body; said.headers["Content-Type"] = "text/plain"; }
  else if (body) { said.body = JSON.stringify(body); said.headers["Content-Type"] = "application/json"; }
  const answer = await fetch(path, said);
  if (!answer.ok) {
    const found = await answer.json().catch(() => ({}));
    throw new Error(typeof found.detail === "string" ? found.detail : `The server answered ${answer.status}`);
  }
  return (answer.headers.get("content-type") || "").startsWith("application/json") ? answer.json() : answer.text();
}

function tell(text) {
  const told = document.getElementById("told");
  told.replaceChildren(h("p", {}, text));
  setTimeout(() => told.replaceChildren(), 5000);
}

function ask(title, text, yes, needsComment) {
  const dialog = document.getElementById("ask");
  const comment = document.getElementById("ask-comment");
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-text").textContent = text;
  document.getElementById("ask-yes").textContent = yes;
  document.getElementById("ask-label").hidden = !needsComment;
  comment.required = needsComment;
  comment.value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => {
    done(dialog.returnValue === "yes" && (!needsComment || comment.value.trim()) ? comment.value.trim() || true : null);
  }, { once: true }));
}

function act(work) {
  return async () => { try { await work(); } catch (error) { tell(error.message); } };
}

const moment = (text) => text ? new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "";
const state = (name) => h("span", { class: `state ${COLOUR[name] || ""}` }, name);
const count = (n) => Number(n).toLocaleString();

function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

function table(columns, rows, empty) {
  if (!rows.length) return h("p", { class: "quiet" }, empty);
  const numeric = (name) => name.startsWith("#") ? "number" : "";
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((one) => h("th", { class: numeric(one) }, one.replace("#", ""))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, n) => h("td", { class: numeric(columns[n]) }, cell)))))));
}

function show(...children) { view.replaceChildren(...children.flat().filter(Boolean)); }

async function replay(asked, title) {
  if (!await ask(title, "They are mapped again from their stored bytes with today's settings. What they wrote before is updated, not doubled.", "Replay")) return;
  const found = await call("replay", "POST", asked);
  tell(`${count(found.replayed.length)} messages are processed again.`);
  setTimeout(route, 1200);
}

async function dismiss(ids) {
  const comment = await ask("Dismiss", "The message is put aside for good, with your reason. What waits behind it goes on.", "Dismiss", true);
  if (!comment) return;
  await call("dismiss", "POST", { ids, comment });
  tell("Dismissed.");
  route();
}

async function overview() {
  const [sources, dead, channels, destinations] = await Promise.all([call("sources"), call("dead-letters"), call("channels"), call("destinations")]);
  const sum = (name) => sources.reduce((all, one) => all + one[name], 0);
  const deadAll = dead.reduce((all, one) => all + one.messages, 0);
  const lag = Math.max(0, ...sources.map((one) => one.lag_seconds));
  const card = (title, figure, text, colour) => h("section", {}, h("div", { class: "quiet" }, title), h("div", { class: `figure ${colour || ""}` }, figure), h("div", { class: "quiet" }, text));
  show(
    h("h1", {}, "Overview"),
    h("div", { class: "cards" },
      card("Received, 24 h", count(sum("received_day")), `from ${sources.length} senders`),
      card("Applied, 24 h", count(sum("done_day")), `${count(sum("stale_day"))} were older than what is stored`),
      card("Waiting", count(sum("waiting")), lag ? `the oldest for ${span(lag)}` : "nothing waits", lag > 60 ? "warn" : ""),
      card("Dead letters", count(deadAll), deadAll ? "see below what to do" : "nothing to do", deadAll ? "bad" : "good")),
    h("section", {}, h("h2", {}, "Dead letters"), table(["reason", "#messages", "oldest", "what to do", ""], dead.map((one) => [
      h("a", { href: `#/messages?state=dead&reason=${one.reason}` }, one.reason), count(one.messages), moment(one.oldest),
      h("span", {}, one.what_to_do, one.holding ? h("strong", { class: "bad" }, ` ${count(one.holding)} hold others.`) : ""),
      h("button", { onclick: act(() => replay({ state: "dead", reason: one.reason }, `Replay ${count(one.messages)} of ${one.reason}`)) }, "Replay all")]),
      "There are none. Every message that was taken has been applied or put aside.")),
    h("section", {}, h("h2", {}, "Senders"), table(["sender", "channel", "last heard", "#received, 24 h", "#waiting", "#lag", "#dead", "#rejected, 24 h"], sources.map((one) => [
      h("a", { href: `#/messages?sender=${encodeURIComponent(one.sender)}` }, one.sender), one.channel,
      h("span", { title: moment(one.last_heard) }, `${span(one.silent_seconds)} ago`), count(one.received_day), count(one.waiting),
      h("span", { class: one.lag_seconds > 60 ? "warn" : "" }, one.lag_seconds ? span(one.lag_seconds) : "–"),
      h("span", { class: one.dead ? "bad" : "" }, count(one.dead)), count(one.rejected_day)]),
      "Nothing has come yet. Send a message: sangam send-hl7 docs/examples/chemistry.hl7")),
    h("section", {}, h("h2", {}, "Ports"), table(["channel", "state", "#port", "seen", ""], channels.map((one) => [
      one.name, h("span", { class: one.state === "listening" ? "good" : one.state === "failed" ? "bad" : "warn" }, one.state || "not seen", one.detail ? ` (${one.detail})` : ""),
      one.port ?? "", moment(one.seen_at),
      h("button", { onclick: act(async () => {
        if (!one.stopped && !await ask(`Stop ${one.name}`, "Senders are hung up on until it is started again; what was read is answered.", "Stop")) return;
        await call(`channels/${encodeURIComponent(one.name)}`, "PUT", { stopped: !one.stopped });
        tell(one.stopped ? "It starts." : "It stops."); setTimeout(route, 1500);
      }) }, one.stopped ? "Start" : "Stop")]), "No port has listened yet.")),
    destinations.length ? h("section", {}, h("h2", {}, "Destinations"), table(["destination", "address", "sends", "messages", ""], destinations.map((one) => [
      one.name, one.address || h("span", { class: "warn" }, "no profile"), one.enabled ? one.triggers.join(", ") : h("span", { class: "warn" }, "off"),
      one.messages.map((each) => h("span", { class: each.state === "dead" ? "bad" : "" }, `${count(each.messages)} ${each.state} `)),
      one.address ? h("button", { onclick: act(async () => {
        const found = await call(`destinations/${encodeURIComponent(one.name)}/test`, "POST", {});
        tell(found.ok ? `${one.name} answers, after ${Math.round(found.seconds * 1000)} ms.` : `${one.name} cannot be reached: ${found.detail}`);
      }) }, "Test connection") : ""]), "")) : "");
}

async function messages(query) {
  const found = await call(`messages?${query}`);
  const field = (name, text) => h("input", { name, placeholder: text, "aria-label": text, value: query.get(name) || "" });
  const narrowed = (form) => {
    const wanted = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value.trim()) wanted.set(name, value.trim());
    location.hash = `#/messages?${wanted}`;
  };
  const older = new URLSearchParams(query);
  older.set("before", found.next);
  show(
    h("h1", {}, "Messages"),
    h("section", {},
      h("form", { class: "filter", onsubmit: (event) => { event.preventDefault(); narrowed(event.target); } },
        h("select", { name: "state", "aria-label": "State" }, h("option", { value: "" }, "all states"), STATES.map((one) => h("option", { value: one, selected: query.get("state") === one }, one))),
        field("reason", "reason"), field("sender", "sender"), field("type", "type, such as ORU"), field("patient", "patient number"), field("control_id", "control id"),
        h("button", { class: "main" }, "Show")),
      table(["#id", "received", "sender", "message", "state", "reason", "#versions", "#not mapped"], found.messages.map((one) => [
        h("a", { href: `#/message/${one.id}` }, String(one.id)), moment(one.received_at), one.sender, `${one.type || "?"}${one.event ? `^${one.event}` : ""}`,
        state(one.state), h("span", { title: one.detail || "" }, one.reason || ""), count(one.versions), count(one.unmapped)]), "No message is like this."),
      found.next ? h("p", {}, h("a", { href: `#/messages?${older}` }, "Older messages")) : ""));
}

function explained(found) {
  const parts = [];
  for (const line of found.lines) {
    if (!parts.length || parts.at(-1)[0].segment !== line.segment) parts.push([]);
    parts.at(-1).push(line);
  }
  const total = found.lines.length;
  const told = total > 0 && "value" in found.lines[0];
  return h("div", { class: "explain" },
    found.refusal ? h("p", { class: "advice" }, h("strong", {}, found.refusal.reason), ` ${found.refusal.text}. ${found.refusal.what_to_do}`) : "",
    h("p", {}, h("strong", {}, `${count(found.leaves.mapped || 0)} of ${count(total)}`), " parts of the message are in FHIR",
      Object.entries(found.leaves).filter(([name]) => name !== "mapped").map(([name, n]) => ` · ${count(n)} ${name.replaceAll("_", " ")}`).join("")),
    parts.map((lines) => {
      if (found.refusal && !told) return "";
      const tally = {};
      for (const one of lines.flatMap((line) => line.targets || [])) tally[one.resource] = (tally[one.resource] || 0) + 1;
      const main = Object.keys(tally).sort((a, b) => tally[b] - tally[a])[0];
      const label = lines.flatMap((line) => line.targets || []).find((one) => one.resource === main)?.label;
      return [h("h3", {}, lines[0].segment, main ? h("span", {}, ` → ${main} ${label || ""}`) : ""),
        h("table", {}, h("colgroup", {}, ["at", "value", "to", "rule"].filter((name) => told || name !== "value").map((name) => h("col", { class: name }))),
          h("tbody", {}, lines.map((line) => h("tr", {},
            h("td", {}, line.position), told ? h("td", {}, line.value) : "",
            h("td", {}, line.targets ? line.targets.map((one) => h("code", { class: "path" }, one.resource === main ? one.path.slice(one.path.indexOf(".") + 1) : `${one.resource} ${one.path.slice(one.path.indexOf(".") + 1)}`, one.extension ? ` (${one.extension})` : "")) : h("span", { class: line.reason === "control" ? "quiet" : "why" }, line.text || line.reason)),
            h("td", { class: "quiet" }, (line.targets || []).map((one) => h("span", { class: "path", title: found.decisions[one.decision] || "" }, `${one.map} ${one.decision}`)))))))];
    }),
    Object.keys(found.decisions).length ? h("details", {}, h("summary", {}, "Decisions used"), h("dl", {}, Object.entries(found.decisions).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]))) : "");
}

function previewed(one) {
  return h("div", {}, h("p", {}, "It would be ", state(one.state), one.reason ? ` ${one.reason} ${one.detail || ""}` : ""),
    one.changes.length ? one.changes.map((change) => [h("h2", {}, `${change.kind} ${change.reference}`),
      table(["path", "before", "after"], change.differences.map((each) => [h("code", {}, each.path), h("code", {}, JSON.stringify(each.before) ?? ""), h("code", {}, JSON.stringify(each.after) ?? "")]), "")]) : h("p", { class: "quiet" }, "Nothing would change."));
}

async function message(id) {
  const one = await call(`messages/${id}`);
  const content = h("div", {}, h("p", { class: "quiet" }, "Loading…"));
  const part = async (name) => {
    if (name === "values") return explained(await call(`messages/${id}/explain?values=true`));
    if (name === "explain") return explained(await call(`messages/${id}/explain`));
    if (name === "raw") return h("pre", {}, (await call(`messages/${id}/raw`)).replaceAll("\r", "\n"));
    if (name === "mapped") return h("pre", {}, JSON.stringify((await call(`messages/${id}/mapped`)).written, null, 2));
    if (name === "ack") { const said = await call(`messages/${id}/ack`); return h("pre", {}, [said.ack, said.application].filter(Boolean).join("\r\r").replaceAll("\r", "\n") || "Nothing was answered."); }
    return previewed((await call("replay", "POST", { ids: [one.id], preview: true })).previews[0] || { state: one.state, changes: [] });
  };
  const tabs = [["explain", "Explained"], ["values", "With values"], ["raw", "As it came"], ["mapped", "Resources"], ["ack", "Answer"], ["preview", "What a replay would change"]];
  const buttons = tabs.map(([name, text]) => h("button", { onclick: () => choose(name) }, text));
  const choose = async (name) => {
    buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(tabs[n][0] === name)));
    try { content.replaceChildren(await part(name)); } catch (error) { content.replaceChildren(h("p", { class: "bad" }, error.message)); }
  };
  const rows = [["Received", moment(one.received_at)], ["From", `${one.sender} (${one.peer}) on ${one.channel}`], ["Control id", one.control_id], ["Profile", one.profile],
    ["Event time", moment(one.event_time)], ["Finished", moment(one.finished_at)], ["Tries", String(one.attempts)],
    ["Warnings", Object.entries(one.warnings || {}).map(([text, n]) => `${text} (${n})`).join("; ")]].filter(([, value]) => value);
  show(
    h("h1", {}, `Message ${one.id} `, h("span", { class: "quiet" }, `${one.type || "?"}${one.event ? `^${one.event}` : ""} `), state(one.state)),
    one.reason ? h("div", { class: "advice" }, h("strong", {}, one.reason), one.detail ? ` ${one.detail}` : "", h("div", {}, one.what_to_do)) : "",
    h("section", {}, h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
      (one.result_versions || []).length ? [h("dt", {}, "Wrote"), h("dd", {}, one.result_versions.map((version) => h("a", { class: "chip", href: `../fhir/${version}`, title: version }, `${version.split("/")[0]} v${version.split("/").at(-1)}`)))] : "",
      (one.history || []).length ? [h("dt", {}, "History"), h("dd", {}, one.history.map((note) => h("div", {}, `${moment(note.at)} ${note.did} by ${note.by}${note.comment ? `: ${note.comment}` : ""}`)))] : ""),
      h("div", { class: "row end" },
        one.holds ? h("button", { onclick: act(async () => { await call("release", "POST", { ids: [one.id] }); tell("What waited goes on."); route(); }) }, "Let others pass") : "",
        one.state === "dead" ? h("button", { onclick: act(() => dismiss([one.id])) }, "Dismiss…") : "",
        one.state !== "stored" ? h("button", { class: "main", onclick: act(() => replay({ ids: [one.id], confirm: one.reason === "MERGE_TOO_LARGE" }, `Replay message ${one.id}`)) }, "Replay") : "")),
    h("section", {}, h("div", { class: "row" }, buttons), h("p", { class: "quiet" }, "Reading the content of a message is recorded (AuditEvent)."), content));
  choose("explain");
}

async function unmapped() {
  const [leaves, codes] = await Promise.all([call("unmapped"), call("codes")]);
  show(h("h1", {}, "Not mapped"),
    h("section", {}, h("h2", {}, "Local codes and units without a translation"), table(["sender", "code", "display", "unit", "fields", "#messages", "Task"], codes.map((one) => [
      one.sender, h("code", {}, one.code), one.display, one.unit, one.fields.join(", "), count(one.count), one.task_id ? h("a", { href: `../fhir/Task/${one.task_id}` }, "open") : ""]),
      "Every code that came has a translation, or is of a standard.")),
    h("section", {}, h("h2", {}, "Fields that are in no resource, over the last 5,000 messages"), table(["sender", "field", "why", "#parts", "#messages"], leaves.map((one) => [
      one.sender, one.field, one.text, count(one.leaves), count(one.messages)]), "Nothing is left out.")));
}

function trial() {
  const text = h("textarea", { "aria-label": "Message", placeholder: "MSH|^~\\&|…", spellcheck: "false" });
  const content = h("div", {});
  const run = act(async () => {
    content.replaceChildren(h("p", { class: "quiet" }, "Mapping…"));
    try {
      const found = await call("map", "POST", text.value.replaceAll("\n", "\r"));
      content.replaceChildren(explained(found), h("details", {}, h("summary", {}, `${found.written.length} resources would be written`), h("pre", {}, JSON.stringify(found.written, null, 2))));
    } catch (error) { content.replaceChildren(h("p", { class: "bad" }, error.message)); }
  });
  show(h("h1", {}, "Try a message"), h("section", {}, h("p", { class: "quiet" }, "Paste an HL7 v2 or ASTM message. It is mapped and explained; nothing is stored."), text,
    h("div", { class: "row end" }, h("button", { class: "main", onclick: run }, "Explain"))), h("section", {}, content));
}

async function route() {
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  document.querySelectorAll("nav a").forEach((one) => {
    const mine = one.hash === `#${path}` || (one.hash === "#/messages" && path.startsWith("/message"));
    if (mine) one.setAttribute("aria-current", "page"); else one.removeAttribute("aria-current");
  });
  try {
    if (path.startsWith("/message/")) await message(Number(path.slice(9)));
    else if (path === "/messages") await messages(new URLSearchParams(query));
    else if (path === "/unmapped") await unmapped();
    else if (path === "/try") trial();
    else await overview();
  } catch (error) { show(h("section", {}, h("p", { class: "bad" }, error.message), h("button", { onclick: route }, "Try again"))); }
}
addEventListener("hashchange", route);
route();
