"""How many parameters contenders have."""

import json
from pathlib import Path

from sciml.io.atomic import replacing
from sciml.studies.contender import Contender
from sciml.studies.file import Study
from sciml.studies.trials import digest


class Counts:
    """Gives the parameters of a contender's network, which it builds.

    Args:
        study: Of the contenders.
        path: A file that keeps them by the settings of the networks, which take time to build; None: nothing is kept.
    """

    def __init__(self, study: Study, path: Path | None = None) -> None:
        self.study, self.path = study, path
        self._known: dict[str, int] = json.loads(path.read_text()) if path and path.is_file() else {}

    def __call__(self, contender: Contender) -> int:
        key = digest(contender.resolved(self.study.seeds[0], self.study.allow)["model"])
        if key not in self._known:
            self._known[key] = contender.parameters(self.study.seeds[0], self.study.allow)
            if self.path:
                with replacing(self.path) as temporary:
                    temporary.write_text(json.dumps(self._known, indent=1) + "\n", encoding="utf-8")
        return self._known[key]
