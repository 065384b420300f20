"use strict";
/* One image large, with its labels, its draw, and images that it can be compared with. */

const large = document.getElementById("large");
const SUSPECT = {copies: "may be a copy of", duplicates: "repeats"};

function openLarge(sample) {
  const width = Math.max(160, Math.min(512, innerWidth - 64, (innerHeight * 0.6) * G.tile[0] / G.tile[1]));
  const picture = document.getElementById("picture");
  paint(picture, sample, Math.round(width));
  picture.className = word("origin", sample);
  picture.setAttribute("aria-label", spoken(sample));
  const target = word("target", sample);
  document.getElementById("large-title").textContent = `${word("origin", sample)}${target && ` for ${target}`}`;
  document.getElementById("details").replaceChildren(labelsOf(sample), factsOf(sample), ...suspicions(sample), compared(sample));
  if (!large.open) large.showModal();
}

function labelsOf(sample) {
  const list = make("ul", {class: "marks", "aria-label": "Labels"});
  G.pathologies.forEach((name, p) => {
    if (bit(PRESENT[p], sample)) list.append(make("li", {class: "yes"}, name));
    else if (UNKNOWN[p].length && bit(UNKNOWN[p], sample)) list.append(make("li", {class: "unknown"}, `${name}?`));
  });
  if (!list.children.length) list.append(make("li", {}, "no label present"));
  return list;
}

function factsOf(sample) {
  const facts = make("dl");
  const say = (name, text) => { if (text) facts.append(make("dt", {}, name), make("dd", {}, text)); };
  say("Key", KEYS?.[sample]);
  if (DRAWS?.[sample] >= 0) say("Draw", `number ${number(DRAWS[sample])} for ${word("target", sample)}`);
  for (const {name} of COLUMNS) if (!["origin", "target"].includes(name)) say(name[0].toUpperCase() + name.slice(1), word(name, sample));
  return facts;
}

function suspicions(sample) {
  return Object.entries(SUSPECT).flatMap(([kind, verb]) => AUDIT[kind]
    .filter(pair => pair.sample === sample || pair.of === sample)
    .map(({sample: it, of, similarity}) => {
      const other = it === sample ? of : it, elsewhere = "an image that is not in this folder";
      const said = it === sample ? `this ${verb} ${of < 0 ? elsewhere : "the image below"}` : `the image below ${verb} this one`;
      const from = kind === "copies" ? `, suspected from ${G.audit.threshold.toPrecision(3)}` : "";
      const text = make("div", {class: "suspect"}, `The audit says: ${said} (similarity ${similarity.toPrecision(3)}${from}).`);
      if (other >= 0) text.append(strip([other], 144));
      return text;
    }));
}

function compared(sample) {
  const {total, some} = alike(sample, 8);
  const other = COLUMNS[0].words.find(each => each !== word("origin", sample)) ?? "other";
  const text = total ? `${number(total)} ${other} ${total === 1 ? "image has" : "images have"} exactly these labels` : `No ${other} image has exactly these labels`;
  return make("div", {}, make("h3", {}, text), strip(some, 72));
}

function strip(samples, width) { // thumbnails that lead to their own large view
  const row = make("div", {class: "strip"});
  for (const sample of samples) {
    const link = make("a", {href: addressOf({...state, open: sample})});
    tile(link, sample, width);
    row.append(link);
  }
  return row;
}
