// Pages and waiters of the AWS SDK for JavaScript: node visit.js, what is asked for as JSON on standard input.
// Answers with the number of pages and items of each paginator that the SDK has, and how each waiter ended.
"use strict";
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";
const elasticache = require("@aws-sdk/client-elasticache");

const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const client = new elasticache.ElastiCacheClient({
    endpoint: asked.endpoint,
    region: asked.region,
    credentials: { accessKeyId: asked.key, secretAccessKey: asked.secret },
    maxAttempts: 1,
});
const call = (name, input) => client.send(new elasticache[`${name}Command`](input));

// What paginators of one thing have to be told.
const INPUTS = {
    DescribeCacheParameters: { CacheParameterGroupName: asked.parameterGroup },
    DescribeEngineDefaultParameters: { CacheParameterGroupFamily: asked.family },
};

// The longest list of a reply: its items.
function items(reply) {
    const lists = [reply, reply.EngineDefaults ?? {}].flatMap((one) => Object.values(one).filter(Array.isArray));
    return Math.max(0, ...lists.map((list) => list.length));
}

async function pages(name) {
    const told = [];
    try {
        for await (const page of elasticache[`paginate${name}`]({ client, pageSize: 20 }, INPUTS[name] ?? {})) told.push(items(page));
    } catch (error) {
        return error.Code ?? error.name;
    }
    return told;
}

// In a second and not in 15, as everybody may say who waits.
const patient = { client, minDelay: 1, maxDelay: 1, maxWaitTime: 60 };
const waited = async (name, input) => (await elasticache[`waitUntil${name}`](patient, input)).state;

async function wait() {
    const [cluster, group] = [{ CacheClusterId: asked.cluster }, { ReplicationGroupId: asked.group }];
    const alike = { CacheNodeType: asked.nodeType, Engine: "valkey" };
    await call("CreateCacheCluster", { ...cluster, ...alike, NumCacheNodes: 1 });
    await call("CreateReplicationGroup", { ...group, ...alike, ReplicationGroupDescription: "d", NumCacheClusters: 1 });
    const told = await Promise.all([waited("CacheClusterAvailable", cluster), waited("ReplicationGroupAvailable", group)]);
    const [found] = (await call("DescribeReplicationGroups", group)).ReplicationGroups;
    await call("DeleteCacheCluster", cluster);
    await call("DeleteReplicationGroup", group);
    told.push(...(await Promise.all([waited("CacheClusterDeleted", cluster), waited("ReplicationGroupDeleted", group)])));
    return { told, status: found.Status, created: found.ReplicationGroupCreateTime instanceof Date };
}

async function refusal() {
    try {
        await call("DescribeCacheClusters", { CacheClusterId: "nobody" });
    } catch (error) {
        return [error instanceof elasticache.CacheClusterNotFoundFault, error.$metadata.httpStatusCode];
    }
    return [];
}

async function visit() {
    const names = Object.keys(elasticache).filter((name) => name.startsWith("paginate"));
    const found = {};
    for (const name of names.sort()) found[name.slice("paginate".length)] = await pages(name.slice("paginate".length));
    const waiters = Object.keys(elasticache).filter((name) => name.startsWith("waitUntil"));
    return { pages: found, waiters: waiters.sort(), waited: await wait(), refusal: await refusal() };
}

visit().then((told) => console.log(JSON.stringify(told)));
