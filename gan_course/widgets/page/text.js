// Text to face as a page: the same controls and the same numbers as gan_course.widgets.text_to_face (in Python).
// A sentence becomes word numbers, they become psi (network 'read'); psi and random numbers become a face (network 'draw').

const { attributes, count, example, examples, latent, least, length, size, units } = about;
const UNKNOWN = 1, CLASSES = 3; // classes of an attribute: has it not, not told, has it
const numberOf = new Map(about.words.map((word, i) => [word, i + UNKNOWN + 1]));
const mostVariety = Number($("variety").max);
const begin = { text: examples[0], seed: 0, variety: 1, face: 0 };
let state = begin; // its text can be read, always; what cannot be stays in the box alone
let read = null; // of the last sentence: {text, words, psi, told, marks}
let pictures = [], drawnFrom = ""; // ImageData, of that sentence, seed and variety
const past = []; // states, the newest last

// --- words as numbers: gan_course.data.captions -----------------------------------------------------------------------------

/** What Python's unicodedata.combining means by an accent: a mark that is sorted before U+0345, which has the highest class. */
const isAccent = (mark) => mark === "\u0345" || `\u0345${mark}`.normalize("NFD") !== `\u0345${mark}`;

/** Return the words of a text: lower case, without accents; every other sign is a word of its own. */
function wordsOf(text) {
  const plain = text.replaceAll("\u2019", "'").normalize("NFKD").toLowerCase().replace(/\p{M}/gu, (mark) => (isAccent(mark) ? "" : mark));
  return plain.match(/[\p{L}\p{Nl}\p{No}]+|[^\t-\r\x1c-\x20\x85\u2028\u2029\p{Zs}]/gu) ?? []; // of Python's \w, \d and \s
}

const isWord = (word) => /^\p{L}+$/u.test(word);

/** Return why a text cannot be read; "" where it can. */
function refusal(text) {
  const words = wordsOf(text), short = text.trim().replace(/\s+/g, " ");
  if (!words.length) return `The sentence is empty; write one, such as ${example}.`;
  if (words.slice(0, length).some((word) => isWord(word) && numberOf.has(word))) return "";
  return `No word of '${short.length > 60 ? `${short.slice(0, 55)} ...` : short}' is known; write English about a face, such as ${example}.`;
}

// --- what a sentence tells: TextConfig.understand -----------------------------------------------------------------------------

/** Return psi of rows of word numbers, all of one length, so without padding. */
const psiOf = (rows) => run(networks.read, [rows.flat(), [rows.length, rows[0].length]]);

/** Return probabilities of psi: a function of row, attribute and class. */
async function tellOf(psi) {
  const p = await run(networks.tell, [psi, [psi.length / units, units]]);
  return (row, a, c) => p[(row * attributes.length + a) * CLASSES + c];
}

async function understand(text) {
  const words = wordsOf(text), numbers = words.slice(0, length).map((word) => numberOf.get(word) ?? UNKNOWN);
  const psi = await psiOf([numbers]), p = await tellOf(psi);
  const best = attributes.map((_, a) => [0, 1, 2].reduce((most, c) => (p(0, a, c) > p(0, a, most) ? c : most)));
  const told = best.map((c, a) => [a, c]).filter(([, c]) => c !== 1);
  return { text, words, numbers, psi, told, marks: null };
}

/** Return for each word read [attribute, share]: what is told with it and not without it; null for most words. */
async function credits({ numbers, told }) {
  const without = numbers.map((_, i) => numbers.with(i, UNKNOWN));
  const p = await tellOf(await psiOf([numbers, ...without]));
  return numbers.map((_, i) => {
    const falls = told.map(([a, c]) => [attributes[a], p(0, a, c) - p(i + 1, a, c)]);
    const most = falls.reduce((x, y) => (y[1] > x[1] ? y : x), ["", least]);
    return most[0] ? most : null;
  });
}

function inWords({ words, told }) {
  const says = told.map(([a, c]) => `${human(attributes[a])} ${c === 2 ? "yes" : "no"}`).join(", ");
  const unknown = [...new Set(words.filter((word) => isWord(word) && !numberOf.has(word)))];
  const parts = [`Understood: ${says || "nothing about a face"}`];
  if (unknown.length) parts.push(`not known: ${unknown.slice(0, 8).join(", ")}${unknown.length > 8 ? " ..." : ""}`);
  if (words.length > length) parts.push(`not read: the last ${(words.length - length).toLocaleString("en")} words`);
  return `${parts.join("; ")}.`;
}

/** Show the words that were read: the more one told, the darker; unknown ones struck out. */
function mark({ words, numbers, marks }) {
  const parts = numbers.flatMap((number, i) => {
    const textContent = words[i];
    if (number === UNKNOWN && isWord(textContent)) return [make("s", { textContent, title: "never seen" }), " "];
    if (!marks[i]) return [`${textContent} `];
    const [name, share] = marks[i], element = make("mark", { textContent, title: `${human(name)}: ${share.toFixed(2)}` });
    element.style.setProperty("--share", `${Math.round(25 + 75 * share)}%`);
    return [element, " "];
  });
  $("marked").replaceChildren(...parts);
}

// --- the address ------------------------------------------------------------------------------------------------------------

/** Return the state as the end of an address: #text=A+bald+man.&seed=3; what is as at the beginning is left out. */
function toAddress({ text, seed, variety, face }) {
  const parts = { text, seed };
  if (variety !== begin.variety) parts.variety = variety;
  if (face !== begin.face) parts.face = face + 1;
  return `#${new URLSearchParams(parts)}`;
}

function readAddress() {
  const found = { ...begin }, wrong = [];
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    const number = value === "" ? NaN : Number(value);
    if (key === "text" && !refusal(value)) found.text = value;
    else if (key === "seed" && isSeed(value)) found.seed = number;
    else if (key === "variety" && 0 <= number && number <= mostVariety) found.variety = number;
    else if (key === "face" && Number.isInteger(number) && 1 <= number && number <= count) found.face = number - 1;
    else if (key !== "real") wrong.push(`${key}=${value}`);
  }
  change(found);
  leftOut(wrong);
}

// --- the pictures -----------------------------------------------------------------------------------------------------------

/** Draw what is missing: the large face first, so that it is soon there; then the others; last which word told what. */
const draw = oneAtATime(async (newer) => {
  const { text, seed, variety, face } = state, from = JSON.stringify([text, seed, variety]);
  if (read?.text !== text) read = await understand(text);
  if (from !== drawnFrom) [pictures, drawnFrom] = [[], from];
  const numbers = normal(seed, count * latent).map((x) => Math.fround(Math.fround(variety) * x));
  for (const i of new Set([face, ...Array(count).keys()])) {
    pictures[i] ??= toImage(await run(networks.draw, [numbers.slice(i * latent, (i + 1) * latent), [1, latent]], [read.psi, [1, units]]));
    paint(face);
    await breathe();
    if (newer()) return;
  }
  remember();
  read.marks ??= await credits(read);
  mark(read);
});

function paint(face) {
  const buttons = [...$("faces").children];
  pictures.forEach((picture, i) => put(buttons[i].firstChild, picture));
  put($("face"), pictures[face]);
  $("face").ariaLabel = `face ${face + 1} of ${count}, drawn from the words: ${read.text}`;
  tell(inWords(read), toAddress(state));
}

function remember() {
  const name = ({ text, seed, variety }) => `${text} (seed ${seed}, variety ${variety.toFixed(1)})`;
  const names = past.map(name), now = name(state);
  if (!names.includes(now)) {
    past.push(state);
    $("history").append(make("option", { textContent: now }));
  }
  $("history").selectedIndex = past.map(name).indexOf(now);
}

// --- the controls -----------------------------------------------------------------------------------------------------------

function change(values) {
  state = { ...state, ...values };
  say("");
  if ("text" in values) $("text").value = state.text;
  refresh();
  draw();
}

/** Take the sentence of the box; where it cannot be read, say why, and leave the faces. */
function take() {
  const text = $("text").value, wrong = refusal(text);
  if (wrong) say(wrong);
  else if (text !== state.text) change({ text });
  else say("");
}

function refresh() {
  $("seed").value = state.seed;
  $("variety").value = state.variety;
  $("variety-words").textContent = state.variety.toFixed(1);
  [...$("faces").children].forEach((button, i) => press(button, i === state.face));
}

function build() {
  $("face").width = $("face").height = size;
  for (let i = 0; i < count; i++) {
    const canvas = make("canvas", { width: size, height: size });
    $("faces").append(make("button", { type: "button", ariaLabel: `face ${i + 1}`, onclick: () => change({ face: i }) }, canvas));
  }
  $("examples").append(...examples.map((text) => make("button", { type: "button", textContent: text, onclick: () => change({ text }) })));
  $("text").onchange = take;
  $("text").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    take();
  };
  $("controls").onsubmit = () => {
    take();
    return false;
  };
  seedBox(change, refresh);
  $("variety").oninput = () => change({ variety: Number($("variety").value) });
  $("history").onchange = () => change(past[$("history").selectedIndex]);
  $("picture").onclick = () => savePicture(`face-${state.seed}-${state.face + 1}.png`, pictures[state.face]);
  onAddress(readAddress);
}

build();
readAddress();
await start(["read", "tell", "draw"], draw);
