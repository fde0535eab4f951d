'use strict';

// Loaded before the Serverless CLI. Where its plugin starts pip, it starts installs.py instead, with pip's command line;
// KEPT_INSTALLS says how, as JSON: the words before that command line. And where the plugin looks for the files that
// slimPatterns name, the folder is read once for a pattern: glob reads it once for each of the pattern's alternatives.
// What is compressed for a zip file is kept beside what pip has installed.
const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { keepDeflated } = require('./deflated.cjs');

const PLUGIN = /[\\/]node_modules[\\/]serverless-python-requirements[\\/]lib[\\/](pip|slim)\.js$/;
const JSZIP = /[\\/]node_modules[\\/]jszip[\\/]lib[\\/]compressions\.js$/;
const MAGIC = /[*?[\]{}!+@()\\]/;
const MORE_THAN_NAMES = /\*\*|\/(?:[,}]|$)|(?:^|[/,{])\.{1,2}(?:[/,}]|$)/;
const load = Module._load;

Module._load = function (request, parent, ...rest) {
  const loaded = load.call(this, request, parent, ...rest);
  const [, asks] = (parent && PLUGIN.exec(parent.filename)) || [];
  if (asks === 'slim' && request === 'glob-all') return { ...loaded, sync: finding(loaded, parent) };
  if (request === './flate' && JSZIP.test(parent.filename) && process.env.KEPT_INSTALLS) {
    keepDeflated(loaded, path.join(JSON.parse(process.env.KEPT_INSTALLS).at(-1), '.deflated'));
  }
  const keeps = asks === 'pip' && request === 'child-process-ext/spawn' && process.env.KEPT_INSTALLS;
  return keeps ? through(loaded, JSON.parse(keeps)) : loaded;
};

// What glob finds for `FOLDER/**/PATTERN`. It does so itself where that is more than names to compare: where PATTERN has
// another `**` or asks for folders alone, where it would follow a link, and where the folder's name is a pattern, too.
function finding(glob, plugin) {
  const of = (request, origin) => Module.createRequire(origin).resolve(request);
  const { Minimatch } = require(of('minimatch', of('glob', of('glob-all', plugin.filename))));
  return (pattern) => {
    const [folder, below, ...more] = pattern.split('/**/');
    const plain = below && !more.length && !MAGIC.test(folder) && !MORE_THAN_NAMES.test(below);
    const names = plain ? namesBelow(folder) : null;
    if (!names) return glob.sync(pattern);
    const wanted = new Minimatch(`**/${below}`, { nocomment: true, nonegate: true });
    return names.filter((name) => wanted.match(name)).map((name) => `${folder}/${name}`);
  };
}

function namesBelow(folder) {
  if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return null;
  const names = [];
  const waiting = [''];
  while (waiting.length) {
    const above = waiting.pop();
    for (const entry of fs.readdirSync(path.join(folder, above), { withFileTypes: true })) {
      const name = above + entry.name;
      if (entry.isSymbolicLink()) return null;
      if (entry.isDirectory()) waiting.push(`${name}/`);
      names.push(name);
    }
  }
  return names;
}

function through(spawn, [program, ...words]) {
  return (command, args, options) => {
    const [dash, module, action] = args;
    if (dash !== '-m' || module !== 'pip') return spawn(command, args, options);
    if (action === 'help') return {}; // installs.py asks pip whether it has --system, where it runs pip
    return spawn(program, [...words, command, ...args], options);
  };
}
