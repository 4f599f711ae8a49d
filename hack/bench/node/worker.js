// Copyright 2026 The mongolock Authors.
//
// Licensed under the Apache License, Version 2.0; see LICENSE.
// SPDX-License-Identifier: Apache-2.0

// Measures mongo-dlock. Each line of the input is a request, a JSON object with "command" and its arguments; each line of the output
// is the answer to one. All times are taken in this process, in milliseconds. It ends with its input.
'use strict';

const readline = require('readline');
const { setTimeout: sleep } = require('timers/promises');
const MDL = require('mongo-dlock');
const { ConnectionString } = require('mongodb-connection-string-url');

let holder, waiter; // two instances with a driver client each, like two processes

const now = () => process.hrtime.bigint();
const since = (begin, end = now()) => Number(end - begin) / 1e6;

// call makes a promise of a method that takes a callback.
const call = (lock, method) =>
  new Promise((resolve, reject) => lock[method]((err, result) => (err ? reject(err) : resolve(result))));

async function must(lock, method) {
  if (!(await call(lock, method))) throw new Error(`mongo-dlock refused ${method} of ${lock.id()}`);
}

// mongo-dlock takes the database from the connection string. Its options are left at their defaults; the write concern is that of
// the other contenders.
function connect({ uri, database, collection }) {
  const url = new ConnectionString(uri);
  const credentialsOf = url.pathname.slice(1) || 'admin';
  if (url.username && !url.searchParams.has('authSource')) url.searchParams.set('authSource', credentialsOf);
  url.pathname = '/' + database;
  url.searchParams.set('w', 'majority');
  return new Promise((resolve, reject) =>
    MDL({ url: url.toString(), coll: collection }, (err, locks) => (err ? reject(err) : resolve(locks))));
}

const commands = {
  // One after the other, and a lock in between: each creates the collection and its index without waiting for that.
  async connect(request) {
    for (const set of [(c) => (holder = c), (c) => (waiter = c)]) {
      const client = set(await connect(request));
      const lock = client.dlock('warm-up');
      await must(lock, 'lock');
      await must(lock, 'unlock');
    }
    return { node: process.version, version: require('mongo-dlock/package.json').version,
      driver: require('mongodb/package.json').version };
  },

  async cycle({ n }) {
    const lock = holder.dlock('cycle');
    const ms = [];
    while (ms.length < n) {
      const begin = now();
      await must(lock, 'lock');
      await must(lock, 'unlock');
      ms.push(since(begin));
    }
    return { ms };
  },

  async denied({ n }) {
    const held = holder.dlock('denied'), other = waiter.dlock('denied');
    await must(held, 'lock');
    const ms = [];
    while (ms.length < n) {
      const begin = now();
      const got = await call(other, 'lock');
      ms.push(since(begin));
      if (got) throw new Error('mongo-dlock granted a lock that is held');
    }
    await must(held, 'unlock');
    return { ms };
  },

  async handOff({ holds }) {
    return { ms: await Promise.all(holds.map(async (hold, i) => {
      const held = holder.dlock(`handoff/${i}`), waits = waiter.dlock(`handoff/${i}`);
      await must(held, 'lock');
      const granted = new Promise((resolve, reject) =>
        waits.wait_lock((err, got) => {
          const at = now(); // before anything else can run
          return err || !got ? reject(err || new Error('mongo-dlock waited and got nothing')) : resolve(at);
        }));
      granted.catch(() => {}); // seen below
      await sleep(hold);
      const begin = now();
      await must(held, 'unlock');
      const at = await granted;
      await must(waits, 'unlock');
      return since(begin, at);
    })) };
  },

  async throughput({ ms, workers }) {
    const begin = now();
    let count = 0;
    await Promise.all(Array.from({ length: workers }, async (_, i) => {
      const lock = holder.dlock(`throughput/${i}`);
      while (since(begin) < ms) {
        await must(lock, 'lock');
        await must(lock, 'unlock');
        count++;
      }
    }));
    return { perSecond: (count * 1000) / since(begin) };
  },
};

// mongo-dlock does not wait for its index; that it exists already is no reason to end.
process.on('unhandledRejection', (err) => console.error('worker: not handled by mongo-dlock:', err.message));

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      const request = JSON.parse(line);
      answer = await commands[request.command](request);
    } catch (err) {
      answer = { error: `${err.name}: ${err.message}` };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
  process.exit(0); // mongo-dlock's timers would keep it alive
})();
