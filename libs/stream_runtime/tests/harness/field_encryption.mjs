// A second implementation of format 1 of field encryption, on Node's crypto alone, from docs/encryption.md.
// stdin: a JSON list of {"do": "decrypt" | "encrypt", ...}; stdout: a list of {"value"} or {"error"}.

import { createCipheriv, createDecipheriv, hkdfSync, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';

const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const bytes = (text) => Buffer.from(text, 'base64');

const derived = (key, salt, bound, fields) => {
  const about = JSON.stringify(['stream-runtime/fields', 1, bound, fields]);
  const both = Buffer.from(hkdfSync('sha256', key, salt, Buffer.from(about), 64));
  return [both.subarray(0, 32), both.subarray(32)];
};

// Visits the outermost value at each path; null is left alone.
const at = (value, paths, change, place = []) => {
  if (value === null || value === undefined) return value;
  if (paths.some((path) => path.length === 0)) return change(value, place);
  if (typeof value !== 'object') return value;
  const step = (name, isNamed) =>
    paths.filter(([first]) => first === '*' || (isNamed && first === name)).map((path) => path.slice(1));
  const on = (each, name, isNamed) => {
    const rest = step(name, isNamed);
    return rest.length ? at(each, rest, change, [...place, name]) : each;
  };
  if (Array.isArray(value)) return value.map((each, index) => on(each, index, false));
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, on(each, name, true)]));
};

const pathsOf = (fields) => fields.map((field) => field.split('.'));

const decrypt = ({ object, key }) => {
  const { encryption, ...rest } = object;
  if (encryption.v !== 1) throw new Error('version');
  const [secret, commitment] = derived(bytes(key), bytes(encryption.salt), encryption.bound, encryption.fields);
  for (const [name, value] of encryption.bound) if ((object[name] ?? null) !== value) throw new Error(`bound ${name}`);
  if (!timingSafeEqual(commitment, bytes(encryption.commitment))) throw new Error('commitment');
  return at(rest, pathsOf(encryption.fields), (text, place) => {
    if (typeof text !== 'string' || !text.startsWith('ENCRYPTED')) throw new Error('not encrypted');
    const data = bytes(text.slice('ENCRYPTED'.length));
    const cipher = createDecipheriv('aes-256-gcm', secret, data.subarray(0, 12));
    cipher.setAAD(Buffer.from(JSON.stringify(place)));
    cipher.setAuthTag(data.subarray(-16));
    return JSON.parse(Buffer.concat([cipher.update(data.subarray(12, -16)), cipher.final()]).toString());
  });
};

// `random`: base64 of the salt and of the nonces, in the order in which they are needed.
const encrypt = ({ object, fields, bound, key, wrapped, random }) => {
  const [salt, ...nonces] = random.map(bytes);
  const pairs = bound.map((name) => [name, object[name] ?? null]);
  const [secret, commitment] = derived(bytes(key), salt, pairs, fields);
  const whole = at(object, pathsOf(fields), (value, place) => {
    const nonce = nonces.shift();
    const cipher = createCipheriv('aes-256-gcm', secret, nonce);
    cipher.setAAD(Buffer.from(JSON.stringify(place)));
    const text = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()]);
    return `ENCRYPTED${base64(Buffer.concat([nonce, text, cipher.getAuthTag()]))}`;
  });
  return {
    ...whole,
    encryption: { v: 1, fields, bound: pairs, keys: wrapped, salt: base64(salt), commitment: base64(commitment) },
  };
};

const results = JSON.parse(readFileSync(0, 'utf8')).map((asked) => {
  try {
    return { value: asked.do === 'decrypt' ? decrypt(asked) : encrypt(asked) };
  } catch (error) {
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(results));
