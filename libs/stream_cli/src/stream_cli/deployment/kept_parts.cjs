'use strict';

// Parts that were made before, in one file: the index as JSON with its length before it, and behind it the data, each at
// its place in the index. Who reads while another writes has the old file or the new one, whole.
const fs = require('node:fs');
const path = require('node:path');

// The parts of a file by name, each with a digest and its data; none if there is no such file, or it is damaged.
function read(file) {
  try {
    const content = fs.readFileSync(file);
    const begin = 8 + content.readUInt32LE(4);
    const index = JSON.parse(content.toString('utf8', 8, begin));
    const lengths = index.reduce((sum, [, , length]) => sum + length, begin);
    if (content.readUInt32LE(0) !== content.length || lengths !== content.length) return new Map();
    let end = begin;
    return new Map(index.map(([name, digest, length]) => [name, { digest, data: content.subarray(end, (end += length)) }]));
  } catch {
    return new Map();
  }
}

// Add parts to a file, whose folder is made if it is not there. Above so many bytes in all, those of before go.
function add(file, parts, most) {
  const bytes = (all) => [...all.values()].reduce((sum, { data }) => sum + data.length, 0);
  const all = new Map([...read(file), ...parts]);
  const entries = [...(bytes(all) > most ? parts : all)];
  const index = Buffer.from(JSON.stringify(entries.map(([name, { digest, data }]) => [name, digest, data.length])));
  const head = Buffer.alloc(8);
  const content = [head, index, ...entries.map(([, { data }]) => data)];
  head.writeUInt32LE(content.reduce((sum, part) => sum + part.length, 0), 0);
  head.writeUInt32LE(index.length, 4);
  const unfinished = `${file}.${process.pid}`;
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    try {
      fs.writeFileSync(unfinished, Buffer.concat(content), { mode: 0o600 });
      fs.renameSync(unfinished, file);
    } finally {
      fs.rmSync(unfinished, { force: true });
    }
  } catch {
    return; // as on a full disk: the next run makes them again
  }
}

module.exports = { add, read };
