"use strict";
/* A game: is a training image real or synthetic? Who cannot tell them apart is right half the time. */

const riddle = {sample: -1, right: 0, told: 0};

function pose() { // another image
  const wanted = Math.random() < 0.5 ? "real" : "synthetic";
  do riddle.sample = Math.floor(Math.random() * G.count);
  while (word("origin", riddle.sample) !== wanted || !["", "train"].includes(word("split", riddle.sample)));
  const shown = document.getElementById("riddle");
  paint(shown, riddle.sample, Math.max(160, Math.min(384, innerWidth - 48)));
}

function tell(said) {
  const origin = word("origin", riddle.sample), {sample} = riddle;
  riddle.told += 1;
  riddle.right += said === origin;
  const text = `${said === origin ? "Right" : "Wrong"}: it was ${origin}. ${riddle.right} of ${riddle.told} right; chance alone gives half. `;
  document.getElementById("answer").replaceChildren(text, make("a", {href: addressOf({...state, tab: "images", open: sample})}, "Look at it"));
  pose();
}
