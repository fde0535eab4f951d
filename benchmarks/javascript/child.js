// Measures the JavaScript original: `node child.js CASE`, with a handler in `./CASE.js`.
//
// The first line on stdin is the invocation. For each further line the handler runs once, and its times are printed as
// a line of JSON, with the number of units of work that passed through under `done`.
'use strict';

const path = require('node:path');
const readline = require('node:readline');

const handler = require(path.join(__dirname, `${process.argv[2]}.js`));

const once = async (event) => {
  const cpu = process.cpuUsage();
  const wall = process.hrtime.bigint();
  const done = await handler(event);
  const wallS = Number(process.hrtime.bigint() - wall) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  return { cpu_s: (user + system) / 1e6, wall_s: wallS, done };
};

const main = async () => {
  let event;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (event === undefined) {
      event = JSON.parse(line);
    } else {
      process.stdout.write(`${JSON.stringify(await once(event))}\n`);
    }
  }
};

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
