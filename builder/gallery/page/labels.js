"use strict";
/* How often each pathology is present, and each two of them: before and with the synthetic images. */

const T = G.training;
const number = value => value.toLocaleString("en");
const percent = (part, whole) => whole ? `${(100 * part / whole).toFixed(part / whole < 0.0995 ? 2 : 1)} %` : "–";

function showLabels(state) {
  const section = document.getElementById("labels");
  if (section.children.length) return;
  section.append(make("h2", {}, "How often is each pathology present?"), prevalence(state));
  const kinds = [["with the synthetic images", T.synthetic && T.both], ["real images alone", T.real], ["synthetic images alone", T.synthetic]].filter(each => each[1]);
  if (!kinds.length) return;
  const choice = make("p", {class: "choice", role: "group", "aria-label": "Which images"}), box = make("div");
  section.append(make("h2", {}, "Which come together?"), make("p", {class: "note"}, "Of the training images with the pathology of the row, the share that also has the one of the column. Click a share to see the images."), choice, box);
  kinds.forEach(([name, counts], k) => {
    const button = make("button", {type: "button", "aria-pressed": k === 0}, name);
    button.onclick = () => {
      for (const each of choice.children) each.setAttribute("aria-pressed", each === button);
      box.replaceChildren(together(name, counts));
    };
    choice.append(button);
  });
  box.append(together(...kinds[0]));
}

function counted(p) { // [positives, images] before and with the synthetic images; null where not known
  if (T.both) return [[T.real.pairs[p][p], T.real.images], [T.both.pairs[p][p], T.both.images]];
  const target = T.targets.find(each => each.pathology === G.pathologies[p]), [real, synthetic] = T.planned;
  return target ? [[target.before, real], [target.after, real + synthetic]] : [null, null];
}

function prevalence() {
  const table = make("table", {class: "prevalence"}), body = make("tbody");
  const images = T.both ? [T.real.images, T.both.images] : [T.planned[0], T.planned[0] + T.planned[1]];
  const mixed = T.synthetic !== null;
  const head = ["Pathology", `Real images${images[0] ? ` (${number(images[0])})` : ""}`];
  if (mixed) head.push(`With synthetic ones${images[1] ? ` (${number(images[1])})` : ""}`);
  const alone = mixed && !T.both; // of the synthetic images more is known than the plan says
  if (alone) head.push(`Synthetic images (${number(T.synthetic.images)})`);
  table.append(make("caption", {}, "Training images that are positive"), make("thead", {}, make("tr", {}, ...head.map(text => make("th", {scope: "col"}, text)), make("td"))), body);
  const most = 1.02 * Math.max(0.01, ...G.pathologies.flatMap((_, p) => counted(p).map(each => each ? each[0] / each[1] : 0)));
  G.pathologies.forEach((name, p) => {
    const [before, after] = counted(p), target = T.targets.some(each => each.pathology === name);
    const cell = each => make("td", {class: "n"}, each ? `${number(each[0])} (${percent(...each)})` : "–");
    const link = make("a", {href: addressOf({...readState(), tab: "images", with: [name], without: [], open: -1})}, name);
    const bars = make("td", {class: "bars", "aria-hidden": "true"});
    for (const [each, kind] of [[before, "before"], [after, "after"]]) {
      if (each && (mixed || kind === "before")) bars.append(bar(kind, each[0] / each[1] / most));
    }
    if (target && T.share) bars.append(bar("goal", T.share / most));
    body.append(make("tr", target ? {class: "target"} : {}, make("th", {scope: "row"}, link), cell(before), ...(mixed ? [cell(after)] : []), ...(alone ? [cell([T.synthetic.pairs[p][p], T.synthetic.images])] : []), bars));
  });
  const note = T.share ? `Bold: targets, which synthetic images lift to ${percent(T.share, 1)} (the line). ` : "";
  const told = T.both || !mixed ? "" : "The real images are not in this folder; what is known of them is the plan of the manifest.";
  return make("div", {}, scrolled("Training images that are positive", table), make("p", {class: "note"}, note + told));
}

function bar(kind, share) {
  const element = make("span", {class: kind});
  element.style[kind === "goal" ? "left" : "width"] = `${100 * share}%`;
  return element;
}

function together(title, counts) {
  const table = make("table", {class: "pairs"}), body = make("tbody"), origin = {"real images alone": "real", "synthetic images alone": "synthetic"}[title] ?? null;
  const heads = G.pathologies.map(name => make("th", {scope: "col"}, make("span", {}, name)));
  table.append(make("caption", {}, `${number(counts.images)} training images: ${title}`), make("thead", {}, make("tr", {}, make("td"), ...heads)), body);
  counts.pairs.forEach((row, p) => {
    const cells = row.map((both, q) => {
      const share = row[p] ? both / row[p] : 0, names = [...new Set([G.pathologies[p], G.pathologies[q]])];
      const cell = make("td");
      cell.style.setProperty("--share", share);
      if (!row[p]) return make("td", {}, "–");
      const chosen = {...readState(), tab: "images", with: names, without: [], text: "", audit: "", open: -1, origin};
      cell.append(make("a", {href: addressOf(chosen), tabindex: "-1", title: `${names.join(" and ")}: ${number(both)} images`}, p === q ? number(both) : both ? String(Math.round(100 * share)) : "·"));
      if (p === q) cell.className = "self";
      return cell;
    });
    body.append(make("tr", {}, make("th", {scope: "row"}, G.pathologies[p]), ...cells));
  });
  return make("div", {}, scrolled(`Pairs: ${title}`, table), make("p", {class: "note"}, "In per cent; on the diagonal, the number of images."));
}

function scrolled(name, inside) { return make("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": name}, inside); }
