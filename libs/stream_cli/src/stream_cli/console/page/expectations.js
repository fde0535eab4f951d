// What must come of the sample that npm start feeds in, and what was seen of it.
import { exactly, time } from "./format.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";

const HEADS = {
  feeding: "The sample is being fed in", waiting: "On its way", ended: "Not waited for any more", settled: "",
};

export function Expectations() {
  const { content, error } = useLoaded("expectations", { kinds: ["event"], everyMs: 3000 });
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  if (content.state === "none") return html`<section class="card" role="status"><h2>No expectations</h2><p>${content.why}</p></section>`;
  const open = content.expectations.filter((each) => !each.ok).length;
  const settled = content.state === "settled";
  const head = settled ? (open ? `${open} of ${content.expectations.length} not as expected` : "All is as expected") : HEADS[content.state];
  return html`
    <section class=${`card ${settled ? (open ? "card-stuck" : "card-good") : ""}`} aria-label="Expectations">
      <h2><span role="status">${head}</span> <span class="quiet">${content.note}</span></h2>
      <p class="quiet">${content.why || (settled
        ? html`As it was at <time datetime=${exactly(content.at)}>${time(content.at)}</time>, when nothing came any more. What you send yourself does not count here.`
        : html`Looked at last at <time datetime=${exactly(content.at)}>${time(content.at)}</time>.`)}</p>
      ${content.expectations.length > 0 && html`
        <div class="wide" tabindex="0" role="region" aria-label="What is expected, and what was seen">
          <table class="stacks">
            <thead><tr>${["What", "State", "Since", "Expected", "Seen"].map((each) => html`<th key=${each} scope="col">${each}</th>`)}</tr></thead>
            <tbody>${content.expectations.map((each) => html`<${Line} key=${each.name} line=${each} over=${settled || content.state === "ended"} />`)}</tbody>
          </table>
        </div>`}
    </section>`;
}

function Line({ line, over }) {
  const [words, looks] = line.ok ? ["✓ as expected", "good"] : over ? ["✗ not as expected", "problem"] : ["… not yet", "warns"];
  return html`
    <tr class=${!line.ok && over ? "row-stuck" : ""}>
      <th scope="row" class="wraps">${line.name}</th>
      <td data-label="State" class=${`state ${looks}`}>${words}</td>
      <td data-label="Since"><time datetime=${exactly(line.since)}>${time(line.since)}</time></td>
      <td data-label="Expected" class="wraps">${line.expected}</td>
      <td data-label="Seen" class="wraps">${line.seen}
        ${line.details.length > 0 && html`<ul class="details">${line.details.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`}</td>
    </tr>`;
}
