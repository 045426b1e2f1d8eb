"""What an artifact says of its uncompressed layers, compared with what they are.

Nothing rests on it: a layer's own digest proves its bytes. And real tools write wrong ones (kit 1.11 in every ModelPack), so a
difference is worth a word, no refusal. kit, modctl and oras compare nothing.
"""

from collections.abc import Sequence

from mkfs.formats.plan import PlannedLayer
from mkfs.formats.wording import printable
from mkfs.oci.digest import Digest


def differing(layers: Sequence[PlannedLayer], seen: Sequence[Digest | None]) -> tuple[str, ...]:
    """One line for a person where a diff_id is not the digest of the content, which `seen` has for each layer (None: not seen).

    Digests of two algorithms cannot be compared.
    """
    said = [
        (layer, digest)
        for layer, digest in zip(layers, seen, strict=True)
        if layer.diff_id is not None and digest is not None and layer.diff_id.algorithm == digest.algorithm
    ]
    wrong = [(layer, digest) for layer, digest in said if layer.diff_id != digest]
    if not wrong:
        return ()
    layer, digest = wrong[0]
    name = printable(f"{layer.element} {layer.name}".strip())
    what = f"diff_ids are wrong, for {len(wrong)} of {len(said)} layers that were compared"
    return (f"{what}: {name} is {digest} uncompressed, and is said to be {layer.diff_id}",)
