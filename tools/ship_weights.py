"""Ship a run's averaged generator, or an attribute network, with the course: weights, sha256 and numbers.

    python tools/ship_weights.py RUN NAME "one line that says what it is"

RUN is the folder of `python -m gan_course train`, of `python -m gan_course attributes` or of `tools/captured.py`. Writes
data/weights/NAME.weights.h5 and its entry in data/weights/index.json. Write the model card
data/weights/NAME.md by hand; it should say what the log says (printed here).
"""

import csv
import hashlib
import json
import shutil
import sys
from pathlib import Path

from gan_course import weights
from gan_course.files import atomic_write

PATHS = ("data", "human", "generator", "steering")  # settings that may name a file or folder of this computer


def without_paths(config):
    """Return a configuration's settings, of files and folders only the names."""
    settings = config.to_dict()
    return settings | {name: Path(settings[name]).name for name in PATHS if settings.get(name)}


def generator(folder, file):
    """Write the averaged generator of a run; return what its entry says of it."""
    from gan_course import runs

    trainer, config = runs.load_run(folder)
    trainer.averages[0][0].save_weights(file)
    with open(Path(folder) / "log.csv", newline="") as log:
        last = [row for row in csv.DictReader(log) if int(row["step"]) <= trainer.step][-1]
    return {
        "settings": without_paths(config),
        "steps": trainer.step,
        "images": int(last["images"]),
        "minutes": round(float(last["seconds"]) / 60, 1),
    }


def captured(folder, file):
    """Copy the averaged network of a run of `tools/captured.py`; return what its entry says of it."""
    from gan_course import runs

    config, _ = runs.read_settings(folder)
    shutil.copyfile(Path(folder) / "averaged.weights.h5", file)
    done = json.loads((Path(folder) / "captured.json").read_text())
    return {
        "settings": without_paths(config),
        "steps": done["step"],
        "images": done["images"],
        "minutes": round(done["seconds"] / 60, 1),
    }


def attributes(folder, file):
    """Copy an attribute network; return what its entry says of it."""
    shutil.copyfile(Path(folder) / "attributes.weights.h5", file)
    report = json.loads((Path(folder) / "report.json").read_text())
    print("| attribute | share | majority | balanced accuracy | AUC |\n|---|---|---|---|---|")
    for name, row in report["test"].items():
        print(f"| {name} | " + " | ".join(f"{row[key]:.3f}" for key in ("share", "majority", "balanced", "auc")) + " |")
    return {key: report[key] for key in ("settings", "data", "epochs", "minutes", "mean_balanced", "mean_auc")}


def main(folder, name, summary):
    weights.FOLDER.mkdir(parents=True, exist_ok=True)
    file = weights.FOLDER / f"{name}.weights.h5"
    kinds = {"report.json": attributes, "captured.json": captured}
    ship = next((kind for name, kind in kinds.items() if (Path(folder) / name).exists()), generator)
    entry = ship(folder, file)
    data = file.read_bytes()
    start = {"file": file.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "summary": summary}
    entry = start | entry
    path = weights.FOLDER / "index.json"
    entries = (json.loads(path.read_text()) if path.exists() else {}) | {name: entry}
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(entries, indent=1) + "\n")
    print(json.dumps(entry, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
