"""Measure a distance while a training goes on."""

import time

import keras
import numpy as np

from gan_course.data.celeba import open_faces
from gan_course.errors import CourseError
from gan_course.metrics.distances import frechet_distance
from gan_course.metrics.evaluation import real_pictures
from gan_course.metrics.features import feature_network


class Distance(keras.callbacks.Callback):
    """Measure the averaged generator at the end of every epoch in which `every` further steps were completed.

    The number is the one that `evaluate` gives for the same `count`, `split`, `features` and `seed`. It is added to
    the epoch's logs as `ffd` (`fid` for Inception-v3) when it was measured, and only then; so give this callback to
    `fit` *before* those that read it (`Log`, `LiveMonitor`). Training is not changed by it: its latent vectors are
    its own.

    `pause`: seconds that the measuring took in all, to leave out of a measured training time (see `Limit`).
    Raises `CourseError` at once for wrong values, unknown features and a part without faces.
    """

    def __init__(self, folder, every, count=2000, split="val", features="auto", seed=0):
        super().__init__()
        if every < 1:
            raise CourseError(f"The distance is to be measured every {every} steps; give 1 or more.")
        if count < 2:
            raise CourseError(f"The distance is to be measured on {count} faces; give 2 or more.")
        self.source = open_faces(folder)
        if len(self.source.split(split)) < 2:
            raise CourseError(f"The part '{split}' of '{folder}' has fewer than 2 faces; choose another part.")
        self.network = feature_network(features, folder)
        self.every, self.count, self.split, self.seed = every, count, split, seed
        self.real, self.last, self.pause = None, 0, 0.0

    def on_train_begin(self, logs=None):
        start = time.perf_counter()
        self.last = self.model.step // self.every
        if self.real is None:
            resolution = self.model.sample(1).shape[1]
            self.real = self.network(real_pictures(self.source, resolution, self.split, self.count)[0])
        self.pause += time.perf_counter() - start

    def on_epoch_end(self, epoch, logs=None):
        done = self.model.step // self.every
        if done == self.last or not np.isfinite(list(logs.values())).all():
            return
        start = time.perf_counter()
        self.last = done
        fake = self.network(self.model.sample_for(self.source, self.split, self.count, self.seed))
        logs[self.network.short.lower()] = frechet_distance(self.real, fake)
        self.pause += time.perf_counter() - start
