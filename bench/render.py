"""Pages from stored results: ``python -m bench.render``.

Writes ``bench/results/README.md`` and the figures between the markers of the project's README.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
from bench.machine import ROOT

SECTIONS = ("compare", "sender", "kamailio", "memory", "idle", "load", "state", "streams", "micro")
TEMPLATES = Path(__file__).parent / "templates"
BEGIN, END = "<!-- figures:begin -->\n", "<!-- figures:end -->"


def read(folder: Path) -> dict[str, Any]:
    """The stored records by section; None where there is none."""
    records: dict[str, Any] = dict.fromkeys(SECTIONS)
    for file in sorted(folder.glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        records[record["section"]] = record
    return records


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        whole=lambda value: f"{value:,.0f}",
        tenths=lambda value: f"{value:,.1f}",
        hundredths=lambda value: f"{value:,.2f}",
        percent=lambda value: f"{100 * value:.0f} %",
        fine_percent=lambda value: f"{100 * value:.2f} %",
        mb=lambda value: f"{value / 1e6:,.1f} MB",
        spread=_spread,
    )
    return environment


def _spread(values: dict[str, float], digits: int = 0) -> str:
    """``median (min - max)``."""
    median, least, most = (f"{values[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return f"{median} ({least}–{most})"


def goals(records: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What was to be reached, what was measured, and whether that is enough."""
    rows: list[tuple[str, str, str, bool]] = []
    result = {name: record["result"] for name, record in records.items() if record}
    if "compare" in result:
        ratio = result["compare"]["moderate"]["cpu_ratio"]["median"]
        rate = result["compare"]["moderate"]["rate"]
        rows.append((f"CPU of SIPp's, at {rate:,}/s", "≤ 0.33", f"{ratio:.2f}", ratio <= 0.33))
        ratio = result["compare"]["best"]["cpu_ratio"]["median"]
        rows.append(("CPU of SIPp's, each at its best", "≤ 0.33", f"{ratio:.2f}", ratio <= 0.33))
        ratio = result["compare"]["best"]["rate_ratio"]["median"]
        busy = result["compare"]["best"]["clients"]["regiment"]["registrar_busy"]["median"]
        rows.append(
            (
                "Best rate of SIPp's",
                "≥ 2, or the registrar's limit",
                f"{ratio:.2f}, registrar's core {busy:.0%} busy",
                ratio >= 2 or busy >= 0.95,
            )
        )
    if "memory" in result:
        grown = result["memory"]["growth"][-1]
        rows.append(
            (
                f"Pss of a registration, {grown['from']:,} → {grown['to']:,}",
                "≤ 1,000 bytes",
                f"{grown['bytes']:,.0f} bytes",
                grown["bytes"] <= 1000,
            )
        )
    if "idle" in result:
        idle = result["idle"]
        cpu = idle["worker_cpu"] + idle["coordinator_cpu"]
        wakeups = idle["worker_wakeups_per_s"]
        rows.append((f"CPU with {idle['registrations']:,} idle", "< 1 %", f"{cpu:.2%}", cpu < 0.01))
        rows.append(("Wake-ups of the worker", "≤ 100/s", f"{wakeups:.0f}/s", wakeups <= 100))
    for step in result.get("load", {}).get("steps", ()):
        limit_s = {100_000: 4, 1_000_000: 45}.get(step["registrations"])
        if limit_s:
            rows.append(
                (
                    f"Start with {step['registrations']:,} trunks",
                    f"≤ {limit_s} s",
                    f"{step['wall_s']:.1f} s",
                    step["wall_s"] <= limit_s,
                )
            )
    if "state" in result:
        costs, lives = result["state"]["costs"], result["state"]["lives"]
        ratio = costs["state_ratio"]["median"]
        least = costs["state_ratio"]["min"]
        rows.append(("CPU with a state file", "within noise", f"{ratio:.2f} x", least <= 1.0))
        sent = lives["reload"]["requests"]
        rows.append(("REGISTERs of a reload that changes 7", "7", f"{sent:.0f}", sent == 7))
        sent = lives["restart"]["requests"]
        rows.append(("Requests of a restart", "0", f"{sent:.0f}", sent == 0))
    if "streams" in result:
        rows += _goals_of_streams(result["streams"])
    if "micro" in result:
        name, took = next(
            (name, ns) for name, ns in result["micro"]["sip"]["ns"].items() if "200" in name
        )
        rows.append((f"Scanner: {name}", "≤ 1 µs", f"{took / 1000:.2f} µs", took <= 1000))
    return rows


def _goals_of_streams(result: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    costs, memory, cut = result["costs"], result["memory"], result["cut"]
    tcp, tls = costs["tcp_ratio"]["median"], costs["tls_ratio"]["median"]
    most, gate = cut["most_per_s"], cut["gate_per_s"]
    return [
        ("CPU over one TCP connection", "≤ 1.3 × UDP", f"{tcp:.2f} ×", tcp <= 1.3),
        ("CPU over one TLS connection", "≤ 1.6 × UDP", f"{tls:.2f} ×", tls <= 1.6),
        (
            f"Memory of a TLS connection, {memory['to']:,} on one worker",
            "≤ 1.15 × a bare one",
            f"{memory['ratio']:.2f} × of {memory['bare_bytes']:,.0f} bytes",
            memory["ratio"] <= 1.15,
        ),
        (
            f"{cut['flows']:,} connections cut at once come back",
            f"≤ {gate:,}/s",
            f"{most:,.0f}/s",
            most <= gate,
        ),
    ]


def page(folder: Path) -> str:
    """All tables."""
    records = read(folder)
    return (
        _environment().get_template("results.md.j2").render(records=records, goals=goals(records))
    )


def figures(folder: Path) -> str:
    """The table of the project's README."""
    records = read(folder)
    return _environment().get_template("figures.md.j2").render(records=records)


def write(folder: Path) -> None:
    """Both pages, from the results in `folder`."""
    (folder / "README.md").write_text(page(folder), encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{readme} has no place for figures")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}{figures(folder)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write(ROOT / "bench" / "results")
