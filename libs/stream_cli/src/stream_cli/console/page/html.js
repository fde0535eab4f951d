// Templates: what is put into them becomes text, never markup, and characters that turn or hide text are seen as escapes.
import { h } from "preact";
import htm from "htm";

// As in stream_runtime.payload.visible, but lines and tabs stay what they are.
const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\p{Surrogate}\ufeff\uffa0\ufff0-\ufffb\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
const SPOKEN = ["title", "aria-label"];

export function visible(text) {
  return text.replace(HIDDEN, (character) => {
    const code = character.codePointAt(0).toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, "0")}` : code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}

function shown(child) {
  if (typeof child === "string") return visible(child);
  return Array.isArray(child) ? child.map(shown) : child;
}

function element(type, props, ...children) {
  for (const name of SPOKEN) {
    if (typeof props?.[name] === "string") props = { ...props, [name]: visible(props[name]) };
  }
  return h(type, props, ...children.map(shown));
}

export const html = htm.bind(element);
