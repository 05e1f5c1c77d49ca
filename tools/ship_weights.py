"""Ship a run's averaged generator with the course: weights, sha256 and numbers for its model card.

    python tools/ship_weights.py RUN NAME "one line that says what it is"

Writes data/weights/NAME.weights.h5 and its entry in data/weights/index.json. Write the model card
data/weights/NAME.md by hand; it should say what the log says (printed here).
"""

import csv
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from gan_course import pretrained
from gan_course.training import run


def main(folder, name, summary):
    gan = run.load(folder)
    pretrained.FOLDER.mkdir(parents=True, exist_ok=True)
    file = pretrained.FOLDER / f"{name}.weights.h5"
    gan.ema_generator.save_weights(file)
    data = file.read_bytes()
    with open(Path(folder) / "log.csv", newline="") as log:
        last = [row for row in csv.DictReader(log) if int(row["step"]) <= int(gan.step)][-1]
    settings = asdict(run.read_settings(folder)) | {"data": Path(run.read_settings(folder).data).name}
    entry = {
        "file": file.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "summary": summary,
        "settings": settings,
        "steps": int(gan.step),
        "images": int(last["images"]),
        "minutes": round(float(last["seconds"]) / 60, 1),
    }
    path = pretrained.FOLDER / "index.json"
    entries = (json.loads(path.read_text()) if path.exists() else {}) | {name: entry}
    path.write_text(json.dumps(entries, indent=1) + "\n")
    print(json.dumps(entry, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
