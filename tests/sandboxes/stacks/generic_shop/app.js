'use strict';
// The routes. Connections are handed in, so that tests can close them.
const express = require('express');

function makeApp(database, cache) {
  const app = express();

  app.get('/health', (request, response) => response.json({ ok: true }));

  app.get('/parcels', async (request, response, next) => {
    try {
      const zones = await zoneNames(database, cache);
      const found = await database.ask(
        'SELECT id, recipient, zone_id, weight, state FROM parcels WHERE recipient = ? ORDER BY id',
        [String(request.query.recipient || '')],
      );
      response.json(found.map((row) => ({ ...row, zone: zones[row.zone_id] })));
    } catch (error) {
      next(error);
    }
  });

  return app;
}

// Read once from the database, from then on from Redis.
async function zoneNames(database, cache) {
  const held = await cache.get('zones');
  if (held) return JSON.parse(held);
  const rows = await database.ask('SELECT id, name FROM zones ORDER BY id');
  const names = Object.fromEntries(rows.map((row) => [row.id, row.name]));
  await cache.set('zones', JSON.stringify(names));
  return names;
}

module.exports = { makeApp };
