// Mappings and their shards.
import { count, duration, exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";
import { link } from "./route.js";

const NUMBERS = new Set(["Behind", "Age", "Done", "Dropped by the filter", "Retries", "Given up"]);
const COLUMNS = ["Shard", "Position", ...NUMBERS, "Last outcome", "Next attempt"];
const [, POSITION, BEHIND, AGE, DONE, DROPPED, RETRIES, GIVEN_UP, OUTCOME, NEXT] = COLUMNS;

export function Shards({ route }) {
  const { content, error } = useLoaded("shards", { kinds: ["attempt", "filtered", "given_up"], everyMs: 2000 });
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  const problem = content.problem || (content.alive ? "" : "The mapping engine does not run. This is its last status.");
  return html`
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${!content.mappings.length && html`<p>No function reads a stream.</p>`}
    ${route.what && html`<p><a href=${link("shards")}>All mappings</a></p>`}
    ${content.mappings.filter((mapping) => !route.what || mapping.id === route.what).map((mapping) => html`<${Mapping} key=${mapping.id} mapping=${mapping} />`)}`;
}

function Mapping({ mapping }) {
  const stuck = mapping.shards.some((shard) => shard.waits_until);
  return html`
    <section class=${`card ${stuck ? "card-stuck" : ""}`} aria-label=${`${mapping.function} reads ${mapping.source}`}>
      <h2><a href=${link("functions", mapping.function)}>${mapping.function}</a> <span class="quiet">reads ${mapping.source}</span></h2>
      ${!mapping.enabled && html`<p class="warns">Disabled.</p>`}
      ${mapping.problem && html`<p class="problem">${mapping.problem}</p>`}
      <div class="wide" tabindex="0" role="region" aria-label=${`Shards of ${mapping.function}`}>
        <table class="stacks">
          <thead><tr>${COLUMNS.map((each) => html`
            <th key=${each} scope="col" class=${NUMBERS.has(each) ? "number" : ""}>${each}</th>`)}</tr></thead>
          <tbody>${mapping.shards.map((shard) => html`<${Shard} key=${shard.shard} shard=${shard} />`)}</tbody>
        </table>
      </div>
      ${mapping.filtered_last && html`<p class="quiet">Its filter last dropped a record at ${time(mapping.filtered_last)}.</p>`}
      ${mapping.failures.length > 0 && html`
        <details open=${stuck}><summary>${plural(mapping.failures.length, "last failed attempt")}</summary>
          <ol class="failures">${mapping.failures.map((each, place) => html`
            <li key=${each.at}><time datetime=${exactly(each.at)}>${time(each.at)}</time>
              ${` shard ${short(each.shard)}, attempt ${each.attempt}, ${plural(each.records, "record")} left from ${each.first}: `}
              ${isSame(each, mapping.failures[place - 1]) ? "the same" : html`<${Blame} blame=${each.blame} />`}
              ${each.request && html`, <a href=${link("trace", each.request)}>its invocation</a>`}
              ${each.next && html` <span class="quiet">again at ${time(each.next)}</span>`}</li>`)}</ol>
        </details>`}
    </section>`;
}

// What failed, with the event to trace.
function Blame({ blame: { rule, event, type, operation, target, reason } }) {
  return html`
    ${rule && `rule ${rule}, `}
    ${event && html`event <a href=${link("trace", event)}>${event}</a>${type ? ` (${type})` : ""}, `}
    ${operation && `${operation}${target ? ` on ${target}` : ""}, `}
    <strong>${reason || "no reason given"}</strong>`;
}

const isSame = (one, other) => JSON.stringify(one.blame) === JSON.stringify(other?.blame);

function Shard({ shard }) {
  if (shard.behind === null) {
    return html`<tr><th scope="row">${short(shard.shard)}</th><td colspan=${COLUMNS.length - 1} class="quiet">${shard.state}</td></tr>`;
  }
  const failed = shard.last_outcome && shard.last_outcome !== "ok";
  return html`
    <tr class=${shard.waits_until ? "row-stuck" : ""}>
      <th scope="row">${short(shard.shard)}${shard.state === "open" ? "" : ` (${shard.state})`}</th>
      <td data-label=${POSITION} title=${shard.position ?? ""}>${shard.position ? `…${shard.position.slice(-9)}` : "at the start"}</td>
      <td data-label=${BEHIND} class="number">${count(shard.behind)}${shard.read_to_tip || shard.state !== "open" ? "" : "+"}</td>
      <td data-label=${AGE} class="number">${duration(shard.iterator_age * 1000)}</td>
      <td data-label=${DONE} class="number">${count(shard.processed)}</td>
      <td data-label=${DROPPED} class="number">${count(shard.filtered ?? 0)}</td>
      <td data-label=${RETRIES} class=${`number ${shard.retries ? "warns" : ""}`}>${count(shard.retries)}</td>
      <td data-label=${GIVEN_UP} class=${`number ${shard.given_up ? "problem" : ""}`}>${count(shard.given_up)}</td>
      <td data-label=${OUTCOME} class=${failed ? "problem" : ""}>${shard.blame ? html`<${Blame} blame=${shard.blame} />` : shard.last_outcome || "—"}</td>
      <td data-label=${NEXT}>${shard.waits_until ? html`${time(shard.waits_until)} <span class="quiet">attempt ${shard.attempt + 1}</span>` : "—"}</td>
    </tr>`;
}

const short = (id) => id.replace(/^shardId-0*(?=\w)/, "");
