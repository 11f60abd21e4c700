// A visit of a cache with ioredis, as its users write it: node ioredis_visit.js KIND HOST PORT AUTHORITY
// Prints what came back of what was set; else the error, and ends with 1.
'use strict';

const fs = require('fs');
const Redis = require('ioredis');

const [kind, host, port, authority] = process.argv.slice(2);
// Cluster clients do not tell why no node could be reached: `-anybody` is what they do when they believe any certificate.
const tls = { ca: fs.readFileSync(authority), rejectUnauthorized: !kind.endsWith('-anybody') };
const once = { connectTimeout: 5000, maxRetriesPerRequest: 0, retryStrategy: () => null };

function client() {
  if (kind.startsWith('ioredis-cluster')) {
    return new Redis.Cluster([{ host, port: Number(port) }], {
      dnsLookup: (address, answer) => answer(null, address), // the name itself is to be proven, not what it leads to
      clusterRetryStrategy: () => null,
      redisOptions: { ...once, tls },
    });
  }
  return new Redis({ ...once, host, port: Number(port), tls });
}

async function visit() {
  const cache = client();
  const errors = [];
  for (const event of ['error', 'node error']) cache.on(event, (error) => errors.push(error));
  try {
    const found = [];
    for (let number = 0; number < 20; number++) {
      await cache.set(`visited-${number}`, `${number}`);
      found.push(await cache.get(`visited-${number}`));
    }
    console.log(found.join(' '));
  } catch (error) {
    console.log([error, ...errors].map((each) => `${each.code} ${each.message}`).join('\n'));
    process.exitCode = 1;
  } finally {
    cache.disconnect();
  }
}

visit();
