// The map as tables, service by service: for narrow screens, and for those who do not see the picture.
import { KINDS, VERBS, told, troubles } from "./figures.js";
import { href } from "./diagram.js";
import { html } from "./html.js";

export function Tables({ drawn, figures }) {
  const names = new Map(drawn.nodes.map((node) => [node.id, node]));
  const groups = [...drawn.groups, { id: "", name: "In no stack" }];
  const leaving = new Map();
  for (const arrow of drawn.arrows) leaving.set(arrow.start, [...(leaving.get(arrow.start) ?? []), arrow]);
  return groups.map((group) => {
    const nodes = drawn.nodes.filter((node) => node.group === group.id || (!group.id && !drawn.groups.some((each) => each.id === node.group)));
    return nodes.length > 0 && html`
      <section key=${group.id} class="card map-table" aria-label=${group.name}>
        <h2>${group.name} ${group.status && !group.status.endsWith("E_COMPLETE") && html`<span class="warns">${group.status}</span>`}</h2>
        <table>
          <thead><tr><th scope="col">What</th><th scope="col">Now</th><th scope="col">Leads to</th></tr></thead>
          <tbody>${nodes.map((node) => html`
            <tr key=${node.id}>
              <th scope="row"><a href=${href(node.leads)} title=${node.full_name}>${node.name}</a> <span class="quiet">${KINDS[node.kind] ?? node.kind}${node.disabled ? ", disabled" : ""}</span></th>
              <td><${Said} figure=${figures?.nodes[node.id]} /></td>
              <td><ul>${(leaving.get(node.id) ?? []).map((arrow) => html`
                <li key=${arrow.id}><a href=${href(arrow.leads)}>${VERBS[arrow.kind]} ${names.get(arrow.end).name}</a>${" "}
                  <span class="quiet">${KINDS[names.get(arrow.end).kind] ?? ""}${arrow.disabled ? ", disabled" : ""}</span> <${Said} figure=${figures?.arrows[arrow.id]} />
                  ${arrow.why && html`<span class="map-why quiet">${arrow.why}</span>`}</li>`)}</ul></td>
            </tr>`)}</tbody>
        </table>
      </section>`;
  });
}

function Said({ figure }) {
  const bad = troubles(figure);
  if (!figure) return null;
  return html`<span>${told({ ...figure, troubles: [] })}</span>${bad.map((text) => html` <strong key=${text} class="problem">${text}</strong>`)}`;
}
