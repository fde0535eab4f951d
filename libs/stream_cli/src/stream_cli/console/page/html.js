// Templates: what is put into them becomes text, never markup.
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
