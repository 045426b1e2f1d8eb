"""ModelPacks by those who write them otherwise than kit: modctl of both prefixes, AIKit, and what the RFC proposed."""

import json
import posixpath
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from mkfs.formats.go_json import go_json
from mkfs.oci.media_types import OCI_EMPTY, OCI_IMAGE_CONFIG
from mkfs.testing.artifacts import Part, artifact, tar
from mkfs.testing.kit_layers import gzipped
from mkfs.testing.producers import Files, Made

Prefix: TypeAlias = Literal["cncf", "cnai"]
Mode: TypeAlias = Literal["raw", "tar", "tar+gzip"]

EMPTY: Final = Part(OCI_EMPTY, b"{}")
MTIME: Final = "2025-05-01T10:00:00.123456789Z"

_MODE: Final = 0o640  # of files: one that nobody has by default
_KINDS: Final = {".safetensors": "weight", ".gguf": "weight", ".bin": "weight", ".md": "doc", ".py": "code", ".csv": "dataset"}
_CATEGORIES: Final = {"weight": "weights", "weight.config": "config", "doc": "docs", "code": "code", "dataset": "dataset"}


def kind_of(path: str) -> str:
    """The kind of layer a file is packed into, by its ending."""
    return _KINDS.get(posixpath.splitext(path)[1], "weight.config")


def model_config(files: Files, prefix: Prefix = "cncf", diff_ids: list[str] | None = None, **fields: object) -> Part:
    """A config as modctl writes it; `fields` belong into its `config` section."""
    key = "diffIds" if prefix == "cncf" else "diff_ids"
    document = {
        "descriptor": {"createdAt": MTIME, "family": "llama3", "name": f"model of {len(files)} files"},
        "modelfs": {"type": "layers", key: diff_ids},
        "config": {"architecture": "transformer", **fields},
    }
    return Part(f"application/vnd.{prefix}.model.config.v1+json", go_json(document))


def modctl(files: Files, *, prefix: Prefix = "cncf", raw: bool = True) -> Made:
    """A layer per file, raw or a tar with the file's path (modctl, `pkg/backend/build/builder.go`, `pkg/archiver`)."""
    layers = []
    for path, data in files.items():
        annotations = {
            f"org.{prefix}.model.filepath": path,
            f"org.{prefix}.model.file.metadata+json": _metadata(posixpath.basename(path), len(data), _MODE),
        }
        media_type = f"application/vnd.{prefix}.model.{kind_of(path)}.v1.{'raw' if raw else 'tar'}"
        layers.append(Part(media_type, data if raw else tar({path: data}, mode=_MODE), annotations))
    config = model_config(files, prefix, [str(layer.digest) for layer in layers])
    return Made(artifact(config, layers, artifact_type=f"application/vnd.{prefix}.model.manifest.v1+json"), files)


def aikit(files: Files, mode: Mode) -> Made:
    """One layer per file, or per weight and for each other category one (aikit, `pkg/packager/build_templates.go`).

    No weight may be deeper than one directory in the tar modes: the real one fails there.
    """
    groups: dict[str, list[str]] = {}
    for path in sorted(files):
        kind = kind_of(path)
        groups.setdefault(path if mode == "raw" or kind == "weight" else _CATEGORIES[kind], []).append(path)
    layers = []
    for name, paths in groups.items():
        kind = kind_of(paths[0])
        size_bytes = sum(len(files[path]) for path in paths)
        annotations = {
            "org.opencontainers.image.title": name,
            "org.cncf.model.filepath": name,
            "org.cncf.model.file.metadata+json": _metadata(name, size_bytes, 0o644, mtime="1970-01-01T00:00:00Z"),
            "org.cncf.model.file.mediatype.untested": "true",
        }
        members: dict[str, bytes | None] = {posixpath.basename(name) if name in files else path: files[path] for path in paths}
        data = files[name] if mode == "raw" else tar(members)
        media_type = f"application/vnd.cncf.model.{kind}.v1.{mode}"
        layers.append(Part(media_type, gzipped(data) if mode == "tar+gzip" else data, annotations))
    config = Part("application/vnd.cncf.model.config.v1+json", b"{}")
    return Made(artifact(config, layers, artifact_type="application/vnd.cncf.model.manifest.v1+json"), files)


def rfc_config_as_layer(files: Files) -> Made:
    """The RFC's first option: an empty config, the config as an ordinary layer, all layers of an image's media type."""
    config = tar({"model-config.json": model_config(files, "cnai").data})
    layers = [_image_layer(path, tar({path: data})) for path, data in files.items()]
    layers.insert(1, _image_layer("model-config.json", config, {"org.cnai.model.config": "true"}))
    made = artifact(EMPTY, layers, artifact_type="application/vnd.cnai.model.manifest.v1+json")
    return Made(made, {**files, "model-config.json": model_config(files, "cnai").data})


def rfc_config_archive(files: Files, *, archive: bool) -> Made:
    """The RFC's second option: a config of its own type, as a gzipped tar or, later, as JSON; layers without kinds."""
    config = model_config(files, "cnai")
    if archive:
        config = Part("application/vnd.cnai.model.config.v1.tar+gzip", gzipped(tar({"config.json": config.data})))
    layers = [Part("application/vnd.cnai.model.layer.v1.tar", tar({path: data})) for path, data in files.items()]
    return Made(artifact(config, layers), files)


def rfc_image_config(files: Files) -> Made:
    """An image's config, whose `rootfs.diff_ids` give the order of the layers."""
    layers = [Part("application/vnd.cnai.model.layer.v1.tar+gzip", gzipped(tar({path: data}))) for path, data in files.items()]
    ids = [str(Part("", tar({path: data})).digest) for path, data in files.items()]
    config = Part(
        OCI_IMAGE_CONFIG, go_json({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}})
    )
    return Made(artifact(config, layers, artifact_type="application/vnd.cnai.model.manifest.v1+json"), files)


def _image_layer(path: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Part:
    """As model-spec had it before 0.0.3: the kind stands in the descriptor's artifactType."""
    kinds = {"artifactType": "application/vnd.cnai.model.layer.v1.tar"}
    about = {"org.cnai.model.filepath": path, **(annotations or {})}
    return Part("application/vnd.oci.image.layer.v1.tar", data, about, kinds)


def _metadata(name: str, size_bytes: int, mode: int, mtime: str = MTIME) -> str:
    about = {"name": name, "mode": mode, "uid": 0, "gid": 0, "size": size_bytes, "mtime": mtime, "typeflag": 0}
    return json.dumps(about, separators=(",", ":"))
