'use strict';

// Loaded before the Serverless CLI. Where its plugin starts pip, it starts installs.py instead, with pip's command line;
// KEPT_INSTALLS says how, as JSON: the words before that command line.
const Module = require('node:module');

const PLUGIN = /[\\/]node_modules[\\/]serverless-python-requirements[\\/]lib[\\/]pip\.js$/;
const load = Module._load;

Module._load = function (request, parent, ...rest) {
  const loaded = load.call(this, request, parent, ...rest);
  const keeps = request === 'child-process-ext/spawn' && PLUGIN.test(parent.filename) && process.env.KEPT_INSTALLS;
  return keeps ? through(loaded, JSON.parse(keeps)) : loaded;
};

function through(spawn, [program, ...words]) {
  return (command, args, options) => {
    const [dash, module, action] = args;
    if (dash !== '-m' || module !== 'pip') return spawn(command, args, options);
    if (action === 'help') return {}; // installs.py asks pip whether it has --system, where it runs pip
    return spawn(program, [...words, command, ...args], options);
  };
}
