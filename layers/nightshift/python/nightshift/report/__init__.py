"""
Reports: from a record to what people and machines are told about it. Pure: nothing here reads, decides, acts or sends.

:func:`transition` names what must be told when a record changes, :func:`render` writes the whole report as plain text,
:func:`to_json` the same facts for machines. :func:`safe` is the one sanitiser for text from outside, and
:func:`untrusted` what makes such text fit for a log.
"""

from nightshift.report.context import Context, TimelineEvent, given_back
from nightshift.report.machine import to_json
from nightshift.report.notices import (
    GIVE_BACK,
    Notice,
    blind_notice,
    hold_in_storm,
    storm_notice,
    storm_over_notice,
    transition,
    unanswered,
)
from nightshift.report.render import render
from nightshift.report.safe import ascii_subject, safe, untrusted

__all__ = [
    "GIVE_BACK",
    "Context",
    "Notice",
    "TimelineEvent",
    "ascii_subject",
    "blind_notice",
    "given_back",
    "hold_in_storm",
    "render",
    "safe",
    "storm_notice",
    "storm_over_notice",
    "to_json",
    "transition",
    "unanswered",
    "untrusted",
]
