"use strict";

const PRESETS = {
  CT: [
    ["Soft tissue", 400, 40],
    ["Lung", 1500, -600],
    ["Bone", 2000, 500],
    ["Brain", 80, 40],
    ["Liver", 150, 60],
    ["Mediastinum", 350, 50],
  ],
};

const study = new URLSearchParams(location.search).get("study");
const path = `studies/${encodeURIComponent(study)}`;
const image = document.getElementById("image");
const slider = document.getElementById("slider");
const message = document.getElementById("message");
const TRIED = 10; // images at the beginning of a series, for one that can be shown
let frames = [];
let shown = 0; // which request for a series is the latest

function say(words, bad = false) {
  message.textContent = words;
  message.hidden = !words;
  message.classList.toggle("bad", bad);
}

function put(id, ...lines) {
  const filled = lines.filter(Boolean);
  document.getElementById(id).replaceChildren(
    ...filled.flatMap((line, at) => (at ? [document.createElement("br"), line] : [line])),
  );
}

// --- The libraries ------------------------------------------------------------------------

function prepare() {
  const loader = cornerstoneWADOImageLoader;
  loader.external.cornerstone = cornerstone;
  loader.external.dicomParser = dicomParser;
  loader.configure({ beforeSend: () => ({}), decodeConfig: { convertFloatPixelDataToInt: false } });
  loader.webWorkerManager.initialize({
    maxWebWorkers: Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1)),
    startWebWorkersOnDemand: true,
    taskConfiguration: { decodeTask: { initializeCodecsOnStartup: false } },
  });
  cornerstone.registerImageLoader("wadors", whole);
  cornerstone.registerImageLoader("rendered", rendered);
  cornerstoneTools.external.cornerstone = cornerstone;
  cornerstoneTools.external.cornerstoneMath = cornerstoneMath;
  cornerstoneTools.external.Hammer = Hammer;
  cornerstoneTools.init({ showSVGCursors: false, globalToolSyncEnabled: false });
  cornerstoneTools.toolColors.setToolColor("#ffd34d");
  cornerstoneTools.toolColors.setActiveColor("#7fe08a");
  cornerstone.enable(image);
  const kinds = ["Wwwc", "Zoom", "Pan", "StackScroll", "Length", "StackScrollMouseWheel"];
  for (const one of [...kinds, "ZoomTouchPinch", "PanMultiTouch", "OrientationMarkers"]) {
    cornerstoneTools.addTool(cornerstoneTools[`${one}Tool`]);
  }
  cornerstoneTools.setToolActive("StackScrollMouseWheel", {});
  cornerstoneTools.setToolActive("ZoomTouchPinch", {});
  cornerstoneTools.setToolActive("PanMultiTouch", {});
  cornerstoneTools.setToolEnabled("OrientationMarkers");
  take("Wwwc");
}

const REST = { Zoom: 2, Pan: 4 }; // the right and the middle button keep what they do

function take(tool) {
  for (const [name, mask] of Object.entries(REST)) {
    if (name !== tool) cornerstoneTools.setToolActive(name, { mouseButtonMask: mask });
  }
  const own = REST[tool] ? [1, REST[tool]] : 1;
  cornerstoneTools.setToolActive(tool, { mouseButtonMask: own });
  if (tool !== "Length") cornerstoneTools.setToolEnabled("Length");
  for (const one of document.querySelectorAll("[data-tool]")) {
    one.setAttribute("aria-pressed", String(one.dataset.tool === tool));
  }
}

// The codecs make an image of any size, or of none, out of a broken codestream.
function whole(imageId, options) {
  const loading = cornerstoneWADOImageLoader.wadors.loadImage(imageId, options);
  const promise = loading.promise.then((made) => {
    const item = cornerstoneWADOImageLoader.wadors.metaDataManager.get(imageId);
    const rows = number(item, "00280010", 0), columns = number(item, "00280011", 0);
    const full = made.height === rows && made.width === columns && made.getPixelData().length >= rows * columns;
    if (!full) throw new Refused("The pixel data is not that of the image.");
    return made;
  });
  return { ...loading, promise };
}

// What the browser cannot decode, the server draws: an image without stored values.
function rendered(imageId) {
  const url = imageId.slice("rendered:".length);
  return { promise: drawn(imageId, url), cancelFn: undefined };
}

async function drawn(imageId, url) {
  const answer = await fetch(`${url}/rendered`, { headers: { Accept: "image/png" } });
  if (!answer.ok) throw new Refused(await reason(answer));
  const bitmap = await createImageBitmap(await answer.blob());
  const canvas = document.createElement("canvas");
  const { width, height } = Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const pixels = pen.getImageData(0, 0, width, height);
  return {
    imageId, width, height, rows: height, columns: width, color: true, rgba: true, render: cornerstone.renderWebImage,
    minPixelValue: 0, maxPixelValue: 255, slope: 1, intercept: 0, windowCenter: 128, windowWidth: 255,
    invert: false, sizeInBytes: width * height * 4, getPixelData: () => pixels.data,
    getCanvas: () => canvas, getImage: () => canvas,
  };
}

// --- The study ----------------------------------------------------------------------------

async function open() {
  if (!/^[0-9.]{1,64}$/.test(study || "")) throw new Refused("This is not the UID of a study.");
  const [found] = await ask(`studies?StudyInstanceUID=${study}&includefield=00081030,00100030,00100040`);
  if (!found) throw new Refused("There is no such study, or you may not see it.");
  head(found);
  const fields = "0008103E,00080060,00200011,00201209";
  const list = await ask(`${path}/series?limit=1000&includefield=${fields}`);
  const cards = list.map(card);
  document.getElementById("series").replaceChildren(...cards);
  const wanted = location.hash.slice(1);
  const first = cards.find((one) => one.dataset.uid === wanted) || cards.find(pictured) || cards[0];
  if (!first) throw new Refused("The study has no series.");
  first.click();
}

const WORDS = new Set(["SR", "KO", "PR", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "REG", "AU", "ECG"]);
const pictured = (one) => !WORDS.has(one.dataset.modality);

function head(found) {
  const name = text(found, "00100010") || "No name";
  const who = [text(found, "00100020"), text(found, "00100040"), date(found, "00100030")];
  document.getElementById("patient").replaceChildren(
    element("strong", {}, name),
    element("span", {}, who.filter(Boolean).join(" · ")),
  );
  const what = [date(found, "00080020"), text(found, "00081030"), text(found, "00080050")];
  document.getElementById("study").textContent = what.filter(Boolean).join(" · ");
  document.title = `${name} · ${date(found, "00080020")} · Sangam`;
}

function card(item) {
  const uid = values(item, "0020000E")[0];
  const modality = text(item, "00080060");
  const count = number(item, "00201209", 0);
  const picture = element("img", { alt: "", loading: "lazy", src: `${ROOT}${path}/series/${uid}/thumbnail?viewport=128,128` });
  picture.addEventListener("error", () => picture.replaceWith(element("span", { class: "none" }, modality || "?")));
  const made = element(
    "button",
    { "data-uid": uid, "data-modality": modality, "aria-pressed": "false" },
    picture,
    element("strong", {}, text(item, "0008103E") || `Series ${text(item, "00200011")}`),
    element("small", {}, [modality, `${count} ${count === 1 ? "image" : "images"}`].filter(Boolean).join(" · ")),
  );
  made.addEventListener("click", () => start(made).catch(failed));
  return made;
}

async function start(chosen) {
  const turn = (shown += 1);
  for (const one of document.querySelectorAll("#series button")) {
    one.setAttribute("aria-pressed", String(one === chosen));
  }
  stop();
  say("Loading…");
  const uid = chosen.dataset.uid;
  history.replaceState(null, "", `#${uid}`);
  const instances = await ask(`${path}/series/${uid}/metadata`);
  if (turn !== shown) return;
  frames = framesOf(instances, `${ROOT}${path}/series/${uid}`);
  image.classList.toggle("empty", !frames.length);
  slider.hidden = frames.length < 2;
  document.getElementById("play").disabled = frames.length < 2;
  presets(chosen.dataset.modality);
  if (!frames.length) return words(instances, uid);
  await stack(turn);
}

function words(instances, uid) {
  for (const id of ["top-left", "top-right", "bottom-left", "bottom-right"]) put(id);
  const paper = documentOf(instances);
  if (!paper) return say("This series has no pictures.");
  const href = `${ROOT}${path}/series/${uid}/instances/${values(paper.item, "00080018")[0]}/rendered`;
  say("");
  message.hidden = false;
  message.replaceChildren(element("a", { href, target: "_blank", rel: "noopener" }, `Open the ${paper.said}`));
}

async function stack(turn) {
  const ids = frames.map((one) => {
    const id = `wadors:${one.url}`;
    cornerstoneWADOImageLoader.wadors.metaDataManager.add(id, one.item);
    return id;
  });
  slider.max = ids.length;
  slider.value = 1;
  cornerstoneTools.clearToolState(image, "stack");
  cornerstoneTools.clearToolState(image, "stackPrefetch");
  const [at, first] = await opening(ids);
  if (turn !== shown) return;
  const fitting = cornerstone.getDefaultViewportForImage(image, first);
  cornerstoneTools.addStackStateManager(image, ["stack"]);
  cornerstoneTools.addToolState(image, "stack", { currentImageIdIndex: at, imageIds: ids });
  cornerstone.displayImage(image, first, fitting);
  cornerstone.fitToWindow(image);
  say("");
  if (ids.length > 1) cornerstoneTools.stackPrefetch.enable(image);
}

// One that cannot be shown at the beginning does not hide the others.
async function opening(ids) {
  let refused;
  for (let at = 0; at < Math.min(ids.length, TRIED); at += 1) {
    try {
      return [at, await load(ids, at)];
    } catch (error) {
      refused = refused || error;
    }
  }
  throw refused;
}

// The first image decides whether the browser decodes the series, or the server draws it.
async function load(ids, at) {
  try {
    if (!decodable(frames[at].item)) throw new Refused("The server draws it.");
    return await Promise.race([cornerstone.loadAndCacheImage(ids[at]), stumble()]);
  } catch {
    const before = [...ids];
    frames.forEach((one, index) => (ids[index] = `rendered:${one.url}`));
    try {
      return await cornerstone.loadAndCacheImage(ids[at]);
    } catch (error) {
      before.forEach((id, index) => (ids[index] = index === at ? ids[at] : id));
      throw error;
    }
  }
}

// An image of a series that the browser cannot show is drawn by the server, or not at all.
function instead(stack, at, { imageId, error }) {
  const wanted = () => stack === current() && at === stack.currentImageIdIndex;
  if (imageId.startsWith("rendered:")) {
    if (wanted()) failed(error);
    return;
  }
  stack.imageIds[at] = `rendered:${frames[at].url}`;
  if (!wanted()) return;
  cornerstone.loadAndCacheImage(stack.imageIds[at]).then((one) => {
    if (wanted()) cornerstone.displayImage(image, one);
  }, () => undefined);
}

// The library leaves some of its errors to nobody, and then its promise stays open.
function stumble() {
  return new Promise((_, refuse) => {
    addEventListener("unhandledrejection", (event) => refuse(event.reason), { once: true });
  });
}

function failed(error) {
  const inner = error && error.error ? error.error : error;
  say(inner instanceof Refused ? inner.message : "This cannot be shown.", true);
  for (const id of ["top-left", "top-right", "bottom-left", "bottom-right"]) put(id);
  image.classList.add("empty");
  if (!current()) slider.hidden = true;
}

// --- What is done to it --------------------------------------------------------------------

function presets(modality) {
  const list = (PRESETS[modality] || []).map(([name, width, center]) =>
    element("option", { value: `${width},${center}` }, `${name} (${width}/${center})`),
  );
  const box = document.getElementById("preset");
  box.replaceChildren(element("option", { value: "" }, "Window…"), ...list);
  box.hidden = !list.length;
}

function change(alter) {
  if (!cornerstone.getEnabledElement(image).image) return;
  const viewport = cornerstone.getViewport(image);
  alter(viewport);
  cornerstone.setViewport(image, viewport);
}

function stop() {
  const button = document.getElementById("play");
  if (button.getAttribute("aria-pressed") === "true") cornerstoneTools.stopClip(image);
  button.setAttribute("aria-pressed", "false");
}

function rate() {
  const item = frames[0].item;
  const each = number(item, "00181063", 0);
  return number(item, "00082144", 0) || number(item, "00180040", 0) || (each ? 1000 / each : 10);
}

const ACTIONS = {
  invert: () => change((viewport) => (viewport.invert = !viewport.invert)),
  turn: () => change((viewport) => (viewport.rotation = (viewport.rotation + 90) % 360)),
  flip: () => change((viewport) => (viewport.hflip = !viewport.hflip)),
  reset: () => {
    if (!cornerstone.getEnabledElement(image).image) return;
    cornerstoneTools.clearToolState(image, "Length");
    cornerstone.reset(image);
  },
  play: () => {
    const button = document.getElementById("play");
    if (button.getAttribute("aria-pressed") === "true") return stop();
    if (frames.length < 2) return undefined;
    button.setAttribute("aria-pressed", "true");
    return cornerstoneTools.playClip(image, rate());
  },
};

const toIndex = cornerstoneTools.importInternal("util/scrollToIndex");

function go(by) {
  if (frames.length > 1) toIndex(image, Math.min(frames.length, Math.max(1, Number(slider.value) + by)) - 1);
}

const KEYS = {
  ArrowDown: () => go(1), ArrowRight: () => go(1), PageDown: () => go(10), End: () => go(frames.length),
  ArrowUp: () => go(-1), ArrowLeft: () => go(-1), PageUp: () => go(-10), Home: () => go(-frames.length),
  i: ACTIONS.invert, r: ACTIONS.reset, " ": ACTIONS.play,
};

function current() {
  const state = cornerstoneTools.getToolState(image, "stack");
  return state && state.data[0];
}

function corners(event) {
  const { viewport, image: now } = event.detail;
  // What is said is of the image that is shown, also while the next one is on its way.
  const at = current() ? current().imageIds.indexOf(now.imageId) : -1;
  const one = frames[at];
  if (!one) return;
  image.classList.remove("empty");
  say("");
  slider.value = at + 1;
  image.dataset.index = at + 1;
  const stored = !now.color;
  put("top-left", text(one.item, "00100010"), text(one.item, "00100020"));
  put("top-right", text(one.item, "00080070"), text(one.item, "00080080"), [date(one.item, "00080020"), time(one.item, "00080030")].join(" "));
  put(
    "bottom-left",
    stored ? `W ${Math.round(viewport.voi.windowWidth)}  L ${Math.round(viewport.voi.windowCenter)}` : "",
    `Zoom ${Math.round(viewport.scale * 100)} %`,
  );
  const thick = number(one.item, "00180050", 0);
  put("bottom-right", thick ? `${thick} mm` : "", one.count > 1 ? `Frame ${one.frame}` : "", `${at + 1} / ${frames.length}`);
}

function listen() {
  image.addEventListener("cornerstoneimagerendered", corners);
  image.addEventListener("contextmenu", (event) => event.preventDefault());
  slider.addEventListener("input", () => toIndex(image, Number(slider.value) - 1));
  document.getElementById("tools").addEventListener("click", (event) => {
    const { tool, do: action } = event.target.dataset;
    if (tool) take(tool);
    if (action) ACTIONS[action]();
  });
  document.getElementById("preset").addEventListener("change", (event) => {
    const [width, center] = event.target.value.split(",").map(Number);
    if (width) change((viewport) => (viewport.voi = { windowWidth: width, windowCenter: center }));
    event.target.value = "";
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("select, a, input") || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.key];
    if (!act || (event.key === " " && event.target.closest("button"))) return;
    event.preventDefault();
    act();
  });
  cornerstone.events.addEventListener("cornerstoneimageloadfailed", ({ detail }) => {
    // Of the first image `load` hears.
    const at = current() ? current().imageIds.indexOf(detail.imageId) : -1;
    if (at >= 0) instead(current(), at, detail);
  });
  new ResizeObserver(() => {
    cornerstone.resize(image, true);
  }).observe(document.getElementById("frame"));
}

prepare();
listen();
open().catch((error) => {
  failed(error);
  document.getElementById("patient").replaceChildren();
});
