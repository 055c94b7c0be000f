'use strict';
const { makeApp } = require('./app');
const { openCache, openDatabase } = require('./connections');

async function main() {
  const app = makeApp(openDatabase(), await openCache());
  app.listen(3000, '127.0.0.1');
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
