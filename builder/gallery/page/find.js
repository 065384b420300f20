"use strict";
/* What is in the gallery, and which samples a state of the page finds.

   A state is what the address holds after #: {tab, open, size, beside, text, audit, with, without}
   and a word for each column such as origin. A sample is its number, 0 … count - 1. */

const G = GALLERY, L = G.pathologies.length;
const COLUMNS = G.columns.map(column => ({...column, data: bytes(column.data)}));
const PRESENT = G.present.map(bytes), UNKNOWN = G.unknown.map(bytes);
const AUDIT = {copies: G.audit?.copies ?? [], duplicates: G.audit?.duplicates ?? []};
let KEYS = null, DRAWS = null; // of samples.js, which comes later

function bytes(text) {
  const raw = atob(text), found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}

const bit = (bits, sample) => bits[sample >> 3] >> (sample & 7) & 1;

function word(name, sample) { // "" where the column is not there
  const column = COLUMNS.find(each => each.name === name);
  return column ? column.words[column.data[sample]] : "";
}

function presentIn(sample) {
  return G.pathologies.filter((_, p) => bit(PRESENT[p], sample));
}

function names(samples) { // called once samples.js is there
  KEYS = samples.keys.split("\n");
  DRAWS = new Int32Array(bytes(samples.draws).buffer);
}

function readState() {
  const said = new URLSearchParams(location.hash.slice(1));
  const list = name => (said.get(name) ?? "").split("|").filter(each => G.pathologies.includes(each));
  const number = (name, low, high, other) => {
    const found = parseInt(said.get(name), 10);
    return found >= low && found <= high ? found : other;
  };
  const state = {
    tab: TABS.includes(said.get("tab")) ? said.get("tab") : "images",
    with: list("with"), without: list("without"), text: said.get("text") ?? "",
    audit: AUDIT[said.get("audit")]?.length ? said.get("audit") : "",
    beside: said.has("beside"), size: number("size", 32, 512, 0), open: number("open", 0, G.count - 1, -1),
  };
  for (const {name, words} of COLUMNS) state[name] = words.includes(said.get(name)) ? said.get(name) : null;
  return state;
}

function addressOf(state) { // the hash of a state, without what is as at first
  const said = new URLSearchParams();
  if (state.tab !== "images") said.set("tab", state.tab);
  for (const {name} of COLUMNS) if (state[name] !== null) said.set(name, state[name]);
  for (const name of ["with", "without"]) if (state[name].length) said.set(name, state[name].join("|"));
  for (const name of ["text", "audit", "size"]) if (state[name]) said.set(name, state[name]);
  if (state.beside) said.set("beside", "");
  if (state.open >= 0) said.set("open", state.open);
  return `#${said}`;
}

function find(state) { // Uint32Array of samples, in order; those of an audit as it lists them
  const mask = new Uint8Array(G.count).fill(1);
  for (const {name, words, data} of COLUMNS) {
    const wanted = words.indexOf(state[name]);
    if (wanted >= 0) for (let i = 0; i < mask.length; i++) mask[i] &= data[i] === wanted;
  }
  for (const name of state.with) keep(mask, PRESENT[G.pathologies.indexOf(name)], 1);
  for (const name of state.without) {
    keep(mask, PRESENT[G.pathologies.indexOf(name)], 0);
    keep(mask, UNKNOWN[G.pathologies.indexOf(name)], 0);
  }
  if (state.audit) {
    const listed = new Set(AUDIT[state.audit].map(pair => pair.sample));
    for (let i = 0; i < mask.length; i++) mask[i] &= listed.has(i);
  }
  for (const part of state.text.toLowerCase().split(/\s+/).filter(Boolean)) keepText(mask, part);
  const found = new Uint32Array(G.count);
  let many = 0;
  for (let i = 0; i < mask.length; i++) if (mask[i]) found[many++] = i;
  return state.audit ? Uint32Array.from(AUDIT[state.audit].map(pair => pair.sample).filter(sample => mask[sample])) : found.subarray(0, many);
}

function keep(mask, bits, value) {
  if (bits.length || value) for (let i = 0; i < mask.length; i++) mask[i] &= bit(bits, i) === value;
}

function keepText(mask, part) { // in the key, or in the name of a pathology that is present
  const named = PRESENT.filter((_, p) => G.pathologies[p].toLowerCase().replace(/_/g, " ").includes(part));
  for (let i = 0; i < mask.length; i++) {
    if (mask[i] && !(KEYS && KEYS[i].includes(part)) && !named.some(bits => bit(bits, i))) mask[i] = 0;
  }
}

const ONES = Uint8Array.from({length: 256}, (_, byte) => byte.toString(2).replaceAll("0", "").length);

function positives(found) { // how many of the found are positive for each pathology
  const packed = new Uint8Array(Math.ceil(G.count / 8));
  for (const sample of found) packed[sample >> 3] |= 1 << (sample & 7);
  return PRESENT.map(bits => {
    let count = 0;
    for (let i = 0; i < packed.length; i++) count += ONES[bits[i] & packed[i]];
    return count;
  });
}

function alike(sample, many) { // some samples of the other origin with the very same labels
  const sets = [...PRESENT, ...UNKNOWN.filter(bits => bits.length)];
  const wanted = sets.map(bits => bit(bits, sample)), origin = COLUMNS[0].data;
  const other = COLUMNS[0].words.length > 1, found = [];
  for (let i = 0; i < G.count; i++) {
    if (i !== sample && (!other || origin[i] !== origin[sample]) && sets.every((bits, p) => bit(bits, i) === wanted[p])) found.push(i);
  }
  const step = Math.max(1, found.length / many);
  return {total: found.length, some: Array.from({length: Math.min(many, found.length)}, (_, k) => found[Math.floor(k * step)])};
}
