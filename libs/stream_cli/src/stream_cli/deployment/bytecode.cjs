'use strict';

// Loaded before the Serverless CLI for stages on AWS. When its plugin has put what functions require into their packages,
// bytecode.py adds compiled modules, where there is a Python of the functions' version: one that BYTECODE_PYTHON names, the
// one that packages, or that of the PATH.
const { spawnSync } = require('node:child_process');
const Module = require('node:module');
const path = require('node:path');

const PLUGIN = /[\\/]node_modules[\\/]serverless-python-requirements[\\/]index\.js$/;
const PROGRAM = path.join(__dirname, 'bytecode.py');
const load = Module._load;

Module._load = function (request, parent, ...rest) {
  const loaded = load.call(this, request, parent, ...rest);
  return request === './lib/inject' && PLUGIN.test(parent.filename) ? withBytecode(loaded) : loaded;
};

function withBytecode(loaded) {
  return {
    ...loaded,
    async injectAllRequirements(artifact) {
      await loaded.injectAllRequirements.call(this, artifact);
      const { service, serviceDir } = this.serverless;
      const packages = new Map(); // of each zip file and version of Python, the handlers
      for (const each of this.targetFuncs) {
        const zip = (service.package.individually && each.package.artifact) || service.package.artifact || artifact;
        const runtime = each.runtime || service.provider.runtime;
        if (!/^python3\.\d+$/.test(runtime) || typeof each.handler !== 'string' || !zip) continue;
        const key = JSON.stringify([path.resolve(serviceDir, zip), runtime]);
        packages.set(key, [...(packages.get(key) ?? []), each.handler]);
      }
      for (const [key, handlers] of packages) compile(...JSON.parse(key), handlers);
    },
  };
}

function compile(zip, runtime, handlers) {
  const { BYTECODE_PYTHON, PYTHON_BIN } = process.env;
  for (const python of BYTECODE_PYTHON ? [BYTECODE_PYTHON] : [PYTHON_BIN, runtime]) {
    const ran = python && spawnSync(python, ['-I', '-S', PROGRAM, zip, runtime, ...handlers], { encoding: 'utf8' });
    if (ran && ran.status === 0) return;
    if (ran && ran.stderr?.includes(PROGRAM)) throw new Error(`modules of ${zip} cannot be compiled:\n${ran.stderr}`);
  }
}
