// What the pages share: their data, the runtime of the networks, the numbers of a seed, pictures, words.

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);

/** Return the bytes that this file holds under a name: base64 of gzip. */
async function unpack(id) {
  const letters = atob($(id).textContent), packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i); // millions: Uint8Array.from takes seconds
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// --- the networks -----------------------------------------------------------------------------------------------------------

let networks = null, Tensor;

/** Start the runtime and the networks of this file, and go on; in one thread: several need headers that a plain server does not send. */
async function start(ids, then) {
  try {
    const source = URL.createObjectURL(new Blob([await unpack("runtime")], { type: "text/javascript" }));
    const runtime = await import(source), found = {};
    Tensor = runtime.Tensor;
    runtime.env.wasm.numThreads = 1;
    runtime.env.wasm.wasmBinary = await unpack("wasm");
    for (const id of ids) if ($(id)) found[id] = await runtime.InferenceSession.create(await unpack(id));
    networks = found;
    await then();
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  $("words").textContent = "";
  say(`The network does not run in this browser (${error.message}); try a newer one.`);
  console.error(error);
}

/** Return what a network makes of its inputs, each [numbers, shape], in their order. */
async function run(network, ...inputs) {
  const tensors = inputs.map(([numbers, shape], i) => [network.inputNames[i], new Tensor("float32", Float32Array.from(numbers), shape)]);
  const result = await network.run(Object.fromEntries(tensors));
  return result[network.outputNames[0]].data;
}

/**
 * Return a function that does some work once the networks are there. Calls that come meanwhile are done together, after it;
 * the work gets a function that says whether there are such, so that it may leave off.
 */
function oneAtATime(work) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy || !networks) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await work(() => again);
        $("face").dispatchEvent(new Event("drawn"));
      }
    } catch (error) {
      fail(error);
    }
    busy = false;
  };
}

/** Let the browser show what was put, and take what the visitor does meanwhile; a hidden page is given no frames. */
const breathe = () => new Promise((done) => (document.hidden ? setTimeout(done) : requestAnimationFrame(() => setTimeout(done))));

// --- the numbers of a seed: those of NumPy's default_rng(seed).normal(), so a seed is the same face in Python -----------------

const MASK = (1n << 128n) - 1n;

/** Return a function that gives 64 random bits: SeedSequence (O'Neill's seed_seq) and PCG64 (XSL RR 128/64). */
function bits64(seed) {
  let mixed = 0x43b0d7e5;
  const hash = (x) => {
    x = Math.imul(x ^ mixed, (mixed = Math.imul(mixed, 0x931e8875)));
    return x ^ (x >>> 16);
  };
  const mix = (x, y) => {
    const r = Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715);
    return r ^ (r >>> 16);
  };
  const pool = [seed, 0, 0, 0].map(hash);
  for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) if (i !== j) pool[j] = mix(pool[j], hash(pool[i]));
  mixed = 0x8b51f9dd;
  const words = Array.from({ length: 8 }, (_, i) => {
    const x = Math.imul(pool[i % 4] ^ mixed, (mixed = Math.imul(mixed, 0x58f38ded)));
    return BigInt((x ^ (x >>> 16)) >>> 0);
  });
  const long = (i) => (words[i + 1] << 96n) | (words[i] << 64n) | (words[i + 3] << 32n) | words[i + 2];
  const add = ((long(4) << 1n) | 1n) & MASK;
  const next = (state) => (state * 0x2360ed051fc65da44385df649fccf645n + add) & MASK;
  let state = next((add + long(0)) & MASK);
  return () => {
    state = next(state);
    const folded = BigInt.asUintN(64, (state >> 64n) ^ state), turn = state >> 122n;
    return BigInt.asUintN(64, (folded >> turn) | (folded << (64n - turn)));
  };
}

/** The 256 layers of the ziggurat under exp(-x^2 / 2) (Marsaglia and Tsang 2000), for 52 random bits. */
const ziggurat = (() => {
  const edge = 3.6541528853610087963519472518, area = 0.004928673233974658, top = 2 ** 52;
  const inside = [], width = [], height = [], f = (x) => Math.exp(-0.5 * x * x);
  let x = edge, before = edge;
  inside[0] = (edge / (area / f(edge))) * top;
  inside[1] = 0;
  width[0] = area / f(edge) / top;
  width[255] = edge / top;
  height[0] = 1;
  height[255] = f(edge);
  for (let i = 254; i >= 1; i--) {
    x = Math.sqrt(-2 * Math.log(area / before + f(before)));
    [inside[i + 1], width[i], height[i]] = [(x / before) * top, x / top, f(x)];
    before = x;
  }
  return { edge, inside, width, height };
})();

/** Return `count` numbers ~ N(0, 1) of a seed from 0 to 2^32 - 1, rounded to float32. */
function normal(seed, count) {
  const next = bits64(seed), uniform = () => Number(next() >> 11n) / 2 ** 53;
  const { edge, inside, width, height } = ziggurat;
  const one = () => {
    for (;;) {
      const r = next(), i = Number(r & 0xffn), far = Number((r >> 9n) & 0xfffffffffffffn);
      const x = far * width[i] * (r & 0x100n ? -1 : 1);
      if (far < inside[i]) return x;
      if (i > 0) {
        if ((height[i - 1] - height[i]) * uniform() + height[i] < Math.exp(-0.5 * x * x)) return x;
        continue;
      }
      for (;;) {
        const a = -Math.log1p(-uniform()) / edge, b = -Math.log1p(-uniform());
        if (2 * b > a * a) return (r >> 17n) & 1n ? -(edge + a) : edge + a;
      }
    }
  };
  return Array.from({ length: count }, () => Math.fround(one()));
}

// --- pictures ---------------------------------------------------------------------------------------------------------------

/** Return numbers from -1 to 1 as pixels: clip(round((x + 1) * 127.5)), as show.to_uint8 does. */
function toImage(floats) {
  const image = new ImageData(about.size, about.size);
  for (let i = 0; i < about.size ** 2; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.fround(Math.fround(floats[3 * i + c] + 1) * 127.5);
    image.data[4 * i + 3] = 255;
  }
  return image;
}

const put = (canvas, image) => canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0); // on the CPU

function savePicture(name, image) {
  const canvas = make("canvas", { width: image.width, height: image.height });
  put(canvas, image);
  canvas.toBlob((blob) => download(name, blob));
}

function download(name, blob) {
  const link = Object.assign(document.createElement("a"), { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Do something when the visitor gives another address; '#real' is a place on the page. */
const onAddress = (read) => addEventListener("hashchange", () => location.hash === "#real" || read());

// --- words and controls -----------------------------------------------------------------------------------------------------

const say = (text) => ($("said").textContent = text);
const human = (name) => name.replaceAll("_", " ");
const press = (button, on) => (button.ariaPressed = String(on));
const make = (tag, values, ...children) => {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
};

const leftOut = (wrong) => wrong.length && say(`The address holds ${wrong.join(", ")}, which this page does not know; it is left out.`);

const isSeed = (text) => /^\d+$/.test(text) && Number(text) < 2 ** 32;

/** Bind the box of the seed and the button of a random one; `refresh` brings back the box's number where it is no seed. */
function seedBox(change, refresh) {
  $("seed").onchange = () => {
    const text = $("seed").value;
    if (isSeed(text)) return change({ seed: Number(text) });
    refresh();
    say(`The seed is '${text}'; give a whole number from 0 to ${2 ** 32 - 1}.`);
  };
  $("random").onclick = () => change({ seed: Math.floor(Math.random() * 1e6) });
}

let later;

/** Show words and an address (null: as they are) when the state has come to rest: a screen reader reads the words out. */
function tell(words, address) {
  clearTimeout(later);
  later = setTimeout(() => {
    if (words !== null) $("words").textContent = words;
    if (address === null) return;
    try {
      history.replaceState(null, "", address);
    } catch {} // a page inside another page (JupyterLab) may not change its address
  }, 300);
}
