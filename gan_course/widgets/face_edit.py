"""Change attributes of a given face, and compare it with itself."""

import imageio.v3 as iio
import numpy as np

from gan_course import editing, show
from gan_course.errors import CourseError


class FaceEdit:
    """A face before and after: which attributes it shall have, and how strongly it is edited.

    editor: a `gan_course.editing.DomainEditor` that edits attributes. faces: uint8 (n, r, r, 3), framed as those of the training. sources:
    their domains; None: the steering network tells. size: width of a face on screen, in pixels.

    `face` is the picture, `source` its domain, `wanted` {attribute: 0 or 1}, `strength` a number from 0 (the face given back)
    over 1 (the edit) to 1.5.
    """

    def __init__(self, editor, faces, sources=None, size=192):
        if not editor.attributes:
            raise CourseError("This editor's domains are folders; FaceEdit sets attributes. Use editor.edit(...).")
        self.editor, self.faces, self.sources, self.size = editor, show.to_uint8(faces), sources, size
        self.strength = 1.0
        self.take(self.faces[0], None if sources is None else sources[0])

    def take(self, face, source=None):
        """Edit another picture, uint8 (r, r, 3), from now on; source: its domain, None: the steering network tells."""
        source = self.editor.tell(face[None])[0] if source is None else source
        self.face, self.source = face, int(source)
        self.wanted = {name: self.source >> b & 1 for b, name in enumerate(self.editor.attributes)}

    def pictures(self):
        """Return the face and the edited face, uint8 (2, r, r, 3)."""
        edited = self.editor.edit(self.face[None], self.wanted, self.strength, self.source)
        return np.concatenate([self.face[None], edited])

    def controls(self):
        """Return the widget: before and after, a face by number or your own, a box an attribute, the strength, and two buttons.

        One sets the strength to as little as lets the steering network see what is wanted (`DomainEditor.enough`), one saves.
        """
        import ipywidgets as widgets

        views = [widgets.Image(format="png", width=self.size) for _ in range(2)]
        titles = [widgets.Label(text) for text in ("before", "after")]
        number = widgets.BoundedIntText(0, 0, len(self.faces) - 1, description="test face")
        upload = widgets.FileUpload(accept=".jpg,.jpeg,.png", description="your face")
        boxes = {name: widgets.Checkbox(description=name, indent=False) for name in self.editor.attributes}
        strength = widgets.FloatSlider(self.strength, min=0, max=1.5, step=0.05, description="strength")
        enough = widgets.Button(description="as little as is enough")
        save, path = widgets.Button(description="save picture"), widgets.Text("edited.png", description="to")
        said = widgets.Label()

        def draw(_=None):
            self.wanted, self.strength = {name: int(box.value) for name, box in boxes.items()}, strength.value
            for view, picture in zip(views, self.pictures(), strict=True):
                picture = show.sheet(picture[None], scale=max(1, self.size // len(picture)))
                view.value = iio.imwrite("<bytes>", picture, extension=".png")

        def taken():
            said.value = f"the face is: {self.editor.domains[self.source]}"
            wanted = dict(self.wanted)
            for name, box in boxes.items():
                box.unobserve(draw, "value")
                box.value = bool(wanted[name])
                box.observe(draw, "value")
            draw()

        def choose(_):
            place = number.value
            self.take(self.faces[place], None if self.sources is None else self.sources[place])
            taken()

        def own(_):
            try:
                data = bytes(upload.value[0]["content"])
                self.take(editing.face_of(data, self.editor.resolution, upload.value[0]["name"]))
            except CourseError as error:
                said.value = str(error)
            else:
                taken()

        def set_enough(_):
            try:
                strength.value = float(self.editor.enough(self.face[None], self.wanted, self.source)[0])
            except CourseError as error:
                said.value = str(error)

        def save_picture(_):
            try:
                said.value = f"saved to {show.save(path.value, self.pictures()[1])}"
            except (OSError, ValueError) as error:  # no rights; an ending that is no kind of picture
                said.value = f"'{path.value}' cannot be written ({error})"

        number.observe(choose, "value")
        upload.observe(own, "value")
        strength.observe(draw, "value")
        enough.on_click(set_enough)
        save.on_click(save_picture)
        taken()
        columns = [widgets.VBox([title, view]) for title, view in zip(titles, views, strict=True)]
        right = widgets.VBox([number, upload, *boxes.values(), strength, enough, said, path, save])
        return widgets.HBox([*columns, right])
