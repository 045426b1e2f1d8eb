"""Small documents by digest: manifests, configs, small blobs. Hashed on every read; keeping them is a favour, no duty."""

import logging
from typing import Final, final

from mkfs.cache.files import is_not_ours, read_whole, remove
from mkfs.cache.layout import Place, put
from mkfs.cache.pins import mark_file
from mkfs.cache.shared import Report, Shared
from mkfs.errors import CacheUnusable, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.proof.proven import Proven, prove
from mkfs.units import MIB

logger = logging.getLogger(__name__)

# The small layers of a kit together; a document is read into memory whole.
LIMIT_BYTES: Final = 16 * MIB


@final
class Documents:
    """Documents of one cache. Blocks for a small file's time; raises nothing."""

    __slots__ = ("_shared",)

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def get(self, blob: Descriptor, report: Report | None = None) -> Proven | None:
        """The document, if it is kept and still right. What is not right is removed.

        With a `report` this is an inspection, and no use of the document.
        """
        if blob.size_bytes > LIMIT_BYTES:
            return None
        try:
            place = self._shared.layout.document(blob.digest)
            try:
                proven = prove(blob, read_whole(place.name, place.directory, blob.size_bytes))
            except (Mismatch, OSError) as error:
                if isinstance(error, OSError) and not is_not_ours(error):
                    raise
                self._shared.counters.add(damaged=1)
                if report is not None:
                    report(str(error))
                logger.info("document %s in the cache was damaged and is removed: %s", blob.digest, error)
                remove(place.name, place.directory)
                return None
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("cannot read document %s in the cache, going on without it: %s", blob.digest, error)
            return None
        if report is None:
            mark_file(place.name, place.directory)
        self._shared.counters.add(documents=1)
        return proven

    def keep(self, proven: Proven) -> None:
        """Keeps a document of up to `LIMIT_BYTES`, if there is room. A failing disk is logged."""
        layout = self._shared.layout
        if len(proven.data) > LIMIT_BYTES:
            return
        try:
            place = layout.document(proven.digest)
            if self._is_there(place, proven):
                return
            self._shared.room.require(len(proven.data), 1, f"document {proven.digest} in {layout.path}")
            put(proven.data, place, layout.staging)
        except CacheUnusable as error:
            logger.info("document %s is not kept: %s", proven.digest, error)
        except OSError as error:
            logger.warning("cannot keep document %s in the cache: %s", proven.digest, error)

    def _is_there(self, place: Place, proven: Proven) -> bool:
        """Whether it is kept already, and right. Raises `OSError`."""
        try:
            if read_whole(place.name, place.directory, len(proven.data)) == proven.data:
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            if not is_not_ours(error):
                raise
        self._shared.counters.add(damaged=1)
        logger.info("document %s in the cache was damaged and is replaced", proven.digest)
        remove(place.name, place.directory)
        return False
