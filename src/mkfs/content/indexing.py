"""The chunk index of an artifact, made from layers that were proven by their own digests: what others can trust if they trust us.

An index that came with the artifact is no source for one: the layer is hashed whole first.
"""

from mkfs.content.artifact import Artifact
from mkfs.content.engine import Engine
from mkfs.content.laps import runs
from mkfs.content.layer import Layer
from mkfs.errors import IntegrityError
from mkfs.oci.digest import Digest
from mkfs.proof.artifact_index import ArtifactIndex
from mkfs.proof.chunk_index import ChunkIndex, digests_of
from mkfs.proof.grid import Grid, grid_of
from mkfs.proof.policy import Trust


async def prove_whole(layer: Layer) -> None:
    """Returns when `layer` is proven by its own digest. Raises what a read would raise."""
    await layer.prove(whole=True)
    if layer.trust is not Trust.OWN:
        await layer.verify()


async def index_of(engine: Engine, artifact: Artifact) -> ArtifactIndex:
    """The chunk indexes of the own layers of `artifact`, which `prove_whole` has seen.

    Memory: that of the index, and of one range. Raises what reading raises, where an index has to be cut anew.
    """
    layers: dict[Digest, ChunkIndex] = {}
    for layer in artifact.own_layers:
        index = await _of_layer(engine, layer)
        known = layers.get(index.layer)
        if known is None or known.table is None:  # the same bytes may be a file here and an archive there
            layers[index.layer] = index
    return ArtifactIndex(artifact.description.digest, layers.values())


async def _of_layer(engine: Engine, layer: Layer) -> ChunkIndex:
    table, index = await layer.table(), layer.index
    if index is None or layer.trust is not Trust.OWN:
        raise IntegrityError("a layer that is not proven has no chunk index", layer.label)
    grid = grid_of(table, index.grid.size_bytes)
    digests = index.digests if grid == index.grid else await _cut_anew(engine, layer, grid)
    return ChunkIndex(index.layer, grid, digests, table, compression=index.compression, stored_bytes=index.stored_bytes)


async def _cut_anew(engine: Engine, layer: Layer, grid: Grid) -> bytes:
    """The digests of the chunks of `grid`, by proven reads. It was proven under another one, before its table was known."""
    digests = bytearray()
    for run in runs(grid):
        data = await layer.read(run.bytes)
        digests += await engine.hashing(digests_of, grid, run.chunks, memoryview(data))
    return bytes(digests)
