// The face editor as a page: the same controls and the same arithmetic as gan_course.widgets.face_editor (in Python).
// Vectors are arrays of numbers. The codes of a face are a list of them: one z, or the w of each layer.

const { names, directions, space, step, most, least, pole } = about;

// --- axes and locks ---------------------------------------------------------------------------------------------------------

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const plus = (a, b, scale = 1) => a.map((x, i) => x + scale * b[i]);
const size = (a) => Math.sqrt(dot(a, a));
const unit = (a) => plus(a.map(() => 0), a, size(a) > 1e-9 ? 1 / size(a) : 0);
const without = (a, basis) => basis.reduce((rest, q) => plus(rest, q, -dot(rest, q)), a);
const twice = (a, basis) => without(without(a, basis), basis); // the first time leaves rounding errors

/** Return an orthonormal basis of the space that some rows span (Gram and Schmidt). */
function span(rows) {
  return rows.reduce((basis, row) => {
    const rest = twice(row, basis);
    return size(rest) > 1e-8 ? [...basis, unit(rest)] : basis;
  }, []);
}

const rowsOf = (chosen) => chosen.map((name) => directions[names.indexOf(name)]);

/** Return {name: [axis without the locked ones, how much of it is left]}; an axis of which too little is left is 0. */
function disentangle(locked) {
  const basis = span(rowsOf(locked));
  const pairs = names.map((name, i) => {
    if (locked.includes(name)) return [name, [directions[i], 1]];
    const rest = twice(directions[i], basis), left = size(rest);
    return [name, [left >= least ? unit(rest) : rest.map(() => 0), left]];
  });
  return Object.fromEntries(pairs);
}

/** Turn z on its sphere towards `way` by some degrees; what lies in `basis` stays. It ends `pole` degrees before `way`. */
function turn(z, way, degrees, basis) {
  const free = twice(z, basis), stays = plus(z, free, -1), u = unit(free), aim = unit(way);
  const near = dot(u, aim), s = unit(plus(aim, u, -near));
  const far = Math.max(0, (Math.acos(Math.min(1, Math.max(-1, near))) * 180) / Math.PI - pole);
  const angle = (Math.min(degrees, far) * Math.PI) / 180;
  if (angle === 0 || size(s) === 0) return z;
  const turned = plus(u.map((x) => Math.cos(angle) * x), s, Math.sin(angle));
  return plus(stays, turned, size(free)).map(Math.fround);
}

/** Return codes moved by {name: amount}: z on its sphere, or the chosen layers of w along a straight line. */
function move(codes, amounts, locked, layers) {
  const axes = disentangle(locked);
  let way = directions[0].map(() => 0);
  for (const [name, amount] of Object.entries(amounts)) way = plus(way, axes[name][0], amount);
  if (space === "z") return [turn(codes[0], way, size(way), span(rowsOf(locked)))];
  const [first, last] = layers ?? [0, codes.length - 1];
  return codes.map((w, i) => (first <= i && i <= last ? plus(w, way, about.unit).map(Math.fround) : w));
}

/** Return the codes of the edited face: first moved by what is locked, from there by the others. */
function edited(codes, { amounts, locked, layers }) {
  const axes = disentangle(locked), fast = {}, free = {};
  for (const [name, amount] of Object.entries(amounts))
    if (locked.includes(name)) fast[name] = amount;
    else if (axes[name][1] >= least) free[name] = amount;
  return move(move(codes, fast, [], layers), free, locked, layers);
}

// --- what an edit is, and its history -------------------------------------------------------------------------------------

const BEGIN = { seed: 0, amounts: {}, locked: [], layers: null };
let state = BEGIN, own = null; // own: the codes of a face of one's own, where the seed is null
let past = [], future = [], last = [null, 0];

/** Return a state in one order and within the sliders; so equal states are equal texts. */
function tidy({ seed, amounts, locked, layers }) {
  const within = (x) => Math.min(most, Math.max(-most, Math.round(x * 1e6) / 1e6));
  const moved = names.filter((name) => amounts[name]).map((name) => [name, within(amounts[name])]);
  const whole = !layers || (layers[0] === 0 && layers[1] === about.layers - 1);
  return { seed, amounts: Object.fromEntries(moved), locked: names.filter((n) => locked.includes(n)), layers: whole ? null : layers };
}

/** Go on to another state. moved: whose slider it was; changes of one slider within a second count as one. */
function change(values, moved = null) {
  const next = tidy({ ...state, ...values });
  if (JSON.stringify(next) !== JSON.stringify(state)) {
    if (moved === null || moved !== last[0] || performance.now() - last[1] > 1000) past.push(state);
    [last, future, state] = [[moved, performance.now()], [], next];
  }
  $("said").textContent = "";
  refresh();
}

/** Take the last change back: walk(past, future); make it again: walk(future, past). */
function walk(from, to) {
  if (!from.length) return;
  to.push(state);
  [state, last] = [from.pop(), [null, 0]];
  refresh();
}

const set = (name, amount, moved = null) => change({ amounts: { ...state.amounts, [name]: amount } }, moved);

// --- the address, and files -----------------------------------------------------------------------------------------------

/** Return a state as the end of an address: #seed=3&Smiling=10&lock=Male,Young&layers=0-3 */
function toAddress({ seed, amounts, locked, layers }) {
  const parts = [["seed", seed], ...Object.entries(amounts)];
  if (locked.length) parts.push(["lock", locked.join(",")]);
  if (layers) parts.push(["layers", layers.join("-")]);
  return "#" + parts.map((pair) => pair.join("=")).join("&");
}

/** Return [state, what was not understood] of the end of an address. */
function fromAddress(text) {
  const found = { ...BEGIN, amounts: {} }, wrong = [];
  for (const [key, value] of new URLSearchParams(text.replace(/^#/, ""))) {
    const number = Number(value), pair = value.split("-").map(Number), list = value.split(",");
    if (key === "seed" && isSeed(value)) found.seed = number;
    else if (names.includes(key) && value !== "" && Number.isFinite(number)) found.amounts[key] = number;
    else if (key === "lock" && list.every((name) => names.includes(name))) found.locked = list;
    else if (key === "layers" && areLayers(pair)) found.layers = pair;
    else wrong.push(`${key}=${value}`);
  }
  return [tidy(found), wrong];
}

const areLayers = (x) => Array.isArray(x) && x.length === 2 && x.every(Number.isInteger) && 0 <= x[0] && x[0] <= x[1] && x[1] < about.layers;

/** Take the state of the address; as a change, so it can be undone. */
function readAddress() {
  const [found, wrong] = fromAddress(location.hash);
  change(found);
  leftOut(wrong);
}

/** Tell the state in words and in the address; codes of one's own are too long for that. */
function tellState() {
  const words = networks ? `${state.seed === null ? "own face" : `seed ${state.seed}`}: ${inWords()}` : null;
  tell(words, state.seed === null ? null : toAddress(state));
}

const fileName = () => `face-${state.seed ?? "own"}`;

/** The settings that FaceEditor.load reads in Python, too. */
function settings() {
  const values = { ...state, space, psi: 1, weights_sha256: about.weights_sha256 };
  if (state.seed === null) values.start = space === "z" ? own : [own];
  return JSON.stringify(values, null, 1);
}

/** Take settings that this page or FaceEditor.save wrote; throw an Error that says what is wrong. */
function takeSettings(text) {
  const values = JSON.parse(text), { seed, amounts, locked, layers } = values, wrong = (what) => { throw new Error(what); };
  if (values.weights_sha256 !== about.weights_sha256 || values.space !== space) wrong("they belong to another generator or space");
  if (space === "w" && values.psi !== 1) wrong(`psi is ${values.psi}, and this page knows only 1`);
  if (seed !== null && !(Number.isInteger(seed) && 0 <= seed && seed < 2 ** 32)) wrong(`the seed is ${seed}`);
  for (const name of [...Object.keys(amounts), ...locked]) if (!names.includes(name)) wrong(`there is no axis '${name}'`);
  for (const x of Object.values(amounts)) if (!(Math.abs(x) <= most)) wrong(`an amount is ${x}`);
  if (layers !== null && !areLayers(layers)) wrong(`the layers are ${layers}`);
  if (seed === null) {
    const start = space === "z" ? values.start : values.start[0];
    const fits = start.length === (about.layers || 1) && start.every((row) => row.length === about.latent && row.every(Number.isFinite));
    own = fits ? start : wrong("the start has another shape");
    if (begun) begun.seed = NaN; // draw the start anew
  }
  change({ seed, amounts, locked, layers });
}

// --- the picture ------------------------------------------------------------------------------------------------------------

let begun = null; // begun: of the start, {seed, codes, pixels}
let shown = null, held = false;

const toW = (codes) => (space === "w" ? [1, codes.length, about.latent] : [1, about.latent]);
const pixels = async (codes) => toImage(await run(networks.draw, [codes.flat(), toW(codes)]));

async function startCodes(seed) {
  const z = normal(seed, about.latent);
  if (space === "z") return [z];
  const flat = Array.from(await run(networks.map, [z, [1, about.latent]]));
  return Array.from({ length: about.layers }, (_, i) => flat.slice(i * about.latent, (i + 1) * about.latent));
}

const draw = oneAtATime(async () => {
  const now = state;
  if (begun?.seed !== now.seed) {
    const codes = now.seed === null ? own : await startCodes(now.seed);
    begun = { seed: now.seed, codes, pixels: await pixels(codes) };
  }
  shown = await pixels(edited(begun.codes, now));
  paint();
});

function paint() {
  if (!shown) return;
  const at = held || $("hold").ariaPressed === "true";
  put($("face"), at ? begun.pixels : shown);
  put($("start"), begun.pixels);
  $("face").ariaLabel = at ? "the face at the start" : `a generated face, ${inWords()}`;
}

const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "") + String(Math.abs(Math.round(x * 100) / 100));
const inWords = () => Object.entries(state.amounts).map(([name, x]) => `${human(name)} ${signed(x)}`).join(", ") || "as at the start";

// --- the controls -----------------------------------------------------------------------------------------------------------

const rows = {};

function row(name) {
  const id = `axis-${name}`, text = human(name), by = (sign) => () => set(name, (state.amounts[name] ?? 0) + sign * Number($("strength").value));
  const slider = make("input", { type: "range", id, min: -most, max: most, step: step / 5, value: 0 });
  const less = make("button", { type: "button", textContent: "−", ariaLabel: `less ${text}`, onclick: by(-1) });
  const more = make("button", { type: "button", textContent: "+", ariaLabel: `more ${text}`, onclick: by(1) });
  const amount = make("output", { htmlFor: id, textContent: "0" });
  const lock = make("button", { type: "button", textContent: "lock", ariaLabel: `lock ${text}`, ariaPressed: "false" });
  const why = make("span", { className: "why", id: `${id}-why` });
  slider.setAttribute("aria-describedby", why.id);
  slider.oninput = () => set(name, Number(slider.value), name);
  lock.onclick = () => change({ locked: state.locked.includes(name) ? state.locked.filter((n) => n !== name) : [...state.locked, name] });
  rows[name] = { slider, less, more, amount, lock, why };
  return make("div", { className: "row" }, make("label", { htmlFor: id, textContent: text }), less, slider, more, amount, lock, why);
}

/** Bring every control in line with the state, and draw once. */
function refresh() {
  const axes = disentangle(state.locked);
  for (const [name, { slider, less, more, amount, lock, why }] of Object.entries(rows)) {
    const x = state.amounts[name] ?? 0, locked = state.locked.includes(name), gone = axes[name][1] < least;
    slider.value = x;
    slider.setAttribute("aria-valuetext", `${signed(x)} ${about.word}`);
    amount.textContent = signed(x);
    for (const control of [slider, less, more]) control.disabled = locked || gone;
    press(lock, locked);
    why.textContent = gone ? "What is locked leaves nothing of this axis." : "";
  }
  $("undo").ariaDisabled = String(!past.length); // 'disabled' would take the focus away from the keyboard
  $("redo").ariaDisabled = String(!future.length);
  $("seed").value = state.seed ?? "";
  [$("first").value, $("last").value] = state.layers ?? [0, about.layers - 1];
  tellState();
  draw();
}

function build() {
  for (const [title, members] of about.groups) {
    const content = members.map(row);
    $("axes").append(
      title === "more"
        ? make("details", {}, make("summary", { textContent: `more (${members.length})` }), ...content)
        : make("fieldset", {}, make("legend", { textContent: title }), ...content),
    );
  }
  for (const canvas of [$("face"), $("start")]) canvas.width = canvas.height = about.size;
  Object.assign($("strength"), { min: step / 5, max: 2 * step, step: step / 5, value: step });
  const strength = () => ($("strength-words").textContent = `${Number($("strength").value)} ${about.word}`);
  $("strength").oninput = strength;
  strength();
  $("layers").hidden = !about.layers;
  $("first").max = $("last").max = about.layers - 1;
  for (const id of ["first", "last"])
    $(id).onchange = () => {
      const pair = [Number($("first").value), Number($("last").value)];
      if (areLayers(pair)) return change({ layers: pair });
      refresh();
      say(`The layers are ${pair.join(" to ")}; give two from 0 to ${about.layers - 1}, the smaller one first.`);
    };
  seedBox(change, refresh);
  $("undo").onclick = () => walk(past, future);
  $("redo").onclick = () => walk(future, past);
  $("reset").onclick = () => change({ amounts: {} });
  $("hold").onclick = () => { press($("hold"), $("hold").ariaPressed !== "true"); paint(); };
  $("beside").onchange = () => ($("before").hidden = !$("beside").checked);
  $("picture").onclick = () => savePicture(`${fileName()}.png`, shown);
  $("settings").onclick = () => download(`${fileName()}.json`, new Blob([settings()], { type: "application/json" }));
  $("load").onchange = async () => {
    const [file] = $("load").files;
    $("load").value = ""; // so the same file can be chosen again
    try {
      takeSettings(await file.text());
    } catch (error) {
      say(`'${file.name}' holds no settings for this page (${error.message}); give a file that 'save settings' wrote.`);
    }
  };
  const hold = (on) => () => { held = on; paint(); };
  $("face").onpointerdown = hold(true);
  for (const event of ["pointerup", "pointerleave", "pointercancel"]) $("face").addEventListener(event, hold(false));
  $("axes").onsubmit = () => false;
  onAddress(readAddress);
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.type === "number") return;
    const key = event.key.toLowerCase(), again = key === "y" || (key === "z" && event.shiftKey);
    if (key !== "z" && !again) return;
    event.preventDefault();
    if (again) walk(future, past);
    else walk(past, future);
  });
}

build();
readAddress();
[past, state] = [[], tidy(state)]; // the first state is no change
await start(["draw", "map"], refresh);
