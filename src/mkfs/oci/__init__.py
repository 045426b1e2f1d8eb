"""What a registry says: references, digests, descriptors, manifests, challenges, errors. Pure values; no I/O, nothing waits."""
