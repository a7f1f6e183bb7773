"""The demo's k6 scripts: found by name, and told by their environment where, how long, how many."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Script = Literal["basic", "crud", "stress_ramp"]

_FOLDER = Path(__file__).with_name("k6")
USUAL_SECONDS: dict[Script, float] = {"basic": 50.0, "crud": 50.0, "stress_ramp": 300.0}
"""How long each script takes at DURATION_SCALE=1; what it takes to end gracefully comes on top."""


@dataclass(frozen=True)
class Load:
    """What is run: a script of the demo, for about `seconds`, with `vus` users at the peak."""

    script: Script = "basic"
    seconds: float = 20.0
    vus: int | None = None

    @property
    def path(self) -> Path:
        """The script."""
        return _FOLDER / f"{self.script}.js"

    def environment(self, base: Mapping[str, str], api: str) -> dict[str, str]:
        """The environment that k6 gets, over `base`: k6 hands all of it to the script."""
        scale = self.seconds / USUAL_SECONDS[self.script]
        ours = {"API_BASE": api, "DURATION_SCALE": f"{scale:.6f}"}
        return {**base, **ours, **({"VUS": str(self.vus)} if self.vus else {})}
