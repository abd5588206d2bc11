"""How metrics.json describes what it measures, so that a table needs to know neither fields nor images.

"measures": {
  "columns": [{"key": "psnr", "label": "PSNR (dB)", "format": ".2f", "better": "high"}, ...],
  "series": ["relative_l2_step", ...]    entries that are lists of numbers
  "groups": ["zero_filled", ...]         objects in which columns are measured once more
}
"per_sample": {"psnr": [31.2, null, ...], ...}    of columns that are means over samples: each sample's, in order

A sample's number is null where its target has none (such samples are left out of the mean), or where the prediction is
not finite (then the mean is null). What pairs two runs sample by sample reads it; a table does not. Runs of earlier
versions have none.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

MEASURES, PER_SAMPLE = "measures", "per_sample"
BETTER = ("low", "high", None)


class Column(NamedTuple):
    """A number of metrics.json as a table shows it; `better` says which is the best one, None: none is."""

    key: str
    label: str
    format: str = ".4f"
    better: Literal["low", "high"] | None = "low"

    def shown(self, value: float) -> str:
        return format(value, self.format)


def described(columns: Sequence[Column], *, series: Sequence[str] = (), groups: Sequence[str] = ()) -> dict[str, Any]:
    """The entries with which a metrics.json describes itself."""
    return {MEASURES: {"columns": [c._asdict() for c in columns], "series": [*series], "groups": [*groups]}}


def per_sample(values: Mapping[str, Iterable[float]]) -> dict[str, dict[str, list[float | None]]]:
    """The entry with each sample's numbers, by column; null for what is not finite, which JSON does not have."""
    return {PER_SAMPLE: {key: [or_null(v) for v in each] for key, each in values.items()}}


def or_null(value: Any) -> Any:
    """None for a number that is not finite, which JSON does not have; any other value as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def columns(metrics: Mapping[str, Any]) -> list[Column]:
    """The columns that a metrics.json describes; [] for one that does not. ValueError for what is no description."""
    found = metrics.get(MEASURES)
    if found is None:
        return []
    try:
        made = [Column(**entry) for entry in found["columns"]]
        good = all(isinstance(c.key, str) and isinstance(c.label, str) and c.better in BETTER for c in made)
        [c.shown(0.5) for c in made]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"expected columns with key, label, format and better ({error})") from error
    if not good:
        raise ValueError("expected columns with key, label, format and better (low, high or null)")
    return made


def named(metrics: Mapping[str, Any], kind: Literal["series", "groups"]) -> set[str]:
    """The keys that the description calls series, or groups; none where it is no description."""
    found = metrics.get(MEASURES)
    keys = found.get(kind) if isinstance(found, Mapping) else None
    return {key for key in keys if isinstance(key, str)} if isinstance(keys, list) else set()
