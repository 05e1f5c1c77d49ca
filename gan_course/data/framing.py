"""Cut any photograph as the course's faces are cut: upright, with both eyes at the places where CelebA has them.

    face = frame_face("me.jpg")                               # finds the eyes: needs opencv-python-headless
    face = frame_face("me.jpg", eyes=((412, 380), (530, 372)))   # or say where they are

A network that has seen only faces in one frame draws nothing alike for a face that is small, turned or at the edge.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from gan_course.data.pipeline import BROKEN, upright
from gan_course.errors import CourseError

# In shares of the square's side, measured on 242 pictures of CelebA with OpenCV's eye finder, cut by `pipeline.crop_box`.
EYES = ((0.386, 0.517), (0.608, 0.517))
IN_BOX = ((0.300, 0.391), (0.692, 0.391))  # the same within the box of OpenCV's face finder
SMALLEST = 8  # pixels between the eyes: below, nothing but blur is left


def frame_face(picture, eyes=None, size=64):
    """Return the face as uint8 (size, size, 3), its eyes at `EYES`: a picture to project, judge or edit.

    picture: a file (JPEG or PNG, turned upright as its EXIF data says), or an upright uint8 array (h, w, 3).
    eyes: the middle of the eye on the left of the picture and of that on the right, ((x, y), (x, y)) in pixels of the
    upright picture; None: `find_eyes`.

    The picture is turned, scaled and moved, and never stretched: a similarity, decided by two points. It is made smaller
    with a filter as wide as the step (Lanczos), so fine patterns turn grey. What lies outside of the photograph is its
    mirror image. Raises `CourseError` for a file that is no picture, for eyes outside of it, and for a face too small.
    """
    image = open_photograph(picture)
    eyes = find_eyes(image) if eyes is None else eyes
    try:
        (left, right) = eyes = np.array(eyes, "float64").reshape(2, 2)
    except ValueError:
        raise CourseError(f"The eyes are {eyes!r}; give ((x, y), (x, y)) in pixels.") from None
    if not ((eyes >= 0) & (eyes < image.size)).all():
        raise CourseError(
            f"The eyes {_said(eyes)} are not inside the picture of {image.size[0]}x{image.size[1]} pixels."
        )
    if right[0] <= left[0]:
        raise CourseError(f"The eyes {_said(eyes)} are in the wrong order; first the one on the left of the picture.")
    apart = math.dist(left, right)
    if apart < SMALLEST:
        raise CourseError(f"The eyes {_said(eyes)} are {apart:.0f} pixels apart; give a picture with a larger face.")
    side = apart / (EYES[1][0] - EYES[0][0])  # of the square, in pixels of the photograph
    shrink = max(1, int(side / size / 2))  # a first step with whole pixels, so that the last one is at most 2 to 4
    small = image.reduce(shrink)  # before all else, which takes memory
    across = (right - left) / apart * side / shrink  # along the upper edge of the square
    down = np.array([-across[1], across[0]])
    corner = left / shrink - EYES[0][0] * across - EYES[0][1] * down
    edge = math.ceil(1.5 * side / shrink)  # mirrored pixels around the photograph; a turned square needs that many
    padded = Image.fromarray(np.pad(np.asarray(small), ((edge, edge), (edge, edge), (0, 0)), mode="symmetric"))
    fine = 4 * size  # turned at four times the size, and then made smaller
    x, y, start = across / fine, down / fine, corner + edge
    matrix = (x[0], y[0], start[0], x[1], y[1], start[1])
    turned = padded.transform((fine, fine), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(turned.resize((size, size), Image.Resampling.LANCZOS))


def find_eyes(picture):
    """Return ((x, y), (x, y)), the eyes of the largest face in a picture, found by OpenCV's cascades (Viola, Jones 2001).

    Where a face is found but not both of its eyes (closed, behind hair), they are guessed from the face's box.
    Raises `CourseError` where no face is found: faces from the side and turned heads often are not.
    """
    cv2 = opencv()
    grey = np.asarray(open_photograph(picture).convert("L"))
    scale = min(1.0, 1000 / max(grey.shape))  # faces are searched in all sizes: on a large photograph that takes long
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces, *eyes = (
        cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")
        for name in ("frontalface_alt2", "eye_tree_eyeglasses", "eye")
    )
    found = faces.detectMultiScale(grey, 1.1, 4, minSize=(24, 24))
    if not len(found):
        raise CourseError("No face was found in the picture; give one that looks at the camera, or give the eyes.")
    x, y, side, _ = max(found, key=lambda box: box[2])
    upper = grey[y : y + int(0.6 * side), x : x + side]
    for cascade in eyes:
        middles = [(a + w / 2, b + h / 2) for a, b, w, h in cascade.detectMultiScale(upper, 1.05, 3)]
        pair = [[p for p in middles if (p[0] < side / 2) == is_left] for is_left in (True, False)]
        if all(len(half) == 1 for half in pair):
            places = [half[0] for half in pair]
            break
    else:
        places = [(side * a, side * b) for a, b in IN_BOX]
    return tuple(((x + a) / scale, (y + b) / scale) for a, b in places)


def opencv():
    """Return the module `cv2`; raise `CourseError` where it is not installed."""
    try:
        import cv2
    except ImportError:
        raise CourseError('To find eyes, install OpenCV (pip install -e ".[photos]"), or give the eyes.') from None
    return cv2


def open_photograph(picture):
    """Return an upright RGB image (Pillow's) of a file, of a uint8 array or of an image that is upright already."""
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise CourseError(f"The picture is {picture.dtype} {picture.shape}; give uint8 (height, width, 3).")
        return Image.fromarray(picture)
    path = Path(picture)
    try:
        return upright(path.read_bytes())
    except BROKEN as error:
        why = getattr(error, "strerror", None) or error  # without the file's name again
        raise CourseError(f"'{path}' cannot be read as a JPEG or PNG picture: {why}.") from None


def _said(eyes):
    return " and ".join(f"({x:.0f}, {y:.0f})" for x, y in eyes)
