"""A run directory and its owner: which files are a run's, and who may write them.

    NAME/
      .sciml_run.json                                         made by this program, and how far it came
      config.yaml, checkpoints/, tensorboard/, metrics.csv    of `sciml fit`
      metrics.json, predictions.h5 | reconstructions/, figures/    of `sciml test` on the run's own test data
      evaluations/DATA/                                       of `sciml test` on other data
      predict/DATA/                                           of `sciml predict`

Only files that are known to be a run's are ever replaced or removed. Those of `fit` have fixed names; those of `test`
and `predict` are listed in the folder's `.sciml_run.json`. Whatever else lies in the folder is the user's.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from sciml.errors import ConfigError, listed
from sciml.io.atomic import replacing
from sciml.io.jobs import exclusive

MARKER = ".sciml_run.json"
ASIDE = ".sciml_replaced"
FIT = (
    "config.yaml",
    "metrics.csv",
    "checkpoints/best.ckpt",
    "checkpoints/last.ckpt",
    "tensorboard/events.out.tfevents.*",
    "tensorboard/hparams.yaml",
)
EVALUATION = ("metrics.json", "predictions.h5", "figures", "reconstructions")
RUN = "run"
WITHIN = ("evaluations", "predict")
REMEDY = "give another --run_dir"


class RunDirectory:
    """One folder, in which a run, an evaluation or a prediction is written.

    Args:
        path: The folder.
        results: Names of files and folders that an application's evaluations write beside those above.
    """

    def __init__(self, path: str | os.PathLike[str], results: Sequence[str] = ()) -> None:
        self.path, self._results = Path(path), tuple(results)
        self._evaluation = (*EVALUATION, *self._results)
        self._writes = ("config.yaml", "metrics.csv", "checkpoints", "tensorboard", *self._evaluation, *WITHIN)
        self._claim = ExitStack()

    @property
    def about(self) -> dict[str, Any]:
        """What the marker says; empty where there is none, or one that cannot be read."""
        try:
            content = json.loads((self.path / MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def is_run(self) -> bool:
        """Whether a network was trained here, by this version or by one that left no marker."""
        if self.about:
            return bool(self.about.get("trained"))
        return (self.path / "config.yaml").is_file() and (self.path / "checkpoints/last.ckpt").is_file()

    def owns(self, file: str | os.PathLike[str]) -> bool:
        """Whether a checkpoint is this run's own."""
        return Path(file).resolve().parent == (self.path / "checkpoints").resolve()

    def require_free(self, *, overwrite: bool = False) -> None:
        """Raise ConfigError if a new run cannot be written here without harm to what is there.

        That is a trained run, unless `overwrite`, and files of a run's names that no run is known to have written.
        """
        lowest = next(path for path in (self.path, *self.path.absolute().parents) if os.path.lexists(path))
        if not lowest.is_dir():
            found = "is a file" if lowest.exists() else "is a link to a folder that is not there"
            raise ConfigError(f"run_dir: {lowest} {found}; {REMEDY}")
        if self.is_run and not overwrite:
            raise ConfigError(
                f"run_dir: {self.path} holds a run already; {REMEDY}, --ckpt_path last to continue it, or "
                "--overwrite true to replace it"
            )
        if self.about.get("kind", RUN) != RUN:
            raise ConfigError(f"run_dir: {self.path} holds an {self.about['kind']}, not a run; {REMEDY}")
        taken = [] if self.about else [name for name in self._writes if os.path.lexists(self.path / name)]
        if taken:
            raise ConfigError(
                f"run_dir: {self.path} holds {', '.join(taken)}, and no {MARKER} says that a run wrote this; "
                f"{REMEDY}, or move it away"
            )

    def require_evaluation(self, data: Mapping[str, Any]) -> None:
        """Raise ConfigError if an evaluation of another run's network cannot be written here without harm.

        Only one of the same `data`, which tell it from others, is replaced.
        """
        about = self.about
        if about.get("kind") == "evaluation" and about.get("data") == json.loads(json.dumps(dict(data))):
            return
        names = [name for name in ("config.yaml", *self._evaluation) if os.path.lexists(self.path / name)]
        if self.is_run or about or names:
            kind = about.get("kind", RUN)
            kind = "an evaluation of other data or weights" if kind == "evaluation" else f"another {kind}"
            found = kind if self.is_run or about else ", ".join(names)
            raise ConfigError(f"run_dir: {self.path} holds {found}; {REMEDY} for this checkpoint's results")

    def require_results(self) -> None:
        """Raise ConfigError if results lie here that no evaluation is known to have written, and a new one would
        replace. Known are those that the marker lists; where a process was killed while it wrote, all.
        """
        about = self.about
        if not about or about.get("writing"):
            return
        others = [n for n in self._stamps() if n not in self._listed(about) and not n.startswith("figures/")]
        if others:
            raise ConfigError(
                f"run_dir: {self.path} holds {listed(others)}, and no evaluation is known to have written this; move "
                f"it away, or {REMEDY}"
            )

    def lock(self) -> None:
        """Keep other processes from writing a run here until this one ends; see `sciml.io.jobs.exclusive`."""
        self._claim.enter_context(exclusive(self.path))

    def unlock(self) -> None:
        """Let others write here."""
        self._claim.close()

    def begin(self, config: str, about: Mapping[str, Any]) -> None:
        """Move what an earlier run wrote aside, and write configuration and marker of a new one."""
        aside = self.path / ASIDE
        for file in self.written():
            _move(file, aside / file.relative_to(self.path))
        self._prune()
        self._mark({**about, "trained": False})
        self.write_config(config)

    def resume(self, config: str, about: Mapping[str, Any]) -> None:
        """Write configuration and marker of a run that is continued."""
        self._mark({**self.about, **about, "trained": True})
        self.write_config(config)

    def confirm(self) -> None:
        """The new run has trained: what was moved aside is removed."""
        self._mark({**self.about, "trained": True})
        self._discard()

    def withdraw(self) -> None:
        """Undo a `begin` that was not confirmed: such a run leaves nothing, and the former one is back."""
        if self.about.get("trained"):
            self._discard()
            return
        for file in reversed(self.written()):
            file.unlink()
        aside = self.path / ASIDE
        former = [file for file in aside.rglob("*") if file.is_file() and not file.name.endswith(".partial")]
        for file in sorted(former, key=lambda file: file == aside / MARKER):  # last: without it, this is done again
            _move(file, self.path / file.relative_to(aside))
        self._discard()
        self._prune()

    def settle(self) -> None:
        """Finish what a killed process has left between `begin` and `confirm`."""
        if (self.path / ASIDE).is_dir():
            with exclusive(self.path):
                self.withdraw()

    def write_config(self, text: str) -> None:
        with replacing(self.path / "config.yaml") as temporary:
            temporary.write_text(text, encoding="utf-8")

    def written(self) -> list[Path]:
        """Files here that this program wrote, the marker first, those of evaluations and predictions included."""
        about = self.about
        if not about:
            return []
        found = [path for pattern in FIT for path in sorted(self.path.glob(pattern))]
        found += [self.path / name for name in self._listed(about)]
        for folder in (folder for kind in WITHIN for folder in sorted((self.path / kind).glob("*"))):
            inner = RunDirectory(folder, self._results)
            found += [] if inner.about.get("kind", RUN) == RUN else inner.written()  # a run there is one of its own
        return [path for path in (self.path / MARKER, *found) if path.is_file()]

    def beside(self, kind: str, data: Mapping[str, Any]) -> "RunDirectory":
        """The folder of an evaluation or a prediction (`kind`) of other data: KIND/NAME, NAME-2 for another of a name.

        Args:
            kind: evaluations or predict.
            data: JSON values that tell it from others; `path` names it.
        """
        wanted = json.loads(json.dumps(dict(data)))
        stem = Path(str(data["path"])).stem or "data"
        names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        folders = (RunDirectory(self.path / kind / name, self._results) for name in names)
        return next(f for f in folders if not f.path.exists() or f.about.get("data") == wanted)

    @contextmanager
    def recording(self, about: Mapping[str, Any]) -> Iterator[None]:
        """Lists the evaluation's files that the block writes, so that they are known as this program's."""
        with exclusive(self.path / "evaluation"):  # beside a training, which may go on
            before = self._stamps()
            self._mark({**self.about, **about, "writing": True})
            try:
                yield
            finally:
                fresh = {name for name, stamp in self._stamps().items() if before.get(name) != stamp}
                known = {name for name in self._listed(self.about) if (self.path / name).is_file()}
                marker = {key: value for key, value in self.about.items() if key != "writing"}
                self._mark({**marker, **about, "files": sorted(known | fresh)})

    def _stamps(self) -> dict[str, tuple[int, int]]:
        places = [self.path / name for name in self._evaluation]
        files = [f for place in places for f in (sorted(place.glob("*")) if place.is_dir() else [place])]
        return {
            str(f.relative_to(self.path)): (f.stat().st_ino, f.stat().st_mtime_ns)
            for f in files
            if f.is_file() and not f.name.startswith(".")
        }

    def _listed(self, about: Mapping[str, Any]) -> list[str]:
        """The files of evaluations that a marker lists, within its folder, whatever was written into it."""
        names = about.get("files")
        paths = [Path(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
        ours = (path for path in paths if path.parts and path.parts[0] in self._evaluation)
        return [str(path) for path in ours if ".." not in path.parts]

    def _mark(self, about: Mapping[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self.path / MARKER) as temporary:
            temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def _discard(self) -> None:
        shutil.rmtree(self.path / ASIDE, ignore_errors=True)

    def _prune(self) -> None:
        """Remove the folders of a run that hold nothing, and the run's own if it holds nothing either."""
        inner = [folder for kind in WITHIN for folder in (self.path / kind).glob("*")]
        deeper = [folder / name for folder in inner for name in self._evaluation]
        for folder in (*deeper, *inner, *(self.path / name for name in self._writes), self.path):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(target) as temporary:  # a folder of the run may be a link to another disk
            shutil.copy2(source, temporary)
        source.unlink()
