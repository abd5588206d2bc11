"""Whether runs were evaluated on the same data: only then can their errors be compared."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sciml.errors import BadSchema
from sciml.runs.settings import flat

Metrics = Sequence[Mapping[str, Any]]


def different_data(names: Sequence[str], metrics: Metrics, *, any_data: bool) -> list[str]:
    """For each run, in what its data differ from the others'; [] if they do not.

    Runs that do not say (`unknown_data`) count as no difference. Raises BadSchema, unless `any_data`, naming the first
    two runs that differ and in what.
    """
    # A limit on the batches leaves samples out that the description does not know of.
    described = [_flat({**m["data"], "measured": m.get("samples")}) if m.get("data") else None for m in metrics]
    known = [(name, found) for name, found in zip(names, described, strict=True) if found is not None]
    keys = list(dict.fromkeys(key for _, found in known for key in found))
    differing = [key for key in keys if len({found.get(key) for _, found in known}) > 1]
    if not differing:
        return []
    if not any_data:
        first, one = known[0]
        second, other = next((n, f) for n, f in known if f != one)
        pairs = [
            f"{key}: {one.get(key, '–')} and {other.get(key, '–')}"
            for key in differing
            if one.get(key) != other.get(key)
        ]
        raise BadSchema(
            f"{first} and {second} were evaluated on different data ({'; '.join(pairs)}), so their errors cannot be "
            "compared; evaluate them on the same, or give --any-data (in Python any_data=True) to see them all the same"
        )
    return [
        "–" if found is None else ", ".join(f"{key} {found.get(key, '–')}" for key in differing) for found in described
    ]


def unknown_data(names: Sequence[str], metrics: Metrics) -> list[str]:
    """A note on the runs, of several, that do not say on which data they were evaluated."""
    silent = [f"`{name}`" for name, found in zip(names, metrics, strict=True) if not found.get("data")]
    if not silent or len(names) < 2:
        return []
    return [
        f"{', '.join(silent)}: metrics.json does not say on which data, so whether the errors can be compared is not "
        "known (`sciml test` again records it)."
    ]


def _flat(entries: Mapping[str, Any]) -> dict[str, str]:
    """Nested keys joined by dots, values as JSON."""
    return {k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in flat(entries).items()}
