'use strict';
// `node migrate.js up` runs what is new in migrations/, `node migrate.js down N` undoes the last N.
const fs = require('fs');
const path = require('path');
const { openDatabase } = require('./connections');

const FOLDER = path.join(__dirname, 'migrations');

async function main(direction, steps) {
  const database = openDatabase();
  await database.ask('CREATE TABLE IF NOT EXISTS schema_migrations (name VARCHAR(190) PRIMARY KEY)');
  const done = (await database.ask('SELECT name FROM schema_migrations ORDER BY name')).map((row) => row.name);
  const there = fs.readdirSync(FOLDER).filter((file) => file.endsWith('.up.sql')).sort();
  const names = there.map((file) => file.replace(/\.up\.sql$/, ''));
  const chosen = direction === 'up' ? names.filter((name) => !done.includes(name)) : done.reverse().slice(0, steps);
  for (const name of chosen) {
    const text = fs.readFileSync(path.join(FOLDER, `${name}.${direction}.sql`), 'utf8');
    for (const statement of text.split(/;\s*$/m).map((part) => part.trim()).filter(Boolean)) {
      await database.ask(statement);
    }
    if (direction === 'up') await database.ask('INSERT INTO schema_migrations VALUES (?)', [name]);
    else await database.ask('DELETE FROM schema_migrations WHERE name = ?', [name]);
    console.log(`${direction} ${name}`);
  }
  await database.close();
}

main(process.argv[2] || 'up', Number(process.argv[3] || 1)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
