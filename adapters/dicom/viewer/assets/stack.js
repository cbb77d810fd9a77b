"use strict";
// The images of a series in the order in which they are looked through.

const PDF = "1.2.840.10008.5.1.4.1.1.104.1";
const REPORT = "1.2.840.10008.5.1.4.1.1.88.";

// One entry for each frame; an instance without rows and columns has none.
function framesOf(instances, path) {
  const found = [];
  for (const item of ordered(instances.filter((one) => number(one, "00280010", 0)))) {
    const uid = values(item, "00080018")[0];
    const count = Math.max(1, number(item, "00280008", 1));
    for (let frame = 1; frame <= count; frame += 1) {
      found.push({ item: ofFrame(item, frame), frame, count, url: `${path}/instances/${uid}/frames/${frame}` });
    }
  }
  return found;
}

// By place along the normal of the slices where all have one and they differ, else by number.
function ordered(instances) {
  const axes = values(instances[0], "00200037").map(Number);
  const places = instances.map((one) => along(axes, values(one, "00200032").map(Number)));
  const spatial = places.every(Number.isFinite) && new Set(places).size === places.length;
  const keys = spatial ? places : instances.map((one) => number(one, "00200013", 0));
  const order = instances.map((_, index) => index).sort((a, b) => keys[a] - keys[b]);
  const found = order.map((index) => instances[index]);
  const first = number(found[0], "00200013", 0);
  return spatial && first > number(found.at(-1), "00200013", 0) ? found.reverse() : found;
}

function along(axes, place) {
  if (axes.length !== 6 || place.length !== 3) return Number.NaN;
  const [a, b, c, d, e, f] = axes;
  const normal = [b * f - c * e, c * d - a * f, a * e - b * d];
  return normal.reduce((sum, one, index) => sum + one * place[index], 0);
}

// The attributes that hold for a frame: those of its functional groups stand as if they were the
// image's own (PS3.3, C.7.6.16).
function ofFrame(item, frame) {
  const groups = [values(item, "52009229")[0], values(item, "52009230")[frame - 1]].filter(Boolean);
  if (!groups.length) return item;
  const found = { ...item };
  for (const group of groups) {
    for (const { vr, Value } of Object.values(group)) {
      if (vr === "SQ" && Value && Value[0]) Object.assign(found, Value[0]);
    }
  }
  // With these the library would take the first frame's attributes for every frame.
  for (const tag of ["00280008", "52009229", "52009230"]) delete found[tag];
  return found;
}

// What the library in the browser shows as the standard says; the rest the server draws.
function decodable(item) {
  const bits = number(item, "00280100", 0);
  const plain = values(item, "00280004")[0] !== "PALETTE COLOR" && !item["00283010"] && !item["00283000"];
  return plain && (bits === 8 || bits === 16);
}

// The first instance that is read and not looked at, and what to call it.
function documentOf(instances) {
  for (const item of instances) {
    const kind = String(values(item, "00080016")[0]);
    if (kind === PDF) return { item, said: "document (PDF)" };
    if (kind.startsWith(REPORT)) return { item, said: "report" };
  }
  return undefined;
}
