"use strict";
/* The grid of thumbnails: only rows near the window are in the page, however many are found. */

const GAP = 4, SPLIT = 24; // pixels between thumbnails, and more between two lists
const grid = {
  box: document.getElementById("grid"), lists: [], columns: 1, wanted: 64, size: 64, rows: new Map(), at: [0, 0],

  get half() { return this.columns / this.lists.length; },
  get height() { return Math.round(this.size * G.tile[1] / G.tile[0]) + GAP; },
  get count() { return Math.max(0, ...this.lists.map(list => Math.ceil(list.length / this.half))); },

  show(lists, size) { // one list of samples, or two that stand beside each other
    this.lists = lists;
    this.wanted = size;
    this.at = [0, 0];
    this.lay();
  },

  lay() { // all anew, for another list, size or window
    const parts = this.lists.length, width = this.box.clientWidth - (parts - 1) * SPLIT;
    const wide = Math.floor((width + GAP) / (this.wanted + GAP));
    this.columns = Math.max(parts, wide - wide % parts);
    const whole = Math.floor((width + GAP) / this.columns) - GAP; // few thumbnails fill a row
    this.size = this.columns < 9 ? whole : this.wanted;
    this.box.style.height = `${this.count * this.height}px`;
    document.documentElement.style.setProperty("--half", `${this.half * (this.size + GAP) - GAP + SPLIT}px`);
    this.box.hidden = this.count === 0;
    this.box.setAttribute("aria-rowcount", this.count);
    this.box.setAttribute("aria-colcount", this.columns);
    this.box.replaceChildren();
    this.rows.clear();
    this.draw();
  },

  sample(row, column) { // -1 where there is none
    const list = this.lists[Math.floor(column / this.half)];
    return list?.[row * this.half + column % this.half] ?? -1;
  },

  place(sample) { // [row, column]; null where it is not shown
    const part = this.lists.findIndex(list => list.includes(sample));
    if (part < 0) return null;
    const number = this.lists[part].indexOf(sample);
    return [Math.floor(number / this.half), part * this.half + number % this.half];
  },

  draw(all = 0) { // the rows near the window, or the first `all`
    if (this.box.closest("[hidden]")) return;
    const top = -this.box.getBoundingClientRect().top, high = innerHeight;
    const first = all ? 0 : Math.max(0, Math.floor((top - high / 2) / this.height));
    const last = Math.min(this.count, all || Math.ceil((top + 1.5 * high) / this.height));
    const inside = this.box.contains(document.activeElement);
    if (!inside) this.at = this.seen(Math.max(0, Math.ceil(top / this.height)));
    for (const [row, element] of this.rows) {
      if ((row < first || row >= last) && !(inside && row === this.at[0])) {
        element.remove();
        this.rows.delete(row);
      }
    }
    const fresh = document.createDocumentFragment();
    for (let row = first; row < last; row++) if (!this.rows.has(row)) fresh.append(this.row(row));
    this.box.append(fresh);
    this.box.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
    this.cell(...this.at)?.setAttribute("tabindex", "0");
  },

  seen(row) { // the first cell with an image, from that row on; the tab key leads there
    const found = Math.min(row, Math.max(0, this.count - 1));
    return [found, this.sample(found, 0) >= 0 ? 0 : this.half];
  },

  row(number) {
    const element = make("div", {role: "row", "aria-rowindex": number + 1});
    element.style.top = `${number * this.height}px`;
    for (let column = 0; column < this.columns; column++) {
      const sample = this.sample(number, column);
      const cell = make("div", {role: "gridcell", "aria-colindex": column + 1});
      if (column && column % this.half === 0) cell.classList.add("split");
      if (sample >= 0) tile(cell, sample, this.size);
      else cell.style.width = `${this.size}px`;
      if (sample >= 0) cell.tabIndex = -1;
      element.append(cell);
    }
    this.rows.set(number, element);
    return element;
  },

  cell(row, column) { return this.rows.get(row)?.children[column]; },

  go(row, column) { // there with the keyboard
    row = Math.max(0, Math.min(this.count - 1, row));
    column = Math.max(0, Math.min(this.columns - 1, column));
    if (this.sample(row, column) < 0) return;
    this.at = [row, column];
    const box = this.box.getBoundingClientRect().top, top = box + row * this.height;
    const bar = document.querySelector(".bar").getBoundingClientRect().bottom + GAP;
    if (top < bar) scrollBy(0, top - bar);
    else if (top + this.height > innerHeight) scrollBy(0, top + this.height - innerHeight);
    this.draw();
    this.cell(row, column)?.focus({preventScroll: true});
    this.draw();
  },

  key(event) {
    const [row, column] = this.at, page = Math.max(1, Math.floor(innerHeight / this.height) - 2);
    const end = this.columns - 1, all = event.ctrlKey || event.metaKey;
    const lastOf = line => { let c = end; while (c > 0 && this.sample(line, c) < 0) c--; return c; };
    const moves = {
      ArrowLeft: column ? [row, column - 1] : row ? [row - 1, end] : [0, 0],
      ArrowRight: column < end ? [row, column + 1] : row < this.count - 1 ? [row + 1, 0] : [row, column],
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      PageUp: [row - page, column], PageDown: [row + page, column],
      Home: [all ? 0 : row, 0], End: all ? [this.count - 1, lastOf(this.count - 1)] : [row, lastOf(row)],
    };
    if (!moves[event.key] || event.altKey) return;
    event.preventDefault();
    const [to, at] = moves[event.key];
    const line = Math.max(0, Math.min(to, this.count - 1));
    this.go(line, this.sample(line, at) < 0 ? lastOf(line) : at);
  },
};

function make(name, attributes = {}, ...inside) { // an element; what is inside is text or elements
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

function paint(element, sample, width) { // the thumbnail as the element's background
  const [w, h] = G.tile, side = G.across, tall = width * h / w;
  const number = sample % (side * side), sheet = Math.floor(sample / (side * side));
  element.style.width = `${width}px`;
  element.style.height = `${tall}px`;
  element.style.backgroundImage = `url("sheets/${String(sheet).padStart(4, "0")}.jpg")`;
  element.style.backgroundSize = `${side * width}px auto`;
  element.style.backgroundPosition = `${-(number % side) * width}px ${-Math.floor(number / side) * tall}px`;
}

function spoken(sample) { // what a thumbnail shows, in words
  const target = word("target", sample), labels = presentIn(sample).join(", ") || "no label present";
  return `${word("origin", sample)}${target && `, for ${target}`}: ${labels}`;
}

function tile(element, sample, width) {
  paint(element, sample, width);
  element.classList.add("tile", word("origin", sample));
  element.dataset.sample = sample;
  element.setAttribute("aria-label", spoken(sample));
  element.title = spoken(sample);
}
