// What the journal lacks, of which no page can tell anything.
import { plural, time } from "./format.js";
import { html } from "./html.js";

export function Coverage({ coverage }) {
  const { deleted, deleted_until: until, lost, torn, unknown, full } = coverage ?? {};
  const lacks = [
    deleted && `${plural(deleted, "older line")} deleted to make room${until ? `, up to ${time(until)}` : ""}`,
    full && "what happens now, as its disk is full",
    lost && `${plural(lost, "line")} that could not be written`,
    torn && plural(torn, "torn line"),
    unknown && `${plural(unknown, "file")} of another format`,
  ].filter(Boolean);
  return lacks.length > 0 && html`<p class="lacks warns" role="note">The journal lacks ${lacks.join("; ")}.</p>`;
}
