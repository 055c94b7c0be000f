'use strict';
// Both addresses come from the environment; there is no default to fall back to.
const mysql = require('mysql');
const redis = require('redis');

function openDatabase() {
  const pool = mysql.createPool(process.env.DATABASE_URL);
  return {
    ask: (sql, values) =>
      new Promise((done, fail) => pool.query(sql, values, (error, rows) => (error ? fail(error) : done(rows)))),
    close: () => new Promise((done) => pool.end(done)),
  };
}

async function openCache() {
  const client = redis.createClient({
    url: process.env.REDIS_URL,
    socket: { reconnectStrategy: (tries) => (tries > 2 ? new Error('Redis does not answer') : 100) },
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

module.exports = { openDatabase, openCache };
