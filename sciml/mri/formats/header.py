"""The ISMRMRD header of a fastMRI file: matrix sizes, and which columns of k-space were never measured."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from sciml.errors import BadSchema

NAMESPACE = {"i": "http://www.ismrm.org/ISMRMRD"}


@dataclass(frozen=True)
class Header:
    """Sizes along (readout, phase), which are (y, x) of the stored k-space.

    Attributes:
        encoded: matrix of k-space.
        recon: matrix of the image that the scanner reconstructs.
        padding: (left, right): columns left ≤ x < right were measured, the others are zeros put there. fastMRI:
            left = encoded // 2 − centre, right = left + maximum + 1, of the phase-encoding limits.
    """

    encoded: tuple[int, int]
    recon: tuple[int, int]
    padding: tuple[int, int]


def parse_header(text: bytes | str, place: str) -> Header:
    """Read the XML; `place` names file and key in the BadSchema raised when an element is missing or no number.

    Entities are never expanded from elsewhere: a header that declares any is refused.
    """
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadSchema(f"{place}: declares a document type or entities; expected a plain ISMRMRD header")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadSchema(
            f"{place}: no well-formed XML ({error}); remove the dataset, or fetch the file again"
        ) from error

    def number(path: str) -> int:
        element = root.find("/".join(f"i:{part}" for part in path.split("/")), NAMESPACE)
        found = "nothing" if element is None else repr(element.text)
        digits = "" if element is None else (element.text or "").strip()
        if not digits.isdecimal() or len(digits) > 9:
            raise BadSchema(f"{place}: {path}: expected a whole number, found {found[:40]}")
        return int(digits)

    encoded, recon = (
        (number(f"encoding/{space}/matrixSize/x"), number(f"encoding/{space}/matrixSize/y"))
        for space in ("encodedSpace", "reconSpace")
    )
    if min(*encoded, *recon) < 1:
        raise BadSchema(f"{place}: matrix sizes {encoded} and {recon}: expected at least 1")
    limits = "encoding/encodingLimits/kspace_encoding_step_1"
    left = encoded[1] // 2 - number(f"{limits}/center")
    return Header(encoded, recon, (left, left + number(f"{limits}/maximum") + 1))


def write_header(encoded: tuple[int, int], recon: tuple[int, int] | None = None) -> str:
    """The header of data measured in full: XML with the elements that fastMRI reads."""
    recon = recon or encoded

    def space(name: str, size: tuple[int, int]) -> str:
        field = f"<fieldOfView_mm><x>{size[0]}</x><y>{size[1]}</y><z>1</z></fieldOfView_mm>"
        return f"<{name}><matrixSize><x>{size[0]}</x><y>{size[1]}</y><z>1</z></matrixSize>{field}</{name}>"

    limits = f"<minimum>0</minimum><maximum>{encoded[1] - 1}</maximum><center>{encoded[1] // 2}</center>"
    return (
        '<?xml version="1.0" encoding="utf-8"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>'
        f"{space('encodedSpace', encoded)}{space('reconSpace', recon)}"
        f"<encodingLimits><kspace_encoding_step_1>{limits}</kspace_encoding_step_1></encodingLimits>"
        "<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
    )
