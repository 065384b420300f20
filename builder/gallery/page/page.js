"use strict";
/* The page: the state in the address → what is shown; what people do → another address. */

const $ = id => document.getElementById(id);
const TABS = ["images", "labels", "guess", "audit", "about"].filter(
  tab => (tab !== "audit" || G.audit) && (tab !== "guess" || (T.real && T.synthetic)));
const FIRST = Math.max(64, Math.min(160, G.tile[0])); // pixels of a thumbnail
let state = readState(), found = new Uint32Array(0), shown = "";

function change(part, quiet = false) { // to another state; `quiet` leaves no step back
  const address = addressOf({...state, ...part});
  if (address === location.hash || (address === "#" && !location.hash)) return;
  if (!quiet) return void (location.hash = address);
  try {
    history.replaceState(null, "", address);
    update();
  } catch { // Safari allows only so many in half a minute
    location.hash = address;
  }
}

function update() {
  const before = state;
  state = readState();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== state.tab;
  for (const link of document.querySelectorAll("nav a")) {
    link.hidden = !TABS.includes(link.dataset.tab);
    link.href = addressOf({...state, tab: link.dataset.tab, open: -1});
    if (link.dataset.tab === state.tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (state.tab === "images") showImages();
  if (state.tab === "labels") showLabels();
  if (state.tab === "guess" && riddle.sample < 0) pose();
  if (state.open >= 0) openLarge(state.open);
  else if (large.open) {
    large.close();
    grid.go(...(grid.place(before.open) ?? grid.at));
  }
}

function showImages() {
  const size = state.size || FIRST, what = addressOf({...state, tab: "images", open: -1});
  for (const {name} of COLUMNS) if ($(name + "-field")) $(name + "-field").value = state[name] ?? "*";
  if ($("audit-field")) $("audit-field").value = state.audit;
  if (document.activeElement !== $("text")) $("text").value = state.text;
  $("size").value = size;
  $("beside").checked = state.beside;
  if (what === shown) return grid.draw();
  shown = what;
  found = find(state);
  const sides = state.beside && found.length > 0 && (state.audit !== "" || COLUMNS[0].words.length > 1);
  grid.show(sides ? twoSides() : [found], size);
  $("sides").children[0].textContent = state.audit ? "suspects" : COLUMNS[0].words[0];
  $("sides").children[1].textContent = state.audit ? "what each may repeat" : COLUMNS[0].words[1];
  $("sides").hidden = !sides;
  $("none").hidden = found.length > 0;
  $("status").textContent = `${number(found.length)} of ${number(G.count)} images`;
  $("reset").hidden = found.length === G.count && !state.beside;
  const counts = positives(found);
  G.pathologies.forEach((name, p) => {
    const how = state.with.includes(name) ? "with" : state.without.includes(name) ? "without" : "any";
    const chip = $("chips").children[p];
    chip.dataset.how = how;
    chip.setAttribute("aria-label", `${name} ${number(counts[p])}${{with: ": shown with it", without: ": shown without it", any: ""}[how]}`);
    chip.replaceChildren(make("span", {"aria-hidden": "true"}, {with: "✓ ", without: "✕ ", any: ""}[how]), name, " ", make("small", {}, number(counts[p])));
  });
}

function twoSides() { // synthetic and real images; suspects and what each may repeat
  if (!state.audit) return [0, 1].map(side => found.filter(sample => COLUMNS[0].data[sample] === side));
  const of = new Map(AUDIT[state.audit].map(pair => [pair.sample, pair.of]));
  return [found, [...found].map(sample => of.get(sample))];
}

function field(name, title, options) { // a choice of one word
  const select = make("select", {id: `${name}-field`});
  for (const [value, text] of options) select.append(make("option", {value}, text));
  select.onchange = () => change({[name]: select.value === "*" ? null : select.value});
  $("fields").append(make("label", {}, title, " ", select));
}

function build() { // what is the same for every state
  const kind = G.demo ? "phantoms for the real labels" : "real";
  document.title = `${G.name}: gallery`;
  document.querySelector("h1").textContent = G.name;
  $("warning").hidden = !G.real;
  for (const {name, words} of COLUMNS) {
    const say = each => each || (name === "target" ? "none (real)" : "unknown");
    if (words.length > 1) field(name, name[0].toUpperCase() + name.slice(1), [["*", "any"], ...words.map(each => [each, say(each)])]);
  }
  const lists = Object.entries({copies: "suspected copies", duplicates: "near-duplicates"}).filter(([kind]) => AUDIT[kind].length);
  if (lists.length) field("audit", "Audit", [["", "any"], ...lists.map(([kind, text]) => [kind, `${text} (${AUDIT[kind].length})`])]);
  for (const name of G.pathologies) {
    const chip = make("button", {type: "button"});
    chip.onclick = () => {
      const without = each => each.filter(other => other !== name);
      if (state.with.includes(name)) change({with: without(state.with), without: [...state.without, name]});
      else if (state.without.includes(name)) change({without: without(state.without)});
      else change({with: [...state.with, name]});
    };
    $("chips").append(chip);
  }
  $("beside-label").hidden = COLUMNS[0].words.length < 2 && !lists.length;
  const facts = [["Dataset", G.name], ["Digest", G.digest], ["Images", `${number(G.count)} (${COLUMNS[0].words.map(each => each === "real" ? kind : each).join(" and ")})`],
    ["Generator", G.generator], ["Size", `${G.size.join(" × ")} pixels, shown from thumbnails of ${G.tile.join(" × ")}`]];
  for (const [name, text] of facts) if (text) $("facts").append(make("dt", {}, name), make("dd", {}, text));
  $("more").open = innerWidth > 480;
  if (G.audit) buildAudit(G.audit);
}

function buildAudit(audit) {
  const listed = (kind, all, text) => all ? [make("p", {}, make("a", {href: addressOf({...readState(), tab: "images", audit: AUDIT[kind].length ? kind : "", beside: true, open: -1})}, `${number(all)} ${text}`), AUDIT[kind].length < all ? `, ${AUDIT[kind].length} of them listed` : "")] : [];
  $("audit").append(make("h2", {}, "What the audit says"), make("ul", {class: "said"}, ...audit.summary.map(text => make("li", {}, text))),
    ...listed("copies", audit.suspects, "suspected copies of training images"), ...listed("duplicates", audit.duplicates_found, "synthetic images that repeat another one"),
    ...audit.notes.map(text => make("p", {class: "note"}, text)));
}

function step(by) { // in the large view, to the next image that is found
  const at = found.indexOf(state.open), next = at < 0 ? undefined : found[at + by];
  if (next !== undefined) change({open: next}, true);
}

function onKey(event) {
  const typing = ["INPUT", "SELECT"].includes(event.target.tagName), plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (large.open) {
    if (plain && event.key === "ArrowLeft") step(-1);
    if (plain && event.key === "ArrowRight") step(1);
  } else if (plain && event.key === "/" && !typing) {
    event.preventDefault();
    if (state.tab !== "images") change({tab: "images"});
    setTimeout(() => $("text").focus());
  } else if (plain && state.tab === "guess" && !typing && "rs".includes(event.key.toLowerCase())) {
    tell(event.key.toLowerCase() === "r" ? "real" : "synthetic");
  }
}

let waiting = 0;
const soon = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; grid.draw(); }); };
addEventListener("hashchange", update);
addEventListener("keydown", onKey);
addEventListener("scroll", soon, {passive: true});
addEventListener("resize", () => grid.lay());
addEventListener("beforeprint", () => grid.draw(Math.ceil(300 / grid.columns)));
addEventListener("afterprint", () => grid.lay());
grid.box.onkeydown = event => {
  if (["Enter", " "].includes(event.key) && event.target.dataset.sample) { event.preventDefault(); change({open: +event.target.dataset.sample}); }
  else grid.key(event);
};
grid.box.onclick = event => { const cell = event.target.closest(".tile"); if (cell) change({open: +cell.dataset.sample}); };
grid.box.onfocusin = event => { const cell = event.target, row = cell.parentElement; grid.at = [row.getAttribute("aria-rowindex") - 1, cell.getAttribute("aria-colindex") - 1]; };
$("skip").onclick = event => { event.preventDefault(); $("main").focus(); };
$("text").oninput = () => change({text: $("text").value}, true);
$("text").onkeydown = event => { if (event.key === "Enter") { event.preventDefault(); grid.go(0, grid.seen(0)[1]); } };
document.querySelector("form").onsubmit = event => event.preventDefault();
$("size").oninput = () => change({size: +$("size").value}, true);
$("beside").onchange = () => change({beside: $("beside").checked});
$("reset").onclick = () => { location.hash = state.size ? `#size=${state.size}` : "#"; };
$("back").onclick = () => step(-1);
$("on").onclick = () => step(1);
$("close").onclick = () => change({open: -1});
large.oncancel = event => { event.preventDefault(); change({open: -1}); };
large.onclick = event => { if (event.target === large) change({open: -1}); };
$("say-real").onclick = () => tell("real");
$("say-synthetic").onclick = () => tell("synthetic");

build();
update();
setTimeout(() => { // keys and draws, once the first images are there
  const script = make("script", {src: "samples.js"});
  script.onload = () => { names(SAMPLES); if (state.text) shown = ""; update(); };
  document.head.append(script);
});
