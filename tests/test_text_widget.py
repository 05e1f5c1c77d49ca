"""The text box: faces, the words that were understood, the history; a mistake is a sentence, not a traceback."""

import numpy as np
import pytest

from gan_course.backend import keras
from gan_course.data import captions
from gan_course.errors import CourseError
from gan_course.pretrained import Found, find
from gan_course.training import text
from gan_course.widgets.text_to_face import TextToFace


@pytest.fixture(scope="module")
def found():
    """A network that was taught glasses and smiles, and has never drawn."""
    keras.utils.set_random_seed(0)
    told_of = ["Smiling"], ["Eyeglasses"], ["Smiling", "Eyeglasses"]  # it has to learn what is not told, too
    random = np.random.default_rng(0)
    faces = [{name: int(random.integers(2)) for name in told_of[i % 3]} for i in range(96)]
    made = [captions.caption(face, k=k, name=str(i)) for i, face in enumerate(faces) for k in range(4)]
    config = text.TextConfig(
        words=captions.vocabulary(c.text for c in made), attributes=["Eyeglasses", "Smiling"], resolution=8, latent_dim=6,
        width=4, max_width=8, length=24, text_dim=24, condition_dim=4,
    )  # fmt: skip
    network = config.network()
    told = captions.told_table(made, config.attributes)
    text.teach(network, config.reader([c.text for c in made]), told, steps=200, batch_size=32, rate=1e-2)
    return Found(network, config, {})


def test_the_words_that_tell_are_marked(found):
    box = TextToFace(found, "A smiling person with <b>glasses</b>, tall.")
    assert box.draw().shape == (4, 8, 8, 3)
    assert box.understood.told == {"Eyeglasses": 1, "Smiling": 1} and box.understood.unknown == ["b", "tall"]
    marked = {word: name for word, name, _ in box.understood.words if name}
    assert marked["glasses"] == "Eyeglasses" and marked["smiling"] == "Smiling" and "person" not in marked
    html = box.highlighted()
    assert 'title="Eyeglasses: ' in html and '<s title="never seen">tall</s>' in html and "<b>" not in html
    assert "Eyeglasses yes" in html and "not known: b, tall" in html


def test_seed_and_variety(found):
    box = TextToFace(found, "A person with glasses.")
    first = box.draw()
    box.seed = 1
    assert (box.draw() != first).any()
    box.variety = 0.0
    alike = box.draw()
    assert (alike == alike[:1]).all()
    assert [seed for _, seed, _ in box.history] == [0, 1, 1]


def test_controls(found):
    box = TextToFace(found, "A person with glasses.")
    controls = box.controls()
    sentence, (seed, variety), faces, said, history = (
        controls.children[0], controls.children[1].children, *controls.children[2:]
    )  # fmt: skip
    before = faces.value
    sentence.value = "A smiling person."
    assert faces.value != before and "Smiling yes" in said.value and len(history.options) == 2
    sentence.value = ""
    assert "is empty" in said.value and len(history.options) == 2
    history.value = 0
    assert sentence.value == "A person with glasses." and faces.value == before
    seed.value = -3
    assert box.seed == 3
    variety.value = 0.5
    assert box.history[-1] == ("A person with glasses.", 3, 0.5)


def test_another_network_is_refused():
    with pytest.raises(CourseError, match="reads no sentences"):
        TextToFace(find("dcgan-toon-64"))


def test_variety_zero_is_the_sentence_alone(found):
    faces = [
        TextToFace(found, sentence, variety=0.0).draw()[0]
        for sentence in ("A smiling person.", "A person with glasses.")
    ]
    assert np.abs(faces[0].astype(int) - faces[1]).max() > 0
