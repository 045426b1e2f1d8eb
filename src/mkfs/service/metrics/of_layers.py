"""Metrics of bytes: in the cache, of layers, and ahead of readers."""

from typing import Final

from mkfs.proof.policy import Trust
from mkfs.service.metrics.metric import Kind, Label, Metric, Stability

_TIERS: Final = Label("tier", ("memory", "disk"))
# What a layer's proof rests on, as a label's value.
_PROOFS: Final = {
    Trust.OWN: "own",
    Trust.SIGNED: "signed",
    Trust.REGISTRY: "registry",
    Trust.LAYER: "layer",
    Trust.DEFERRED: "deferred",
}

CACHE: Final = (
    Metric(
        name="mkfs_cache_hits_total",
        kind=Kind.COUNTER,
        labels=(_TIERS,),
        help="Reads of layers that the cache answered in full.",
        read=lambda moment: {("memory",): moment.cache.memory_hits, ("disk",): moment.cache.disk_hits},
    ),
    Metric(
        name="mkfs_cache_hit_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        labels=(_TIERS,),
        help="Bytes of these reads.",
        read=lambda moment: {("memory",): moment.cache.memory_bytes, ("disk",): moment.cache.disk_bytes},
    ),
    Metric(
        name="mkfs_cache_misses_total",
        kind=Kind.COUNTER,
        help="Reads of layers that the cache could not answer, so that they waited for bytes to come.",
        read=lambda moment: moment.tally.misses,
    ),
    Metric(
        name="mkfs_cache_hashed_chunks_total",
        kind=Kind.COUNTER,
        help="Chunks that were read from the disk and found right.",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: moment.cache.hashed_chunks,
    ),
    Metric(
        name="mkfs_cache_damaged_total",
        kind=Kind.COUNTER,
        help="Chunks, files, indexes and documents on the disk that were not what they should be. None was served.",
        read=lambda moment: moment.cache.damaged,
    ),
    Metric(
        name="mkfs_cache_published_layers_total",
        kind=Kind.COUNTER,
        help="Layers that became readable, whole, through this mount.",
        read=lambda moment: moment.cache.published,
    ),
    Metric(
        name="mkfs_cache_published_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of these layers.",
        read=lambda moment: moment.cache.published_bytes,
    ),
    Metric(
        name="mkfs_cache_stored_chunks_total",
        kind=Kind.COUNTER,
        help="Chunks that became readable one by one through this mount.",
        read=lambda moment: moment.cache.stored_chunks,
    ),
    Metric(
        name="mkfs_cache_stored_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of these chunks.",
        read=lambda moment: moment.cache.stored_bytes,
    ),
    Metric(
        name="mkfs_cache_evicted_total",
        kind=Kind.COUNTER,
        help="Layers, documents and indexes that went to make room for this mount.",
        read=lambda moment: moment.cache.evicted,
    ),
    Metric(
        name="mkfs_cache_evicted_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes that they occupied.",
        read=lambda moment: moment.cache.evicted_bytes,
    ),
    Metric(
        name="mkfs_cache_size_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="What the cache occupies, of all mounts that share it. Looked at when asked, for a twentieth of the time at most.",
        read=lambda moment: None if moment.space is None else moment.space.size_bytes,
    ),
    Metric(
        name="mkfs_cache_limit_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="What it may occupy: --cache-size, or what --min-free leaves of the disk as it is now.",
        read=lambda moment: None if moment.space is None else moment.space.limit_bytes,
    ),
    Metric(
        name="mkfs_cache_free_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="What is free on its disk.",
        read=lambda moment: None if moment.space is None else moment.space.free_bytes,
    ),
)

LAYERS: Final = (
    Metric(
        name="mkfs_layers",
        kind=Kind.GAUGE,
        labels=(Label("proof", tuple(_PROOFS.values())),),
        help="Layers by what their proof rests on: a chunk index of our own, a signed one, the registry's word; or, without one, "
        "the digest of the whole layer, which reads wait for, or (deferred) do not.",
        read=lambda moment: {(name,): moment.layers.proofs.get(trust, 0) for trust, name in _PROOFS.items()},
    ),
    Metric(
        name="mkfs_layers_published",
        kind=Kind.GAUGE,
        help="Layers of which every byte is proven and in the cache.",
        read=lambda moment: moment.layers.published,
    ),
    Metric(
        name="mkfs_layers_provisional",
        kind=Kind.GAUGE,
        help="Layers whose names and sizes rest on headers that nothing proves yet.",
        read=lambda moment: moment.layers.provisional,
    ),
    Metric(
        name="mkfs_layer_fetches_total",
        kind=Kind.COUNTER,
        help="Fetches of whole layers that began.",
        read=lambda moment: moment.layers.fetches,
    ),
    Metric(
        name="mkfs_layer_fetched_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of layers that came from a registry, a mirror or a layout directory.",
        read=lambda moment: moment.layers.fetched_bytes,
    ),
    Metric(
        name="mkfs_chunk_requests_total",
        kind=Kind.COUNTER,
        help="Requests for runs of chunks, under a chunk index.",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: moment.tally.chunk_requests,
    ),
    Metric(
        name="mkfs_chunks_fetched_total",
        kind=Kind.COUNTER,
        help="Chunks that these asked for.",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: moment.tally.chunks_fetched,
    ),
    Metric(
        name="mkfs_mismatches_total",
        kind=Kind.COUNTER,
        labels=(Label("unit", ("layer", "chunk")),),
        help="Fetches that brought bytes which are not what their digest says. None was served; the log names host and range.",
        read=lambda moment: {("layer",): moment.tally.wrong_layers, ("chunk",): moment.tally.wrong_chunks},
    ),
    Metric(
        name="mkfs_deferred_mismatches_total",
        kind=Kind.COUNTER,
        help="Times that bytes which were read before their proof turned out wrong, or were never proven: --verify deferred alone.",
        read=lambda moment: moment.tally.wrong_answers,
    ),
    Metric(
        name="mkfs_layer_refusals_total",
        kind=Kind.COUNTER,
        help="Times that the cache had no room for what was fetched, or failed: it is fetched again, then.",
        read=lambda moment: moment.layers.refusals,
    ),
)

PREFETCH: Final = (
    Metric(
        name="mkfs_prefetch_fetched_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of chunks that came ahead of readers: nobody waited for them when they came.",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: moment.layers.guessed_bytes,
    ),
    Metric(
        name="mkfs_prefetch_used_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Of these, what somebody has read since. The difference was wasted, so far.",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: moment.layers.guessed_bytes - moment.layers.unread_bytes,
    ),
    Metric(
        name="mkfs_prefetch_filled_bytes_total",
        kind=Kind.COUNTER,
        unit="bytes",
        help="Bytes of chunks that came because all of it was asked for (--fill).",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: moment.layers.filled_bytes,
    ),
    Metric(
        name="mkfs_prefetch_requests",
        kind=Kind.GAUGE,
        labels=(Label("urgency", ("demand", "readahead", "background")),),
        help="Requests for bytes of layers that are under way: somebody waits, ahead of readers, nobody asked.",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: {
            ("demand",): moment.admission.demand,
            ("readahead",): moment.admission.readahead,
            ("background",): moment.admission.background,
        },
    ),
    Metric(
        name="mkfs_prefetch_streams",
        kind=Kind.GAUGE,
        help="How many requests at once the link rewards now, as far as that was tried.",
        stability=Stability.EXPERIMENTAL,
        read=lambda moment: moment.admission.streams,
    ),
)
