"""The SNS API behind the real gateway, given inputs of the right shape with wrong contents, while the courier runs: no 500, and
everything that was published is handed out and comes to an end."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from cachefleet.api.registry import OPERATIONS as REGISTERED
from cachefleet.protocol.service import service
from tests.component.notifications.stage import TOPIC, Stage
from tests.faults.drawn_requests import Chooser, make_real_gateway, send
from tests.fixtures.gateway import NOW

STEPS = 1000
OPERATIONS = sorted(name for signing_name, name in REGISTERED if signing_name == "sns")
MINE = f"{TOPIC}:f0000000-0000-4000-8000-000000000000"
SLACK = {"cachefleet:webhook": "slack"}
RETRIES = {"numRetries": 2, "minDelayTarget": 1, "maxDelayTarget": 1}
POLICY = json.dumps({"healthyRetryPolicy": RETRIES})
FILTERS = ['{"n":["1",{"exists":false}]}', '{"$or":[{"n":[1]},{"s":[{"prefix":"a"}]}]}', '{"a":{"b":[{"numeric":[">",0]}]}}']
WORDS = """
    alarms other x.fifo http https email email-json file sqs http://a/ https://b:443/x?y me@example.com a.jsonl ../a true
    DisplayName Policy DeliveryPolicy SignatureVersion FifoTopic KmsMasterKeyId RawMessageDelivery FilterPolicy false json
    RedrivePolicy cachefleet:webhook slack MessageBody MessageAttributes 1 2 String Number Binary String.Array [1,"a"] eHk=
    FilterPolicyScope aws:x http://[::1 http://a:b@c/ http://\u00e9/ {} [] null \u00e9 \U0001f600
"""
TEXTS = [
    *WORDS.split(),
    TOPIC,
    MINE,
    POLICY,
    *FILTERS,
    '{"default":"x","http":"y"}',
    "",
    " ",
    "a\r\nb",
    "a" * 300,
    "x" * 270_000,
]
NAMED = {"TopicArn": TOPIC}
ATTRIBUTES = {"n": {"DataType": "Number", "StringValue": "1"}, "s": {"DataType": "String.Array", "StringValue": '["ab"]'}}
GOOD: dict[str, list[dict[str, Any]]] = {
    "CreateTopic": [{"Name": "alarms"}, {"Name": "other", "Tags": [{"Key": "a", "Value": "b"}]}],
    **{
        name: [NAMED]
        for name in (
            "GetTopicAttributes",
            "ListSubscriptionsByTopic",
            "ConfirmSubscription",
            "DeleteTopic",
        )
    },
    "Subscribe": [
        {**NAMED, "Protocol": "http", "Endpoint": "http://a/", "Attributes": {"FilterPolicy": FILTERS[0]}},
        {**NAMED, "Protocol": "http", "Endpoint": "http://s/", "Attributes": {**SLACK, "DeliveryPolicy": POLICY}},
        *(
            {
                **NAMED,
                "Protocol": "file",
                "Endpoint": f"f{scope}",
                "Attributes": {"FilterPolicy": text, "FilterPolicyScope": scope},
            }
            for text in FILTERS
            for scope in ("MessageBody", "MessageAttributes")
        ),
    ],
    "Publish": [{**NAMED, "Message": text, "MessageAttributes": ATTRIBUTES} for text in ("x", '{"a":{"b":1}}')],
    "PublishBatch": [{**NAMED, "PublishBatchRequestEntries": [{"Id": "a", "Message": "x"}, {"Id": "b", "Message": "y"}]}],
    "SetTopicAttributes": [{**NAMED, "AttributeName": "DisplayName", "AttributeValue": text} for text in ("a", "b")],
    "TagResource": [{"ResourceArn": TOPIC, "Tags": [{"Key": "a", "Value": "b"}]}],
    "UntagResource": [{"ResourceArn": TOPIC, "TagKeys": ["a"]}],
    "ListTagsForResource": [{"ResourceArn": TOPIC}],
}


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_that_is_asked_is_an_internal_failure(seed: int) -> None:
    asyncio.run(_play(seed))


async def _play(seed: int) -> None:
    stage = Stage()
    stage.clock.pass_time(NOW - stage.clock.now())
    stage.recipients.dead.add("http://a/")
    stage.start()
    gateway = make_real_gateway(stage.context)
    chooser = Chooser(seed, TEXTS, GOOD)
    answers: Counter[tuple[str, int]] = Counter()
    often = [*OPERATIONS, *3 * ["CreateTopic", "Subscribe", "Publish"]]
    for _ in range(STEPS):
        name = chooser.chance.choice(often)
        asked = chooser.request(name, service("sns").operation(name).input_shape)
        answer = await asyncio.wait_for(send(gateway, "sns", name, asked), 20)
        assert answer.status < 500, (seed, name, asked, answer.text)
        answers[name, answer.status] += 1
    working = {name for name, status in answers if status == 200}
    assert {"CreateTopic", "Subscribe", "Publish", "PublishBatch", "SetTopicAttributes", "TagResource"} <= working, answers
    stage.recipients.dead.clear()
    await stage.clock.advance(70.0)
    assert (await stage.store.outbox.posted(9), await stage.store.outbox.waiting()) == ([], {})
    assert stage.outcomes.counts[("delivered",)] > 10
    await stage.stop()
