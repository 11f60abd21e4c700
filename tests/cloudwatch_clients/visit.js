// The steps of visit.py with the AWS SDK for JavaScript: node visit.js json|cbor
// json: the wire form that the SDK chooses by itself today; cbor: the other one that it has.
"use strict";
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";
const cloudwatch = require("@aws-sdk/client-cloudwatch");
const { AwsSmithyRpcV2CborProtocol } = require("@aws-sdk/core/protocols");

const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const client = new cloudwatch.CloudWatchClient({
    endpoint: asked.endpoint,
    region: asked.region,
    credentials: { accessKeyId: asked.key, secretAccessKey: asked.secret },
    maxAttempts: 1,
    ...(process.argv[2] === "cbor" ? { protocol: AwsSmithyRpcV2CborProtocol } : {}),
});
const call = (name, input) => client.send(new cloudwatch[`${name}Command`](input));
const [StartTime, EndTime] = [new Date(asked.start * 1000), new Date(asked.end * 1000)];
const Dimensions = Object.entries(asked.dimensions).map(([Name, Value]) => ({ Name, Value }));

async function sums() {
    const MetricDataQueries = Object.entries(asked.metrics).map(([Id, MetricName]) => ({
        Id,
        MetricStat: { Metric: { Namespace: asked.namespace, MetricName, Dimensions }, Period: 60, Stat: "Sum" },
    }));
    MetricDataQueries.push({ Id: "reads", Expression: "hits + misses" });
    const found = {};
    const pages = cloudwatch.paginateGetMetricData({ client }, { MetricDataQueries, StartTime, EndTime, MaxDatapoints: 20 });
    for await (const page of pages)
        for (const one of page.MetricDataResults)
            found[one.Id] = (found[one.Id] ?? 0) + one.Values.reduce((whole, value) => whole + value, 0);
    return found;
}

async function statistics() {
    const metric = { Namespace: asked.namespace, MetricName: asked.metrics.hits, Dimensions, StartTime, EndTime, Period: 3600 };
    const { Datapoints } = await call("GetMetricStatistics", { ...metric, Statistics: ["Sum"] });
    return Datapoints.reduce((whole, point) => whole + point.Sum, 0);
}

async function own() {
    const Values = Array.from({ length: 100 }, (_, index) => index + 1);
    const datum = { MetricName: "Latency", Values, Unit: "Milliseconds", Timestamp: StartTime };
    await call("PutMetricData", { Namespace: asked.name, MetricData: [datum] });
    const ask = { Namespace: asked.name, MetricName: "Latency", StartTime, EndTime, Period: 3600 };
    const { Datapoints } = await call("GetMetricStatistics", { ...ask, ExtendedStatistics: ["p50"] });
    return Datapoints.map((point) => Math.round(point.ExtendedStatistics.p50));
}

async function alarm() {
    await call("PutMetricAlarm", {
        AlarmName: asked.name,
        Namespace: asked.namespace,
        MetricName: asked.metrics.hits,
        Dimensions,
        Statistic: "Sum",
        Period: 60,
        EvaluationPeriods: 3,
        DatapointsToAlarm: 2,
        Threshold: 1e9,
        ComparisonOperator: "GreaterThanThreshold",
        TreatMissingData: "ignore",
    });
    await call("SetAlarmState", { AlarmName: asked.name, StateValue: "ALARM", StateReason: "a drill" });
    const { MetricAlarms } = await call("DescribeAlarms", { AlarmNames: [asked.name] });
    const { AlarmHistoryItems } = await call("DescribeAlarmHistory", { AlarmName: asked.name });
    await call("DeleteAlarms", { AlarmNames: [asked.name] });
    const [made] = MetricAlarms;
    const told = [made.Threshold, made.DatapointsToAlarm, made.TreatMissingData, made.Dimensions.length];
    return [...told, made.AlarmConfigurationUpdatedTimestamp instanceof Date, [...new Set(AlarmHistoryItems.map((item) => item.HistoryItemType))].sort()];
}

async function refusal(name, input) {
    try {
        await call(name, input);
        return "accepted";
    } catch (error) {
        return [error.Code ?? error.Error?.Code ?? error.name, error.$metadata.httpStatusCode, error.message.slice(0, 20)];
    }
}

async function visit() {
    const listed = await call("ListMetrics", { Namespace: asked.namespace, MetricName: asked.metrics.hits, Dimensions });
    return {
        sums: await sums(),
        statistics: await statistics(),
        own: await own(),
        listed: listed.Metrics.map((metric) => metric.Dimensions.map((pair) => pair.Value).sort()),
        alarm: await alarm(),
        refusals: [
            await refusal("GetMetricData", { MetricDataQueries: [{ Id: "e1", Expression: "1 +" }], StartTime, EndTime }),
            await refusal("SetAlarmState", { AlarmName: "nobody", StateValue: "OK", StateReason: "r" }),
            await refusal("PutMetricData", { Namespace: "AWS/X", MetricData: [{ MetricName: "m", Value: 1 }] }),
        ],
    };
}

visit().then((told) => console.log(JSON.stringify(told)));
