"""How far generated faces are from real ones: distances between two sets of pictures.

A network that was trained for something else turns each picture into d numbers, its *features*; two sets of pictures
are then compared as two clouds of points. So a distance always belongs to a feature network, to a way of resizing, to
the real pictures and to both counts, and means nothing without them:

- `FaceFeatures`: the course's judge of face attributes. Its Frechet distance is called FFD here. It works offline.
- `InceptionFeatures`: Inception-v3, trained on ImageNet. Its Frechet distance is called FID.

`evaluate` measures all numbers of one set of faces and says everything that is needed to repeat it. `measure_groups`
measures an attribute network, group by group. `path_length` and `separability` measure the latent space of a generator.
`measure_edits` measures edits of given faces.
"""

from gan_course import backend  # before Keras, in every module of this package
from gan_course.latent.sampling import generate
from gan_course.metrics.callback import Distance
from gan_course.metrics.distances import distances, frechet_distance, kernel_distance, precision_recall
from gan_course.metrics.edits import edits_text, measure_edits
from gan_course.metrics.evaluation import comparison_table, evaluate, read, real_pictures, save
from gan_course.metrics.features import FaceFeatures, InceptionFeatures, feature_network, resize
from gan_course.metrics.groups import groups_text, measure_groups
from gan_course.metrics.paths import path_length
from gan_course.metrics.separability import separability
from gan_course.metrics.text import (
    agreement,
    agreement_text,
    by_attribute,
    chance,
    measure_text,
    placed,
    r_precision,
    spread,
)
from gan_course.weights import weights_sha256
