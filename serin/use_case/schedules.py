"""What runs by itself."""

from serin.cron import Cron
from serin.use_case.section import Section


class Schedule(Section):
    """When a pipeline runs by itself: the five fields of crontab(5), in UTC."""

    cron: Cron


class DataSchedule(Schedule):
    """Of a pipeline that takes a table: `data` is ingested first; empty: what is stored is all there is."""

    data: str = ""


class Schedules(Section):
    """What runs by itself: the training, the drift pipeline (which trains where it has to), materialisation, and the
    rollout of a challenger that waits. What is not named does not."""

    training: DataSchedule | None = None
    drift: DataSchedule | None = None
    materialisation: DataSchedule | None = None
    rollout: Schedule | None = None
