'use strict';

// What JSZip, by which the plugin makes zip files, has compressed before is taken from a file: by the digest of what is
// compressed, so the zip files have the same bytes. It does that in JavaScript, half of the CPU of a package.
const { createHash } = require('node:crypto');
const { add, read } = require('./kept_parts.cjs');

const MOST = 64 * 1024 * 1024;

// `flate` is JSZip's module of its compression.
function keepDeflated(flate, file) {
  const kept = read(file);
  const made = new Map();
  const { compressWorker } = flate;

  flate.compressWorker = (options) => {
    const worker = compressWorker(options);
    const { processChunk, flush } = worker;
    const given = [];
    worker.processChunk = (chunk) => given.push(chunk);
    worker.flush = () => {
      if (!given.every(({ data }) => data instanceof Uint8Array)) {
        for (const chunk of given) processChunk.call(worker, chunk);
        flush.call(worker);
        return;
      }
      const name = `${JSON.stringify(options)} ${digestOf(given.map(({ data }) => data))}`;
      const before = kept.get(name) || made.get(name);
      if (before && digestOf([before.data]) === before.digest) {
        worker.push({ data: before.data, meta: given.length ? given[given.length - 1].meta : {} });
        return;
      }
      const parts = [];
      worker.push = (part) => {
        parts.push(Buffer.from(part.data));
        return Object.getPrototypeOf(worker).push.call(worker, part);
      };
      for (const chunk of given) processChunk.call(worker, chunk);
      flush.call(worker);
      made.set(name, { digest: digestOf(parts), data: Buffer.concat(parts) });
    };
    return worker;
  };

  process.on('exit', () => {
    if (made.size) add(file, made, MOST);
  });
}

function digestOf(parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('base64');
}

module.exports = { keepDeflated };
