"""Which resource an action is allowed on: pure, so without a template."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase

import pytest
from nightshift import signals, surroundings
from nightshift.errors import ConfigError
from nightshift.model import (
    Arn,
    Backup,
    Call,
    Customer,
    DnsRecord,
    Hours,
    Pipeline,
    Provisioned,
    Schedule,
    Target,
    Triggers,
)
from nightshift.pipelines import Route
from nightshift.remediations import REMEDIATIONS

from infra.permissions import (
    _SCOPES,
    ANYWHERE,
    NEVER,
    UNDIVIDED,
    WORST,
    Grant,
    Place,
    condense,
    granted_reads,
    grants_for,
    keys_of,
    reason,
    statements,
)
from tools.iam.definitions import action as definition

PLACE = Place("aws", "111122223333", "eu-central-1", quarantine="arn:aws:s3:::q")
QUEUE = Arn.parse("arn:aws:sqs:eu-central-1:111122223333:letters")
SOURCE = Arn.parse("arn:aws:sqs:eu-central-1:111122223333:orders")
KEY, OTHER_KEY = (Arn.parse(f"arn:aws:kms:eu-central-1:111122223333:key/{each}") for each in ("of", "other"))
SERVICE = Arn.parse("arn:aws:ecs:eu-central-1:111122223333:service/apps/worker")
DLQ = Target(arn=QUEUE, group="g", source=SOURCE, consumer=SERVICE)
ROLE = Arn.parse("arn:aws:iam::111122223333:role/worker")
LOG = Arn.parse("arn:aws:logs:eu-central-1:111122223333:log-group:/ecs/worker")
ALARM = Target(arn=Arn.parse("arn:aws:cloudwatch:eu-central-1:111122223333:alarm:a"), group="g")
BUCKET = Target(arn=Arn.parse("arn:aws:s3:::b"), group="g")
FUNCTION = Target(
    arn=Arn.parse("arn:aws:lambda:eu-central-1:111122223333:function:etl"),
    group="g",
    provisioned=Provisioned("live", 5),
)
MACHINE = Target(arn=Arn.parse("arn:aws:states:eu-central-1:111122223333:stateMachine:docs"), group="g")
DATABASE = Target(arn=Arn.parse("arn:aws:rds:eu-central-1:111122223333:cluster:dms"), group="g")
SEARCH = Target(arn=Arn.parse("arn:aws:es:eu-central-1:111122223333:domain/search"), group="g")
EVENTS = Target(arn=QUEUE, group="g", function=replace(FUNCTION.arn, resource="function:etl:live"))
ALB = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/api/1")
WORKER = Target(
    arn=SERVICE,
    group="g",
    queue=SOURCE,
    load_balancer=ALB,
    dns=DnsRecord("Z0123456789", "api.example.com"),
    roles=(ROLE,),
    log_group=LOG,
)
CHANGES = Arn.parse("arn:aws:s3:::changes")
TRIGGERS = Target(
    arn=CHANGES, group="g", triggers=Triggers("customers/", "archive/", (Customer("hts", SOURCE, QUEUE, SERVICE),))
)
KEYED = replace(
    TRIGGERS,
    triggers=Triggers("customers/", "archive/", (Customer("hts", SOURCE, QUEUE, SERVICE),), KEY),
    backup=Backup(Arn.parse("arn:aws:s3:::safe"), "runs/", OTHER_KEY),
)
RULE = Target(
    arn=Arn.parse("arn:aws:events:eu-central-1:111122223333:rule/hourly"),
    group="g",
    schedule=Schedule(FUNCTION.arn, timedelta(hours=1), hours=Hours(CHANGES, "raw/%Y/%m/%d/%H/")),
)
API = Target(arn=Arn.parse("arn:aws:appsync:eu-central-1:111122223333:apis/a1"), group="g")
POOL = Target(
    arn=Arn.parse("arn:aws:cognito-idp:eu-central-1:111122223333:userpool/eu-central-1_A"), group="g", api=API.arn
)
TABLE = Target(arn=Arn.parse("arn:aws:dynamodb:eu-central-1:111122223333:table/hot"), group="g")
INDEX = Target(arn=Arn.parse(f"{TABLE.arn}/index/place"), group="g")
SECRET, STACK, CERTIFICATE = (
    Target(arn=Arn.parse(f"arn:aws:{each}"), group="g")
    for each in (
        "secretsmanager:eu-central-1:111122223333:secret:db-a1B2c3",
        "cloudformation:eu-central-1:111122223333:stack/api/1",
        "acm:eu-central-1:111122223333:certificate/1",
    )
)
KEPT_UP = (SECRET, STACK, CERTIFICATE)
LOCKS = Arn.parse("arn:aws:dynamodb:eu-central-1:111122223333:table/locks,states/a.tfstate,states/b.tfstate")
LISTED = Arn.parse("arn:aws:s3:::changes/customers/")
RAW = Arn.parse("arn:aws:s3:::raw")
PIPELINE = Target(
    arn=RAW,
    group="g",
    pipeline=Pipeline(
        "air/raw/",
        ".json",
        Arn.parse("arn:aws:s3:::curated"),
        "air/",
        ".parquet",
        SOURCE,
        QUEUE,
        FUNCTION.arn,
        timedelta(minutes=1),
        timedelta(hours=24),
    ),
)
CALLED = replace(
    PIPELINE,
    pipeline=Pipeline(
        "air/raw/",
        ".json",
        Arn.parse("arn:aws:s3:::curated"),
        "air/",
        ".parquet",
        None,
        None,
        FUNCTION.arn,
        timedelta(minutes=1),
        timedelta(hours=24),
    ),
)
"""one whose function S3 calls itself"""


@pytest.mark.parametrize("remediation", REMEDIATIONS, ids=lambda each: each.name)
def test_every_action_that_a_remediation_declares_has_a_resource(remediation: type) -> None:
    """Adding an action without saying on what it is allowed fails here, not at three in the morning."""
    declared = {*remediation.reads, *remediation.writes, *remediation.delegates}  # type: ignore[attr-defined]
    every = (
        DLQ,
        EVENTS,
        WORKER,
        ALARM,
        BUCKET,
        FUNCTION,
        MACHINE,
        DATABASE,
        SEARCH,
        KEYED,
        PIPELINE,
        CALLED,
        RULE,
        API,
        POOL,
        TABLE,
        *KEPT_UP,
    )
    targets = [target for target in every if target.arn.kind in remediation.kinds]  # type: ignore[attr-defined]
    granted = {each.action for each in grants_for(declared, targets, PLACE, who="x")}
    if "lambda:GetFunctionConcurrency" in declared:  # of a Lambda consumer, which these targets have not
        granted.add("lambda:GetFunctionConcurrency")
    assert granted == declared


@pytest.mark.parametrize("target, what", [(TABLE, "table"), (INDEX, "index")])
def test_an_index_is_changed_with_its_table_and_scaled_by_itself(target: Target, what: str) -> None:
    """IAM knows an index by its table; autoscaling has a dimension for each, and both are conditions."""
    assert grants_for(["dynamodb:UpdateTable"], [target], PLACE, who="x") == {
        Grant("dynamodb:UpdateTable", str(TABLE.arn))
    }
    limits = grants_for(["application-autoscaling:RegisterScalableTarget"], [target], PLACE, who="x")
    assert {each.conditions[0][2] for each in limits} == {
        f"dynamodb:{what}:{way}CapacityUnits" for way in ("Read", "Write")
    }
    assert {each.conditions[1][2] for each in limits} == {"dynamodb"}


@pytest.mark.parametrize("target", [Target(arn=SERVICE, group="g"), TABLE, INDEX])
def test_the_alarms_by_which_a_target_is_scaled_are_its_own(target: Target) -> None:
    """Not those of another whose name begins alike; to see one, AWS must be let see all."""
    asked = ("cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms")
    found = grants_for(asked, [target], PLACE, who="x")
    name = f"alarm:TargetTracking-{target.arn.resource}"
    kinds = ["AlarmHigh"] if target.arn.service == "ecs" else ["AlarmHigh", "ProvisionedCapacityLow"]
    for action in asked[:2]:
        patterns = [each.resource for each in found if each.action == action]
        for kind in kinds:
            assert any(fnmatchcase(PLACE.arn("cloudwatch", f"{name}-{kind}-1f0c"), each) for each in patterns)
        for other in (f"{name}-archive-AlarmHigh-1f0c", "alarm:pages-the-night-shift"):
            assert not any(fnmatchcase(PLACE.arn("cloudwatch", other), each) for each in patterns)
    assert {each.resource for each in found if each.action == asked[2]} == {"*"}
    assert {each.action for each in found} == {*asked}


@pytest.mark.parametrize(
    "who, reads, writes",
    [
        ("s3-trigger-stuck", {KEY}, None),
        ("archive-object-lost", {KEY, OTHER_KEY}, KEY),
        ("archive-backup-due", {KEY}, OTHER_KEY),
    ],
)
def test_a_key_is_used_through_s3_for_its_own_bucket_alone(who: str, reads: set[Arn], writes: Arn | None) -> None:
    """The bucket's key to read what stands in it, and to write into it where that is done; no key of anything else."""
    of = {KEY: "arn:aws:s3:::changes", OTHER_KEY: "arn:aws:s3:::safe"}
    decrypts = grants_for(["kms:Decrypt"], [KEYED], PLACE, who=who)
    assert {grant.resource for grant in decrypts} == {str(key) for key in reads}
    made = set() if writes is None else grants_for(["kms:GenerateDataKey"], [KEYED], PLACE, who=who)
    assert {grant.resource for grant in made} == ({str(writes)} if writes else set())
    for grant in decrypts | made:
        via, context = grant.conditions
        assert via == ("StringEquals", "kms:ViaService", "s3.eu-central-1.amazonaws.com")
        bucket = of[Arn.parse(grant.resource)]
        assert context[:2] == ("StringLike", "kms:EncryptionContext:aws:s3:arn")
        assert context[2] in {bucket, f"{bucket}/*"}


def test_whoever_reads_no_object_of_a_bucket_needs_none_of_its_keys() -> None:
    """Listing is not reading; and a bucket without a key of its own needs none."""
    reads = {Grant("s3:GetObject", "arn:aws:s3:::changes/archive/*"), Grant("s3:ListBucket", "arn:aws:s3:::safe")}
    assert {grant.resource for grant in keys_of(reads, [KEYED], PLACE)} == {str(KEY)}
    assert keys_of(reads, [replace(KEYED, triggers=None), TRIGGERS], PLACE) == set()
    assert keys_of({Grant("s3:GetObject", "arn:aws:s3:::other/x")}, [KEYED], PLACE) == set()


def test_a_function_is_called_by_the_alias_that_is_named_and_looked_at_by_itself() -> None:
    """Its settings and its tags are the function's own; leave to call it is leave for that very version or alias."""
    asked = ("lambda:InvokeFunction", "lambda:GetFunctionConfiguration", "lambda:ListTags")
    on_queue = {grant.resource for grant in grants_for(asked, [EVENTS], PLACE, who="x")}
    assert on_queue == {str(EVENTS.function)}
    alias = Target(arn=replace(FUNCTION.arn, resource="function:etl:live"), group="g")
    looked_at = {grant.resource for grant in grants_for(asked[1:], [alias], PLACE, who="x")}
    assert looked_at == {str(FUNCTION.arn)}


def test_a_function_that_is_read_with_a_qualifier_is_granted_with_it() -> None:
    """
    AWS asks about the qualified ARN where a call names an alias beside the function.

    Source: Lambda's notice of 2022-01-24 about fully qualified ARNs in policies.
    """
    kept = replace(FUNCTION, provisioned=Provisioned("live", 10))
    granted = grants_for(["lambda:GetFunctionConfiguration"], [kept], PLACE, who="x")
    assert {grant.resource for grant in granted} == {str(FUNCTION.arn), f"{FUNCTION.arn}:live"}


def test_what_people_keep_up_is_read_by_its_own_arn() -> None:
    """And never a secret's value; a rollback is continued with the role that the stack has, and with no other."""
    for target, action in zip(
        KEPT_UP,
        ("secretsmanager:DescribeSecret", "cloudformation:DescribeStacks", "acm:DescribeCertificate"),
        strict=True,
    ):
        assert granted_reads(action, target.arn, PLACE) == {Grant(action, str(target.arn))}
    assert {"secretsmanager:GetSecretValue", "secretsmanager:RotateSecret"} <= NEVER.keys()
    [grant] = grants_for(["cloudformation:ContinueUpdateRollback"], [STACK, DLQ], PLACE, who="x")
    assert grant.resource == str(STACK.arn)
    assert grant.conditions == (("Null", "cloudformation:RoleArn", "true"),)


def test_of_a_table_of_locks_only_those_that_are_named_are_read() -> None:
    """Neither another lock nor the digests that lie beside them; and of a table of which none is named, nothing."""
    on = "arn:aws:dynamodb:eu-central-1:111122223333:table/locks"
    assert granted_reads("dynamodb:GetItem", LOCKS, PLACE) == {
        Grant("dynamodb:GetItem", on, (("ForAnyValue:StringEquals", "dynamodb:LeadingKeys", f"states/{name}.tfstate"),))
        for name in "ab"
    }
    assert granted_reads("dynamodb:GetItem", Arn.parse(on), PLACE) == set()


def test_an_index_is_read_as_its_table_and_backups_are_listed_by_the_request() -> None:
    """IAM knows no index where backups or tags are read, and no resource where backups are listed."""
    index = INDEX.arn
    for action in ("dynamodb:DescribeContinuousBackups", "dynamodb:ListTagsOfResource"):
        assert granted_reads(action, index, PLACE) == {Grant(action, str(TABLE.arn))}
    assert granted_reads("dynamodb:ListBackups", TABLE.arn, PLACE) == {Grant("dynamodb:ListBackups", "*")}


def test_every_reader_has_its_permission() -> None:
    """Whatever nightshift.signals and nightshift.surroundings read can be granted."""
    every = (DLQ, WORKER, ALARM, BUCKET, FUNCTION, MACHINE, DATABASE, SEARCH, RULE, API, POOL, TABLE, *KEPT_UP)
    examples = {each.arn.kind: each.arn for each in every}
    named = {"s3:bucket": LISTED, "dynamodb:table": LOCKS}  # with what is read in it
    for kind in signals.KINDS.values():
        arn = named.get(kind.names) or examples.get(kind.names)
        assert arn is not None, f"no example of {kind.names} in this test"
        for action in kind.actions:
            assert granted_reads(action, arn, PLACE)
    for names, actions in surroundings.ACTIONS.items():
        arn = QUEUE if names == "*" else examples[names]
        for action in actions:
            assert granted_reads(action, arn, PLACE)


def test_an_unknown_action_is_refused() -> None:
    """A guessed resource is either missing at three in the morning or wider than anybody decided."""
    with pytest.raises(ConfigError, match=r"x needs sqs:PurgeQueue.*\n?.*_SCOPES"):
        grants_for(["sqs:PurgeQueue"], [DLQ], PLACE, who="x")


@pytest.mark.parametrize(
    "action, resources",
    [
        ("sqs:DeleteMessage", {str(QUEUE)}),
        ("sqs:SendMessage", {str(SOURCE)}),
        ("ecs:DescribeServices", {str(SERVICE)}),
        ("ecs:StopTask", {"arn:aws:ecs:eu-central-1:111122223333:task/apps/*"}),
        (
            "ecs:StopServiceDeployment",
            {"arn:aws:ecs:eu-central-1:111122223333:service-deployment/apps/worker/*", str(SERVICE)},
        ),
        ("s3:PutObject", {"arn:aws:s3:::q/letters/*"}),
        ("cloudwatch:GetMetricData", {"*"}),
    ],
)
def test_an_action_is_allowed_on_the_narrowest_resource(action: str, resources: set[str]) -> None:
    """The target, what it names, or what belongs to it; ``*`` where AWS offers nothing else."""
    assert {grant.resource for grant in grants_for([action], [DLQ], PLACE, who="x")} == resources


def test_executions_are_those_of_the_listed_machine() -> None:
    """Redriven by their own ARNs, which begin with its name; started by its own."""
    executions = "arn:aws:states:eu-central-1:111122223333:execution:docs:*"
    assert grants_for(["states:RedriveExecution"], [MACHINE, DLQ], PLACE, who="x") == {
        Grant("states:RedriveExecution", executions)
    }
    assert grants_for(["states:StartExecution"], [MACHINE, DLQ], PLACE, who="x") == {
        Grant("states:StartExecution", str(MACHINE.arn))
    }


def test_a_clusters_range_may_be_changed_and_its_password_not_handed_over() -> None:
    """Its instances are found out at that moment, and only described."""
    (grant,) = grants_for(["rds:ModifyDBCluster"], [DATABASE, DLQ], PLACE, who="x")
    condition = ("BoolIfExists", "rds:ManageMasterUserPassword", "false")
    assert grant == Grant("rds:ModifyDBCluster", str(DATABASE.arn), (condition,))
    (grant,) = grants_for(["rds:DescribeDBInstances"], [DATABASE, DLQ], PLACE, who="x")
    assert grant.resource == "arn:aws:rds:eu-central-1:111122223333:db:*"
    assert reason(grant.resource, ["rds:DescribeDBInstances"])
    snapshots = {each.resource for each in grants_for(["rds:DescribeDBClusterSnapshots"], [DATABASE], PLACE, who="x")}
    assert snapshots == {str(DATABASE.arn), "arn:aws:rds:eu-central-1:111122223333:cluster-snapshot:*"}


def test_only_of_the_alias_that_a_function_names_is_anything_kept_ready() -> None:
    """Of no other alias or version, and of nothing where none is named; what is kept ready is listed for all of it."""
    actions = ["lambda:PutProvisionedConcurrencyConfig", "lambda:DeleteProvisionedConcurrencyConfig"]
    assert {each.resource for each in grants_for(actions, [FUNCTION, DLQ], PLACE, who="x")} == {f"{FUNCTION.arn}:live"}
    assert grants_for(actions, [replace(FUNCTION, provisioned=None), DLQ], PLACE, who="x") == set()
    listed = grants_for(["lambda:ListProvisionedConcurrencyConfigs"], [FUNCTION], PLACE, who="x", reading=True)
    assert {grant.resource for grant in listed} == {str(FUNCTION.arn)}


def test_only_triggers_are_deleted_and_only_by_their_version() -> None:
    """Under their prefix, with the version that was meant; and sent to their customers' queues alone."""
    (grant,) = grants_for(["s3:DeleteObject"], [TRIGGERS, DLQ], PLACE, who="x")
    assert grant == Grant("s3:DeleteObject", f"{CHANGES}/customers/*", (("Null", "s3:if-match", "false"),))
    assert {each.resource for each in grants_for(["sqs:SendMessage"], [TRIGGERS], PLACE, who="x")} == {str(SOURCE)}
    assert {each.resource for each in grants_for(["s3:PutObject"], [TRIGGERS], PLACE, who="x")} == {
        "arn:aws:s3:::q/triggers/*"
    }


def test_what_was_set_apart_is_listed_by_whoever_looks_after_triggers_alone() -> None:
    """
    Under letters/ of the quarantine; and of a bucket of triggers only the prefix that is watched.

    Whoever looks at one object is told that it is gone only if it may list it: S3 says that it is denied else.
    """
    gone = {
        Grant("s3:ListBucket", str(CHANGES), (("StringLike", "s3:prefix", f"{each}/*"),))
        for each in ("customers", "archive")
    }
    assert grants_for(["s3:ListBucket"], [TRIGGERS, DLQ, WORKER], PLACE, who="x") == {
        Grant("s3:ListBucket", "arn:aws:s3:::q", (("StringLike", "s3:prefix", "letters/*"),)),
        *gone,
    }
    assert grants_for(["s3:ListBucket"], [TRIGGERS], PLACE, who="s3-trigger-stuck") == gone
    (listed,) = granted_reads("s3:ListBucket", LISTED, PLACE)
    assert listed == Grant("s3:ListBucket", str(CHANGES), (("StringEquals", "s3:prefix", "customers/"),))


def test_both_ends_of_a_pipeline_are_listed_and_only_its_queue_is_told() -> None:
    """Each under the prefix that is named for it; as the reading of it says, and as its target does."""
    assert PIPELINE.pipeline is not None
    route = Route.of(RAW, PIPELINE.pipeline)
    both = {
        Grant("s3:ListBucket", str(RAW), (("StringEquals", "s3:prefix", "air/raw/"),)),
        Grant("s3:ListBucket", "arn:aws:s3:::curated", (("StringEquals", "s3:prefix", "air/"),)),
    }
    assert granted_reads("s3:ListBucket", Arn.parse(str(route)), PLACE) == both
    assert grants_for(["s3:ListBucket"], [PIPELINE], PLACE, who="x") == both
    assert {each.resource for each in grants_for(["sqs:SendMessage"], [PIPELINE], PLACE, who="x")} == {str(SOURCE)}


def test_a_function_is_called_only_where_no_queue_is_told_instead() -> None:
    """By its own name; whoever names a queue calls nothing, and whoever names none sends to nobody."""
    called = grants_for(["lambda:InvokeFunction", "sqs:SendMessage"], [CALLED], PLACE, who="x")
    assert called == {Grant("lambda:InvokeFunction", str(FUNCTION.arn))}
    assert grants_for(["lambda:InvokeFunction"], [PIPELINE], PLACE, who="x") == set()


def test_a_backup_is_written_apart_from_what_it_is_made_of() -> None:
    """Copies of the archive alone, and what is written of them; whoever compares reads the backup alone."""
    who, under = "archive-backup-due", "arn:aws:s3:::safe/changes"
    target = replace(TRIGGERS, backup=Backup(Arn.parse("arn:aws:s3:::safe"), "changes/"))
    archive = (("StringLike", "s3:prefix", "archive/*"),)
    copied = (("StringLike", "s3:x-amz-copy-source", "changes/archive/*"),)
    assert grants_for(["s3:GetObject", "s3:ListBucket", "s3:PutObject"], [target], PLACE, who=who) == {
        Grant("s3:GetObject", f"{CHANGES}/archive/*"),
        Grant("s3:ListBucket", str(CHANGES), archive),
        Grant("s3:PutObject", f"{under}/objects/*", copied),
        Grant("s3:PutObject", f"{under}/manifests/*"),
        Grant("s3:PutObject", f"{under}/complete/*"),
    }
    assert grants_for(["s3:GetObject", "s3:ListBucket"], [target], PLACE, who=who, reading=True) == {
        Grant("s3:GetObject", f"{under}/*"),
        Grant("s3:ListBucket", str(CHANGES), archive),
        Grant("s3:ListBucket", "arn:aws:s3:::safe", (("StringEquals", "s3:prefix", "changes/"),)),
    }
    listed = Grant("s3:ListBucket", "arn:aws:s3:::safe", (("StringEquals", "s3:prefix", "changes/"),))
    assert granted_reads("s3:ListBucket", Arn.parse(f"{under}/"), PLACE) == {listed}
    for reading in (True, False):
        actions = ["s3:ListBucket", "s3:PutObject"]
        assert not any(
            "safe" in each.resource for each in grants_for(actions, [TRIGGERS], PLACE, who=who, reading=reading)
        )


def test_an_archive_is_written_only_by_copying_what_it_holds_or_once_held() -> None:
    """By the one remediation that puts lost objects back; and its versions are listed under its prefix alone."""
    objects, copied = f"{CHANGES}/archive/*", (("StringLike", "s3:x-amz-copy-source", "changes/archive/*"),)
    assert grants_for(["s3:PutObject"], [TRIGGERS], PLACE, who="archive-object-lost") == {
        Grant("s3:PutObject", objects, copied)
    }
    assert grants_for(["s3:GetObjectVersion"], [TRIGGERS], PLACE, who="x") == {Grant("s3:GetObjectVersion", objects)}
    archive = Arn.parse(f"{CHANGES}/archive/")
    listed = Grant("s3:ListBucketVersions", str(CHANGES), (("StringLike", "s3:prefix", "archive/*"),))
    assert grants_for(["s3:ListBucketVersions"], [TRIGGERS], PLACE, who="x") == {listed}
    assert granted_reads("s3:ListBucketVersions", archive, PLACE) == {listed}
    assert granted_reads("s3:GetObject", archive, PLACE) == {Grant("s3:GetObject", objects)}


def test_only_the_roles_that_a_target_names_are_passed_on_and_only_to_ecs() -> None:
    """No target, no role; no role, no permission."""
    (grant,) = grants_for(["iam:PassRole"], [WORKER, DLQ], PLACE, who="x")
    assert grant == Grant(
        "iam:PassRole", str(ROLE), (("StringEquals", "iam:PassedToService", "ecs-tasks.amazonaws.com"),)
    )


def test_names_are_read_in_the_named_zone_only_and_certificates_where_there_is_a_load_balancer() -> None:
    """No record, no zone; no load balancer, no certificate."""
    wanted = ["acm:DescribeCertificate", "route53:ListResourceRecordSets"]
    assert {grant.resource for grant in grants_for(wanted, [WORKER, DLQ], PLACE, who="x")} == {
        "arn:aws:acm:eu-central-1:111122223333:certificate/*",
        "arn:aws:route53:::hostedzone/Z0123456789",
    }
    assert grants_for(wanted, [DLQ], PLACE, who="x") == set()


def test_a_key_is_usable_for_one_queue_only() -> None:
    """Which key a queue has is not known; whose messages it may decrypt is."""
    found = grants_for(["kms:Decrypt"], [DLQ], PLACE, who="x")
    queues = {
        value for grant in found for _, key, value in grant.conditions if key == "kms:EncryptionContext:aws:sqs:arn"
    }
    assert queues == {str(QUEUE), str(SOURCE)}


def test_tasks_are_listed_in_one_cluster_only() -> None:
    """ListTasks has no resource of ours, so its cluster is a condition."""
    (grant,) = grants_for(["ecs:ListTasks"], [WORKER], PLACE, who="x")
    assert grant.conditions == (("ArnEquals", "ecs:cluster", "arn:aws:ecs:eu-central-1:111122223333:cluster/apps"),)


def test_equal_permissions_are_one_statement_whatever_their_order() -> None:
    """The same grants give the same policy."""
    grants = [Grant("b:Y", "1"), Grant("a:X", "2"), Grant("a:X", "1"), Grant("b:Y", "2"), Grant("c:Z", "3")]
    assert statements(grants) == statements(reversed(grants))
    assert [(each.actions, each.resources) for each in statements(grants)] == [
        (("a:X", "b:Y"), ("1", "2")),
        (("c:Z",), ("3",)),
    ]


def test_conditions_that_differ_in_one_key_are_one_statement_and_never_in_two() -> None:
    """Lists of values under one key mean "any of them"; under two keys they would allow every combination."""

    def grant(queue: str, service: str) -> Grant:
        return Grant("kms:Decrypt", "key", (("StringEquals", "queue", queue), ("StringEquals", "via", service)))

    (one,) = statements([grant("a", "sqs"), grant("b", "sqs")])
    assert one.conditions == (("StringEquals", "queue", ("a", "b")), ("StringEquals", "via", ("sqs",)))
    assert len(statements([grant("a", "sqs"), grant("b", "s3")])) == 2


def test_many_reads_become_one_pattern_of_their_kind() -> None:
    """Beyond the limit, and for that action only, within the account and Region."""
    grants = {Grant("sqs:GetQueueAttributes", PLACE.arn("sqs", f"q{number}")) for number in range(3)}
    grants |= {Grant("ecs:DescribeServices", str(SERVICE))}
    assert condense(grants, PLACE, many=3) == grants
    assert condense(grants, PLACE, many=2) == {
        Grant("sqs:GetQueueAttributes", PLACE.arn("sqs", "*")),
        Grant("ecs:DescribeServices", str(SERVICE)),
    }


def test_every_pattern_has_its_reason() -> None:
    """What cdk-nag is told is what the table says, and what nobody gave a reason for is refused."""
    assert "no resource type" in reason("*", ["cloudwatch:GetMetricData"])
    assert "task" in reason(PLACE.arn("ecs", "task/apps/*"), ["ecs:StopTask"])
    with pytest.raises(ConfigError, match="sqs:DeleteMessage"):
        reason("*", ["sqs:DeleteMessage"])
    with pytest.raises(ConfigError, match="pattern"):
        reason("arn:aws:rds:eu-central-1:111122223333:cluster:*", ["rds:ModifyDBCluster"])


@pytest.mark.parametrize("action", sorted(ANYWHERE))
def test_what_may_be_allowed_everywhere_has_no_resource_in_aws(action: str) -> None:
    """
    By AWS's own data, but for two: tasks of Fargate, whose cluster is a condition, and alarms.

    AWS leaves composite alarms out for whoever may not describe all of them; it is only read.
    """
    assert not definition(action).resources or action in {"ecs:ListTasks", *UNDIVIDED}
    assert all(definition(each).reads for each in UNDIVIDED)


@pytest.mark.corrects("domain-snapshots")
@pytest.mark.parametrize("action", sorted({*_SCOPES, *WORST, *(each for each in NEVER if "*" not in each)}))
def test_every_action_that_is_named_is_one_of_awss(action: str) -> None:
    """A slip of the pen would grant, deny or describe nothing."""
    assert definition(action).name == action


def test_what_changes_anything_says_what_it_would_mean_at_worst() -> None:
    """One line for each action that can be granted and that AWS does not call a read."""
    assert {action for action in _SCOPES if not definition(action).reads} <= WORST.keys()


@pytest.mark.parametrize("action", sorted(set(_SCOPES) - ANYWHERE.keys()))
def test_a_resource_is_of_a_kind_that_the_action_is_for(action: str) -> None:
    """A permission on another kind of resource looks like one and is none."""
    targets = [
        DLQ,
        EVENTS,
        WORKER,
        ALARM,
        BUCKET,
        FUNCTION,
        MACHINE,
        DATABASE,
        SEARCH,
        KEYED,
        PIPELINE,
        Target(arn=LISTED, group="g"),
        Target(arn=Arn.parse("arn:aws:dynamodb:eu-central-1:111122223333:table/t"), group="g"),
        RULE,
        API,
        POOL,
        *KEPT_UP,
        Target(arn=LOCKS, group="g"),
    ]
    found = {grant.resource for grant in grants_for([action], targets, PLACE, who="x")}
    kinds = [definition(action).kinds_of(resource) for resource in found]
    assert found
    assert all(kinds)
    assert definition(action).required <= frozenset().union(*kinds)


@pytest.mark.parametrize("action", ["logs:StartQuery", "logs:GetQueryResults"])
def test_only_the_log_that_a_target_names_may_be_queried(action: str) -> None:
    """Logs hold what nobody meant to be read: where none is named, none is granted."""
    assert grants_for([action], [WORKER, DLQ], PLACE, who="x") == {Grant(action, f"{LOG}:*")}


def test_almost_nothing_that_changes_anything_may_be_allowed_everywhere() -> None:
    """
    The list of actions that may have ``*`` holds reads, and the two that send traces.

    And the two about a GraphQL API's cache, which AWS scopes to nothing: whose it is, a guardrail looks at instead.
    """
    changing = {
        action for action in ANYWHERE if not action.split(":")[1].startswith(("Describe", "Get", "List", "Lookup"))
    }
    caches = {"appsync:CreateApiCache", "appsync:DeleteApiCache"}
    assert changing == {"xray:PutTelemetryRecords", "xray:PutTraceSegments", *caches}
    assert {Call("appsync", action.partition(":")[2], "arn:of:one").checked for action in caches} == {"*"}


def test_only_the_api_that_a_pool_names_is_read_for_it() -> None:
    """Its tokens open that one and no other."""
    assert grants_for(["appsync:GetGraphqlApi"], [POOL], PLACE, who="x") == {
        Grant("appsync:GetGraphqlApi", str(API.arn))
    }
