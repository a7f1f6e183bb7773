"""References to secrets: documents hold these, and whoever needs a secret looks it up where it runs."""

import re
from typing import Annotated

from pydantic import AfterValidator

SCHEME = "secret://"
_FORM = re.compile(r"secret://(?:env/[A-Za-z_][A-Za-z0-9_]{0,127}|file/[^\0\n]{1,512})", re.ASCII)


def check_reference(text: str) -> str:
    """The reference. Raises ValueError that says how one is written, and shows nothing of the text."""
    if not _FORM.fullmatch(text):
        raise ValueError(
            "must refer to the secret, not be it: secret://env/NAME or secret://file/run/secrets/name"
        )
    return text


SecretReference = Annotated[str, AfterValidator(check_reference)]
