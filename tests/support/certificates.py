"""Authorities and certificates of a test's own, made by the real openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """One that signs."""

    own: Certificate

    @classmethod
    def new(cls, directory: Path, name: str = "authority", kind: str = "ec") -> "Authority":
        made = Certificate(directory / f"{name}.crt", directory / f"{name}.private")
        _new(made, f"/CN={name}", "basicConstraints=critical,CA:TRUE", kind=kind)
        return cls(made)

    def signed(self, directory: Path, name: str, names: str = "IP:127.0.0.1", *, expired: bool = False) -> Certificate:
        """A certificate for `names` (of subjectAltName), in `name.cert` and `name.key`."""
        made = Certificate(directory / f"{name}.cert", directory / f"{name}.key")
        signer: list[str | Path] = ["-CA", self.own.cert, "-CAkey", self.own.key]
        _new(made, f"/CN={name}", f"subjectAltName={names}", *([] if expired else signer))
        if expired:  # only a certificate that signed itself is taken for such a span
            extensions = directory / f"{name}.extensions"
            extensions.write_text(f"subjectAltName={names}\n")
            anew: list[str | Path] = ["-clrext", "-extfile", extensions, "-days", "-1", "-out", made.cert]
            _openssl("x509", "-in", made.cert, *signer, *anew)
        return made


def _new(made: Certificate, subject: str, extension: str, *more: str | Path, kind: str = "ec") -> None:
    made.cert.parent.mkdir(parents=True, exist_ok=True)
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
    options = ["-newkey", kind, *curve, "-noenc", "-days", "2"]
    files: list[str | Path] = ["-keyout", made.key, "-out", made.cert]
    _openssl("req", "-x509", *options, "-subj", subject, "-addext", extension, *files, *more)


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
