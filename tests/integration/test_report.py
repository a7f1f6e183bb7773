"""The HTML report in a real headless Chromium: what it shows, and that it asks nobody for anything."""

import base64
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from deploy.results.report import html
from query.comparing import compare
from query.comparison import Comparison, answer
from schemas.settings import Settings
from tests.browser.chromium import Page, install, page
from tests.run_results import FIRST, HOSTILE, result
from tests.year_of_runs import Nights

_WIDE = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program."""
    settings = Settings()
    return install(settings.runtime or settings.home / "runtime")


def comparison() -> Comparison:
    """Of a run whose seventh endpoint is 20 % slower."""
    nights = Nights(3)
    history = [nights.run() for _ in range(14)]
    rows = compare(nights.run(slower={7: 1.2}), history[-1], history, history[-5:-1])
    run = {
        "execution_id": UUID(int=7),
        "test": "checkout",
        "verdict": "passed",
        "started_at": FIRST,
        "finished_at": FIRST + timedelta(minutes=30),
    }
    return answer(run, run, "main", rows, 14)


async def texts(shown: Page, selector: str) -> list[str]:
    """What the elements show."""
    found: list[str] = await shown.evaluate(
        f"[...document.querySelectorAll({selector!r})].map(one => one.innerText)"
    )
    return found


async def test_a_report_shows_the_run(chromium: Path, tmp_path: Path) -> None:
    """Verdict, facts, thresholds, six drawn charts, endpoints, checks, errors, comparison, in one file.

    At the width of a desk and of a phone, and on paper, in light and dark; without a complaint.
    """
    file = tmp_path / "report.html"
    file.write_text(html(result(endpoints=60), comparison()), encoding="utf-8")
    async with page(chromium) as shown:
        await shown.open(file)
        assert await texts(shown, "h1") == ["checkout"]
        assert await texts(shown, "header .badge") == ["passed"]
        facts = (await texts(shown, "header dl"))[0].split("\n")
        told = dict(zip(facts[::2], facts[1::2], strict=True))
        assert told["Requests"] == "6,000"
        assert told["p95 response time"] == "250ms"
        assert await texts(shown, "section h2") == [
            "Comparison",
            "Thresholds",
            "Over time",
            "Endpoints",
            "Checks",
            "Errors",
        ]
        rows = [await texts(shown, f"section:nth-of-type({n}) tbody tr") for n in (1, 2, 4, 5, 6)]
        assert [len(of) for of in rows[1:]] == [2, 61, 2, 2]
        assert all("GET /items/07 200" in row for row in rows[0] if row.startswith("regressed"))
        assert "312.45ms" in rows[1][0]

        drawn = (
            "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.trace').length)"
        )
        assert await shown.evaluate(drawn) == [1, 4, 1, 1, 3, 6]
        widths = "[...document.querySelectorAll('.plot .trace path.js-line')].map(p => p.getBBox().width)"
        assert min(await shown.evaluate(widths)) > 300
        ink = "getComputedStyle(document.querySelector('.plot .js-line')).stroke"
        light = await shown.evaluate(ink)

        await shown.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        assert (
            await shown.evaluate(f"new Promise(done => setTimeout(() => done({ink}), 500))")
            != light
        )
        await shown.resize(400)
        assert (
            await shown.evaluate(f"new Promise(done => setTimeout(() => done({_WIDE}), 500))") <= 0
        )
        paper = await shown.call("Page.printToPDF", printBackground=True)
        assert base64.b64decode(paper["data"]).startswith(b"%PDF")

        assert shown.complaints == []
        assert shown.requests == [file.as_uri()]


async def test_hostile_names_are_only_text(chromium: Path, tmp_path: Path) -> None:
    """Names of tests, endpoints, checks, tags, statuses and errors that are markup run nothing."""
    file = tmp_path / "report.html"
    file.write_text(html(result(name=HOSTILE, verdict="failed"), None), encoding="utf-8")
    async with page(chromium) as shown:
        await shown.open(file)
        assert "<img src=x onerror=alert(1)>" in (await texts(shown, "h1"))[0]
        assert len(await texts(shown, "td.name")) > 8
        assert (
            await shown.evaluate("document.querySelectorAll('img, iframe, a, object').length") == 0
        )
        assert await shown.evaluate("document.scripts.length") == 3
        assert shown.complaints == []
        assert shown.requests == [file.as_uri()]
        # Were one to slip in all the same, the policy of the page stops it.
        await shown.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<img src=\"https://evil.test/x\" onerror=\"alert(3)\">')"
        )
        assert await shown.evaluate("new Promise(done => setTimeout(() => done(1), 300))") == 1
        assert any("Content Security Policy" in one for one in shown.complaints)
        assert not any("dialog" in one for one in shown.complaints)


async def test_a_run_without_figures_has_a_page_too(chromium: Path, tmp_path: Path) -> None:
    """While a run goes on, each part says that there is nothing yet."""
    file = tmp_path / "report.html"
    file.write_text(html(result(empty=True, verdict=None), None), encoding="utf-8")
    async with page(chromium) as shown:
        await shown.open(file)
        assert await texts(shown, "header .badge") == ["running"]
        assert len(await texts(shown, ".empty")) == 5
        assert shown.complaints == []
