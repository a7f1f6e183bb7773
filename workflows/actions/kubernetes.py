"""Restarts and scales workloads through the HTTP API of Kubernetes, as kubectl does."""

import json
import ssl
from datetime import datetime
from typing import Any

from yarl import URL

from schemas.errors import Invalid
from schemas.grants import ClusterGrant, check_value
from workflows.addresses import Allowed
from workflows.outgoing import Outgoing, OutgoingAnswer, OutgoingPolicy

_NAME = "[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def _outgoing(grant: ClusterGrant) -> Outgoing:
    """A client that may go to the cluster, whose address is rarely a public one, and nowhere else."""
    allowed = Allowed.parse((URL(grant.server).host or "").strip("[]"))
    tls = None if grant.authority is None else ssl.create_default_context(cafile=grant.authority)
    return Outgoing(OutgoingPolicy(allowed), tls=tls)


async def patch_workload(
    grant: ClusterGrant, token: str, given: dict[str, Any], moment: datetime, seconds: float
) -> OutgoingAnswer:
    """Restart or scale what `given` names. Raises Invalid for what is not granted.

    `moment` is the same for each attempt of a step: a restart that is repeated restarts nothing more.
    """
    namespace, name, replicas = given["namespace"], given["name"], given["replicas"]
    if namespace not in grant.namespaces:
        raise Invalid("not_granted", f"The namespace {namespace[:80]!r} is not granted.")
    check_value("name", name, _NAME)
    if replicas is not None and replicas > grant.most_replicas:
        raise Invalid("not_granted", f"At most {grant.most_replicas} replicas are granted.")
    url = f"{grant.server.rstrip('/')}/apis/apps/v1/namespaces/{namespace}/{given['kind']}s/{name}"
    form: str
    patch: dict[str, Any]
    if given["operation"] == "scale":
        url += "/scale"
        form, patch = "merge-patch", {"spec": {"replicas": replicas}}
    else:
        at = {"kubectl.kubernetes.io/restartedAt": moment.isoformat(timespec="seconds")}
        form = "strategic-merge-patch"
        patch = {"spec": {"template": {"metadata": {"annotations": at}}}}
    try:
        outgoing = _outgoing(grant)
    except OSError as error:  # ssl.SSLError is one
        raise Invalid("bad_cluster", f"{grant.authority} holds no certificates: {error}") from error
    return await outgoing.request(
        "PATCH",
        url,
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": f"application/{form}+json",
            "Accept": "application/json",
        },
        body=json.dumps(patch).encode(),
        timeout=seconds,
    )
