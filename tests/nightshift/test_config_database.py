"""What AWS does not say of a database: read from a file, shipped, and read back as the same."""

from __future__ import annotations

from nightshift.config import from_json, parse_toml, to_json
from nightshift.model import Arn, Database

CLUSTER = "arn:aws:rds:eu-central-1:111122223333:cluster:dms"
API = "arn:aws:ecs:eu-central-1:111122223333:service/dms/api"
FUNCTION = "arn:aws:lambda:eu-central-1:111122223333:function:etl"
HEAD = """
name = "demo"
account = "111122223333"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.aurora-saturated]
[[systems]]
name = "documents"
"""


def test_a_database_is_shipped_as_it_was_written() -> None:
    """Its connections, its ceiling, and who uses it, whose releases concern it."""
    toml = f'{HEAD}[[systems.targets]]\narn = "{CLUSTER}"\n[systems.targets.database]\nconnections = 189\n'
    plain = parse_toml(toml, path="x")
    assert plain.targets[0].database == Database(189)
    assert plain.targets[0].linked == ()
    policy = parse_toml(f'{toml}ceiling = 4.5\nused_by = ["{API}", "{FUNCTION}"]\n', path="x")
    [target] = policy.targets
    assert target.database == Database(189, 4.5, (Arn.parse(API), Arn.parse(FUNCTION)))
    assert target.linked == (Arn.parse(API), Arn.parse(FUNCTION))
    for each in (plain, policy):
        assert from_json(to_json(each)) == each
