"""The eight nights of the demo, and what the world is like after each."""

from collections import Counter

import pytest
from nightshift.model import Incident, Outcome, Verdict

from sandbox.scenes import DLQ, SCENES, STALLED, Played, Scene, play
from sandbox.world import ACCOUNT, REGION
from tests.support.permissions import allowed, needed, not_allowed

TAKEN_AGAIN = {"poison": 2}
"""corrupt documents that a sample of 30 had missed: the move took them home, they died again, and were stored"""
BY_KEY = {scene.key: scene for scene in SCENES}
_played: dict[str, Played] = {}


def night(key: str) -> Played:
    """A night, played once however many tests ask about it: a scene is deterministic and what it returns is frozen."""
    if key not in _played:
        _played[key] = play(BY_KEY[key])
    return _played[key]


def only(played: Played, remediation: str) -> Incident:
    """The one incident of a remediation."""
    [incident] = [incident for incident in played.incidents if incident.remediation == remediation]
    return incident


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.key)
def test_every_night_ends_as_told_and_loses_nothing(scene: Scene) -> None:
    """The verdicts are the scene's, no function failed, no message is missing, nothing changed that may not."""
    played = night(scene.key)
    ends = [(incident.remediation, incident.verdict) for incident in played.incidents]
    assert sorted(ends) == sorted(scene.ends), [incident.why for incident in played.incidents]
    assert played.errors == ()
    assert played.lost == 0
    assert played.ledger.balanced, played.ledger
    assert played.as_told


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.key)
def test_the_ledger_counts_what_really_left_the_dead_letter_queue(scene: Scene) -> None:
    """
    What the reports say was moved is what the world saw leave, also where a move was cancelled half-way.

    A letter that came back and was taken again is one letter, which left twice.
    """
    played = night(scene.key)
    assert played.ledger.moved == played.taken - TAKEN_AGAIN.get(scene.key, 0)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.key)
def test_evidence_is_sentences(scene: Scene) -> None:
    """Every piece of evidence says something to a person."""
    for incident in night(scene.key).incidents:
        evidence = (*incident.finding.evidence, *(incident.diagnosis.evidence if incident.diagnosis else ()))
        assert all(" " in line for line in evidence), evidence


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.key)
def test_every_end_was_told_exactly_once(scene: Scene) -> None:
    """Each incident's verdict was mailed once: nothing ends silently, and nothing is repeated."""
    played = night(scene.key)
    for incident in played.incidents:
        assert incident.verdict is not None
        told = [mail for mail in played.mail if f"Incident  {incident.id} " in mail.text and "\n  Closed " in mail.text]
        assert len(told) == 1, [mail.subject for mail in played.mail]


@pytest.mark.scenario("3.4", DLQ)
@pytest.mark.scenario("1.8", DLQ)
def test_letters_of_an_outage_that_is_over_are_processed_by_their_consumer() -> None:
    """Transient letters go home and are finished: none is left, none is stored, none is processed twice."""
    played = night("transient")
    assert (played.dead, played.quarantined, played.duplicates) == (0, 0, 0)
    assert played.ledger.moved > 0
    assert played.ledger.returned == 0


@pytest.mark.corrects("purge-queue")
@pytest.mark.scenario("3.4", DLQ)
@pytest.mark.scenario("3.5", DLQ)
def test_poison_is_stored_before_it_is_deleted_and_the_rest_is_processed() -> None:
    """Corrupt documents end up in the quarantine bucket, never purged, and never in a mail."""
    played = night("poison")
    assert played.ledger.quarantined == played.quarantined > 0
    assert played.dead == 0
    assert not any("tenant-" in mail.text for mail in played.mail)


@pytest.mark.scenario("3.4", DLQ)
@pytest.mark.scenario("0.7", STALLED)
@pytest.mark.scenario("4.9", STALLED)
def test_letters_wait_for_the_restart_of_their_stalled_consumer_and_both_reports_say_so() -> None:
    """One cause, two incidents: the redrive begins after the restart has worked, and each report names the other."""
    played = night("stalled")
    letters, service = only(played, DLQ), only(played, STALLED)
    assert service.attempts[0].started_at < letters.attempts[0].started_at
    assert (letters.links, service.links) == ((service.id,), (letters.id,))
    for incident in (letters, service):
        [report] = [
            mail.text
            for mail in played.mail
            if "FIXED" in (mail.subject or "") and f"Incident  {incident.id} " in mail.text
        ]
        assert incident.links[0] in report
    assert played.dead == 0


@pytest.mark.scenario("4.9", STALLED)
def test_a_restart_that_does_not_help_is_not_repeated_and_is_handed_over_once() -> None:
    """A bad image fails again after the restart: one restart, one escalation, then quiet."""
    played = night("bad-image")
    incident = only(played, STALLED)
    assert [attempt.verdict for attempt in incident.attempts] == [Verdict.INEFFECTIVE]
    assert [(call.action, call.count, call.outcome) for call in incident.calls] == [
        ("ecs:UpdateService", 1, Outcome.DONE)
    ]
    assert len(played.mail) == 1


def test_what_heals_by_itself_is_left_alone() -> None:
    """A colleague was faster: nothing was written under any incident's name."""
    played = night("recovered")
    assert played.writes == 0


def test_what_is_being_deployed_is_left_alone_and_the_report_says_why() -> None:
    """Held while the deployment lasts, refused at the deadline: nothing was written, and the reason is in the mail."""
    played = night("mid-deployment")
    assert played.writes == 0
    assert any("deploy" in mail.text for mail in played.mail)


def test_in_mode_observe_the_report_says_what_would_have_been_done() -> None:
    """Nothing was written; the plan's calls stand in the one report: what holds nothing back is not told as a hold."""
    played = night("observe")
    assert played.writes == 0
    [mail] = played.mail
    assert "sqs:SendMessage" in mail.text


def test_the_kill_switch_stops_a_move_that_is_under_way() -> None:
    """The move task is cancelled at the next tick: most letters stay where they were, and none is missing."""
    played = night("kill-switch")
    incident = only(played, DLQ)
    assert "sqs:CancelMessageMoveTask" in {call.action for call in incident.calls}
    assert played.dead > 200
    assert incident.attempts[-1].verdict is Verdict.INEFFECTIVE


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.key)
def test_the_report_says_what_the_trail_shows(scene: Scene) -> None:
    """What was done under an incident's name, call by call, is what its record and its report say."""
    played = night(scene.key)
    for incident in played.incidents:
        told = Counter[str]()
        for call in incident.calls:
            told[call.action] += call.count
        assert told == played.done.get(incident.id, Counter())


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.key)
def test_every_write_was_permitted_by_its_own_session_and_by_nothing_else(scene: Scene) -> None:
    """
    What is written to targets is written under a write role, the incident as session name and source identity.

    Its session policy allows exactly such calls on exactly such resources; the functions' own roles write nothing but
    Nightshift's table, topic and work queue.
    """
    for event in night(scene.key).trail:
        if event.function is None or event.error:
            continue
        if event.principal.role_arn is None:
            own = event.reads or event.name in OWN
            assert own, event
            continue
        assert event.principal.policy is not None
        assert event.principal.name == event.principal.source_identity
        assert allowed(event.principal.policy, *needed(event, ACCOUNT, REGION)), event


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.key)
def test_every_call_is_allowed_by_the_roles_that_are_deployed(scene: Scene) -> None:
    """Each call of each function, and what AWS does in our name for it, by role and session policy together."""
    assert not_allowed(night(scene.key).trail) == ()


OWN = {
    "dynamodb.DeleteItem",
    "dynamodb.PutItem",
    "dynamodb.TransactWriteItems",
    "dynamodb.UpdateItem",
    "sns.Publish",
    "sqs.SendMessageBatch",
    "sts.AssumeRole",
}
"""what the functions write under their own roles: Nightshift's own table, topic and work queue"""
