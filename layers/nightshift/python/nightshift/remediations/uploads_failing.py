"""
Uploads to a bucket fail: say on which part of their way, and what to do there.

Symptom   the function that signs their URLs fails; many requests to the bucket are answered with an error; or URLs are
          signed, and nothing arrives
Cause     the function itself; CORS rules that do not let the page upload; URLs that end too early; what is too large
Cure      none of ours: who may upload from where, and for how long, is for people to say
Proof     URLs are signed, and what is uploaded with them arrives
Undo      nothing was changed
Source    runbook 3 "Upload Failures", and its "Upload success" (> 99 %, alert at < 95 %)

What it will not do: sign a URL, upload to try, read an object, set a CORS rule, or read the function's environment. S3
counts no reason: whether a URL had expired stands in its access log alone, as AccessDenied. A browser that is told by
CORS that it may not upload does not ask again, so nothing is counted but the question. What the bucket refuses to
everybody (its key, policy and blocks) is s3-access-denied's, where that looks after it too.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from nightshift import serving, states
from nightshift.errors import Denied, Refused, Rejected, Unreadable
from nightshift.model import (
    Alternative,
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Queries,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Series, Unread
from nightshift.serving import Part, State
from nightshift.upkeep import READ_ONLY, WRITE

__all__ = ["Upload", "UploadsFailing"]

_PERIOD = 300  # seconds
_WINDOW = 30  # minutes that a look judges
_PARTS = 3  # the newest ones, in which something should have arrived
_QUARTER, _DAY = 900, 24 * 60  # a day is then a hundred points
_SESSION = timedelta(hours=1)  # from where on a URL may outlive what it was signed with
_REFUSES = 20.0  # per cent, from where on s3-access-denied tells the same, if nobody has set it otherwise
_FUNCTION, _REFUSED, _FAILED, _NOTHING = "function", "refused", "failed", "nothing"
"""where on their way they fail: the signing, the bucket's rules, S3 itself, or before any of it is asked"""
_MIB = 1024 * 1024
_QUOTAS = (
    "what goes through Lambda or API Gateway itself is at most 6 MB or 10 MB a request; a single upload straight to S3 "
    "is at most 5 GB, and larger ones are to be sent in parts"
)


class Upload(BaseModel):
    """How one bucket is uploaded to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origins: tuple[str, ...] = Field(
        default=(), max_length=20, description='pages that upload from a browser, such as "https://app.example.com"'
    )
    method: str = Field(default="PUT", pattern="^(PUT|POST)$", description="how they upload: PUT or POST")
    headers: tuple[str, ...] = Field(
        default=("content-type",), max_length=20, description="headers that the browser must be let send"
    )
    function: str = Field(default="", max_length=64, description="name of the Lambda function that signs the URLs")
    valid: timedelta | None = Field(
        default=None, gt=timedelta(0), le=timedelta(days=7), description="how long a URL is signed for"
    )
    filter_id: str = Field(
        default="EntireBucket",
        min_length=1,
        max_length=64,
        description="the id of the bucket's metrics configuration; one for what is uploaded alone tells most",
    )


@dataclass(frozen=True, slots=True)
class _Fault:
    """Where uploads fail, what is told of it, and what was measured."""

    where: str
    says: str
    signal: Signal


class UploadsFailing(ReportOnly):
    """A bucket to which people cannot upload."""

    name: ClassVar[str] = "uploads-failing"
    title: ClassVar[str] = "uploads fail"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    reads: ClassVar[tuple[str, ...]] = ("s3:GetBucketCORS", "s3:GetBucketLogging")

    failed: float = Field(default=5, gt=0, lt=100, description="per cent of requests, or of calls, that may fail")
    least: PositiveInt = Field(default=20, description="requests, or calls, in five minutes that it takes to tell")
    buckets: dict[str, Upload] = Field(
        default={},
        max_length=1000,
        description="[remediations.uploads-failing.buckets.NAME]: how the bucket of that name is uploaded to",
    )

    def takes(self, target: Target) -> bool:
        """Of buckets those alone that somebody uploads to, as far as anybody has said."""
        return super().takes(target) and (self.name in target.remediations or target.arn.name in self.buckets)

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        upload = self._upload(target)
        return (*_calls(upload), *_requests(target.arn, upload))

    def _upload(self, target: Target) -> Upload:
        return self.buckets.get(target.arn.name, Upload())

    def detect(self, target: Target, seen: Readings) -> Observation:
        fault = self._judged(target, seen)
        if not isinstance(fault, _Fault):
            return fault
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"{target.arn.name}: {fault.says}",
                signals=(fault.signal,),
                severity=Severity.SEV2,
            )
        )

    def _judged(self, target: Target, seen: Readings) -> _Fault | Healthy | Unknown:
        """The first part of their way on which they fail; what cannot be seen of the rest does not hide it."""
        upload = self._upload(target)
        signed: tuple[Part, ...] = ()
        blind = ""
        if upload.function:
            read = _read(_calls(upload), seen)
            if isinstance(read, Unknown):
                blind = read.reason
            else:
                calls, errors = read
                signed = _parts(calls, errors, _calls(upload)[0], seen)
                state = serving.judged(signed, self.failed, self.least)
                if state is State.BAD:
                    says = f"of the calls to {upload.function}, which signs its URLs, fail"
                    return self._fault(signed, says, _FUNCTION)
                blind = "the calls that sign URLs failed, and too few were made since" if state is State.UNTOLD else ""
        found = self._arriving(target, upload, signed, seen)
        return Unknown(blind) if blind and not isinstance(found, _Fault) else found

    def _arriving(
        self, target: Target, upload: Upload, signed: Sequence[Part], seen: Readings
    ) -> _Fault | Healthy | Unknown:
        """What the bucket counts, and what it should have counted."""
        queries = _requests(target.arn, upload)
        read = _read(queries, seen)
        if isinstance(read, Unknown):
            return read
        every, refused, failed, put, posted, of_day = read
        if not every.points and not of_day.points:
            return Unknown(f"nobody counts the requests to {target.arn.name}, or none came in a day: {_on(target.arn)}")
        states_of = []
        for bad, what, says in (
            (failed, _FAILED, "of the requests to it fail in S3 (5xx)"),
            (refused, _REFUSED, "of the requests to it are refused (4xx)"),
        ):
            parts = _parts(every, bad, queries[0], seen)
            states_of.append(serving.judged(parts, self.failed, self.least))
            if states_of[-1] is State.BAD:
                return self._fault(parts, says, what)
        lately = [part.requests - part.requests * (part.value or 0) / 100 for part in signed[-_PARTS:]]
        since = serving.bounds(seen.at, queries[0])[-_PARTS]
        came = sum(value for series in (put, posted) for at, value in series.points if at >= since)
        if lately and min(lately) >= self.least and not came:
            text = f"{sum(lately):.0f} URLs were signed in {_PARTS * 5} minutes, and nothing was uploaded"
            signal = Signal("uploads", 0, 1, f"{_PARTS * 5} minutes")
            return _Fault(_NOTHING, text, signal)
        if State.UNTOLD in states_of:
            return Unknown("requests failed, and too few came since to tell whether they still do")
        if all(state is State.QUIET for state in states_of):
            return Healthy(f"too few requests to tell: fewer than {self.least} in five minutes", idle=True)
        return Healthy("most uploads succeed")

    def _fault(self, parts: Sequence[Part], says: str, where: str) -> _Fault:
        worst = max(part.value or 0.0 for part in parts[-_PARTS:])
        signal = Signal(f"per cent {says}", round(worst, 1), self.failed, "5 minutes, 2 of 3", "%")
        return _Fault(where, f"{worst:.0f} % {says}", signal)

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """By what is seen now, and by what the bucket says of itself."""
        del finding
        fault = self._judged(target, read.seen(*self.watch(target)))
        if isinstance(fault, Unknown):
            raise Unreadable("cloudwatch:GetMetricData", "Unread", fault.reason, resource=str(target.arn))
        if isinstance(fault, Healthy):
            raise Refused("uploads", "they do not fail any more", retry_after=timedelta(minutes=1))
        upload, bucket = self._upload(target), target.arn.name
        barred, blind = _barred(read, bucket, upload)
        logged = _logged(read, bucket)
        largest = states.series(read, _metric(target.arn, upload, "BytesUploaded", "Maximum", _QUARTER, _DAY))
        size = [f"the largest upload of a day had {max(largest.last(_DAY)) / _MIB:.1f} MiB"] if largest.points else []
        cors = bool(barred) and fault.where in {_REFUSED, _NOTHING}
        return Diagnosis(
            target=str(target.arn),
            cause=f"{bucket}: {_cause(fault.where, upload, barred if cors else ())}",
            evidence=(
                f"{bucket}: {fault.says}",
                *barred,
                *blind,
                *_validity(upload),
                *size,
                logged,
            ),
            rejected=(Alternative("CORS", "its rules let every page that was named upload"),)
            if upload.origins and not barred and not blind
            else (),
            advice=_advice(target.arn, upload, fault.where, cors=cors),
            whose="s3-access-denied" if fault.where == _REFUSED and not cors and fault.signal.value > _REFUSES else "",
        )


# -- figures -----------------------------------------------------------------------------------------------------------


def _calls(upload: Upload) -> tuple[MetricQuery, ...]:
    """Calls to the function that signs, and those of them that failed."""
    if not upload.function:
        return ()
    dimensions = (("FunctionName", upload.function),)
    return tuple(
        MetricQuery("AWS/Lambda", name, dimensions, "Sum", _PERIOD, _WINDOW) for name in ("Invocations", "Errors")
    )


def _requests(arn: Arn, upload: Upload) -> tuple[MetricQuery, ...]:
    """All requests, what was refused of them, what failed, what was uploaded; and whether any came in a day."""
    names = ("AllRequests", "4xxErrors", "5xxErrors", "PutRequests", "PostRequests")
    lately = (_metric(arn, upload, name, "Sum", _PERIOD, _WINDOW) for name in names)
    return (*lately, _metric(arn, upload, "AllRequests", "Sum", _QUARTER, _DAY))


def _metric(arn: Arn, upload: Upload, name: str, stat: str, period: int, minutes: int) -> MetricQuery:
    """A request metric: there where a metrics configuration of the bucket has this id, and where it was asked."""
    dimensions = (("BucketName", arn.name), ("FilterId", upload.filter_id))
    return MetricQuery("AWS/S3", name, dimensions, stat, period, minutes)


def _read(queries: Sequence[MetricQuery], seen: Readings) -> list[Series] | Unknown:
    found = []
    for query in queries:
        series = seen.metric(query)
        if isinstance(series, Unread):
            return Unknown(series.reason)
        found.append(series)
    return found


def _parts(every: Series, bad: Series, query: MetricQuery, seen: Readings) -> tuple[Part, ...]:
    """What share failed, in per cent, and of how many: counted only where there is something to count."""
    asked, failed = dict(every.points), dict(bad.points)
    return tuple(
        Part(at, asked.get(at, 0.0), 100 * failed.get(at, 0.0) / asked[at] if asked.get(at) else None)
        for at in serving.bounds(seen.at, query)
    )


# -- what the bucket says of itself ------------------------------------------------------------------------------------


def _barred(read: Reader, bucket: str, upload: Upload) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Which pages CORS does not let upload, and how; and what could not be read.

    A browser asks first where a page uploads to another origin: some rule must name it, the method and each header.
    """
    if not upload.origins:
        return (), ("which pages upload to it nobody has said, so its CORS rules cannot be judged",)
    try:
        rules = read("s3", "GetBucketCors", Bucket=bucket).get("CORSRules", ())
    except Denied as error:
        return (), (f"its CORS rules cannot be read: {error.action} is denied to Nightshift too",)
    except Rejected as error:
        if error.code != "NoSuchCORSConfiguration":
            raise
        rules = ()
    if not rules:
        return ("it has no CORS rules: no page may upload to it from a browser",), ()
    return tuple(why for origin in upload.origins if (why := _bars(rules, origin, upload))), ()


def _bars(rules: Sequence[Mapping[str, Any]], origin: str, upload: Upload) -> str:
    """Why no rule lets a page upload; empty where one does."""
    named = [rule for rule in rules if any(_matches(each, origin) for each in rule.get("AllowedOrigins") or ())]
    if not named:
        return f"no CORS rule names {origin}"
    methods = [rule for rule in named if upload.method in (rule.get("AllowedMethods") or ())]
    if not methods:
        return f"no CORS rule lets {origin} {upload.method}"
    for rule in methods:
        let = [str(each).lower() for each in rule.get("AllowedHeaders") or ()]
        if all(any(_matches(each, header.lower()) for each in let) for header in upload.headers):
            return ""
    return f"no CORS rule lets {origin} send {' and '.join(upload.headers)}"


def _matches(pattern: object, text: str) -> bool:
    """S3 takes one ``*`` in an origin or a header, for any characters."""
    before, star, after = str(pattern).partition("*")
    if not star:
        return before == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


def _logged(read: Reader, bucket: str) -> str:
    """Where the bucket's answers are written down one by one, if they are."""
    try:
        to = read("s3", "GetBucketLogging", Bucket=bucket).get("LoggingEnabled")
    except Denied as error:
        return f"whether it is logged cannot be read: {error.action} is denied to Nightshift too"
    if not to:
        return "nobody logs what it answers: which error each upload got is not written down"
    return f"each answer is written down, hours late, in s3://{to.get('TargetBucket')}/{to.get('TargetPrefix', '')}"


def _validity(upload: Upload) -> tuple[str, ...]:
    if upload.valid is None:
        return ("how long its URLs are valid nobody has said",)
    said = f"its URLs are signed for {states.minutes(upload.valid)} minutes"
    if upload.valid > _SESSION:
        said += ", and end before that with the credentials that they were signed with: a role's are temporary"
    return (said,)


# -- why, and what would help ------------------------------------------------------------------------------------------


def _cause(where: str, upload: Upload, barred: Sequence[str]) -> str:
    if where == _FUNCTION:
        return f"{upload.function} fails, so nobody gets a URL to upload with"
    if where == _FAILED:
        return "S3 itself fails requests, or turns them away because there are too many at once (503 Slow Down)"
    if barred:
        return barred[0]
    if where == _NOTHING:
        return "URLs are signed, and nobody reaches the bucket with them: the page, or the network before it"
    return (
        "uploads are refused, and CORS is not known to be why: URLs that have expired, what they ask for, or its rules"
    )


def _advice(arn: Arn, upload: Upload, where: str, *, cors: bool) -> tuple[str, ...]:
    one = f"--bucket {shlex.quote(arn.name)}"
    if where == _FUNCTION:
        log = shlex.quote(f"/aws/lambda/{upload.function}")
        return (f"read what it says: aws logs tail {log} --since 30m {READ_ONLY}",)
    if where == _FAILED:
        return (
            "have whatever uploads try again, later each time: Slow Down ends by itself as S3 scales a prefix up",
            "where all keys begin alike, spread them over more prefixes; look at the AWS Health Dashboard",
        )
    found = []
    if cors:
        put = f"aws s3api put-bucket-cors {one} --cors-configuration file://cors.json {WRITE}"
        found.append(f"see its rules: aws s3api get-bucket-cors {one} {READ_ONLY}")
        found.append(
            f"name the page, the method and its headers, and keep the other rules, for all are replaced: {put}"
        )
    if where == _NOTHING:
        found.append(
            "upload once from a browser, and look at its console: a blocked upload stands there, and nowhere else"
        )
    if where == _REFUSED and not cors:
        found.append(
            "see the error's code in a browser, or in the access log: AccessDenied (with Request has expired), "
            "EntityTooLarge, SignatureDoesNotMatch (a header or method that was not signed)"
        )
        found.append(
            "if URLs have expired: sign one when the upload begins, not when the page is opened, before they are "
            "signed for longer; check the clock of whatever signs"
        )
        found.append(f"if something is too large: {_QUOTAS}")
    found.append(
        f"if nothing is logged, have it logged: aws s3api put-bucket-logging {one} "
        f"--bucket-logging-status file://logging.json {WRITE}"
    )
    found.append("storage that a tenant has used up is the application's own quota: S3 has none for a bucket")
    return tuple(found)


def _on(arn: Arn) -> str:
    name = shlex.quote(arn.name)
    return (
        f"aws s3api put-bucket-metrics-configuration --bucket {name} --id EntireBucket "
        "--metrics-configuration Id=EntireBucket switches request metrics on"
    )
