"""`serin refresh`."""

from components.features.run import published, refresh
from components.ingest.run import run as ingest
from pipelines.console import Console
from pipelines.titles import TITLES
from serin.platform import Platform
from serin.storage import absolute


def run(console: Console, platform: Platform, name: str, data: str, as_of: str) -> None:
    """Ingest the table, where one is given, and bring feature views and online store up to date; nothing is trained."""
    case = platform.own_use_case(name)
    console.title(f"Refreshing the features of {case.name}")
    with console.hearing(), console.working(TITLES["ingest"] if data else "look at what is stored"):
        ingested = ingest(platform, case, absolute(data), as_of)
    moment = ingested.known_at
    with console.hearing(), console.working(TITLES["refresh"]):
        served = refresh(platform, case, moment).served
    online = published(platform, served)
    (console.good if online.at == moment else console.bad)(online.text(moment))
    console.result(
        {
            "as_of": moment.isoformat(),
            "views": online.views,
            "published": online.at.isoformat() if online.at else None,
            "new_rows": ingested.ingested.new if ingested.ingested else 0,
        }
    )
