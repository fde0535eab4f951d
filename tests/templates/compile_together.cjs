'use strict';

// Runs the Serverless CLI for one service after the other in a process, as it takes longer to load than to compile.
// stdin is JSON: {"cli": the folder of osls, "jobs": [{"folder", "arguments"}]}. A job that fails leaves no template.
const fs = require('node:fs');
const path = require('node:path');

const { cli, jobs } = JSON.parse(fs.readFileSync(0, 'utf8'));
const LISTENED = ['uncaughtException', 'SIGHUP', 'SIGINT', 'SIGTERM'];
const VALIDATION = path.join(cli, 'lib', 'classes', 'config-schema-handler', 'resolve-ajv-validate.js');
const left = [...jobs];

// The CLI's own modules are loaded anew, with the state that they have; not those that they use, and the one that keeps
// by its content how a service is validated.
function next() {
  const job = left.shift();
  if (!job) return;
  const own = (name) => name.startsWith(cli + path.sep) && name !== VALIDATION && !name.includes('node_modules', cli.length);
  for (const name of Object.keys(require.cache).filter(own)) delete require.cache[name];
  for (const name of LISTENED) process.removeAllListeners(name);
  process.chdir(job.folder);
  process.argv = [process.argv[0], path.join(cli, 'bin', 'serverless.js'), ...job.arguments];
  require(path.join(cli, 'scripts', 'serverless.js'));
}

process.on('beforeExit', next);
