"""A photograph in the notebook to click both eyes of a face in, and beside it the face, cut as the course's faces are."""

import html
from pathlib import Path

import anywidget
import imageio.v3 as iio
import numpy as np
import traitlets
from PIL import ImageOps

from gan_course import show
from gan_course.data.framing import find_eyes, frame_face, open_photograph
from gan_course.errors import CourseError

SCRIPT = """
function render({ model, el }) {
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d"), photo = new Image();
  canvas.style = "max-width: 100%; cursor: crosshair; touch-action: manipulation";
  canvas.setAttribute("aria-label", "A photograph: click both eyes of a face");
  const paint = () => {
    pen.drawImage(photo, 0, 0);
    for (const [x, y] of model.get("eyes")) {
      for (const [width, colour] of [[4, "white"], [2, "#D55E00"]]) {  // seen on every skin
        Object.assign(pen, { lineWidth: width, strokeStyle: colour });
        pen.beginPath();
        pen.arc(x * canvas.width, y * canvas.height, 7, 0, 2 * Math.PI);
        pen.stroke();
      }
    }
  };
  photo.onload = () => {
    canvas.width = photo.naturalWidth;
    canvas.height = photo.naturalHeight;
    paint();
  };
  photo.src = URL.createObjectURL(new Blob([model.get("photo")], { type: "image/jpeg" }));
  canvas.onclick = (event) => {
    const box = canvas.getBoundingClientRect(), eyes = model.get("eyes");
    const place = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    model.set("eyes", eyes.length == 1 ? [...eyes, place] : [place]);
    model.save_changes();
  };
  model.on("change:eyes", paint);
  el.append(canvas);
  return () => {
    model.off("change:eyes", paint);
    URL.revokeObjectURL(photo.src);
  };
}
export default { render };
"""


class Photograph(anywidget.AnyWidget):
    """The photograph. `eyes`: those marked, a list of [x, y] in shares of width and height; a third click begins anew."""

    _esm = SCRIPT
    photo = traitlets.Bytes(help="a JPEG").tag(sync=True)
    eyes = traitlets.List().tag(sync=True)


class FaceFramer:
    """Cuts a face out of a photograph: finds its eyes, and lets you click them where it finds the wrong ones or none.

        framer = FaceFramer("me.jpg")
        framer.controls()     # the widget
        framer.face           # the face of now, uint8 (64, 64, 3); None until both eyes are known

    picture: a file, or an upright uint8 array (h, w, 3). resolution: of the face, in pixels. size: the longer side of
    the photograph on screen, in pixels; a small face in a large photograph needs more. `eyes` are those of now,
    ((x, y), (x, y)) in pixels of the upright photograph, or None.
    """

    def __init__(self, picture, resolution=64, size=480):
        self.image, self.resolution, self.size = open_photograph(picture), resolution, size
        self.eyes = self.face = None
        self.saved = set()  # by this object: only these may be written again
        try:
            self.frame(find_eyes(self.image))
            self.text = "Are these the eyes? If not, click both."
        except CourseError as error:
            self.text = f"{error} Or click both eyes."

    def frame(self, eyes):
        """Cut the face anew by `eyes`, in any order. Wrong ones raise `CourseError` and change nothing."""
        eyes = tuple(sorted((float(x), float(y)) for x, y in eyes))
        self.face = frame_face(self.image, eyes, self.resolution)
        self.eyes = eyes

    def save(self, path):
        """Write the face as it is now. Raises `CourseError` where there is none yet, and for a file of somebody else's."""
        path = Path(path).expanduser()
        if self.face is None:
            raise CourseError("There is no face to save yet; click both eyes.")
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise CourseError(f"The file is '{path}'; give one that ends in .png or .jpg.")
        if path.exists() and path not in self.saved:
            raise CourseError(f"'{path}' exists already; give another name.")
        self.saved.add(show.save(path, self.face))
        return path

    def controls(self):
        """Return the widget: the photograph with its eyes marked, the face, and a button that saves."""
        import ipywidgets as widgets

        shown = np.asarray(ImageOps.contain(self.image, (self.size, self.size)))
        photo = Photograph(photo=iio.imwrite("<bytes>", shown, extension=".jpg", quality=90))
        face = widgets.Image(format="jpeg", width=256)
        save, path = widgets.Button(description="save face"), widgets.Text("face.png", description="to")
        said = widgets.HTML()

        def say(text):
            said.value = html.escape(text)

        def marks():
            return [[x / self.image.width, y / self.image.height] for x, y in self.eyes or ()]

        def draw(text):
            photo.eyes = marks()
            page = np.full((64, 64, 3), 230, np.uint8) if self.face is None else self.face
            page = show.sheet(page[None], scale=max(1, 256 // len(page)))
            face.value = iio.imwrite("<bytes>", page, extension=".jpg", quality=90)
            say(text)

        def clicked(_):
            if len(photo.eyes) == 1:
                say("Now click the other eye.")
            elif photo.eyes != marks():  # not by `draw`
                try:
                    self.frame([(x * self.image.width, y * self.image.height) for x, y in photo.eyes])
                    draw("Cut by the eyes that you clicked.")
                except CourseError as error:
                    draw(str(error))

        def save_face(_):
            try:
                say(f"saved to {self.save(path.value)}")
            except (CourseError, OSError) as error:
                say(str(error))

        photo.observe(clicked, "eyes")
        save.on_click(save_face)
        draw(self.text)
        return widgets.VBox([said, widgets.HBox([photo, widgets.VBox([face, path, save])])])
