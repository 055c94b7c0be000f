'use strict';
const { openDatabase } = require('./connections');

const ZONES = ['North', 'East', 'South', 'West'];
const STATES = ['announced', 'under way', 'delivered'];

async function main() {
  const database = openDatabase();
  await database.ask('INSERT INTO zones (name) VALUES ?', [ZONES.map((name) => [name])]);
  const parcels = [];
  for (let n = 1; n <= 300; n += 1) {
    const recipient = `recipient${(n * 7) % 120}@example.org`;
    parcels.push([recipient, (n % 4) + 1, 100 + ((n * 37) % 4900), STATES[n % 3]]);
  }
  await database.ask('INSERT INTO parcels (recipient, zone_id, weight, state) VALUES ?', [parcels]);
  await database.close();
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
