"""
The thin DynamoDB against moto's: the same calls, the same answers, the same refusals.

Where moto forgives what DynamoDB does not, the rule stands in a test of its own, against the thin one only.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from nightshift import aws as nightshift_aws
from nightshift.errors import Fenced, StoreUnavailable
from nightshift.guardrails import Brake
from nightshift.incidents import Claim, Event, Incidents, Pointer, Watched, incident_id
from nightshift.model import Acknowledgement, Approval, Call, Finding, Incident, Phase, SwitchState, Verdict

from sandbox import World
from sandbox.deployment import make_table
from sandbox.seam import AwsError
from sandbox.seam import Call as SeamCall
from sandbox.thin.dynamodb import DynamoDb

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TABLE = "incidents"
Params = dict[str, Any]
Outcome = tuple[str, Any]


def key(pk: str = "a", sk: str = "x", **more: Any) -> Params:
    """A key of the table, and what else an item has."""
    return {"pk": {"S": pk}, "sk": {"S": sk}, **more}


def told(do: Callable[[], Params]) -> Outcome:
    """What a call came to, as far as both have it: its answer, or its error and why a transaction was cancelled."""
    try:
        answer = do()
    except ClientError as error:
        return refusal(error.response)
    except ParamValidationError:
        return "ParamValidation", None
    except AwsError as error:
        return refusal({"Error": {"Code": error.code}, **error.details})
    left_out = {"ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics"}
    return "", {name: value for name, value in answer.items() if name not in left_out}


def refusal(response: Params) -> Outcome:
    """The code of an error, and what else is told beside it."""
    if response["Error"]["Code"] == "ParamValidation":
        return "ParamValidation", None
    return response["Error"]["Code"], [response.get("CancellationReasons"), response.get("Item")]


class Both:
    """Moto's and the thin one, called alike."""

    def __init__(self, world: World, table: str = TABLE) -> None:
        self.world = world
        self.table = table
        self.thin = DynamoDb(lambda: world.now)
        self.client = world.client("dynamodb")
        for name in self.client.list_tables()["TableNames"]:  # the world is shared
            self.client.delete_table(TableName=name)
        make_table(self.client, table)
        make_table(Client(self.thin), table)

    def each(self, operation: str, **params: Any) -> tuple[Outcome, Outcome]:
        """What moto says, and what the thin one says."""
        if operation not in {"BatchGetItem", "TransactWriteItems"}:
            params = {"TableName": self.table, **params}
        before = copy.deepcopy(params)
        method = getattr(self.client, xform_name(operation))
        moto = told(lambda: cast(Params, method(**copy.deepcopy(params))))
        thin = told(lambda: self.thin.operations[operation](params))
        assert params == before
        return moto, thin

    def __call__(self, operation: str, **params: Any) -> Outcome:
        """What both say."""
        moto, thin = self.each(operation, **params)
        assert thin == moto, f"{operation}({params})"
        return thin

    def transact(self, *items: Params, **more: Any) -> Outcome:
        """A transaction on the table. What an item does not bear, moto takes for what is wrong with the request."""
        named = [{kind: {"TableName": self.table, **part} for kind, part in item.items()} for item in items]
        moto, thin = self.each("TransactWriteItems", TransactItems=named, **more)
        if thin[0] == "TransactionCanceledException" and any(each["Code"] == "ValidationError" for each in thin[1][0]):
            assert moto[0] == "ValidationException"
        else:
            assert thin == moto, items
        return thin

    def scan(self) -> list[Params]:
        """All that both hold."""
        moto, thin = self.each("Scan")
        found = [sorted(outcome[1]["Items"], key=json.dumps) for outcome in (moto, thin)]
        assert found[0] == found[1]
        return cast(list[Params], found[1])

    def everything(self) -> list[Params]:
        """All that both hold, and the table and its index in order."""
        found = self.scan()
        for pk in {item["pk"]["S"] for item in found}:
            values = {":pk": {"S": pk}}
            for forward in (True, False):
                self(
                    "Query",
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues=values,
                    ScanIndexForward=forward,
                )
        self.index()
        return found

    def index(self, condition: str = "due_shard = :shard", **more: Any) -> list[Params]:
        """What both find by the index. Nobody promises an order of items with the same sort key."""
        values = {":shard": {"S": "DUE"}, **more.pop("values", {})}
        moto, thin = self.each(
            "Query",
            IndexName="due",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            **more,
        )
        items = [outcome[1]["Items"] for outcome in (moto, thin)]
        assert [item["due_at"] for item in items[1]] == [item["due_at"] for item in items[0]]
        assert sorted(items[1], key=json.dumps) == sorted(items[0], key=json.dumps)
        return cast(list[Params], items[1])


class Client:
    """As much of a client as makes a table."""

    def __init__(self, thin: DynamoDb) -> None:
        self._thin = thin

    def create_table(self, **params: Any) -> Params:
        """As boto3's."""
        return self._thin.operations["CreateTable"](params)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One world for all of this file, because it takes long to make; each test has tables of its own."""
    with World(START, seed=1) as world:
        yield world


@pytest.fixture
def both(world: World) -> Both:
    """A table in both."""
    return Both(world)


@pytest.fixture
def thin() -> Thin:
    """A table in the thin one alone."""
    return Thin()


class Thin:
    """The thin one alone, on a clock of its own."""

    def __init__(self) -> None:
        self.now = START
        self.db = DynamoDb(lambda: self.now)
        make_table(Client(self.db), TABLE)

    def __call__(self, operation: str, **params: Any) -> Params:
        """Its answer."""
        if operation not in {"BatchGetItem", "TransactWriteItems"}:
            params = {"TableName": TABLE, **params}
        return self.db.operations[operation](params)

    def item(self, pk: str = "a", sk: str = "x") -> Params | None:
        """An item as it stands."""
        return self("GetItem", Key=key(pk, sk)).get("Item")

    def update(self, expression: str, names: Params | None = None, **values: Any) -> Params:
        """Update the item, and say what it is."""
        params: Params = {"Key": key(), "UpdateExpression": expression, "ReturnValues": "ALL_NEW"}
        if names is not None:
            params["ExpressionAttributeNames"] = names
        if values:
            params["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
        attributes: Params = self("UpdateItem", **params).get("Attributes", {})
        return attributes

    def refused(self, operation: str, match: str, **params: Any) -> None:
        """A call that DynamoDB would not carry out; nothing is changed by it."""
        before = self("Scan")
        with pytest.raises(AwsError, match=match) as caught:
            self(operation, **params)
        assert caught.value.code == "ValidationException"
        assert self("Scan") == before


# -- one item ----------------------------------------------------------------------------------------------------------


def test_items_come_back_as_they_were_put(both: Both) -> None:
    """Every type of value, and nothing where there is nothing."""
    values: Params = {
        "text": {"S": "ä €"},
        "empty": {"S": ""},
        "number": {"N": "-12.5"},
        "bytes": {"B": b"\x00\xff"},
        "yes": {"BOOL": True},
        "nothing": {"NULL": True},
        "list": {"L": [{"S": "a"}, {"N": "1"}, {"L": []}]},
        "map": {"M": {"a": {"M": {"b": {"S": "c"}}}}},
        "names": {"SS": ["a", "b"]},
        "numbers": {"NS": ["1", "2"]},
        "blobs": {"BS": [b"a", b"b"]},
    }
    assert both("GetItem", Key=key()) == ("", {})
    assert both("PutItem", Item=key(**values)) == ("", {})
    assert both("GetItem", Key=key(), ConsistentRead=True) == ("", {"Item": key(**values)})
    both("GetItem", Key=key(), ProjectionExpression="sk, #n, absent", ExpressionAttributeNames={"#n": "map"})
    both("GetItem", Key=key(), ProjectionExpression="#n.a.b", ExpressionAttributeNames={"#n": "map"})


def test_what_was_there_is_returned(both: Both) -> None:
    """By put, delete and update, where it is asked for, and where there was something."""
    both("PutItem", Item=key(n={"N": "1"}), ReturnValues="ALL_OLD")
    both("PutItem", Item=key(n={"N": "2"}), ReturnValues="ALL_OLD")
    both("PutItem", Item=key(n={"N": "2"}), ReturnValues="NONE")
    for wanted in ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"):
        values = {":one": {"N": "1"}, ":wanted": {"S": wanted}}  # moto names as updated only what has become another
        update = {"UpdateExpression": "SET n = n + :one, m = :wanted", "ExpressionAttributeValues": values}
        both("UpdateItem", Key=key(), ReturnValues=wanted, **update)
    both("DeleteItem", Key=key(), ReturnValues="ALL_OLD")
    both("DeleteItem", Key=key(), ReturnValues="ALL_OLD")
    assert both.everything() == []


@pytest.mark.parametrize(
    "condition, values",
    [
        ("attribute_exists(n)", {}),
        ("attribute_not_exists(n)", {}),
        ("attribute_exists(m.k)", {}),
        ("n = :v", {":v": {"N": "5"}}),
        ("n <> :v", {":v": {"N": "5"}}),
        ("absent <> :v", {":v": {"N": "5"}}),
        ("absent = :v", {":v": {"N": "5"}}),
        ("NOT absent = :v", {":v": {"N": "5"}}),
        ("n < :v", {":v": {"N": "5"}}),
        ("n <= :v", {":v": {"N": "5"}}),
        ("n > :v", {":v": {"N": "10"}}),
        ("n >= :v", {":v": {"N": "5"}}),
        (":v < n", {":v": {"N": "10"}}),
        ("t < :v", {":v": {"S": "b"}}),
        ("n BETWEEN :v AND :w", {":v": {"N": "1"}, ":w": {"N": "9"}}),
        ("t BETWEEN :v AND :w", {":v": {"S": "b"}, ":w": {"S": "c"}}),
        ("n IN (:v, :w)", {":v": {"N": "1"}, ":w": {"N": "5"}}),
        ("begins_with(t, :v)", {":v": {"S": "ab"}}),
        ("begins_with(t, :v)", {":v": {"S": "b"}}),
        ("contains(t, :v)", {":v": {"S": "c"}}),
        ("contains(ss, :v)", {":v": {"S": "p"}}),
        ("contains(ss, :v)", {":v": {"S": "z"}}),
        ("contains(l, :v)", {":v": {"N": "1"}}),
        ("attribute_type(n, :v)", {":v": {"S": "N"}}),
        ("attribute_type(n, :v)", {":v": {"S": "S"}}),
        ("m.k = :v", {":v": {"S": "inner"}}),
        ("yes = :v", {":v": {"BOOL": True}}),
        ("n = :v AND t = :w OR attribute_exists(m)", {":v": {"N": "1"}, ":w": {"S": "x"}}),
        ("n = :v AND (t = :w OR attribute_exists(m))", {":v": {"N": "1"}, ":w": {"S": "x"}}),
        ("NOT (n = :v) AND NOT t = :w", {":v": {"N": "1"}, ":w": {"S": "x"}}),
        ("n < n2", {}),
    ],
)
def test_conditions(both: Both, condition: str, values: Params) -> None:
    """Each says the same of an item that is there, and of one that is not."""
    item = key(
        n={"N": "5"},
        n2={"N": "5"},
        t={"S": "abc"},
        yes={"BOOL": True},
        m={"M": {"k": {"S": "inner"}}},
        ss={"SS": ["p", "q"]},
        l={"L": [{"N": "1"}]},
    )
    both("PutItem", Item=item)
    more: Params = {"ExpressionAttributeValues": values} if values else {}
    codes = set()
    for sk in ("x", "absent"):
        codes.add(both("DeleteItem", Key=key(sk=sk), ConditionExpression=condition, **more)[0])
    assert codes <= {"", "ConditionalCheckFailedException"}
    both.everything()


@pytest.mark.parametrize(
    "expression, values",
    [
        ("SET n = :v", {":v": {"N": "1"}}),
        ("SET n = n + :v, t = :w", {":v": {"N": "-7"}, ":w": {"S": "w"}}),
        ("SET n = n - :v", {":v": {"N": "0.5"}}),
        ("SET n = :v + n", {":v": {"N": "3"}}),
        ("SET c = t, t = c", {}),
        ("SET c = n REMOVE n", {}),
        ("SET d = if_not_exists(d, :v)", {":v": {"N": "0"}}),
        ("SET n = if_not_exists(n, :v)", {":v": {"N": "0"}}),
        ("SET d = if_not_exists(d, :v) + :w", {":v": {"N": "0"}, ":w": {"N": "1"}}),
        ("SET l = list_append(l, :v)", {":v": {"L": [{"S": "b"}]}}),
        ("SET m.k = :v", {":v": {"S": "new"}}),
        ("SET m.k2 = m.k", {}),
        ("SET x.k = :v", {":v": {"S": "new"}}),
        ("SET d = absent", {}),
        ("SET d = t + :v", {":v": {"N": "1"}}),
        ("REMOVE n, t, absent", {}),
        ("REMOVE m.k", {}),
        ("ADD n :v", {":v": {"N": "2"}}),
        ("ADD d :v SET t = :w", {":v": {"N": "2"}, ":w": {"S": "w"}}),
        ("ADD t :v", {":v": {"N": "2"}}),
        ("ADD n :v", {":v": {"S": "2"}}),
        ("ADD ss :v", {":v": {"SS": ["q", "r"]}}),
        ("ADD d :v", {":v": {"SS": ["r"]}}),
        ("DELETE ss :v", {":v": {"SS": ["q", "r"]}}),
        ("DELETE ss :v", {":v": {"SS": ["p", "q"]}}),
        ("SET due_at = :v", {":v": {"S": "2027"}}),
        ("REMOVE due_shard", {}),
        ("SET due_at = :v REMOVE due_shard", {":v": {"S": "2027"}}),
        ("SET pk = :v", {":v": {"S": "b"}}),
        ("REMOVE sk", {}),
        ("SET n = :v, n = :w", {":v": {"N": "1"}, ":w": {"N": "1"}}),
        ("SET n = :v REMOVE n", {":v": {"N": "1"}}),
        ("SET n = :v SET t = :v", {":v": {"N": "1"}}),
        ("SET n = :missing", {":v": {"N": "1"}}),
        ("SET n = :v", {":v": {"N": "1"}, ":unused": {"N": "1"}}),
        ("SET n = #missing", {}),
        ("SET state = :v", {":v": {"N": "1"}}),
        ("SET n = 5", {}),
        ("SET n : :v", {":v": {"N": "1"}}),
        ("HELLO n = :v", {":v": {"N": "1"}}),
    ],
)
def test_updates(both: Both, expression: str, values: Params) -> None:
    """Each leaves the same item, or is refused by the same code."""
    item = key(
        n={"N": "5"},
        t={"S": "abc"},
        m={"M": {"k": {"S": "inner"}}},
        ss={"SS": ["p", "q"]},
        l={"L": [{"S": "a"}]},
        c={"S": "see"},
        due_shard={"S": "DUE"},
        due_at={"S": "2026"},
    )
    both("PutItem", Item=item)
    more: Params = {"ExpressionAttributeValues": values} if values else {}
    code, answer = both("UpdateItem", Key=key(), UpdateExpression=expression, ReturnValues="ALL_NEW", **more)
    assert code in {"", "ValidationException"}
    assert both.everything() == [answer["Attributes"] if not code else item]


def test_an_update_makes_an_item(both: Both) -> None:
    """With SET or ADD."""
    values = {":v": {"N": "1"}}
    both("UpdateItem", Key=key("a"), UpdateExpression="SET n = :v", ExpressionAttributeValues=values)
    both("UpdateItem", Key=key("b"), UpdateExpression="ADD n :v", ExpressionAttributeValues=values)
    assert len(both.everything()) == 2


def test_names_stand_for_names(both: Both) -> None:
    """Also for reserved ones, and ones with dots in them."""
    names = {"#s": "state", "#d": "a.b"}
    update = {"UpdateExpression": "SET #s = :v, #d = :v", "ConditionExpression": "attribute_not_exists(#s)"}
    more = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": {":v": {"S": "v"}}}
    assert both("UpdateItem", Key=key(), **update, **more)[0] == ""
    assert both("UpdateItem", Key=key(), **update, **more)[0] == "ConditionalCheckFailedException"
    assert both.everything() == [{**key(), "state": {"S": "v"}, "a.b": {"S": "v"}}]


def test_a_failed_condition_shows_the_item_where_asked(both: Both) -> None:
    """`ReturnValuesOnConditionCheckFailure`, alone and in a transaction."""
    both("PutItem", Item=key(n={"N": "1"}))
    asked = {"ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    code, (_, item) = both("PutItem", Item=key(), **asked)
    assert (code, item) == ("ConditionalCheckFailedException", key(n={"N": "1"}))
    code, (reasons, _) = both.transact({"Put": {"Item": key("b")}}, {"Put": {"Item": key(), **asked}})
    assert code == "TransactionCanceledException"
    assert [reason.get("Item") for reason in reasons] == [None, key(n={"N": "1"})]


@pytest.mark.parametrize(
    "operation, params",
    [
        ("GetItem", {"Key": {"pk": {"S": "a"}}}),
        ("GetItem", {"Key": key(sk="")}),
        ("GetItem", {"Key": key(), "Unknown": 1}),
        ("GetItem", {"Key": key(), "ConsistentRead": "yes"}),
        ("GetItem", {}),
        ("GetItem", {"Key": {"pk": {"S": 5}, "sk": {"S": "x"}}}),
        ("GetItem", {"Key": key(), "TableName": "another"}),
        ("PutItem", {"Item": {"pk": {"S": "a"}}}),
        ("PutItem", {"Item": {"pk": {"S": "a"}, "sk": {"N": "1"}}}),
        ("PutItem", {"Item": key(n={"X": "1"})}),
        ("PutItem", {"Item": key(due_at={"S": ""})}),
        ("PutItem", {"Item": key(n={"SS": []})}),
        ("PutItem", {"Item": key(n={"S": "x" * 410_000})}),
        ("PutItem", {"Item": key(), "ReturnValues": "ALL_NEW"}),
        ("PutItem", {"Item": key(), "ConditionExpression": "((attribute_exists(pk)))"}),
        ("PutItem", {"Item": key(), "ExpressionAttributeValues": {}}),
        ("DeleteItem", {"Key": {"pk": {"S": "a"}}}),
        ("Query", {"KeyConditionExpression": "sk = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}}),
        ("Query", {"KeyConditionExpression": "pk > :v", "ExpressionAttributeValues": {":v": {"S": "a"}}}),
        ("BatchGetItem", {"RequestItems": {TABLE: {"Keys": [key(), key()]}}}),
        ("BatchGetItem", {"RequestItems": {TABLE: {"Keys": [key(str(n)) for n in range(101)]}}}),
        ("BatchGetItem", {"RequestItems": {"another": {"Keys": [key()]}}}),
        ("TransactWriteItems", {"TransactItems": []}),
        ("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": TABLE, "Item": key()}}] * 2}),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": TABLE, "Item": key(str(n))}} for n in range(101)]},
        ),
        ("DescribeTable", {"TableName": "another"}),
    ],
)
def test_what_both_refuse(both: Both, operation: str, params: Params) -> None:
    """By the same code, and nothing is changed."""
    both("PutItem", Item=key())
    assert both(operation, **params)[0] != ""
    assert both.everything() == [key()]


# -- many items --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition, values",
    [
        ("pk = :pk", {}),
        ("pk = :pk AND sk = :v", {":v": {"S": "b"}}),
        ("sk = :v AND pk = :pk", {":v": {"S": "b"}}),
        ("pk = :pk AND sk < :v", {":v": {"S": "b"}}),
        ("pk = :pk AND sk <= :v", {":v": {"S": "b"}}),
        ("pk = :pk AND sk > :v", {":v": {"S": "b"}}),
        ("pk = :pk AND sk >= :v", {":v": {"S": "b"}}),
        ("pk = :pk AND sk BETWEEN :v AND :w", {":v": {"S": "aa"}, ":w": {"S": "c"}}),
        ("pk = :pk AND begins_with(sk, :v)", {":v": {"S": "b"}}),
        ("pk = :pk AND begins_with(sk, :v)", {":v": {"S": "z"}}),
    ],
)
def test_queries(both: Both, condition: str, values: Params) -> None:
    """Every comparison of a sort key, both ways, in pages of every size."""
    for sk in ("c", "a", "b", "bé", "ba", "aa", "b\U0010ffff"):
        both("PutItem", Item=key("p", sk, n={"N": str(len(sk))}))
    both("PutItem", Item=key("q", "b"))
    query = {"KeyConditionExpression": condition, "ExpressionAttributeValues": {":pk": {"S": "p"}, **values}}
    for forward in (True, False):
        _, whole = both("Query", ScanIndexForward=forward, **query)
        for limit in (1, 2, 3):
            found: list[Params] = []
            start: Params = {}
            while True:
                page = both.thin.operations["Query"](
                    {"TableName": TABLE, "ScanIndexForward": forward, "Limit": limit, **query, **start}
                )
                found += page["Items"]
                if "LastEvaluatedKey" not in page:
                    break
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
                both("Query", ScanIndexForward=forward, **query, **start)
            assert found == whole["Items"]


def test_a_filter_hides_and_counts(both: Both) -> None:
    """What is filtered out was scanned all the same."""
    for number in range(6):
        both("PutItem", Item=key("p", str(number), n={"N": str(number)}, t={"S": "t"}))
    query = {
        "KeyConditionExpression": "pk = :pk",
        "FilterExpression": "n > :n",
        "ProjectionExpression": "sk, n",
        "ExpressionAttributeValues": {":pk": {"S": "p"}, ":n": {"N": "3"}},
    }
    _, answer = both("Query", **query)
    assert (answer["Count"], answer["ScannedCount"]) == (2, 6)
    _, answer = both("Query", **query, Limit=2)
    assert (answer["Count"], answer["ScannedCount"]) == (0, 2)
    both("Scan", FilterExpression="n > :n", ExpressionAttributeValues={":n": {"N": "9"}})


def test_the_index_is_sparse_and_partial(both: Both) -> None:
    """It has the items that have its keys, in their order, and of them what it projects."""
    for number, due in enumerate(("2026-03", "2026-01", "2026-02", None)):
        due_at = {"due_at": {"S": due}} if due else {}
        both("PutItem", Item=key("p", str(number), due_shard={"S": "DUE"}, body={"S": "b"}, state={"S": "s"}, **due_at))
    found = both.index()
    assert [item["due_at"]["S"] for item in found] == ["2026-01", "2026-02", "2026-03"]
    assert all("body" not in item and "state" in item for item in found)
    values = {":until": {"S": "2026-02"}}
    assert len(both.index("due_shard = :shard AND due_at <= :until", values=values)) == 2
    assert len(both.index("due_shard = :shard AND due_at > :until", values=values, ScanIndexForward=False)) == 1
    both.everything()
    both("DeleteItem", Key=key("p", "1"))
    assert len(both.index()) == 2
    asked = {"KeyConditionExpression": "due_shard = :s", "ExpressionAttributeValues": {":s": {"S": "DUE"}}}
    assert both("Query", IndexName="due", ConsistentRead=True, **asked)[0] == "ValidationException"


def test_many_keys_at_once(both: Both) -> None:
    """Those that are there, projected."""
    for sk in ("a", "b", "c"):
        both("PutItem", Item=key("p", sk, state={"S": sk}, n={"N": "1"}))
    request: Params = {"Keys": [key("p", "c"), key("p", "zz"), key("p", "a")], "ConsistentRead": True}
    both("BatchGetItem", RequestItems={TABLE: request})
    request |= {"ProjectionExpression": "pk, #s", "ExpressionAttributeNames": {"#s": "state"}}
    _, answer = both("BatchGetItem", RequestItems={TABLE: request})
    assert len(answer["Responses"][TABLE]) == 2


def test_a_page_holds_a_megabyte(thin: Thin) -> None:
    """Of the items as they are stored, whatever is projected of them; of an index, as it holds them."""
    for number in range(5):
        due = {"due_shard": {"S": "DUE"}, "due_at": {"S": "2026"}}
        thin("PutItem", Item=key("p", str(number), body={"S": "b" * 300_000}, **due))
    query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "p"}}}
    first = thin("Query", ProjectionExpression="sk", **query)
    assert (first["Count"], first["LastEvaluatedKey"]) == (3, key("p", "2"))
    rest = thin("Query", ExclusiveStartKey=first["LastEvaluatedKey"], **query)
    assert rest["Count"] == 2
    assert "LastEvaluatedKey" not in rest
    assert thin("Scan")["Count"] == 3
    by_index = {"KeyConditionExpression": "due_shard = :s", "ExpressionAttributeValues": {":s": {"S": "DUE"}}}
    assert thin("Query", IndexName="due", **by_index)["Count"] == 5


def test_a_scan_in_pages_finds_each_item_once(thin: Thin) -> None:
    """Also when items go while it runs; its order is no order of keys."""
    wanted = {(f"p{number}", sk) for number in range(10) for sk in ("a", "b")}
    for pk, sk in wanted:
        thin("PutItem", Item=key(pk, sk))
    found: list[tuple[str, str]] = []
    start: Params = {}
    while True:
        page = thin("Scan", Limit=3, **start)
        found += [(item["pk"]["S"], item["sk"]["S"]) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        thin("DeleteItem", Key=page["LastEvaluatedKey"])
    assert sorted(found) == sorted(wanted)
    assert found != sorted(found)


# -- transactions ------------------------------------------------------------------------------------------------------


def test_all_or_nothing(both: Both) -> None:
    """One condition that fails, and nothing is written; the reasons say which."""
    both("PutItem", Item=key("there", n={"N": "1"}))
    one = {":one": {"N": "1"}}
    update = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": one}
    fine = [
        {"Put": {"Item": key("new"), "ConditionExpression": "attribute_not_exists(pk)"}},
        {"Update": {"Key": key("there"), "ConditionExpression": "n = :one", **update}},
        {"ConditionCheck": {"Key": key("other"), "ConditionExpression": "attribute_not_exists(pk)"}},
    ]
    failing = {"Delete": {"Key": key("gone"), "ConditionExpression": "attribute_exists(pk)"}}
    code, (reasons, _) = both.transact(*fine, failing)
    assert code == "TransactionCanceledException"
    assert [reason["Code"] for reason in reasons] == ["None", "None", "None", "ConditionalCheckFailed"]
    assert both.everything() == [key("there", n={"N": "1"})]
    assert both.transact(*fine) == ("", {})
    assert len(both.everything()) == 2
    assert both.transact(*fine)[0] == "TransactionCanceledException"
    both.transact({"Delete": {"Key": key("there")}}, {"Delete": {"Key": key("new")}})
    assert both.everything() == []


def test_a_transaction_sees_its_tables(both: Both) -> None:
    """One item by the same key in two tables is two items; a table that is not there is an error."""
    make_table(both.client, "second")
    make_table(Client(both.thin), "second")
    put = [{"Put": {"TableName": name, "Item": key()}} for name in (TABLE, "second")]
    assert both("TransactWriteItems", TransactItems=put) == ("", {})
    assert both("TransactWriteItems", TransactItems=[{"Put": {"TableName": "third", "Item": key()}}])[0] != ""


def test_a_token_makes_one_of_two(thin: Thin) -> None:
    """For ten minutes; with another content it is refused; a transaction that was cancelled does not count."""

    def add(amount: str, token: str, condition: str = "attribute_exists(pk)") -> None:
        update: Params = {"TableName": TABLE, "Key": key(), "UpdateExpression": "ADD n :a"}
        update |= {"ConditionExpression": condition, "ExpressionAttributeValues": {":a": {"N": amount}}}
        thin("TransactWriteItems", TransactItems=[{"Update": update}], ClientRequestToken=token)

    with pytest.raises(AwsError, match="TransactionCanceled"):
        add("1", "first")
    thin("PutItem", Item=key())
    add("1", "first")
    add("1", "first")
    add("1.0", "first")
    assert thin.item() == key(n={"N": "1"})
    for amount, condition in (("2", "attribute_exists(pk)"), ("1", "attribute_exists(sk)")):
        with pytest.raises(AwsError, match="IdempotentParameterMismatch"):
            add(amount, "first", condition)
    add("1", "second")
    thin.now += 10 * MINUTE
    add("1", "first")
    assert thin.item() == key(n={"N": "2"})
    thin.now += timedelta(seconds=1)
    add("1", "first")
    assert thin.item() == key(n={"N": "3"})
    with pytest.raises(AwsError, match="clientRequestToken"):
        add("1", "x" * 37)


def test_what_an_item_does_not_bear_cancels_a_transaction(thin: Thin) -> None:
    """A type that only the item shows is a reason; what the request shows by itself refuses it whole."""
    thin("PutItem", Item=key(t={"S": "text"}))

    def update(expression: str, value: Params) -> Params:
        values = {":v": value}
        part = {"TableName": TABLE, "Key": key(), "UpdateExpression": expression, "ExpressionAttributeValues": values}
        return {"TransactItems": [{"Put": {"TableName": TABLE, "Item": key("b")}}, {"Update": part}]}

    with pytest.raises(AwsError) as caught:
        thin("TransactWriteItems", **update("ADD t :v", {"N": "1"}))
    assert [reason["Code"] for reason in caught.value.details["CancellationReasons"]] == ["None", "ValidationError"]
    with pytest.raises(AwsError, match="ValidationException"):
        thin("TransactWriteItems", **update("ADD t :v", {"S": "1"}))
    assert thin.item("b") is None


# -- what moto forgives, or does not know ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, kept",
    [("007", "7"), ("-0", "0"), ("1.500", "1.5"), ("1e3", "1000"), ("1E-3", "0.001"), (".5", "0.5"), ("+3", "3")],
)
def test_numbers_are_normalised(thin: Thin, given: str, kept: str) -> None:
    """As DynamoDB gives them back; moto keeps them as they were written."""
    thin("PutItem", Item=key(n={"N": given}, m={"M": {"l": {"L": [{"N": given}]}}}, ns={"NS": [given, "99"]}))
    item = thin.item() or {}
    assert item["n"] == {"N": kept}
    assert item["m"] == {"M": {"l": {"L": [{"N": kept}]}}}
    assert sorted(item["ns"]["NS"]) == sorted([kept, "99"])


@pytest.mark.parametrize(
    "number", ["", "one", "1_000", " 1", "NaN", "Infinity", "1e126", "1e-131", "1e99999999999999999999", "1" * 39]
)
def test_what_is_no_number(thin: Thin, number: str) -> None:
    """38 digits, between 1E-130 and 9.99E+125; moto takes any text."""
    thin.refused("PutItem", ".", Item=key(n={"N": number}))


def test_sums_are_exact_or_refused(thin: Thin) -> None:
    """No rounding: what does not fit into 38 digits is an error."""
    assert thin.update("SET n = :a + :b", a={"N": "0.1"}, b={"N": "0.2"}) == key(n={"N": "0.3"})
    assert thin.update("SET n = :a - :b", a={"N": "1"}, b={"N": "1"}) == key(n={"N": "0"})
    with pytest.raises(AwsError, match="38 significant"):
        thin.update("SET n = :a + :b", a={"N": "1" + "0" * 50}, b={"N": "1"})


@pytest.mark.parametrize(
    "match, params",
    [
        ("unused in expressions: keys: {#x}", {"ExpressionAttributeNames": {"#n": "n", "#x": "x"}}),
        ("not defined; attribute name: #n", {"ExpressionAttributeNames": {"#x": "x"}}),
        ("ExpressionAttributeNames must not be empty", {"ExpressionAttributeNames": {}}),
        ("invalid key: Syntax error", {"ExpressionAttributeNames": {"#n": "n", "n": "n"}}),
        ("unused in expressions: keys: {:x}", {"ExpressionAttributeValues": {":v": {"N": "1"}, ":x": {"N": "1"}}}),
        ("not defined; attribute value: :v", {"ExpressionAttributeValues": {":x": {"N": "1"}}}),
        ("can not be empty", {"ConditionExpression": ""}),
        ("redundant parentheses", {"ConditionExpression": "((#n = :v))"}),
        ("reserved keyword: Status", {"ConditionExpression": "Status = :v"}),
        ("Syntax error", {"ConditionExpression": "_n = :v"}),
        ("Syntax error", {"ConditionExpression": "#n = :v AND"}),
        ("Syntax error", {"ConditionExpression": "#n = :v)"}),
        ("Syntax error", {"ConditionExpression": "#n ! :v"}),
        ("Syntax error", {"ConditionExpression": "#n == :v"}),
        ("must be distinct", {"ConditionExpression": "#n = #n"}),
        ("Invalid function name; function: Begins_With", {"ConditionExpression": "Begins_With(#n, :v)"}),
        ("not allowed in a condition", {"ConditionExpression": "if_not_exists(#n, :v)"}),
        ("number of operands: 1", {"ConditionExpression": "contains(#n)"}),
        ("requires a document path", {"ConditionExpression": "attribute_exists(:v)"}),
        ("function: begins_with, operand type: N", {"ConditionExpression": "begins_with(#n, :v)"}),
        (
            "function: <, operand type: BOOL",
            {"ConditionExpression": "#n < :v", "ExpressionAttributeValues": {":v": {"BOOL": True}}},
        ),
        (
            "greater than or equal",
            {
                "ConditionExpression": "#n BETWEEN :v AND :w",
                "ExpressionAttributeValues": {":v": {"N": "2"}, ":w": {"N": "1"}},
            },
        ),
        (
            "same data type",
            {
                "ConditionExpression": "#n BETWEEN :v AND :w",
                "ExpressionAttributeValues": {":v": {"N": "2"}, ":w": {"S": "3"}},
            },
        ),
        ("maximum allowed size", {"ConditionExpression": "#n = :v" + " " * 4096 + "AND #n = :v"}),
        ("more operators", {"ConditionExpression": " OR ".join(["#n=:v"] * 301)}),
    ],
)
@pytest.mark.parametrize("operation", ["PutItem", "DeleteItem", "UpdateItem", "TransactWriteItems"])
def test_conditions_are_checked_before_the_item_is(thin: Thin, operation: str, match: str, params: Params) -> None:
    """Whether or not the item would make them true. An unused name once went unseen."""
    asked: Params = {
        "ConditionExpression": "#n = :v",
        "ExpressionAttributeNames": {"#n": "n"},
        "ExpressionAttributeValues": {":v": {"N": "1"}},
        **params,
    }
    match = match.replace("{", r"\{")
    where = {"Item": key()} if operation == "PutItem" else {"Key": key()}
    if operation == "TransactWriteItems":
        check = {"TableName": TABLE, **where, **asked}
        thin.refused(operation, match, TransactItems=[{"ConditionCheck": check}])
    else:
        thin.refused(operation, match, **where, **asked)


@pytest.mark.parametrize(
    "match, params",
    [
        ("can only be specified when using expressions", {"ExpressionAttributeNames": {"#n": "n"}}),
        ("can only be specified when using expressions", {"ExpressionAttributeValues": {":n": {"N": "1"}}}),
        ("more than one datatypes", {"Item": key(n={"S": "1", "N": "1"})}),
        ("is empty", {"Item": key(n={})}),
        ("value of true", {"Item": key(n={"NULL": False})}),
        ("contains duplicates", {"Item": key(n={"NS": ["1", "1.0"]})}),
        ("empty string as a member", {"Item": key(n={"SS": ["", "a"]})}),
        ("Missing the key sk", {"Item": {"pk": {"S": "a"}}}),
        ("Type mismatch for key sk expected: S actual: B", {"Item": {"pk": {"S": "a"}, "sk": {"B": b"x"}}}),
        ("maximum size limit of 2048", {"Item": key("p" * 2049)}),
        ("maximum size limit of 1024", {"Item": key("p", "é" * 513)}),
        ("Type mismatch for Index Key due_at", {"Item": key(due_at={"N": "1"})}),
        ("cannot contain an empty string", {"Item": key(due_shard={"S": ""})}),
        ("maximum allowed size", {"Item": key(n={"S": "é" * 205_000})}),
        ("Nesting Levels", {"Item": key(n=json.loads('{"L": [' * 40 + "]}" * 40))}),
    ],
)
def test_what_cannot_be_put(thin: Thin, match: str, params: Params) -> None:
    """Not even into an index."""
    thin.refused("PutItem", match, **{"Item": key(), **params})


def test_400_kilobytes_fit(thin: Thin) -> None:
    """Names count; an update that replaces is measured by what remains."""
    body = {"S": "b" * (400 * 1024 - len("pk" + "a" + "sk" + "x" + "body"))}
    thin("PutItem", Item=key(body=body))
    assert thin.update("SET body = :b", b=body) == key(body=body)
    for more in ("SET one = :b", "SET body = :b, one = body"):
        with pytest.raises(AwsError, match="Item size to update has exceeded"):
            thin.update(more, b={"S": "x"} if "body" not in more else body)
    with pytest.raises(AwsError, match="Item size has exceeded"):
        thin("PutItem", Item=key(body={"S": body["S"] + "b"}))
    assert thin.update("SET body = :b", b={"S": "small"}) == key(body={"S": "small"})


@pytest.mark.parametrize(
    "expression, match",
    [
        ("SET a.b = :v, a.b.c = :v", "overlap"),
        ("SET a = :v ADD a :v", "overlap"),
        ("SET #a = :v, a = :v", "overlap"),
        ("SET pk.b = :v", "part of the key"),
        ("ADD sk :v", "part of the key"),
        ("SET due_at = :v", "Index Key due_at"),
        ("SET a = :v + :v + :v", "Syntax error"),
        ("SET a = list_append(:v, :v)", "list_append, operand type: N"),
        ("SET a = size(b)", "not allowed in an update"),
        ("SET a = nonsense(b)", "Invalid function name"),
        ("DELETE a :v", "operator: DELETE, operand type: NUMBER"),
        ("DELETE a b", "Syntax error"),
        ("REMOVE a.b", "document path"),
        ("", "can not be empty"),
        ("SET", "Syntax error"),
    ],
)
def test_what_cannot_be_updated(thin: Thin, expression: str, match: str) -> None:
    """And nothing of it is done."""
    thin("PutItem", Item=key())
    more: Params = {"ExpressionAttributeNames": {"#a": "a"}} if "#a" in expression else {}
    if ":v" in expression:
        more["ExpressionAttributeValues"] = {":v": {"N": "1"}}
    thin.refused("UpdateItem", match, Key=key(), UpdateExpression=expression, **more)


def test_what_is_not_there(thin: Thin) -> None:
    """It equals nothing, not even what else is not there, and has no size. Moto finds the two equal; size breaks it."""
    thin("PutItem", Item=key(t={"S": "abc"}, ss={"SS": ["a"]}, n={"N": "1"}))
    for condition, holds in {
        "q = z": False,
        "q <> z": True,
        "q < z": False,
        "size(t) = :v": True,
        "size(ss) < :v": True,
        "size(q) < :v": False,
        "size(n) < :v": False,
        "NOT size(q) = :v": True,
    }.items():
        more: Params = {"ExpressionAttributeValues": {":v": {"N": "3"}}} if ":v" in condition else {}
        failing = pytest.raises(AwsError, match="ConditionalCheckFailed")
        with nullcontext() if holds else failing:
            thin("UpdateItem", Key=key(), ConditionExpression=condition, **more)


def test_an_update_without_an_expression_makes_an_item(thin: Thin) -> None:
    """Of the key alone; it changes nothing where there is one."""
    thin("UpdateItem", Key=key())
    assert thin.item() == key()
    thin("PutItem", Item=key(n={"N": "1"}))
    thin("UpdateItem", Key=key(), ConditionExpression="attribute_exists(n)")
    assert thin.item() == key(n={"N": "1"})


def test_what_only_removes_makes_no_item(thin: Thin) -> None:
    """Moto makes an empty one."""
    assert thin.update("REMOVE n") == {}
    assert thin.update("DELETE ss :v", v={"SS": ["a"]}) == {}
    assert thin.item() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"pk": {"S": "a"}},
        key(more={"S": "x"}),
        {"pk": {"S": "a"}, "other": {"S": "x"}},
        {"pk": {"S": "a"}, "sk": {"N": "1"}},
        key(sk=""),
    ],
)
def test_a_key_is_exactly_the_tables(thin: Thin, wrong: Params) -> None:
    """In every operation; moto finds nothing under a key of another type, and says so."""
    thin("PutItem", Item=key())
    for operation in ("GetItem", "DeleteItem", "UpdateItem"):
        thin.refused(operation, "does not match the schema|empty string", Key=wrong)
    thin.refused("BatchGetItem", ".", RequestItems={TABLE: {"Keys": [wrong]}})
    delete = {"TableName": TABLE, "Key": wrong}
    thin.refused("TransactWriteItems", ".", TransactItems=[{"Delete": delete}])


@pytest.mark.parametrize(
    "match, params",
    [
        ("Either the KeyConditions", {}),
        ("missed key schema element: sk", {"KeyConditionExpression": "pk = :v AND n = :v"}),
        ("one condition per key", {"KeyConditionExpression": "pk = :v AND pk = :v"}),
        ("Invalid operator used in KeyConditionExpression: OR", {"KeyConditionExpression": "pk = :v OR sk = :v"}),
        ("Invalid operator used in KeyConditionExpression: <>", {"KeyConditionExpression": "pk = :v AND sk <> :v"}),
        ("does not match schema type", {"KeyConditionExpression": "pk = :n"}),
        ("empty string", {"KeyConditionExpression": "pk = :e"}),
        ("does not have the specified index", {"IndexName": "other", "KeyConditionExpression": "pk = :v"}),
        ("missed key schema element: due_shard", {"IndexName": "due", "KeyConditionExpression": "pk = :v"}),
        ("non-primary key attributes", {"KeyConditionExpression": "pk = :v", "FilterExpression": "sk = :v"}),
        ("starting key is invalid", {"KeyConditionExpression": "pk = :v", "ExclusiveStartKey": {"pk": {"S": "a"}}}),
        ("outside query boundaries", {"KeyConditionExpression": "pk = :v", "ExclusiveStartKey": key("other")}),
        ("overlap", {"KeyConditionExpression": "pk = :v", "ProjectionExpression": "n, n.m"}),
        (
            "does not project",
            {"IndexName": "due", "KeyConditionExpression": "due_shard = :v", "ProjectionExpression": "body"},
        ),
    ],
)
def test_what_cannot_be_asked(thin: Thin, match: str, params: Params) -> None:
    """A query by anything but its keys."""
    said = params.get("KeyConditionExpression", "") + params.get("FilterExpression", "")
    values = {":v": {"S": "a"}, ":n": {"N": "1"}, ":e": {"S": ""}}
    used = {name: value for name, value in values.items() if name in said}
    more = {"ExpressionAttributeValues": used} if used else {}
    thin.refused("Query", match, **params, **more)


def test_a_limit_that_is_reached_names_a_last_key(thin: Thin) -> None:
    """Even where nothing comes after it: DynamoDB does not look ahead, moto does."""
    thin("PutItem", Item=key())
    query = {"KeyConditionExpression": "pk = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}}
    assert thin("Query", Limit=1, **query)["LastEvaluatedKey"] == key()
    assert "LastEvaluatedKey" not in thin("Query", Limit=2, **query)
    assert thin("Query", Limit=1, ExclusiveStartKey=key(), **query)["Items"] == []


@pytest.mark.parametrize(
    "operation, params",
    [
        ("GetItem", {"Key": key(), "AttributesToGet": ["n"]}),
        ("GetItem", {"Key": key(), "ReturnConsumedCapacity": "TOTAL"}),
        ("GetItem", {"Key": key(), "ProjectionExpression": "l[0]"}),
        ("PutItem", {"Item": key(), "Expected": {}}),
        ("UpdateItem", {"Key": key(), "AttributeUpdates": {}}),
        ("Query", {"KeyConditions": {}}),
        ("Query", {"Select": "COUNT"}),
        ("Scan", {"IndexName": "due"}),
        ("Scan", {"TotalSegments": 2}),
        ("CreateTable", {"LocalSecondaryIndexes": []}),
        ("GetItem", {"Key": key(), "TableName": "arn:aws:dynamodb:eu-central-1:123456789012:table/incidents"}),
    ],
)
def test_what_is_missing_says_so(thin: Thin, operation: str, params: Params) -> None:
    """Loudly: no parameter of the real service is taken and then not heeded."""
    with pytest.raises(NotImplementedError, match="DynamoDb"):
        thin(operation, **params)


@pytest.mark.parametrize("operation", sorted(DynamoDb(lambda: START).operations))
def test_no_parameter_is_overlooked(world: World, thin: Thin, operation: str) -> None:
    """Every parameter of the real operation is known, as one that is heeded or as one that is missing."""
    shape = world.client("dynamodb").meta.service_model.operation_model(operation).input_shape
    for name in shape.members:
        with pytest.raises((AwsError, NotImplementedError)) as caught:
            thin.db.operations[operation]({name: object()})
        assert "Unknown parameter" not in str(caught.value)
    with pytest.raises(AwsError, match="Unknown parameter"):
        thin.db.operations[operation]({"Nonsense": 1})


def test_an_answer_is_the_callers_to_change(thin: Thin) -> None:
    """And so is what was put: nothing that anybody holds is what is stored."""
    item = key(m={"M": {"k": {"S": "v"}}}, l={"L": [{"S": "v"}]}, ss={"SS": ["a"]}, s={"S": "v"})
    thin("PutItem", Item=item)
    was = copy.deepcopy(item)
    query = {"KeyConditionExpression": "pk = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}}
    answers = [item, thin("GetItem", Key=key())["Item"], thin("Query", **query)["Items"][0], thin("Scan")["Items"][0]]
    answers += [thin("GetItem", Key=key(), ProjectionExpression="m, l, ss, s")["Item"]]
    answers += [thin("UpdateItem", Key=key(), UpdateExpression="REMOVE q", ReturnValues="ALL_NEW")["Attributes"]]
    for answer in answers:
        answer["m"]["M"]["k"]["S"] = "changed"
        answer["l"]["L"].append({"S": "changed"})
        answer["ss"]["SS"].append("changed")
        answer["s"]["S"] = "changed"
        assert thin.item() == was


def test_tables(both: Both) -> None:
    """What is made is described alike, and not made twice; what makes no sense is not made."""
    moto, thin = both.each("DescribeTable")
    for name in ("TableName", "KeySchema", "AttributeDefinitions", "TableStatus", "TableArn", "BillingModeSummary"):
        assert thin[1]["Table"][name] == moto[1]["Table"][name]
    for name in ("IndexName", "KeySchema", "Projection", "IndexStatus"):
        indexes = [each[1]["Table"]["GlobalSecondaryIndexes"][0] for each in (moto, thin)]
        assert indexes[0][name] == indexes[1][name]
    one = {"AttributeName": "id", "KeyType": "HASH"}
    defined = {"AttributeName": "id", "AttributeType": "N"}
    other = {"AttributeName": "other", "AttributeType": "S"}
    table: Params = {"BillingMode": "PAY_PER_REQUEST", "KeySchema": [one], "AttributeDefinitions": [defined]}
    for name, changed, code in [
        (TABLE, {}, "ResourceInUseException"),
        ("another", {"AttributeDefinitions": [defined, other]}, "ValidationException"),
        ("another", {"AttributeDefinitions": [other]}, "ValidationException"),
    ]:
        assert both("CreateTable", **{**table, **changed, "TableName": name})[0] == code
    both.thin.operations["CreateTable"]({**table, "TableName": "numbers"})
    for number in ("2", "10", "1.0"):
        both.thin.operations["PutItem"]({"TableName": "numbers", "Item": {"id": {"N": number}}})
    found = both.thin.operations["GetItem"]({"TableName": "numbers", "Key": {"id": {"N": "1"}}})
    assert found["Item"] == {"id": {"N": "1"}}
    assert both.thin.operations["DescribeTable"]({"TableName": "numbers"})["Table"]["ItemCount"] == 3


@pytest.mark.parametrize("kind", ["ALL", "KEYS_ONLY"])
def test_projections_of_an_index(kind: str) -> None:
    """Everything, or the keys of index and table; in the order of numbers where the key is one."""
    db = DynamoDb(lambda: START)
    names = {"id": "S", "rank": "N", "team": "S"}
    db.operations["CreateTable"](
        {
            "TableName": "ranks",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": t} for n, t in names.items()],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by-rank",
                    "KeySchema": [
                        {"AttributeName": "team", "KeyType": "HASH"},
                        {"AttributeName": "rank", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": kind},
                }
            ],
        }
    )
    for number in (10, 9, 100):
        item = {"id": {"S": str(number)}, "team": {"S": "t"}, "rank": {"N": str(number)}, "more": {"S": "m"}}
        db.operations["PutItem"]({"TableName": "ranks", "Item": item})
    query: Params = {"TableName": "ranks", "IndexName": "by-rank", "KeyConditionExpression": "team = :t"}
    query["ExpressionAttributeValues"] = {":t": {"S": "t"}}
    first = db.operations["Query"]({**query, "Limit": 2})
    rest = db.operations["Query"]({**query, "ExclusiveStartKey": first["LastEvaluatedKey"]})
    found = [*first["Items"], *rest["Items"]]
    assert [item["rank"]["N"] for item in found] == ["9", "10", "100"]
    assert all(("more" in item) == (kind == "ALL") for item in found)


# -- the incident table ------------------------------------------------------------------------------------------------


class ThinAws:
    """Nightshift's way to its own table, with the thin one at its end."""

    def __init__(self, thin: DynamoDb) -> None:
        self._thin = thin

    def own(self, service: str, operation: str, /, **params: Any) -> Params:
        """As `Aws.own`, with the token that the SDK would fill in."""
        if operation == "TransactWriteItems":
            params["ClientRequestToken"] = str(uuid.uuid4())
        try:
            return self._thin.operations[operation](params)
        except AwsError as error:
            response = {"Error": {"Code": error.code, "Message": error.message}, **error.details}
            response["ResponseMetadata"] = {"HTTPStatusCode": error.status}
            wrong = ClientError(response, operation)
            raise nightshift_aws.translate(wrong, Call(service, operation, ""), writing=False) from error


class Stores:
    """The incident table twice: what one says, the other says too."""

    def __init__(self, both: Both) -> None:
        self.both = both
        self.asked: set[str] = set()
        self.stores = (
            Incidents(nightshift_aws.Aws(both.world.region), both.table),
            Incidents(cast(nightshift_aws.Aws, ThinAws(both.thin)), both.table),
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*args: Any, **kwargs: Any) -> Any:
            self.asked.add(name)
            said = []
            for store in self.stores:
                try:
                    answer = getattr(store, name)(*args, **kwargs)
                    said.append([*answer] if isinstance(answer, Iterator) else answer)
                except (Fenced, StoreUnavailable) as error:
                    said.append(type(error))
            assert said[0] == said[1], f"{name}{args}{kwargs}"
            self.both.scan()
            return said[1]

        return ask


def an_incident(number: int = 0, **more: Any) -> Incident:
    """An incident on a queue."""
    target = f"arn:aws:sqs:eu-central-1:123456789012:queue-{number}"
    opened_at = START + timedelta(seconds=number)  # the newest first: nobody promises an order of the others
    record = Incident(
        id=incident_id("toy", target, opened_at),
        remediation="toy",
        target=target,
        group="system",
        opened_at=opened_at,
        look_at=START + number * MINUTE,
        deadline=START + 60 * MINUTE,
        finding=Finding("toy", target, "it hurts"),
    )
    return replace(record, **more)


ONE, TWO = an_incident(), an_incident(1)
OPENED = Event(START, "opened", "it hurts")
INTENT: Params = {
    "now": START,
    "hold": 30 * MINUTE,
    "cooldown": 10 * MINUTE,
    "per_target_per_day": 2,
    "per_account_per_hour": 2,
    "dollars": 0.5,
    "dollars_per_day": 20.0,
    "first": True,
}


def opening(stores: Stores) -> Claim:
    """Records are opened, found and claimed."""
    assert stores.open(ONE, OPENED)
    assert not stores.open(ONE, OPENED)
    assert stores.open(TWO, OPENED)
    assert stores.get(ONE.id) == ONE
    assert stores.get("absent") is None
    assert stores.due(START) == [(ONE.id, START)]
    assert stores.due(START + 9 * MINUTE, limit=1)
    assert len(stores.open_ids()) == 2
    assert len(stores.pointers()) == 2
    assert stores.pointer(ONE.target, ONE.remediation).incident == ONE.id
    assert stores.pointer("another", ONE.remediation) is None
    assert stores.open_on(ONE.target) == (ONE.id,)
    claim = stores.claim(ONE.id, START)
    assert stores.claim(ONE.id, START) is None
    assert stores.claim(TWO.id, START) is None
    assert stores.still_ours(claim, START)[0]
    stores.set_switch(SwitchState.ON, reason="ready", by="eva", now=START)
    assert stores.switch().state is SwitchState.ON
    assert stores.still_ours(claim, START)[1].reason == "ready"
    stores.checkpoint(claim, replace(ONE, why="so far"))
    return cast(Claim, claim)


def acting(stores: Stores, claim: Claim) -> None:
    """Intents are written, or refused for each thing that is not free."""
    intent = [Event(START, "intent", "what is about to be done")]
    assert stores.intend(claim, replace(ONE, phase=Phase.ACTING), intent, **INTENT) is None
    assert stores.intend(claim, ONE, intent, **INTENT).guard == "lease"
    assert stores.intend(claim, ONE, intent, **{**INTENT, "first": False}) is None
    stores.uncool(ONE)
    stores.uncool(ONE)
    assert stores.intend(claim, ONE, intent, **INTENT) is None
    stores.uncool(ONE)
    assert stores.intend(claim, ONE, intent, **INTENT).guard == "target-budget"
    assert stores.used(ONE.target, START) == (2, 2)
    assert stores.used(TWO.target, START) == (0, 2)
    assert stores.dollars(START) == 1.0
    stores.set_brake(Brake(True, "a storm", START, START + MINUTE, 4, told=True))
    assert stores.intend(claim, ONE, intent, **{**INTENT, "first": False}).guard == "storm"
    assert stores.brake().engaged
    stores.set_brake(Brake())
    assert stores.lease(ONE.target, START).holder == ONE.id
    assert stores.lease("another", START).holder is None


def asking(stores: Stores, claim: Claim) -> None:
    """A question is asked and answered."""
    question = Approval("hash", START, START + 60 * MINUTE)
    asking = replace(ONE, phase=Phase.AWAITING, approval=question, look_at=START + 5 * MINUTE)
    stores.save(claim, asking, [Event(START, "asked", "may I?")])
    yes = replace(question, answer="approved", by="eva")
    answered = Event(START, "answered", "approved")
    other = replace(question, plan_hash="another")
    assert not stores.answer(ONE.id, yes, asked=other, now=START, event=answered)
    assert stores.answer(ONE.id, yes, asked=question, now=START, event=answered)
    assert not stores.answer(ONE.id, yes, asked=question, now=START, event=answered)
    again = stores.claim(ONE.id, START)
    assert again.incident.approval == yes
    stores.let_go(again, died=True)
    stores.let_go(again, died=False)
    stores.let_go(claim, died=False)
    assert stores.open_of("toy", ONE.target) == ONE.id
    assert stores.open_of("other", ONE.target) is None
    assert stores.sick_since("toy", ONE.target) == START
    assert stores.sick_since("other", ONE.target) is None
    word = Acknowledgement(by="eva", at=START, why="on it")
    taken = Event(START, "acknowledged", "by eva")
    assert stores.acknowledge(ONE.id, word, event=taken)
    assert not stores.acknowledge(ONE.id, word, event=taken)
    assert not stores.acknowledge("absent", word, event=taken)
    assert stores.get(ONE.id).acknowledged == word
    assert stores.recall(ONE.id, word, event=Event(START, "recalled", "by eva"))
    assert not stores.recall(ONE.id, word, event=Event(START, "recalled", "by eva"))
    assert not stores.recall("absent", word, event=Event(START, "recalled", "by eva"))
    assert stores.remark(ONE.id, Event(START, "restored", "by eva"))
    assert not stores.remark("absent", Event(START, "restored", "by eva"))


def ending(stores: Stores, claim: Claim) -> None:
    """Who was overtaken is fenced off; records are closed, with and without a pointer that stays."""
    last = stores.claim(ONE.id, START)
    assert stores.save(claim, ONE, ()) is Fenced
    assert stores.checkpoint(claim, ONE) is Fenced
    assert stores.intend(claim, ONE, (), **INTENT) is Fenced
    closed = replace(ONE, phase=Phase.CLOSED, verdict=Verdict.ESCALATED, closed_at=START, remind_at=START + MINUTE)
    stores.save(last, closed, [Event(START, "closed", "in vain")], quiet=True)
    assert not stores.seen_healthy(closed)
    assert stores.reminders(START) == []
    assert stores.reminders(START + MINUTE) == [(ONE.id, START + MINUTE)]
    turn = stores.claim(ONE.id, START + MINUTE)
    told = replace(turn.incident, remind_at=None)
    stores.reminded(turn, told, [Event(START, "reminded", "L1")])
    assert stores.reminded(claim, told, ()) is Fenced
    assert stores.reminders(START + MINUTE) == []
    assert stores.open_of("toy", ONE.target) is None
    assert not stores.open(an_incident(opened_at=START + MINUTE, id="20261102T0301-00000000"), OPENED)
    quiet = stores.pointers()[ONE.target, ONE.remediation]
    assert not stores.forget(replace(quiet, state="open"))
    assert stores.forget(quiet)
    assert len(stores.events(ONE.id)) >= 4
    assert [incident.id for incident in stores.recent()]
    second = stores.claim(TWO.id, START + MINUTE)
    stores.save(second, replace(TWO, phase=Phase.CLOSED, verdict=Verdict.FIXED, closed_at=START), ())
    assert stores.open_ids() == []
    assert set(stores.ended(START, START + MINUTE, limit=9)) == {ONE.id, TWO.id}
    assert stores.ended(START + MINUTE, START + 2 * MINUTE, limit=9) == []
    assert len(stores.ended(START, START + MINUTE, limit=1)) == 1
    assert [each.id for each in stores.records([TWO.id, "absent"])] == [TWO.id]


def remembering(stores: Stores) -> None:
    """Pointers, links, figures and counters."""
    unknown = Pointer(TWO.target, "toy", "unknown", START, count=1)
    assert not stores.point(unknown, was="unknown")
    assert stores.point(unknown, was=None)
    assert not stores.point(unknown, was=None)
    assert stores.point(replace(unknown, count=2), was="unknown")
    assert not stores.open(TWO, OPENED)
    stores.link(ONE.id, TWO.id)
    assert stores.links(ONE.id) == (TWO.id,)
    stores.beat(START, {"targets": 3})
    assert stores.heartbeat() == (START, {"targets": 3})
    stores.beat(START + MINUTE, {"targets": 3, "unknown": 1})
    assert stores.watched(START, START + MINUTE) == {START.date(): Watched(2, 6, 1)}
    assert stores.reported("weekly") is None
    stores.note_reported("weekly", "2026-W09", START)
    assert stores.reported("weekly") == "2026-W09"
    assert stores.counter("scope", "key") == 0
    assert stores.count("scope", "key", 2, limit=3, expires=START)
    assert not stores.count("scope", "key", 2, limit=3, expires=START)
    assert stores.count("scope", "key", 2, limit=None, expires=START)
    assert stores.counters("scope", ["key", "none"]) == {"key": 4, "none": 0}
    assert stores.kept("alias") == ()
    for minute, version in enumerate(("1", "1", "2")):
        stores.keep("alias", {"version": version}, START + 6 * minute * MINUTE)
    assert [each.what["version"] for each in stores.kept("alias")] == ["1", "2"]
    beside = an_incident(id="20261102T0302-00000000")
    assert stores.open_beside(beside, OPENED)
    assert not stores.open_beside(beside, OPENED)
    large = an_incident(2, finding=Finding("toy", "queue", "it hurts", evidence=("ü" * 20_000,) * 50))
    assert stores.open(large, OPENED)


def test_the_incident_table_is_the_same_in_both(both: Both) -> None:
    """Every method of `Incidents`, each way it can end: the same answers, and the same table after each."""
    stores = Stores(both)
    claim = opening(stores)
    acting(stores, claim)
    asking(stores, claim)
    ending(stores, claim)
    remembering(stores)
    both.everything()
    assert stores.asked == {name for name in vars(Incidents) if not name.startswith("_")}


def test_a_call_of_the_sandbox_carries_the_reasons(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a transaction was cancelled reaches a real client through the seam, as moto's reasons do."""
    db = DynamoDb(lambda: world.now)
    make_table(Client(db), TABLE)

    def fake(call: SeamCall) -> Params:
        return db.operations[call.operation](call.params)

    monkeypatch.setitem(world.seam.fakes, ("dynamodb", "TransactWriteItems"), fake)
    check = {"TableName": TABLE, "Key": key(), "ConditionExpression": "attribute_exists(pk)"}
    client = world.client("dynamodb")
    with pytest.raises(client.exceptions.TransactionCanceledException) as caught:
        client.transact_write_items(TransactItems=[{"ConditionCheck": check}])
    assert [reason["Code"] for reason in caught.value.response["CancellationReasons"]] == ["ConditionalCheckFailed"]


# -- whatever the order ------------------------------------------------------------------------------------------------

KEYS = st.builds(key, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "yy"]))
NUMBERS = st.integers(-2, 3).map(lambda number: {"N": str(number)})
TEXTS = st.sampled_from(["", "a", "ab", "b"]).map(lambda text: {"S": text})
INDEXED: Params = {"due_shard": st.sampled_from([{"S": "DUE"}]), "due_at": st.sampled_from([{"S": "1"}, {"S": "2"}])}
ATTRIBUTES = st.fixed_dictionaries({}, optional={"n": NUMBERS, "t": TEXTS, "state": TEXTS, **INDEXED})
ITEMS = st.builds(lambda at, attributes: {**at, **attributes}, KEYS, ATTRIBUTES)
NAMES = {"#state": "state"}


class Draft:
    """An expression in the making: every value gets a placeholder."""

    def __init__(self) -> None:
        self.values: Params = {}

    def value(self, value: Params) -> str:
        """The placeholder of a value."""
        name = f":v{len(self.values)}"
        self.values[name] = value
        return name

    def request(self, **expressions: str | None) -> Params:
        """The parameters, with no placeholder in vain."""
        request: Params = {name: text for name, text in expressions.items() if text is not None}
        if self.values:
            request["ExpressionAttributeValues"] = self.values
        if any("#state" in text for text in request.values() if isinstance(text, str)):
            request["ExpressionAttributeNames"] = NAMES
        return request


def a_condition(draw: st.DrawFn, draft: Draft, depth: int = 2) -> str:
    """A condition on what an item may have."""
    kind = draw(st.sampled_from(["compare", "exists", "text", "in", "between"] + ["join", "not"] * (depth > 0)))
    if kind == "join":
        left, right = a_condition(draw, draft, depth - 1), a_condition(draw, draft, depth - 1)
        return f"({left}) {draw(st.sampled_from(['AND', 'OR']))} {right}"
    if kind == "not":
        return f"NOT ({a_condition(draw, draft, depth - 1)})"
    name = draw(st.sampled_from(["pk", "n", "t", "#state", "due_at"]))
    if kind == "exists":
        return f"{draw(st.sampled_from(['attribute_exists', 'attribute_not_exists']))}({name})"
    if kind == "text" and name != "n":
        return f"{draw(st.sampled_from(['begins_with', 'contains']))}({name}, {draft.value({'S': draw(LETTERS)})})"
    values = NUMBERS if name == "n" else TEXTS
    if kind == "in":
        return f"{name} IN ({', '.join(draft.value(each) for each in draw(st.lists(values, min_size=1, max_size=2)))})"
    if kind == "between":
        low, high = sorted(
            (draw(values), draw(values)), key=lambda each: float(each["N"]) if "N" in each else each["S"]
        )
        return f"{name} BETWEEN {draft.value(low)} AND {draft.value(high)}"
    sign = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    return f"{name} {sign} {draft.value(draw(values))}"


LETTERS = st.sampled_from(["a", "b", "ab"])


@st.composite
def writes(draw: st.DrawFn) -> tuple[str, Params]:
    """A put, an update, a delete or a check, conditional or not."""
    draft = Draft()
    kind = draw(st.sampled_from(["Put", "Put", "Update", "Update", "Delete", "ConditionCheck"]))
    expression = a_condition(draw, draft) if kind == "ConditionCheck" or draw(st.booleans()) else None
    if kind == "Put":
        return kind, {"Item": draw(ITEMS), **draft.request(ConditionExpression=expression)}
    at = {"Key": draw(KEYS)}
    if kind != "Update":
        return kind, {**at, **draft.request(ConditionExpression=expression)}
    sets = [f"{name} = {draft.value(value)}" for name, value in draw(ATTRIBUTES).items() if name != "state"]
    if draw(st.booleans()) and not any(each.startswith("n = ") for each in sets):
        sets.append(f"n = n + {draft.value({'N': '1'})}")
    adds = f" ADD used {draft.value(draw(NUMBERS))}"
    removes = draw(st.sampled_from(["", " REMOVE #state", " REMOVE gone, #state"]))
    update = (f"SET {', '.join(sets)}" if sets else "") + removes + adds
    return kind, {**at, **draft.request(UpdateExpression=update.strip(), ConditionExpression=expression)}


@st.composite
def queries(draw: st.DrawFn) -> tuple[str, Params]:
    """A query of a partition, with or without a filter."""
    draft = Draft()
    said = f"pk = {draft.value({'S': draw(st.sampled_from(['a', 'b']))})}"
    sort = draw(st.sampled_from(["", "=", "<", "<=", ">", ">=", "begins_with"]))
    if sort:
        value = draft.value({"S": draw(st.sampled_from(["x", "y", "yy", "z"]))})
        said += f" AND begins_with(sk, {value})" if sort == "begins_with" else f" AND sk {sort} {value}"
    filter_ = None
    if draw(st.booleans()):
        filter_ = f"n {draw(st.sampled_from(['=', '<>', '<']))} {draft.value(draw(NUMBERS))}"
    query = draft.request(KeyConditionExpression=said, FilterExpression=filter_)
    return "Query", {**query, "ScanIndexForward": draw(st.booleans())}


TRANSACTIONS = st.lists(writes(), min_size=1, max_size=4).map(lambda all_: ("TransactWriteItems", all_))
STEPS = st.lists(st.one_of(writes(), writes(), TRANSACTIONS, queries()), min_size=1, max_size=10)


def test_any_sequence_of_calls_comes_to_the_same(world: World) -> None:
    """Puts, updates, deletes, transactions and queries with any conditions, on few keys: step by step alike."""

    @settings(max_examples=40)
    @given(STEPS)
    def run(steps: list[tuple[str, Any]]) -> None:
        both = Both(world)
        for kind, params in steps:
            if kind == "TransactWriteItems":
                both.transact(*({part: request} for part, request in params))
            elif kind == "Query":
                both("Query", **params)
            elif kind == "ConditionCheck":
                both.transact({kind: params})
            else:
                both(f"{kind}Item", **params)
        both.everything()

    run()
