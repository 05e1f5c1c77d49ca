// What both pages need: their data, the runtime of the networks, pictures, words.

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);

/** Return the bytes that this file holds under a name: base64 of gzip. */
async function unpack(id) {
  const packed = Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
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

/** Return a function that does some work once the networks are there. Calls that come meanwhile are done together, after it. */
function oneAtATime(work) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy || !networks) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await work();
        $("face").dispatchEvent(new Event("drawn"));
      }
    } catch (error) {
      fail(error);
    }
    busy = false;
  };
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
