from gan_course import quiet  # noqa: F401  before Keras
