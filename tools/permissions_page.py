"""
Write docs/reference/permissions.md: what each role may do, why, which call needed it, and what it would mean at worst.

Nothing on the page is typed but its prose: grants are read from the synthesized roles, uses from the calls of the
nights, figures from the proof (tools/iam/proof.py), reasons from infra/permissions.py. Run by `make permissions-page`;
a test fails when the page is not current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from nightshift.remediations import REMEDIATIONS

from infra.permissions import ANYWHERE, MANY, NEVER, WILDCARDS, WORST, reason
from tools.iam.definitions import action as definition
from tools.iam.policy import Condition, Grant
from tools.iam.proof import FUNCTIONS, Proof, Session, proof

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "permissions.md"

WHY = {
    "application-autoscaling:DescribeScalableTargets": "does autoscaling scale it, and within which limits?",
    "application-autoscaling:DescribeScalingPolicies": "would autoscaling use a higher limit?",
    "application-autoscaling:DeregisterScalableTarget": "limits that got no policy are taken back: they scale nothing",
    "application-autoscaling:PutScalingPolicy": "the cure, once a person has said yes: a table follows its use",
    "application-autoscaling:RegisterScalableTarget": "the cure where autoscaling is at its limit, or not there at all",
    "acm:DescribeCertificate": "is what a listener shows to clients valid? When does a registered certificate end?",
    "acm:ListTagsForCertificate": "is the certificate's stack being changed right now? Then it is told later",
    "appsync:CreateApiCache": "the cure: a slow API is lent a cache, after a person's yes",
    "appsync:DeleteApiCache": "the lent cache is taken back",
    "appsync:GetApiCache": "has the API a cache, is it ours, and is it ready?",
    "appsync:GetGraphqlApi": "how does the API know who asks, and of which user pool does it take tokens?",
    "appsync:ListResolvers": "is any resolver set up to use a cache?",
    "appsync:ListTagsForResource": "has the API opted in, is it protected, and is its stack being changed right now?",
    "cognito-idp:DescribeUserPool": "which triggers has the pool, can it send messages, and when was it changed?",
    "cognito-idp:DescribeUserPoolClient": "how may people sign in? Of its secret, which AWS answers, nothing is told",
    "cognito-idp:ListTagsForResource": "is the pool's stack being changed right now? Then it is told later",
    "cloudformation:ContinueUpdateRollback": "the cure, once a person has said yes: continue a rollback that failed",
    "cloudformation:DescribeStackEvents": "what failed in a stack, and whether our own call began anything",
    "cloudformation:DescribeStacks": "is the target's stack being changed right now? Then nothing is done",
    "cloudtrail:LookupEvents": "who has changed the rule, or the table? Whoever may have meant it is asked",
    "cloudwatch:DeleteAlarms": "what AWS asks of whoever sets limits of autoscaling, or takes them away",
    "cloudwatch:DescribeAlarms": "is the alarm raised, and what does it watch?",
    "cloudwatch:GetMetricData": "the figures by which sickness and health are told",
    "cloudwatch:PutMetricAlarm": "what AWS asks of whoever sets limits of autoscaling: the alarms are AWS's own",
    "cloudwatch:ListTagsForResource": "is the alarm's stack being changed right now? Then it is told later",
    "dynamodb:BatchGetItem": "the kill switch and the record, in one consistent read before every write",
    "dynamodb:ConditionCheckItem": "a lease is taken only while the budget lasts, in one transaction",
    "dynamodb:CreateBackup": "what a person has asked for: a backup, before they change the table",
    "dynamodb:DeleteItem": "forget what is over",
    "dynamodb:DescribeContinuousBackups": "to which times could the table be put back?",
    "dynamodb:DescribeTimeToLive": "by what do the table's items expire?",
    "dynamodb:GetResourcePolicy": "whom does the table let in?",
    "dynamodb:DescribeLimits": "how much capacity AWS allows a table of this account",
    "dynamodb:DescribeTable": "how much capacity it has, whether it is being changed, and when it was lowered last",
    "dynamodb:GetItem": "records, leases, budgets, the brake; and who holds the lock of a Terraform state",
    "dynamodb:ListBackups": "which backups of the table were made by hand? AWS scopes it to no table",
    "dynamodb:PutItem": "open incidents, keep pointers, brake and heartbeat",
    "dynamodb:Query": "what is open, what is due, what was told",
    "dynamodb:ListTagsOfResource": "has the table opted in, is it protected, is its stack being changed right now?",
    "dynamodb:UpdateItem": "claim and save an incident",
    "dynamodb:UpdateTable": "the cure: more capacity, for a while; and what AWS asks of whoever has a table scaled",
    "ec2:DescribeSecurityGroups": "whom does the load balancer's security group let in? It is never opened",
    "ecr:DescribeImages": "would a restart ship new code? Then it is refused",
    "ecs:DescribeServiceRevisions": "which images run, where no task says so",
    "ecs:DescribeServices": "does the service run, and is it being deployed?",
    "ecs:DescribeTasks": "which images run, which task has which address, and why others ended",
    "ecs:ListServiceDeployments": "which revision runs, where no task says so",
    "ecs:ListTagsForResource": "has it opted in, and is it protected?",
    "ecs:ListTasks": "which tasks run, and which have stopped",
    "ecs:StopTask": "the cure: one bad task, while the others are well; ECS starts another one in its place",
    "elasticloadbalancing:DescribeListenerCertificates": "which certificates does a listener show?",
    "elasticloadbalancing:DescribeListeners": "where does the load balancer take requests?",
    "elasticloadbalancing:DescribeLoadBalancers": "is the load balancer itself well, and whom may it let in?",
    "elasticloadbalancing:DescribeRules": "does any rule lead requests to the service?",
    "elasticloadbalancing:DescribeTargetHealth": "which task is unhealthy, and why",
    "ecs:DescribeServiceDeployments": "was the deployment stopped, where the answer was lost?",
    "ecs:DescribeTaskDefinition": "which roles going back would pass on",
    "ecs:StopServiceDeployment": "the cure: ECS ends a bad release that is under way, and goes back",
    "ecs:UpdateService": "the cure: a forced new deployment of what runs; more tasks, for a while; the release before",
    "logs:FilterLogEvents": "of what kind are the errors of a version? Its own streams, ten minutes, counted",
    "logs:GetQueryResults": "what a count of requests by path has come to",
    "logs:StartQuery": "which paths fail or are slow: fifteen minutes of the log that the target names",
    "iam:PassRole": "ECS takes a task definition with roles only from whoever may pass them on",
    "kms:Decrypt": "what is read is encrypted",
    "kms:DescribeKey": "which key it is: IAM knows keys by nothing but their ARN",
    "kms:Encrypt": "DynamoDB asks for it of whoever uses an encrypted table",
    "kms:GenerateDataKey": "what is written is encrypted",
    "kms:ReEncryptFrom": "DynamoDB asks for it of whoever uses an encrypted table",
    "kms:ReEncryptTo": "DynamoDB asks for it of whoever uses an encrypted table",
    "events:DescribeRule": "is the rule enabled?",
    "events:EnableRule": "the cure: the schedule starts its function again",
    "events:ListTagsForResource": "has the rule opted in, is it protected, is it meant to be disabled?",
    "lambda:GetAccountSettings": "how much concurrency has the account to spare?",
    "lambda:GetAlias": "to which version does an alias point? AWS keeps no history, so each sweep notes it",
    "lambda:ListVersionsByFunction": "is the version before still there, and another one?",
    "lambda:UpdateAlias": "the cure: an alias points back to the version before",
    "lambda:PutFunctionConcurrency": "the cure: more of a function's calls may run at once, for a while",
    "lambda:DeleteProvisionedConcurrencyConfig": "what was kept ready is given up",
    "lambda:GetFunctionConcurrency": "has somebody switched the consumer off?",
    "lambda:GetFunctionConfiguration": "does AWS say that the function has failed, and how long may a call take?",
    "lambda:GetPolicy": "may S3, EventBridge or SNS still call the function?",
    "lambda:InvokeFunction": "the cure: the function is given a failed event, a raw object, or an hour without data",
    "lambda:ListAliases": "through which aliases is a function called whose calls fail?",
    "lambda:ListProvisionedConcurrencyConfigs": "is anything kept ready, is it ours, and is it there yet?",
    "lambda:PutProvisionedConcurrencyConfig": "the cure: instances are kept ready for a while, after a person's yes",
    "lambda:ListTags": "is the function's stack being changed right now? Then it is told later",
    "lambda:ListEventSourceMappings": "which function consumes the queue, and is it enabled, and what is read for it?",
    "logs:CreateLogStream": "the function's own log",
    "logs:PutLogEvents": "the function's own log",
    "s3:DeleteObject": "a trigger that was processed is deleted, if it is still the same",
    "s3:GetBucketNotification": "does the bucket still tell the queue of what comes in, or call the function?",
    "s3:GetBucketCORS": "which pages may upload to the bucket from a browser?",
    "s3:GetBucketLogging": "does anybody log what the bucket answers, and where?",
    "s3:GetBucketOwnershipControls": "does the bucket refuse access lists?",
    "s3:GetBucketPolicy": "what does the bucket's policy deny?",
    "s3:GetBucketPublicAccessBlock": "what does the bucket refuse to the public?",
    "s3:GetBucketTagging": "has it opted in, is it protected, and is its stack being changed right now?",
    "s3:GetBucketVersioning": "does the bucket keep what is deleted or written over?",
    "s3:GetEncryptionConfiguration": "which key is the bucket encrypted with?",
    "s3:GetObject": "what a trigger is, and what the archive says of its change",
    "route53:ListResourceRecordSets": "does its name lead to the load balancer?",
    "s3:GetObjectVersionTagging": "has the version tags? They would be copied too, and so a person copies it",
    "s3:GetObjectVersion": "can an earlier version of an object be read? And what S3 copies when it is put back",
    "s3:GetReplicationConfiguration": "is the bucket copied elsewhere, so that what it lost may be there?",
    "s3:ListBucketVersions": "what stands in an archive, what was lately deleted, and which versions there are of it",
    "s3:PutObject": "poison and triggers are stored, before they are deleted; a lost object of an archive is put back",
    "s3:ListBucket": "does S3 answer at all? Which triggers, raw files and hours stand, what was set apart?",
    "secretsmanager:DescribeSecret": "when was a secret rotated, and when should it have been? Never its value",
    "secretsmanager:ListSecretVersionIds": "since when has it had its value?",
    "sns:Publish": "people are told",
    "sqs:CancelMessageMoveTask": "the undo of a move",
    "sqs:ChangeMessageVisibility": "a letter that stays is shown to others again",
    "sqs:DeleteMessage": "what was sent home, stored or worked on is taken out",
    "sqs:GetQueueAttributes": "how many messages there are, and where letters go",
    "sqs:ListDeadLetterSourceQueues": "which queue letters came from",
    "sqs:ListMessageMoveTasks": "is somebody moving letters already, and how far is it?",
    "sqs:ListQueueTags": "has it opted in, and is it protected?",
    "sqs:ListQueues": "do the queues exist? One call for a thousand",
    "sqs:ReceiveMessage": "letters are looked at before anything is decided; work is taken",
    "sqs:SendMessage": "letters go home; a lost notification is sent once more; work is handed out",
    "sqs:SetQueueAttributes": "a visibility timeout or a retention is raised, and no other attribute ever named",
    "sqs:StartMessageMoveTask": "the rest of many letters goes home by SQS's own hand",
    "es:DescribeDomain": "how many nodes should it have, and is it being changed?",
    "es:DescribeDomainHealth": "how many of its shards lie on no node?",
    "es:ListTags": "has it opted in, and is it protected?",
    "rds:CreateDBClusterSnapshot": "what a person has asked for: a snapshot, before they change the database",
    "rds:DescribeDBClusterSnapshots": "is there a snapshot that somebody made by hand?",
    "rds:DescribeDBClusters": "how much capacity may it have, and is it available?",
    "rds:DescribeDBInstances": "which instances has it, and which of them are serverless?",
    "rds:ListTagsForResource": "has it opted in, and is it protected?",
    "rds:ModifyDBCluster": "the cure: another maximum of its capacity, and later the old one again",
    "states:DescribeExecution": "how did an execution end, and can it be redriven? Of its input only the size is kept",
    "states:DescribeStateMachine": "is it a STANDARD machine, and which definition does it have now?",
    "states:DescribeStateMachineForExecution": "by which definition would a redrive go on?",
    "states:ListExecutions": "which executions failed, and have others succeeded since?",
    "states:ListTagsForResource": "has it opted in, and is it protected?",
    "states:RedriveExecution": "the cure: an execution goes on from the step that failed",
    "states:StartExecution": "the cure where AWS cannot redrive it: its input is started anew, once",
    "sts:AssumeRole": "to act, under a write role cut down to one step of one plan",
    "sts:SetSourceIdentity": "under the incident's name, which AWS's trail then shows",
    "xray:PutTelemetryRecords": "traces",
    "xray:PutTraceSegments": "traces",
}
"""what each action is for"""

_WHAT = {
    "sweep": "every minute: looks at everything, opens incidents, hands out work",
    "alarm": "the one that strangers can wake: it can only put work on the queue",
    "tick": "looks at one target, moves one incident; to act it takes a write role",
    "digest": "every quarter of an hour: sends the reports that the clock asks for; reads records and figures, and for "
    "the day's health what the sweep reads and what AWS says of each target",
}

_HEAD = f"""# Permissions

What each role may do, what it is for, and which call needed it. Written by `make permissions-page` from the synthesized
roles and from the calls that the functions make in the sandbox; a test fails when it is not current, and when a figure
is not 0. What a call needs is what AWS documents: the service authorization reference, the services' pages on keys.

- **missing**: a call that its role and its session policy together do not allow.
- **unused**: an action on a resource under a condition that a role allows and that no call needed.
- **broader**: a pattern or `*` where AWS has something narrower and nobody gave a reason; a condition that AWS does not
  know for the action; a write of a function on anything but our own; a session that allows more than its step calls.

Names in capitals stand for what is called differently in every deployment: `DLQ` and `SOURCE` are a registered
dead-letter queue and the queue it belongs to, `CLUSTER/SERVICE` is a service, `CONSUMER` a Lambda function that empties
a queue, `FUNCTION` one whose failed events lie in a `DLQ`, `BUCKET` has triggers in it, `RAW` and `CURATED` are the
two ends of a pipeline; `TABLE`, `WORK`, `MISSED`,
`REPORTS`, `QUARANTINE`, `KEY` and `LOG` are Nightshift's own. Account and Region are left out: they are always the
deployment's. A function's role *reads* more than {MANY} resources of one kind by a pattern of that kind, because their
ARNs do not fit into a role; what is written is always named one by one.

"""


def page() -> str:
    """The page as it should be. Raises KeyError for an action of which nobody said what it is for, or at worst."""
    found = proof()
    remedies = [each.name for each in REMEDIATIONS if found.uses.get(each.name)]
    parts = [_HEAD, _figures(found, [*FUNCTIONS, *remedies])]
    parts += ["\n## The functions\n", *(_role(found, name, _WHAT[name]) for name in FUNCTIONS)]
    parts += ["\n## The write roles\n", _ABOUT_WRITE_ROLES]
    parts += [_role(found, each.name, f"acts where {each.title}") for each in REMEDIATIONS if found.uses.get(each.name)]
    parts += [_sessions(found.sessions), _worst(found), _denied(), _patterns(found)]
    return "".join(parts)


_ABOUT_WRITE_ROLES = """
Only the tick may assume them, only under an incident's id as session name and source identity; it does so for fifteen
minutes and for one step, cut down by a session policy: see [below](#the-sessions).
"""


def _figures(found: Proof, roles: Iterable[str]) -> str:
    lines = ["| role | allowed | used | missing | unused | broader |", "|---|---|---|---|---|---|"]
    for role in roles:
        uses = found.uses[role]
        wrong = [sum(each.role == role for each in kind) for kind in (found.missing, found.unused, found.broader)]
        used = sum(bool(by) for by in uses.values())
        lines.append(f"| [{role}](#{role}) | {len(uses)} | {used} | {' | '.join(map(str, wrong))} |")
    return "\n".join(lines) + "\n"


def _role(found: Proof, name: str, what: str) -> str:
    lines = [f"\n### {name}\n", f"{what[0].upper()}{what[1:]}.\n", "| action | on | if | what for | needed by |"]
    lines.append("|---|---|---|---|---|")
    for grant, by in sorted(found.uses[name].items()):
        cells = (f"`{grant.action}`", _resource(grant.resource), _conditions(grant.conditions), WHY[grant.action])
        lines.append(f"| {' | '.join(cells)} | {', '.join(sorted(by))} |")
    return "\n".join(lines) + "\n"


def _resource(resource: str) -> str:
    return "`*`" if resource == "*" else f"`{resource}`"


def _conditions(conditions: Iterable[Condition]) -> str:
    return "<br>".join(f"`{each.key}` is `{each.values[0]}`" for each in conditions)


def _sessions(sessions: Iterable[Session]) -> str:
    lines = [
        "\n## The sessions\n",
        "Every session of every night allowed exactly the calls of its step, with what AWS does in our name for them.",
        "The rule: what a step's sessions allow, a session of the same remediation has used. What the step itself did",
        "not need in these nights (a redrive stores a letter only where one turns out to be poison) stands in the last",
        "column.\n",
        "| remediation | step | allowed | not needed in these nights |",
        "|---|---|---|---|",
    ]
    by_step = sorted(sessions, key=lambda session: (session.remediation, session.step))
    for (remediation, step), group in groupby(by_step, key=lambda session: (session.remediation, session.step)):
        those = list(group)
        given = {pair for session in those for pair in _pairs(session.allowed)}
        idle = given - {pair for session in those for pair in _pairs(session.used)}
        lines.append(f"| {remediation} | {step} | {'<br>'.join(sorted(given))} | {'<br>'.join(sorted(idle))} |")
    return "\n".join(lines) + "\n"


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A queue's key has another name in every account."""
    return (f"`{action}` on `{'the key' if action.startswith('kms:') else resource}`" for action, resource in pairs)


def _worst(found: Proof) -> str:
    lines = [
        "\n## At worst\n",
        "What somebody could do who has taken over a role and is bound by nothing but IAM: no plan, no guardrail, no",
        "session policy. Reading aside: each role reads what stands in its table above.\n",
        "| action | roles | at worst |",
        "|---|---|---|",
    ]
    actions: dict[str, set[str]] = {}
    for role, uses in found.uses.items():
        for grant in uses:
            if not definition(grant.action).reads:
                actions.setdefault(grant.action, set()).add(role)
    lines += [f"| `{name}` | {', '.join(sorted(roles))} | {WORST[name]} |" for name, roles in sorted(actions.items())]
    return "\n".join(lines) + "\n"


def _denied() -> str:
    lines = [
        "\n## Never\n",
        "Every role denies each action that it does not allow (a flat no to everything else), so that a policy which",
        "is attached later gives it nothing. A function's role also denies to change, send to or assume anything but",
        "what is named in it, and to write the kill switch. So none of this can be done; and a generated",
        "[permissions boundary](../how-to/deploy.md#deploy) denies it by name:\n",
        "| action | why |",
        "|---|---|",
        *(f"| `{action}` | {why} |" for action, why in sorted(NEVER.items())),
    ]
    return "\n".join(lines) + "\n"


def _patterns(found: Proof) -> str:
    """Each pattern and each action on everything that a role has, with its reason."""
    grants = {grant for uses in found.uses.values() for grant in uses if "*" in grant.resource}
    whys = {(_resource(grant.resource), _actions(grant)): _reason(grant) for grant in grants}
    lines = [
        "\n## Why anything is a pattern\n",
        "| on | what | why |",
        "|---|---|---|",
        *(f"| {resource} | {actions} | {why} |" for (resource, actions), why in sorted(whys.items())),
        *(f"| the policy of `KEY` | `{action}` | {why} |" for action, why in sorted(WILDCARDS.items())),
    ]
    return "\n".join(lines) + "\n"


def _actions(grant: Grant) -> str:
    return f"`{grant.action}`" if grant.resource == "*" else "what its table says"


def _reason(grant: Grant) -> str:
    if grant.resource == "*":
        return ANYWHERE[grant.action]
    service, _, name = grant.resource.partition(":")
    return reason(f"arn:aws:{service}:::{name}", [grant.action])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
