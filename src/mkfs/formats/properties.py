"""What an artifact says of its model: one answer for each property of the RFC's table, and who says otherwise.

Model-spec's RFC on annotations and config (modelpack/model-spec issue 19) lists 24 properties that were annotations of the manifest
or of a layer; most moved into a config, whose spellings changed in turn. Artifacts of every stage are around. A *claim* is one
document's word on one property; the first claim counts, and claims come in the order of trust: config or Kitfile, then annotations.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, final

from msgspec import Struct

from mkfs.errors import BadDocument
from mkfs.oci.json import section, shown

# The table, in its order. The last five are of layers, `ref.name` is of an entry in a layout's index.
PROPERTIES: Final = (
    "architecture",
    "family",
    "name",
    "format",
    "param.size",
    "precision",
    "quantization",
    "created",
    "authors",
    "url",
    "documentation",
    "source",
    "version",
    "revision",
    "vendor",
    "licenses",
    "ref.name",
    "title",
    "description",
    "readme",
    "license",
    "config",
    "model",
    "filepath",
)

_ANNOTATIONS: Final = ("org.cncf.model.", "org.cnai.model.", "org.opencontainers.image.")
_OF_LAYERS: Final = frozenset({"readme", "license", "config", "model", "filepath"})
# Section and spellings in the config of a ModelPack, the newest first; Docker's config has the same sections.
_IN_CONFIG: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "architecture": ("config", ("architecture",)),
    "family": ("descriptor", ("family",)),
    "name": ("descriptor", ("name",)),
    "format": ("config", ("format",)),
    "param.size": ("config", ("paramSize", "param_size", "parameterSize", "parameters")),
    "precision": ("config", ("precision",)),
    "quantization": ("config", ("quantization", "puantization")),
    "created": ("descriptor", ("createdAt", "created_at", "createTime", "created")),
    "authors": ("descriptor", ("authors",)),
    "url": ("descriptor", ("infoURL", "info_url", "url")),
    "documentation": ("descriptor", ("docURL", "doc_url")),
    "source": ("descriptor", ("sourceURL", "source_url")),
    "version": ("descriptor", ("version",)),
    "revision": ("descriptor", ("revision",)),
    "vendor": ("descriptor", ("vendor",)),
    "licenses": ("descriptor", ("licenses",)),
    "title": ("descriptor", ("title",)),
    "description": ("descriptor", ("description",)),
}
_IN_KITFILE: Final[Mapping[str, tuple[str, str]]] = {  # as kit itself fills the config of a ModelPack from it
    "name": ("package", "name"),
    "title": ("package", "name"),
    "version": ("package", "version"),
    "description": ("package", "description"),
    "authors": ("package", "authors"),
    "licenses": ("package", "license"),
    "format": ("model", "format"),
}
_IN_OLLAMA: Final[Mapping[str, str]] = {
    "format": "model_format",
    "family": "model_family",
    "param.size": "model_type",
    "quantization": "file_type",
}


@final
class Claim(Struct, frozen=True):
    """What one place says of one property. `origin` is that place, for a person."""

    property: str
    value: str
    origin: str


@final
class Answer(Struct, frozen=True):
    """The claim that counts, and those that say something else."""

    claim: Claim
    contradictions: tuple[Claim, ...] = ()


def settle(claims: Iterable[Claim]) -> tuple[Answer, ...]:
    """One answer for each property that anybody says something of, in the order of the table."""
    by_property: dict[str, list[Claim]] = {}
    for claim in claims:
        by_property.setdefault(claim.property, []).append(claim)
    answers = []
    for name in PROPERTIES:
        same = by_property.get(name)
        if same:
            others = tuple(claim for claim in same[1:] if _meaning(claim) != _meaning(same[0]))
            answers.append(Answer(same[0], others))
    return tuple(answers)


def of_model_config(document: Mapping[str, object], origin: str = "config") -> list[Claim]:
    """The claims of a ModelPack's config, or of Docker's. Raises `BadDocument` for a section or value of a wrong type."""
    claims = []
    for name, (place, spellings) in _IN_CONFIG.items():
        fields = section(document, place, origin)
        spelling = next((each for each in spellings if fields.get(each) is not None), None)
        if spelling is not None:
            claims += _claim(name, fields[spelling], f"{origin} {place}.{spelling}")
    return claims


def of_kitfile(document: Mapping[str, object]) -> list[Claim]:
    """The claims of a Kitfile, which has been checked."""
    claims = []
    for name, (place, field) in _IN_KITFILE.items():
        value = section(document, place, "Kitfile").get(field)
        claims += _claim(name, list(value) if isinstance(value, tuple) else value, f"Kitfile {place}.{field}")
    return claims


def of_ollama_config(document: Mapping[str, object]) -> list[Claim]:
    """The claims of Ollama's config, whose `architecture` is a processor's."""
    return [claim for name, key in _IN_OLLAMA.items() for claim in _claim(name, document.get(key), f"config {key}")]


def of_image_config(document: Mapping[str, object]) -> list[Claim]:
    """The claims of an image's config: when it was made, and what its labels say."""
    labels = section(section(document, "config", "config"), "Labels", "config config")
    texts = {key: value for key, value in labels.items() if isinstance(value, str)}
    return _claim("created", document.get("created"), "config created") + of_annotations(texts, "config label")


def of_annotations(annotations: Mapping[str, str], origin: str = "annotation") -> list[Claim]:
    """The claims of a manifest's annotations, as model-spec had them and as images have them."""
    return [
        claim
        for prefix in _ANNOTATIONS
        for name in PROPERTIES
        if name not in _OF_LAYERS and (key := f"{prefix}{name}") in annotations
        for claim in _claim(name, annotations[key], f"{origin} {key}")
    ]


def _claim(name: str, value: object, origin: str) -> list[Claim]:
    """The claim that `value` makes; none where it says nothing."""
    items = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, (str, int, float)) for item in items):
        raise BadDocument(f"{origin} is {shown(value)} (expected text)")
    text = ", ".join(str(item) for item in items if item not in (None, ""))
    return [Claim(name, text, origin)] if text else []


def _meaning(claim: Claim) -> object:
    """What is compared: times as times, all else as it stands."""
    if claim.property == "created":
        try:
            time = datetime.fromisoformat(claim.value)
        except ValueError:
            return claim.value
        return claim.value if time.tzinfo is None else time.timestamp()
    return claim.value
