// Editing a given face as a page: the same arithmetic as gan_course.editing.DomainEditor (in Python).
// A domain is a number whose bit b says whether a face has attribute b. A picture is an ImageData of the network's size.

const { attributes, domains, size, most } = about;
let examples = []; // ImageData
let state = { face: null, picture: null, changes: {}, strength: 1 }; // face: of the examples, from 0; changes: {attribute: 0 or 1}
let told = null, shown = null; // told: {picture, source}, what the steering network said; shown: the edited picture

const has = (domain, name) => (domain >> attributes.indexOf(name)) & 1;
const wanted = (name) => state.changes[name] ?? has(told.source, name);
const changed = () => attributes.filter((name) => wanted(name) !== has(told.source, name));
const inWords = () => changed().map((name) => (wanted(name) ? "" : "not ") + human(name)).join(", ") || "nothing";

function change(values) {
  state = { ...state, ...values };
  say("");
  draw();
}

// --- the address ------------------------------------------------------------------------------------------------------------

/** Return the state as the end of an address: #face=2&Eyeglasses=1&strength=0.8; '#' for a picture of one's own. */
function toAddress() {
  if (state.face === null) return "#";
  const parts = [["face", state.face + 1], ...changed().map((name) => [name, wanted(name)])];
  if (state.strength !== 1) parts.push(["strength", state.strength]);
  return "#" + parts.map((pair) => pair.join("=")).join("&");
}

function readAddress() {
  const found = { face: examples.length ? 0 : null, changes: {}, strength: 1 }, wrong = [];
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    const number = value === "" ? NaN : Number(value);
    if (key === "face" && examples[number - 1]) found.face = number - 1;
    else if (attributes.includes(key) && (number === 0 || number === 1)) found.changes[key] = number;
    else if (key === "strength" && 0 <= number && number <= most) found.strength = number;
    else if (key !== "real") wrong.push(`${key}=${value}`);
  }
  change({ ...found, picture: examples[found.face] ?? null });
  leftOut(wrong);
}

// --- a picture of one's own -------------------------------------------------------------------------------------------------

/** Return Pillow's Lanczos filter from pixels `from` to `to` of `length` to `size`: for each output the first input, and weights. */
function lanczos(length, from, to) {
  const scale = (to - from) / size, wide = Math.max(scale, 1), sinc = (x) => (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1);
  return Array.from({ length: size }, (_, i) => {
    const centre = from + (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - 3 * wide + 0.5)), end = Math.min(length, Math.floor(centre + 3 * wide + 0.5));
    const weights = Array.from({ length: end - first }, (_, j) => {
      const x = (first + j + 0.5 - centre) / wide;
      return Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
    });
    const sum = weights.reduce((a, b) => a + b, 0);
    return [first, weights.map((w) => w / sum)];
  });
}

/** Cut a picture to the square in its middle and resize it, as gan_course.editing.face_of does for a framed one. */
function cut({ width, height, data }) {
  const side = Math.min(width, height), left = Math.floor((width - side) / 2), upper = Math.floor((height - side) / 2);
  const narrow = new Uint8ClampedArray(4 * size * height), image = new ImageData(size, size); // both round and clip
  const shrink = (from, to, lines, filter, line, step, toLine, toStep) => {
    for (let y = 0; y < lines; y++)
      filter.forEach(([first, weights], x) => {
        for (let c = 0; c < 4; c++) to[y * toLine + x * toStep + c] = weights.reduce((sum, w, j) => sum + w * from[y * line + (first + j) * step + c], 0);
      });
  };
  shrink(data, narrow, height, lanczos(width, left, left + side), 4 * width, 4, 4 * size, 4);
  shrink(narrow, image.data, size, lanczos(height, upper, upper + side), 4, 4 * size, 4, 4 * size);
  return image;
}

async function take(file) {
  if (!file) return;
  try {
    // Upright as the camera says; colours as they stand in the file.
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
    const scale = Math.min(1, 1024 / Math.min(bitmap.width, bitmap.height)); // a canvas of a phone is limited
    const [width, height] = [bitmap.width, bitmap.height].map((x) => Math.round(x * scale));
    const canvas = make("canvas", { width, height }), context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
    change({ face: null, picture: cut(context.getImageData(0, 0, width, height)), changes: {} });
  } catch (error) {
    say(`'${file.name}' cannot be read as a picture (${error.message}); give a JPEG or PNG.`);
  }
}

// --- the picture ------------------------------------------------------------------------------------------------------------

/** Return a picture's numbers from -1 to 1, with their shape. */
function toNumbers({ data }) {
  const rgb = data.filter((_, i) => i % 4 < 3);
  return [Float32Array.from(rgb, (x) => Math.fround(Math.fround(x / 127.5) - 1)), [1, size, size, 3]];
}

/** Return the domain of a picture, as the steering network sees it. */
async function domainOf(picture) {
  const logits = await run(networks.steering, toNumbers(picture));
  return logits.reduce((domain, x, b) => domain | (x > 0 ? 1 << b : 0), 0);
}

const oneHot = (domain) => [domains.map((_, d) => Number(d === domain)), [1, domains.length]];

const draw = oneAtATime(async () => {
  const { picture, strength } = state;
  if (!picture) return refresh();
  if (told?.picture !== picture) told = { picture, source: await domainOf(picture) };
  const target = attributes.reduce((domain, name, b) => domain | (wanted(name) << b), 0);
  shown = toImage(await run(networks.edit, toNumbers(picture), oneHot(told.source), oneHot(target), [[strength], [1, 1]]));
  put($("start"), picture);
  put($("face"), shown);
  refresh();
});

// --- the controls -----------------------------------------------------------------------------------------------------------

/** Bring every control in line with the state; without a picture, nothing can be edited. */
function refresh() {
  const { face, picture, strength } = state;
  [...$("faces").children].forEach((button, i) => press(button, i === face));
  for (const control of [...document.querySelectorAll("#wanted input"), $("strength"), $("picture"), $("reset")]) control.disabled = !picture;
  $("strength").value = strength;
  $("strength-words").textContent = strength;
  if (!picture) {
    $("start").ariaLabel = $("face").ariaLabel = "no picture is chosen";
    return tell("No face yet: choose a picture.", null);
  }
  for (const name of attributes) $(`has-${name}`).checked = Boolean(wanted(name));
  const which = face === null ? "your picture" : `example face ${face + 1}`;
  $("start").ariaLabel = `${which}, ${human(domains[told.source])}`;
  $("face").ariaLabel = `${which}, edited: ${inWords()}`;
  tell(`The network takes it for: ${human(domains[told.source])}. Edited: ${inWords()}.`, toAddress());
}

function build() {
  for (const canvas of [$("face"), $("start")]) canvas.width = canvas.height = size;
  $("faces").append(
    ...examples.map((picture, i) => {
      const canvas = make("canvas", { width: size, height: size });
      put(canvas, picture);
      return make("button", { type: "button", ariaLabel: `example face ${i + 1}`, onclick: () => change({ face: i, picture, changes: {} }) }, canvas);
    }),
  );
  $("faces").hidden = !examples.length;
  for (const name of attributes) {
    const box = make("input", { type: "checkbox", id: `has-${name}` });
    box.onchange = () => change({ changes: { ...state.changes, [name]: Number(box.checked) } });
    $("wanted").append(make("label", { className: "box" }, box, human(name)));
  }
  $("strength").oninput = () => change({ strength: Number($("strength").value) });
  $("reset").onclick = () => change({ changes: {}, strength: 1 });
  $("picture").onclick = () => savePicture(`edited-${state.face === null ? "own" : state.face + 1}.png`, shown);
  $("file").onchange = () => {
    take($("file").files[0]);
    $("file").value = ""; // so the same file can be chosen again
  };
  $("controls").onsubmit = () => false;
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  onAddress(readAddress);
}

if ($("examples")) {
  const data = await unpack("examples"), length = 4 * size * size;
  examples = Array.from({ length: data.length / length }, (_, i) => new ImageData(new Uint8ClampedArray(data.slice(i * length, (i + 1) * length)), size));
}
build();
readAddress();
await start(["steering", "edit"], draw);
