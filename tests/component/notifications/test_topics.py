"""Topics and subscriptions through the gateway: what is accepted, shown and refused, and by whom."""

from __future__ import annotations

import msgspec
import pytest

from cachefleet.gateway.audit import HIDDEN, masked
from cachefleet.notices.messages import Links
from cachefleet.policies.credential import Credential
from cachefleet.policies.document import read_policy
from tests.component.notifications.stage import LINKS, TOPIC, Refused, Stage, on_stage
from tests.fakes.api import ACCOUNT, REGION
from tests.fixtures.gateway import KEY

HOOK = "https://hooks.slack.com/services/T000/B000/XXXX"


def link_with_token(token: str) -> str:
    return f"{LINKS.base}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={token}&Version=2010-03-31"


@on_stage
async def test_a_topic_comes_back_as_it_was_made(stage: Stage) -> None:
    made = {"Name": "alarms", "Attributes": {"DisplayName": "Alarms"}, "Tags": [{"Key": "a", "Value": "1"}]}
    assert (await stage.call("CreateTopic", **made))["TopicArn"] == TOPIC
    assert (await stage.call("CreateTopic", **made))["TopicArn"] == TOPIC
    assert (await stage.call("CreateTopic", Name="alarms"))["TopicArn"] == TOPIC
    assert (await stage.call("ListTopics"))["Topics"] == [{"TopicArn": TOPIC}]
    shown = (await stage.call("GetTopicAttributes", TopicArn=TOPIC))["Attributes"]
    assert (shown["DisplayName"], shown["Owner"], shown["SubscriptionsConfirmed"]) == ("Alarms", ACCOUNT, "0")
    await stage.refused(
        "InvalidParameter", "different attributes", "CreateTopic", Name="alarms", Attributes={"DisplayName": "B"}
    )
    await stage.refused("InvalidParameter", "different tags", "CreateTopic", Name="alarms", Tags=[{"Key": "a", "Value": "2"}])
    await stage.call("DeleteTopic", TopicArn=TOPIC)
    await stage.call("DeleteTopic", TopicArn=TOPIC)
    assert (await stage.call("ListTopics"))["Topics"] == []
    await stage.refused("NotFound", "Topic does not exist", "GetTopicAttributes", TopicArn=TOPIC)


@pytest.mark.parametrize(
    ("rule", "request_"),
    [
        ("no FIFO", {"Name": "alarms.fifo"}),
        ("letters, digits", {"Name": "a b"}),
        ("letters, digits", {"Name": "x" * 257}),
        ("no FIFO", {"Name": "a", "Attributes": {"FifoTopic": "true"}}),
        ("not encrypted", {"Name": "a", "Attributes": {"KmsMasterKeyId": "alias/x"}}),
        ("1 \\(SHA-1\\) or 2", {"Name": "a", "Attributes": {"SignatureVersion": "3"}}),
        ("has no meaning", {"Name": "a", "Attributes": {"Unheard": "1"}}),
        ("not logged", {"Name": "a", "Attributes": {"HTTPSuccessFeedbackSampleRate": "100"}}),
        ("not logged", {"Name": "a", "Attributes": {"SQSFailureFeedbackRoleArn": "arn:aws:iam::1:role/x"}}),
        ("at most 100 characters", {"Name": "a", "Attributes": {"DisplayName": "x" * 101}}),
        ("JSON policy", {"Name": "a", "Attributes": {"Policy": "no"}}),
        ("only allow", {"Name": "a", "Attributes": {"Policy": '{"Statement":[{"Effect":"Deny"}]}'}}),
        ("healthyRetryPolicy", {"Name": "a", "Attributes": {"DeliveryPolicy": '{"http":{"defaultThrottlePolicy":{}}}'}}),
        ("begins with aws:", {"Name": "a", "Tags": [{"Key": "aws:x", "Value": ""}]}),
        ("given twice", {"Name": "a", "Tags": [{"Key": "x", "Value": ""}, {"Key": "x", "Value": ""}]}),
    ],
)
def test_what_no_topic_can_be_is_refused(rule: str, request_: dict[str, object]) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await stage.refused("InvalidParameter", rule, "CreateTopic", **request_)
        assert (await stage.call("ListTopics"))["Topics"] == []

    run()


@on_stage
async def test_attributes_and_tags_of_topics_change(stage: Stage) -> None:
    await stage.topic(FifoTopic="false", KmsMasterKeyId="", LambdaSuccessFeedbackSampleRate="0")
    policy = '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sns:Publish","Resource":"*"}]}'
    retries = '{"http":{"defaultHealthyRetryPolicy":{"numRetries":5,"minDelayTarget":1,"maxDelayTarget":9}}}'
    for name, value in {"Policy": policy, "DeliveryPolicy": retries, "SignatureVersion": "2", "DisplayName": "New"}.items():
        await stage.call("SetTopicAttributes", TopicArn=TOPIC, AttributeName=name, AttributeValue=value)
    shown = (await stage.call("GetTopicAttributes", TopicArn=TOPIC))["Attributes"]
    assert [shown[name] for name in ("Policy", "DeliveryPolicy", "SignatureVersion", "DisplayName")] == [
        policy,
        retries,
        "2",
        "New",
    ]
    assert '"numRetries":5' in shown["EffectiveDeliveryPolicy"]
    await stage.call("TagResource", ResourceArn=TOPIC, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "1"}])
    await stage.call("UntagResource", ResourceArn=TOPIC, TagKeys=["b", "unheard"])
    assert (await stage.call("ListTagsForResource", ResourceArn=TOPIC))["Tags"] == [{"Key": "a", "Value": "1"}]
    await stage.refused("ResourceNotFound", "no topic", "ListTagsForResource", ResourceArn=f"{TOPIC}-other")
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    await stage.refused("TagLimitExceeded", "51 tags", "TagResource", ResourceArn=TOPIC, Tags=many)


@on_stage
async def test_topics_are_listed_in_pages(stage: Stage) -> None:
    for number in range(105):
        await stage.call("CreateTopic", Name=f"t{number:03}")
    first = await stage.call("ListTopics")
    second = await stage.call("ListTopics", NextToken=first["NextToken"])
    assert (len(first["Topics"]), len(second["Topics"]), "NextToken" in second) == (100, 5, False)
    assert second["Topics"][-1]["TopicArn"].endswith(":t104")
    await stage.refused("InvalidParameter", "NextToken", "ListTopics", NextToken="mine")


@on_stage
async def test_a_subscription_is_confirmed_by_the_link_that_it_was_sent(stage: Stage) -> None:
    await stage.topic()
    asked = {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://a/"}
    assert (await stage.call("Subscribe", **asked))["SubscriptionArn"] == "pending confirmation"
    await stage.clock.settle()
    (listed,) = (await stage.call("ListSubscriptions"))["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    assert stage.recipients.texts("http://a/") == [] and await stage.publish("too early")
    assert (await stage.follow(link_with_token("00"))).status == 400
    confirmation = stage.recipients.confirmation("http://a/")
    for _ in range(2):
        answer = await stage.follow(LINKS.confirm(confirmation))
        assert (answer.status, confirmation.subscription in answer.text) == (200, True)
    (listed,) = (await stage.call("ListSubscriptionsByTopic", TopicArn=TOPIC))["Subscriptions"]
    assert listed["SubscriptionArn"] == confirmation.subscription
    shown = await stage.attributes(confirmation.subscription)
    assert (shown["PendingConfirmation"], shown["Endpoint"], shown["RawMessageDelivery"]) == ("false", "http://a/", "false")
    assert (await stage.call("Subscribe", **asked))["SubscriptionArn"] == confirmation.subscription
    await stage.refused(
        "InvalidParameter", "different attributes", "Subscribe", **asked, Attributes={"RawMessageDelivery": "true"}
    )
    await stage.publish("now")
    assert stage.recipients.texts("http://a/") == ["now"]


@on_stage
async def test_who_asks_again_gets_another_token_and_the_old_one_is_worth_nothing(stage: Stage) -> None:
    await stage.topic()
    asked = {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://a/"}
    await stage.call("Subscribe", **asked)
    await stage.clock.settle()
    first = stage.recipients.confirmation("http://a/")
    await stage.call("Subscribe", **asked)
    await stage.clock.settle()
    second = stage.recipients.confirmation("http://a/")
    assert first.token != second.token and first.subscription == second.subscription
    await stage.refused("InvalidParameter", "Token", "ConfirmSubscription", TopicArn=TOPIC, Token=first.token)
    await stage.call("ConfirmSubscription", TopicArn=TOPIC, Token=second.token)


@on_stage
async def test_what_nobody_confirms_within_two_days_is_gone(stage: Stage) -> None:
    await stage.topic()
    await stage.call("Subscribe", TopicArn=TOPIC, Protocol="http", Endpoint="http://a/")
    await stage.clock.settle()
    stage.clock.pass_time(2 * 86400.0)
    assert (await stage.call("ListSubscriptions"))["Subscriptions"] == []
    token = stage.recipients.confirmation("http://a/").token
    await stage.refused("InvalidParameter", "too old", "ConfirmSubscription", TopicArn=TOPIC, Token=token)


@on_stage
async def test_who_got_a_message_can_unsubscribe_by_its_link_unless_it_must_be_signed(stage: Stage) -> None:
    await stage.topic()
    arn = await stage.subscribed("http://a/")
    assert (await stage.follow(LINKS.unsubscribe(arn))).status == 200
    assert (await stage.follow(LINKS.unsubscribe(arn))).status == 200
    await stage.publish("to nobody")
    assert stage.recipients.texts("http://a/") == []
    reply = await stage.call("Subscribe", TopicArn=TOPIC, Protocol="http", Endpoint="http://b/", ReturnSubscriptionArn=True)
    await stage.clock.settle()
    token = stage.recipients.confirmation("http://b/").token
    await stage.call("ConfirmSubscription", TopicArn=TOPIC, Token=token, AuthenticateOnUnsubscribe="true")
    refusal = await stage.follow(LINKS.unsubscribe(reply["SubscriptionArn"]))
    assert (refusal.status, "AuthorizationError" in refusal.text) == (403, True)
    await stage.call("Unsubscribe", SubscriptionArn=reply["SubscriptionArn"])
    assert (await stage.call("ListSubscriptions"))["Subscriptions"] == []


@on_stage
async def test_nothing_else_goes_without_a_signature(stage: Stage) -> None:
    await stage.topic()
    for query in ("Action=ListTopics", f"Action=Publish&TopicArn={TOPIC}&Message=x", f"Action=DeleteTopic&TopicArn={TOPIC}"):
        answer = await stage.follow(f"{LINKS.base}/?{query}&Version=2010-03-31")
        assert (answer.status, "MissingAuthenticationToken" in answer.text) == (403, True)
    elsewhere = TOPIC.replace(ACCOUNT, "1" * 12)
    for query in (
        f"Action=ConfirmSubscription&TopicArn={elsewhere}&Token=1",
        "Action=Unsubscribe&SubscriptionArn=x",
        "a&" * 99,
    ):
        assert (await stage.follow(f"{LINKS.base}/?{query}&Version=2010-03-31")).status == 403


@pytest.mark.parametrize(
    ("rule", "request_"),
    [
        ("leads nowhere", {"Protocol": "sqs", "Endpoint": "arn:aws:sqs:local-1:000000000000:q"}),
        ("leads nowhere", {"Protocol": "sms", "Endpoint": "+491"}),
        ("must begin with https", {"Protocol": "https", "Endpoint": "http://a/"}),
        ("must be a URL", {"Protocol": "http", "Endpoint": "http://a/ b"}),
        ("must be a URL", {"Protocol": "http", "Endpoint": "http://a/\r\nx: y"}),
        ("must be a URL", {"Protocol": "http", "Endpoint": "http://a:99999/"}),
        ("1 to 1024", {"Protocol": "http"}),
        ("mail address", {"Protocol": "email", "Endpoint": "a@b\nBcc: c@d"}),
        ("mail address", {"Protocol": "email-json", "Endpoint": "nobody"}),
        ("a file is a name", {"Protocol": "file", "Endpoint": "../passwd"}),
        ("a file is a name", {"Protocol": "file", "Endpoint": "/etc/passwd"}),
        ("a file is a name", {"Protocol": "file", "Endpoint": ".profile"}),
        ("dead-letter", {"Protocol": "http", "Endpoint": "http://a/", "Attributes": {"RedrivePolicy": "{}"}}),
        ("has no meaning", {"Protocol": "http", "Endpoint": "http://a/", "Attributes": {"Unheard": "1"}}),
        ("true or false", {"Protocol": "http", "Endpoint": "http://a/", "Attributes": {"RawMessageDelivery": "yes"}}),
        ("not JSON", {"Protocol": "http", "Endpoint": "http://a/", "Attributes": {"FilterPolicy": "x"}}),
        ("FilterPolicyScope", {"Protocol": "http", "Endpoint": "http://a/", "Attributes": {"FilterPolicyScope": "x"}}),
        ("is slack", {"Protocol": "http", "Endpoint": "http://a/", "Attributes": {"cachefleet:webhook": "x"}}),
        ("for http and https", {"Protocol": "email", "Endpoint": "a@b", "Attributes": {"cachefleet:webhook": "slack"}}),
        ("numRetries must", {"Protocol": "http", "Endpoint": "http://a/", "Attributes": {
            "DeliveryPolicy": '{"healthyRetryPolicy":{"numRetries":101}}'}}),
    ],
)  # fmt: skip
def test_what_no_subscription_can_be_is_refused(rule: str, request_: dict[str, object]) -> None:
    @on_stage
    async def run(stage: Stage) -> None:
        await stage.topic()
        await stage.refused("InvalidParameter", rule, "Subscribe", TopicArn=TOPIC, **request_)
        assert (await stage.call("ListSubscriptions"))["Subscriptions"] == []

    run()


@on_stage
async def test_mail_without_a_relay_says_which_setting(stage: Stage) -> None:
    await stage.topic()
    settings = msgspec.structs.replace(stage.context.settings, notifications=type(stage.context.settings.notifications)())
    stage.context = msgspec.structs.replace(stage.context, settings=settings)
    asked = {"TopicArn": TOPIC, "Protocol": "email", "Endpoint": "somebody@example.com"}
    await stage.refused("InvalidParameter", "notifications.smtp_host", "Subscribe", **asked)


@on_stage
async def test_webhooks_and_files_need_no_confirmation(stage: Stage) -> None:
    await stage.topic()
    slack = await stage.call("Subscribe", TopicArn=TOPIC, Protocol="https", Endpoint=HOOK)
    shown = await stage.attributes(slack["SubscriptionArn"])
    assert (shown["cachefleet:webhook"], shown["PendingConfirmation"], shown["Endpoint"]) == ("slack", "false", HOOK)
    own = await stage.call(
        "Subscribe", TopicArn=TOPIC, Protocol="http", Endpoint="http://chat/x", Attributes={"cachefleet:webhook": "slack"}
    )
    await stage.call("Subscribe", TopicArn=TOPIC, Protocol="file", Endpoint="alarms.jsonl")
    listed = (await stage.call("ListSubscriptions"))["Subscriptions"]
    assert [one["Endpoint"] for one in listed] == ["https://hooks.slack.com/****", "http://chat/****", "alarms.jsonl"]
    await stage.publish("hello")
    assert [stage.recipients.texts(one) for one in (HOOK, "http://chat/x", "alarms.jsonl")] == [["hello"]] * 3
    for name, value in (("cachefleet:webhook", ""), ("RawMessageDelivery", "true")):
        await stage.refused(
            "InvalidParameter", "webhook", "SetSubscriptionAttributes",
            SubscriptionArn=own["SubscriptionArn"], AttributeName=name, AttributeValue=value,
        )  # fmt: skip


@on_stage
async def test_attributes_of_subscriptions_change(stage: Stage) -> None:
    await stage.topic()
    arn = await stage.subscribed("http://me:secret@a/x")
    changes = {
        "RawMessageDelivery": "true",
        "FilterPolicyScope": "MessageBody",
        "FilterPolicy": '{"a":{"b":["c"]}}',
        "DeliveryPolicy": '{"healthyRetryPolicy":{"numRetries":1,"minDelayTarget":2,"maxDelayTarget":3}}',
    }
    for name, value in changes.items():
        await stage.call("SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
    shown = await stage.attributes(arn)
    assert {name: shown[name] for name in changes} == changes
    assert (shown["Endpoint"], '"numRetries":1,' in shown["EffectiveDeliveryPolicy"]) == ("http://me:****@a/x", True)
    await stage.refused(
        "InvalidParameter", "for FilterPolicyScope MessageBody", "SetSubscriptionAttributes",
        SubscriptionArn=arn, AttributeName="FilterPolicyScope", AttributeValue="MessageAttributes",
    )  # fmt: skip
    await stage.call("SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="{}")
    assert "FilterPolicy" not in await stage.attributes(arn)


@on_stage
async def test_arns_that_are_none_or_somebody_elses_are_refused(stage: Stage) -> None:
    await stage.topic()
    for arn in ("x", f"{TOPIC}:uid", TOPIC.replace(REGION, "other-1"), "arn:aws:sqs:local-1:000000000000:x"):
        await stage.refused("InvalidParameter", "TopicArn", "GetTopicAttributes", TopicArn=arn)
    await stage.refused("InvalidParameter", "SubscriptionArn", "GetSubscriptionAttributes", SubscriptionArn=TOPIC)
    await stage.refused("NotFound", "Subscription", "GetSubscriptionAttributes", SubscriptionArn=f"{TOPIC}:uid")
    await stage.call("Unsubscribe", SubscriptionArn=f"{TOPIC}:uid")


@on_stage
async def test_policies_of_users_say_who_may_publish_where(stage: Stage) -> None:
    await stage.topic()
    arn = await stage.subscribed("http://a/")
    await stage.call("CreateTopic", Name="other")
    stage.caller = user_who_may({"Action": "sns:Publish"})
    await stage.publish("allowed")
    entries = [{"Id": "1", "Message": "in a batch"}]
    await stage.call("PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
    other = f"{TOPIC.rpartition(':')[0]}:other"
    requests: dict[str, dict[str, object]] = {
        "Publish": {"TopicArn": other, "Message": "x"},
        "PublishBatch": {"TopicArn": other, "PublishBatchRequestEntries": entries},
        "Subscribe": {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://b/"},
        "Unsubscribe": {"SubscriptionArn": arn},
        "CreateTopic": {"Name": "third"},
        "ListTopics": {},
        "DeleteTopic": {"TopicArn": TOPIC},
    }
    for name, request in requests.items():
        with pytest.raises(Refused, match="is not authorized to perform: sns:") as refusal:
            await stage.call(name, **request)
        assert (refusal.value.code, refusal.value.status) == ("AuthorizationError", 403)
    assert stage.recipients.texts("http://a/")[0] == "allowed"


@on_stage
async def test_policies_say_which_endpoints_may_be_subscribed(stage: Stage) -> None:
    await stage.topic()
    conditions = {"StringLike": {"sns:Endpoint": "https://*.example.com/*"}, "StringEquals": {"sns:Protocol": "https"}}
    stage.caller = user_who_may({"Action": "sns:Subscribe", "Condition": conditions})
    asked = {"TopicArn": TOPIC, "Protocol": "https", "Endpoint": "https://a.example.com/x"}
    await stage.call("Subscribe", **asked)
    for other in ({"Endpoint": "https://127.0.0.1/x"}, {"Endpoint": "http://a.example.com/", "Protocol": "http"}):
        with pytest.raises(Refused, match="sns:Subscribe"):
            await stage.call("Subscribe", **{**asked, **other})


def user_who_may(statement: dict[str, object]) -> Credential:
    allowed = {"Effect": "Allow", "Resource": TOPIC, **statement}
    policy = read_policy(msgspec.json.encode({"Version": "2012-10-17", "Statement": [allowed]}).decode())
    user = f"arn:aws:iam::{ACCOUNT}:user/app"
    return msgspec.structs.replace(KEY, arn=user, user_id="AIDA", is_root=False, user_name="app", policies=(policy,))


def test_the_audit_log_hides_endpoints_tokens_and_messages() -> None:
    told = masked({"TopicArn": TOPIC, "Endpoint": HOOK, "Token": "ff", "PublishBatchRequestEntries": [{"Message": "m"}]})
    assert [told["endpoint"], told["token"], told["publishBatchRequestEntries"][0]["message"]] == [HIDDEN] * 3
    assert told["topicArn"] == TOPIC


def test_links_keep_what_they_name() -> None:
    links = Links("http://127.0.0.1:8300", "")
    assert links.unsubscribe("arn:aws:sns:r:1:t:u&x") == (
        "http://127.0.0.1:8300/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:r:1:t:u%26x&Version=2010-03-31"
    )
