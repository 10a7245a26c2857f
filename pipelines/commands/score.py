"""`serin score`."""

from components.score.run import as_data, score_table
from pipelines.console import Console
from pipelines.titles import TITLES
from serin.platform import Platform
from serin.storage import absolute


def run(
    console: Console, platform: Platform, name: str, source: str, output: str, version: str, as_of: str, strict: bool
) -> None:
    """Score a table, and print what was written and what was refused."""
    case = platform.own_use_case(name)
    console.title(f"Scoring {source} with {case.model_name} {version if version.startswith('@') else f'v{version}'}")
    with console.working(TITLES["score"]):
        done = score_table(
            platform,
            case,
            absolute(source),
            absolute(output),
            version=version,
            as_of=as_of,
            strict=strict,
            report=lambda rows, rate: console.say(f"    {rows:,} rows, {rate:,.0f} a second"),
        )
    console.good(f"{done.scored:,} rows scored with v{done.version}, {done.positive:,} of them positive: {done.output}")
    for line in done.sentences():
        console.say(f"  - {line}")
    console.result(as_data(done))
