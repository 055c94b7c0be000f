'use strict';
const { after, before, describe, it } = require('node:test');
const assert = require('node:assert');
const { makeApp } = require('../app');
const { openCache, openDatabase } = require('../connections');

describe('parcels', () => {
  let database;
  let cache;
  let server;
  let address;

  before(async () => {
    database = openDatabase();
    cache = await openCache();
    await cache.flushAll();
    await database.ask("DELETE FROM parcels WHERE recipient = 'test@example.org'");
    for (const weight of [300, 200]) {
      await database.ask("INSERT INTO parcels VALUES (NULL, 'test@example.org', 2, ?, 'announced')", [weight]);
    }
    server = makeApp(database, cache).listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    address = `http://127.0.0.1:${server.address().port}`;
  });

  after(async () => {
    server.close();
    server.closeAllConnections();
    await cache.quit();
    await database.close();
  });

  it('are found by their recipient, oldest first', async () => {
    const found = await (await fetch(`${address}/parcels?recipient=test@example.org`)).json();
    assert.deepStrictEqual(found.map((parcel) => parcel.weight), [300, 200]);
    assert.strictEqual(found[0].zone, 'East');
  });

  it('of nobody are an empty list', async () => {
    const found = await (await fetch(`${address}/parcels?recipient=nobody@example.org`)).json();
    assert.deepStrictEqual(found, []);
  });

  it('take the names of zones from Redis #cache', async () => {
    await cache.set('zones', JSON.stringify({ 2: 'Elsewhere' }));
    const found = await (await fetch(`${address}/parcels?recipient=test@example.org`)).json();
    assert.strictEqual(found[0].zone, 'Elsewhere');
  });

  it('cannot be tracked yet', { skip: 'no carrier answers' }, () => {});
});
