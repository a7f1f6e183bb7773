"""Reads k6's own arguments as far as the bridge must know them: the script, outputs, summary file.

They are passed on untouched. k6 takes its outputs from the first of flags, environment and configuration
file that names any; the bridge adds a flag, so it has to repeat what the other two would have given.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SHORT = {
    "a": "address",
    "c": "config",
    "d": "duration",
    "e": "env",
    "i": "iterations",
    "o": "out",
    "s": "stage",
    "t": "type",
    "u": "vus",
}
"""Short options that take a value; the others are switches."""

_SWITCHES = frozenset(
    {
        "discard-response-bodies",
        "help",
        "http-debug",
        "include-system-env-vars",
        "insecure-skip-tls-verify",
        "linger",
        "new-machine-readable-summary",
        "no-color",
        "no-connection-reuse",
        "no-setup",
        "no-summary",
        "no-teardown",
        "no-thresholds",
        "no-usage-report",
        "no-vu-connection-reuse",
        "paused",
        "profiling-enabled",
        "quiet",
        "throw",
        "verbose",
        "version",
    }
)
"""Long options that take no separate value."""

_INSPECTED = ("env", "type", "compatibility-mode", "include-system-env-vars")
"""Options that `k6 inspect` needs to load the same script."""


@dataclass(frozen=True)
class Arguments:
    """What k6's command line says. `script` is None where none was given; `-` is standard input."""

    given: tuple[str, ...]
    script: str | None
    options: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, given: Sequence[str]) -> "Arguments":
        """Read arguments as k6 1 and 2 do; an unknown long option is taken to have a value."""
        found = list(_read(given))
        scripts = [value for name, value in found if not name]
        options = tuple((name, value) for name, value in found if name)
        return cls(tuple(given), scripts[0] if scripts else None, options)

    def values(self, name: str) -> list[str]:
        """The values of a long option, in order."""
        return [value for option, value in self.options if option == name]

    def outputs_to_repeat(self, environment: Mapping[str, str]) -> list[str]:
        """Outputs that k6 would use if no flag named one, and now no longer would."""
        if self.values("out"):
            return []
        if environment.get("K6_OUT"):
            return environment["K6_OUT"].split(",")
        for path in self._configurations(environment):
            try:
                outputs = json.loads(path.read_bytes()).get("out") or []
            except (OSError, ValueError, AttributeError):
                continue  # k6 itself complains of a bad file
            return [str(one) for one in outputs]
        return []

    def summary_file(self, environment: Mapping[str, str]) -> Path | None:
        """Where the user lets k6 write its summary."""
        asked = [*self.values("summary-export")[-1:], environment.get("K6_SUMMARY_EXPORT", "")]
        return Path(asked[0]) if asked[0] else None

    def tags(self) -> dict[str, str]:
        """The tags that the command line gives to every point."""
        pairs = [value.partition("=") for value in self.values("tag")]
        return {key: value for key, separator, value in pairs if separator}

    def inspecting(self) -> list[str] | None:
        """Arguments for `k6 inspect`; None where that can't be done without harm."""
        if self.script in {None, "-"}:
            return None
        flags = [f"--{name}={value}" for name, value in self.options if name in _INSPECTED]
        return [*flags, str(self.script)]

    def _configurations(self, environment: Mapping[str, str]) -> Iterator[Path]:
        named = [*self.values("config")[-1:], environment.get("K6_CONFIG", "")]
        if named[0]:
            yield Path(named[0])
            return
        home = Path(environment.get("HOME", "/"))
        base = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        yield base / "k6" / "config.json"
        yield base / "loadimpact" / "k6" / "config.json"  # before k6 1.0


def _read(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(given)
    for word in words:
        if word == "--":
            yield from (("", rest) for rest in words)
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if equals:
                yield name, value
            else:
                yield name, "true" if name in _SWITCHES else next(words, "")
        elif word.startswith("-") and word != "-":
            yield from _read_short(word[1:], words)
        else:
            yield "", word


def _read_short(letters: str, words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for at, letter in enumerate(letters):
        if letter in _SHORT:
            joined = letters[at + 1 :].removeprefix("=")
            yield _SHORT[letter], joined or next(words, "")
            return
        yield "help" if letter == "h" else letter, "true"
