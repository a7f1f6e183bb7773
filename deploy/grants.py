"""Reads the file in which operators grant what playbooks may use."""

import json
from pathlib import Path

from pydantic import ValidationError

from schemas import yaml_documents
from schemas.errors import Invalid, Permanent
from schemas.grants import Grants


def read_grants(path: Path | None) -> Grants:
    """The grants of a YAML file; none without a file. Raises Permanent, which says what is wrong where."""
    if path is None:
        return Grants()
    try:
        documents = yaml_documents.read(path.read_text(encoding="utf-8"), str(path))
        if len(documents) > 1:
            raise Permanent(f"{path} (HEADRACE_REMEDIATION_GRANTS) must be one document.")
        return Grants.model_validate_json(json.dumps(documents[0] if documents else {}))
    except (OSError, UnicodeDecodeError, Invalid) as error:
        raise Permanent(f"HEADRACE_REMEDIATION_GRANTS can't be read: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise Permanent(f"{path} (HEADRACE_REMEDIATION_GRANTS): {wrong}") from error
