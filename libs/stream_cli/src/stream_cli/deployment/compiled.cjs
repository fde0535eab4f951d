'use strict';

// Loaded before the Serverless CLI. From version 22.1 on, Node.js keeps in NODE_COMPILE_CACHE what V8 has compiled. For
// older versions this does so, for the modules below node_modules: in one file, whose name has the version of V8.
const Module = require('node:module');

const INSTALLED = /[\\/]node_modules[\\/]/;
const MOST = 64 * 1024 * 1024;
const IMPORTS = /\bimport\b\s*\(/; // only Node.js itself can compile a module with these

if (process.env.NODE_COMPILE_CACHE && !Module.enableCompileCache) keepCompiled(process.env.NODE_COMPILE_CACHE);

function keepCompiled(folder) {
  const path = require('node:path');
  const vm = require('node:vm');
  const { createHash } = require('node:crypto');
  const { cachedDataVersionTag } = require('node:v8');
  const { add, read } = require('./kept_parts.cjs');
  const file = path.join(folder, `${process.version}-${process.arch}-${cachedDataVersionTag()}`);
  const kept = read(file);
  const compiled = new Map();
  const compile = Module.prototype._compile;

  Module.prototype._compile = function (content, filename, ...rest) {
    const script = this.id === '.' || rest[0] === 'module' ? null : scriptOf(content, filename);
    if (!script) return compile.call(this, content, filename, ...rest);
    const require = (request) => this.require(request);
    require.resolve = (request, options) => Module._resolveFilename(request, this, false, options);
    require.resolve.paths = (request) => Module._resolveLookupPaths(request, this);
    require.main = process.mainModule;
    require.extensions = Module._extensions;
    require.cache = Module._cache;
    const call = [this.exports, require, this, filename, path.dirname(filename)];
    return script.runInThisContext().apply(this.exports, call);
  };

  function scriptOf(content, filename) {
    if (!INSTALLED.test(filename) || IMPORTS.test(content)) return null;
    const digest = createHash('sha256').update(content).digest('base64');
    const before = kept.get(filename);
    const cachedData = before && before.digest === digest ? before.data : undefined;
    try {
      const script = new vm.Script(Module.wrap(content.replace(/^#!.*/, '')), { filename, cachedData });
      if (!cachedData || script.cachedDataRejected) compiled.set(filename, { digest, script });
      return script;
    } catch {
      return null; // such as a module that is no CommonJS: Node.js itself says what is wrong
    }
  }

  // At the end, because functions are compiled when they are called first.
  process.on('exit', () => {
    const parts = [...compiled].map(([name, { digest, script }]) => [name, { digest, data: script.createCachedData() }]);
    if (parts.length) add(file, new Map(parts), MOST);
  });
}
