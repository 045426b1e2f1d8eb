"""From a reference to a directory: described, tables, tree.

Dependent round trips after those of `content.describing`: all layers at once, small ones whole, of large ones the head (see
`content.tables`). One more for each further large entry of a layer. A compressed layer that nothing is known of is streamed whole.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias, final

from msgspec import Struct

from mkfs.archive.entry import Table
from mkfs.content.describing import DEFAULT_TERMS, Description, Terms, describe_from
from mkfs.content.engine import Engine
from mkfs.content.foreseeing import foresee
from mkfs.content.layer import Layer
from mkfs.content.prefetch import Prefetch
from mkfs.content.sources import Sources
from mkfs.content.together import all_done
from mkfs.errors import IntegrityError
from mkfs.formats.plan import PlannedLayer, RawLayer, TarLayer
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.policy import Trust
from mkfs.registry.layout import AnyRepository
from mkfs.tree.build import build
from mkfs.tree.tree import Tree
from mkfs.units import GIB, MIB, format_duration, format_size

log = logging.getLogger(__name__)

# Layers up to this size are proven before the directory is shown: config, tokenizer, README. Together not more than the second
# number, so that a kit of thousands of small layers is still mounted in seconds.
SMALL_LAYER_BYTES: Final = MIB
SMALL_LAYERS_BYTES: Final = 16 * MIB
# Above this, whoever reads first waits long enough to be told so beforehand.
WORTH_A_NOTICE_BYTES: Final = GIB
GIGABIT_BYTES_PER_SECOND: Final = 125_000_000  # the link of a usual node: what a person can scale from


# What makes layers the same: bytes, reading and repository, and whether a chunk index came with the artifact.
LayerKey: TypeAlias = tuple[Digest, int, bool, str, int | None, Reference | None, bool]


@final
class Artifact(Struct, frozen=True, eq=False):
    """An artifact ready to be shown. `layers` stand as in `description.plan.layers`; layers with the same bytes are one object."""

    description: Description
    tree: Tree
    layers: tuple[Layer, ...]
    notices: tuple[str, ...]  # what a person should know before reading, one line each

    @property
    def own_layers(self) -> tuple[Layer, ...]:
        """The layers that its own manifest has, without those of artifacts that it refers to."""
        plan = self.description.plan
        return tuple(layer for layer, planned in zip(self.layers, plan.layers, strict=True) if planned.origin is None)

    def close(self) -> None:
        """Lets go of the cache's files."""
        for layer in self.layers:
            layer.close()


async def open_artifact(
    engine: Engine,
    repository: AnyRepository | None,
    reference: Reference,
    terms: Terms = DEFAULT_TERMS,
    *,
    names_only: bool = False,
    shared: dict[LayerKey, Layer] | None = None,
    begun: Callable[[Sequence[Layer]], None] = lambda _layers: None,
) -> Artifact:
    """Everything needed to show the artifact as a directory. `begun` is told the layers before anything of them is fetched. Raises
    what `describe` raises, and `BadArchive`, `CacheUnusable`.

    A layer whose bytes are wrong does not fail this, as long as its headers can be read: its files answer with the error. Without
    a `repository`, or where it is gone and `reference` has a digest, all layers must be in the cache; with `names_only`, for who
    will read nothing, their chunk indexes are enough. `shared` are the layers of other artifacts of this repository, opened on the
    same terms: those that this one has as well are taken from there, its own are added. Whoever keeps it closes them.
    """
    sources = Sources(engine, repository, reference, terms.choice, terms.elsewhere)
    description = await describe_from(sources, terms)
    plan = description.plan
    shared = {} if shared is None else shared
    known = dict(shared)
    layers = _layers(engine, sources, description, terms, known)
    distinct = tuple(dict.fromkeys(layers))
    open_already = set(shared.values())
    await all_done(layer.open for layer in distinct if layer not in open_already)
    for key, layer in known.items():  # not before they are open: another artifact would take them as they are
        shared.setdefault(key, layer)
    origins = {layer: planned.origin for layer, planned in zip(layers, plan.layers, strict=True)}
    await _refuse_lacking(sources, origins, names_only=names_only)
    begun(distinct)
    room = SMALL_LAYERS_BYTES
    early: set[Layer] = set()
    for layer in (each for each in distinct if sources.of(origins[each]).asking):
        if not layer.proven and layer.blob.size_bytes <= min(SMALL_LAYER_BYTES, room):
            room -= layer.blob.size_bytes
            early.add(layer)
    tables: dict[Layer, Table | None] = {}

    async def learn(layer: Layer) -> None:
        if layer in early:
            try:
                await layer.prove(whole=True)
            except IntegrityError as error:  # its readers will get it; names can still come from the headers
                log.info("%s is shown, but cannot be read: %s", layer.label, error)
        tables[layer] = await layer.table()

    await all_done(partial(learn, layer) for layer in distinct)
    sizes = {number: size_bytes for number, layer in enumerate(layers) if (size_bytes := layer.content_bytes) is not None}
    tree = build(plan, [tables[layer] for layer in layers], sizes)
    if terms.prefetch is Prefetch.MODEL:
        foresee(engine.nursery, tree, layers)
    return Artifact(description, tree, layers, description.notices + _notices(distinct, reference))


async def _refuse_lacking(sources: Sources, origins: Mapping[Layer, Reference | None], *, names_only: bool) -> None:
    """Raises `NotFound`, or why a registry is gone, where layers that cannot be asked for are not all in the cache; with
    `names_only` where their names are not.
    """
    for origin in dict.fromkeys(origins.values()):
        source = sources.of(origin)
        if source.asking:
            continue
        of_it = [layer for layer, its_origin in origins.items() if its_origin == origin]
        lacking = [layer.label for layer in of_it if not (layer.named if names_only else await layer.is_complete())]
        if lacking:
            what = "the names in " if names_only else ""
            raise source.missing(f"{what}{len(lacking)} of {len(of_it)} layers ({lacking[0]}{', …' if lacking[1:] else ''})")


def _layers(
    engine: Engine, sources: Sources, description: Description, terms: Terms, known: dict[LayerKey, Layer]
) -> tuple[Layer, ...]:
    """One `Layer` per key, those not `known` made and added; a kit may name the same bytes several times."""
    layers: list[Layer] = []
    for planned in description.plan.layers:
        tar, compression = isinstance(planned.reading, TarLayer), planned.reading.compression
        blob = planned.descriptor
        content_bytes = planned.reading.size_bytes if isinstance(planned.reading, RawLayer) else None
        trusted = description.judged(planned).of(blob, compression)
        key = (blob.digest, blob.size_bytes, tar, compression, content_bytes, planned.origin, trusted is not None)
        if key not in known:
            label, source = _label(planned), sources.of(planned.origin)
            known[key] = Layer(
                engine=engine,
                reader=source,
                access=source,
                blob=blob,
                label=label,
                tar=tar,
                compression=compression,
                content_bytes=content_bytes,
                trusted=trusted,
                deferred=terms.deferred,
                prefetch=terms.prefetch,
            )
        layers.append(known[key])
    return tuple(layers)


def _label(planned: PlannedLayer) -> str:
    name = planned.name or (
        planned.reading.path.decode("utf-8", "backslashreplace") if isinstance(planned.reading, RawLayer) else ""
    )
    return f"{planned.element} {name}".strip()


def _notices(layers: tuple[Layer, ...], reference: Reference) -> tuple[str, ...]:
    """One line for each large layer whose first read waits, and one with the ways out."""
    large = [layer for layer in layers if layer.trust is Trust.LAYER and layer.blob.size_bytes > WORTH_A_NOTICE_BYTES]
    said = tuple(
        f"{layer.label} is one layer of {format_size(layer.blob.size_bytes)}: its first read waits until all of it is proven, "
        f"{format_duration(layer.blob.size_bytes / GIGABIT_BYTES_PER_SECOND)} at 1 Gbit/s"
        for layer in large
    )
    ways = f"to wait less: mkfs warmup {reference}, one mkfs index push {reference} for the fleet, or --verify deferred"
    return (*said, ways) if said else ()
