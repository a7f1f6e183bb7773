"""What the steps of a playbook do, to real processes, a real database and servers that speak the real protocols."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvloop

from schemas.errors import Invalid, Temporary
from schemas.playbook_steps import FlatStep
from schemas.templates import Facts
from tests.remedies import EPISODE, LOCAL, Service, granted, service
from workflows.actions.actions import Actions
from workflows.actions.occasions import Occasion
from workflows.actions.secrets import Secrets
from workflows.outgoing import Outgoing, OutgoingPolicy

TENANT, OTHER = UUID(int=1), UUID(int=2)


async def perform(
    do: dict[str, Any],
    grants: dict[str, Any] | None = None,
    *,
    tenant: UUID = TENANT,
    environment: dict[str, str] | None = None,
    policy: OutgoingPolicy = LOCAL,
    **labels: str,
) -> str:
    """Do an action for an alert with these labels."""
    actions = Actions(Outgoing(policy), Secrets(environment or {}), granted(grants or {}))
    doing = FlatStep.model_validate_json(json.dumps({"id": "a", "whens": [], "do": do})).do
    facts = Facts("critical", "r", "f", labels)
    return await actions.perform(doing, Occasion(tenant, uuid4(), "a", facts, EPISODE))


def command(*argv: str, **parameters: str) -> dict[str, Any]:
    """A grant for all of one command."""
    return {"commands": {"c": {"tenants": "all", "argv": argv, "parameters": parameters}}}


def run(**more: Any) -> dict[str, Any]:
    return {"action": "command", "command": "c", **more}


HOST = {"host": "{{ labels.host }}"}


@pytest.mark.parametrize(
    "host", ["; touch /tmp/x", "$(id)", "`id`", "a b", "a\nb", "*", "{host}", "'\""]
)
async def test_a_label_is_one_argument(host: str) -> None:
    """Whatever it holds, no shell reads it."""
    told = await perform(
        run(parameters=HOST),
        command("/usr/bin/printf", "[%s]", "{host}", "end", host="(?s).*"),
        host=host,
    )
    assert told == f"[{host}][end]"


@pytest.mark.parametrize("host", ["--help", "-rf", "a b", "a\n", "", "web-1;", "x" * 65_000])
async def test_a_label_must_be_what_the_operator_expects(host: str) -> None:
    """An option, a second line: refused before anything is run."""
    grants = command("/bin/echo", "{host}", host="[a-z0-9][a-z0-9-]{0,30}")
    with pytest.raises(Invalid, match="host may not be"):
        await perform(run(parameters=HOST), grants, host=host)


async def test_a_command_gets_no_environment_and_no_rights() -> None:
    """The worker's secrets are in its environment; where it is root, commands are somebody else."""
    told = await perform(run(), command("/bin/sh", "-c", "env; pwd; id -u; id -G"))
    *environment, folder, user, groups = told.splitlines()
    assert {line.partition("=")[0] for line in environment} <= {"PATH", "LANG", "PWD", "SHLVL", "_"}
    assert folder == "/"
    if os.geteuid() == 0:
        assert (user == "0", "0" in groups.split()) == (False, False)


def test_a_command_runs_in_the_loop_of_the_worker() -> None:
    """Uvloop's own processes know neither users nor groups."""
    told = uvloop.run(perform(run(), command("/bin/echo", "hello")))
    assert told == "hello"


async def test_a_command_has_its_time(tmp_path: Path) -> None:
    """It is killed with all that it has started."""
    os.chmod(tmp_path, 0o777)  # noqa: PTH101, S103 - for whoever runs it
    mark = tmp_path / "mark"
    script = f"(sleep 2; echo > {mark}) & sleep 60"
    began = time.monotonic()
    with pytest.raises(Temporary, match=r"was killed after 0\.3 s"):
        await perform(run(timeout="300ms"), command("/bin/sh", "-c", script))
    await asyncio.sleep(max(0, began + 2.5 - time.monotonic()))
    assert not mark.exists()


async def test_a_command_says_what_went_wrong_and_not_too_much() -> None:
    """Its status and the beginning of its output, of which there may be any amount."""
    script = "echo began; head -c 50000000 /dev/zero | tr '\\0' x; exit 3"
    with pytest.raises(Invalid, match=r"ended with status 3\. began") as failed:
        await perform(run(timeout="30s"), command("/bin/sh", "-c", script))
    assert len(str(failed.value)) < 5000
    with pytest.raises(Invalid, match="can't be run"):
        await perform(run(), command("/no/such/program"))


async def test_what_is_not_granted_is_not_done() -> None:
    """A command that is not in the list, one of another tenant, a parameter too many: the same words for the first two."""
    others = {"commands": {"c": {"tenants": [str(OTHER)], "argv": ["/bin/true"]}}}
    for grants in ({}, others):
        with pytest.raises(Invalid, match="The command 'c' is not granted"):
            await perform(run(), grants)
    assert await perform(run(), others, tenant=OTHER) == ""
    with pytest.raises(Invalid, match="parameters of the command are"):
        await perform(run(parameters={"x": "y"}), others, tenant=OTHER)


def cluster(shop: Service, **more: Any) -> dict[str, Any]:
    one = {
        "tenants": "all",
        "server": shop.url,
        "token": "secret://env/K8S",
        "namespaces": ["shop"],
        **more,
    }
    return {"clusters": {"prod": one}}


def kubernetes(operation: str, **more: Any) -> dict[str, Any]:
    return {
        "action": "kubernetes", "cluster": "prod", "operation": operation, "namespace": "shop",
        "name": "{{ labels.app }}", **more,
    }  # fmt: skip


async def test_kubernetes_restarts_and_scales() -> None:
    """As kubectl does: a patch of the template, the scale subresource; with the token, which nobody sees."""
    token = {"K8S": "zq-token"}
    async with service() as shop:
        grants = cluster(shop)
        told = [
            await perform(kubernetes("restart"), grants, environment=token, app="items"),
            await perform(
                kubernetes("scale", replicas=3, kind="statefulset"),
                grants,
                environment=token,
                app="db",
            ),
        ]
    (first, second) = shop.asked
    at = "/apis/apps/v1/namespaces/shop"
    assert (first[0], first[1]) == ("PATCH", f"{at}/deployments/items")
    assert first[2]["Content-Type"] == "application/strategic-merge-patch+json"
    assert first[2]["Authorization"] == "Bearer zq-token"
    annotations = json.loads(first[3])["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"kubectl.kubernetes.io/restartedAt": "2026-06-01T12:00:00+00:00"}
    assert (second[0], second[1]) == ("PATCH", f"{at}/statefulsets/db/scale")
    assert json.loads(second[3]) == {"spec": {"replicas": 3}}
    assert second[2]["Content-Type"] == "application/merge-patch+json"
    assert "zq-token" not in "".join(told)


@pytest.mark.parametrize(
    ("do", "app", "words"),
    [
        (kubernetes("restart", namespace="kube-system"), "items", "namespace 'kube-system' is not granted"),
        (kubernetes("restart"), "../../nodes/a", "name may not be"),
        (kubernetes("restart"), "items?x=y", "name may not be"),
        (kubernetes("scale", replicas=21), "items", "At most 20 replicas"),
    ],
)  # fmt: skip
async def test_kubernetes_keeps_to_what_is_granted(
    do: dict[str, Any], app: str, words: str
) -> None:
    """Other namespaces, names that are paths, too many replicas: nothing is asked."""
    async with service() as shop:
        with pytest.raises(Invalid, match=words):
            await perform(do, cluster(shop), environment={"K8S": "t"}, app=app)
    assert not shop.asked


async def test_a_missing_secret_is_named_and_nothing_is_asked() -> None:
    """Not the value of another; an operator's grant does not conjure it up."""
    do = {"action": "http", "url": "http://127.0.0.1:1/", "headers": {"X-Token": "secret://env/T"}}
    with pytest.raises(Invalid, match="The secret 'secret://env/T' is not granted"):
        await perform(do, environment={"T": "there"})
    grants = {"secrets": {"secret://env/T": {"tenants": "all"}}}
    with pytest.raises(Invalid, match="The worker has no secret://env/T"):
        await perform(do, grants)


async def test_a_secret_of_a_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    """Without its line end; and the answer that echoes it is shown without it."""
    (tmp_path / "token").write_text("zq-file\n")
    reference = f"secret://file{tmp_path}/token"
    async with service() as shop:
        told = await perform(
            {"action": "http", "url": shop.url, "body": {"t": reference}},
            {"secrets": {reference: {"tenants": [str(TENANT)]}}},
        )
    assert json.loads(shop.asked[0][3]) == {"t": "zq-file"}
    assert told == '200 heard {"t": "•••"}'


async def test_a_playbook_asks_no_server_that_only_we_reach() -> None:
    """Unless the operator allows it."""
    async with service() as shop:
        with pytest.raises(Invalid, match="this machine itself"):
            await perform({"action": "http", "url": shop.url}, policy=OutgoingPolicy())
    assert not shop.asked


@pytest.mark.parametrize(("status", "error"), [(503, Temporary), (429, Temporary), (404, Invalid)])
async def test_a_status_says_whether_it_may_pass(status: int, error: type[Exception]) -> None:
    """Busy servers may be asked again, others not; unless the playbook expects just that."""
    async with service() as shop:
        shop.answers = {"/": [status, status]}
        with pytest.raises(error, match=f"It answered {status} heard"):
            await perform({"action": "http", "url": f"{shop.url}/"})
        expecting = {"action": "http", "url": f"{shop.url}/", "expect": [status]}
        assert (await perform(expecting)).startswith(str(status))
