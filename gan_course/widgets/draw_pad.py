"""A square in the notebook to draw in with a mouse or a finger, and the way from lines to points."""

import anywidget
import numpy as np
import traitlets

SCRIPT = """
function render({ model, el }) {
  const canvas = document.createElement("canvas");
  const size = canvas.width = canvas.height = 240;
  canvas.style = "border: 1px solid #888; background: white; cursor: crosshair; touch-action: none";
  canvas.setAttribute("aria-label", "Draw lines here with the mouse");
  const pen = canvas.getContext("2d");
  let line = null;  // the one being drawn
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = 2 * (event.clientX - box.left) / box.width - 1, y = 1 - 2 * (event.clientY - box.top) / box.height;
    return [Math.max(-1, Math.min(1, x)), Math.max(-1, Math.min(1, y))];
  };
  const paint = () => {
    pen.clearRect(0, 0, size, size);
    Object.assign(pen, { strokeStyle: "#0072B2", lineWidth: 5, lineCap: "round", lineJoin: "round" });
    for (const points of [...model.get("lines"), ...(line ? [line] : [])]) {
      pen.beginPath();
      pen.moveTo((points[0][0] + 1) / 2 * size, (1 - points[0][1]) / 2 * size);
      for (const [x, y] of points) pen.lineTo((x + 1) / 2 * size, (1 - y) / 2 * size);
      pen.stroke();
    }
  };
  const end = () => {
    if (!line) return;
    model.set("lines", [...model.get("lines"), line]);
    line = null;
    model.save_changes();
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    line = [place(event)];
    paint();
  };
  canvas.onpointermove = (event) => {
    if (!line) return;
    line.push(place(event));
    paint();
  };
  canvas.onpointerup = canvas.onpointercancel = end;
  model.on("change:lines", paint);
  paint();
  el.append(canvas);
  return () => model.off("change:lines", paint);
}
export default { render };
"""


class DrawPad(anywidget.AnyWidget):
    """The square. `lines`: a list of lines, each a list of [x, y] with both in [-1, 1], y upwards."""

    _esm = SCRIPT
    lines = traitlets.List().tag(sync=True)


def evenly_spaced(lines, half=2.0, gap=0.1, most=300):
    """Return points float32 (n, 2) along `lines`, `gap` apart (more where `most` would not do), in [-half, half].

    A mouse leaves many points where it is slow and few where it is quick; evenly spaced points are equally likely.
    """
    lines = [half * np.asarray(line, "float64").reshape(-1, 2) for line in lines if len(line)]
    along = [np.append(0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))) for line in lines]
    gap = max(gap, sum(a[-1] for a in along) / max(1, most - len(lines)))
    found = [
        np.stack([np.interp(np.arange(0.0, a[-1] + 1e-9, gap), a, column) for column in line.T], 1)
        for line, a in zip(lines, along, strict=True)
    ]
    return np.concatenate([np.zeros((0, 2)), *found])[:most].astype("float32")
