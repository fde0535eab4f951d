'use strict';

// Loaded before the Serverless CLI. From version 22.1 on, Node.js keeps in NODE_COMPILE_CACHE what V8 has compiled. For
// older versions this does so, for the modules below node_modules: in one file, whose name has the version of V8.
const Module = require('node:module');

const INSTALLED = /[\\/]node_modules[\\/]/;
const IMPORTS = /\bimport\b\s*\(/; // only Node.js itself can compile a module with these

if (process.env.NODE_COMPILE_CACHE && !Module.enableCompileCache) keepCompiled(process.env.NODE_COMPILE_CACHE);

function keepCompiled(folder) {
  const fs = require('node:fs');
  const path = require('node:path');
  const vm = require('node:vm');
  const { createHash } = require('node:crypto');
  const { cachedDataVersionTag } = require('node:v8');
  const file = path.join(folder, `${process.version}-${process.arch}-${cachedDataVersionTag()}`);
  const kept = read(fs, file);
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
    if (!compiled.size) return;
    for (const [filename, { digest, script }] of compiled) {
      kept.set(filename, { digest, data: script.createCachedData() });
    }
    write(fs, file, kept);
  });
}

// The index as JSON with its length before it, and behind it the data: each at its place in the index.
function read(fs, file) {
  try {
    const content = fs.readFileSync(file);
    const begin = 8 + content.readUInt32LE(4);
    const index = JSON.parse(content.toString('utf8', 8, begin));
    const lengths = index.reduce((sum, [, , length]) => sum + length, begin);
    if (content.readUInt32LE(0) !== content.length || lengths !== content.length) return new Map();
    let end = begin;
    return new Map(index.map(([name, digest, length]) => [name, { digest, data: content.subarray(end, (end += length)) }]));
  } catch {
    return new Map(); // there is none yet, or it is damaged
  }
}

function write(fs, file, kept) {
  const entries = [...kept];
  const index = Buffer.from(JSON.stringify(entries.map(([name, { digest, data }]) => [name, digest, data.length])));
  const head = Buffer.alloc(8);
  const parts = [head, index, ...entries.map(([, { data }]) => data)];
  head.writeUInt32LE(parts.reduce((sum, part) => sum + part.length, 0), 0);
  head.writeUInt32LE(index.length, 4);
  const unfinished = `${file}.${process.pid}`;
  try {
    fs.mkdirSync(require('node:path').dirname(file), { recursive: true, mode: 0o700 });
    try {
      fs.writeFileSync(unfinished, Buffer.concat(parts), { mode: 0o600 });
      fs.renameSync(unfinished, file);
    } finally {
      fs.rmSync(unfinished, { force: true });
    }
  } catch {
    return; // as on a full disk: the next run compiles again
  }
}
