// The address: #/page/what?name=value. Pages are links, so that the browser's own keys and history work.
import { useEffect, useState } from "preact/hooks";

export function parsed(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = path.split("/");
  return { page: page || "map", what: safelyDecoded(rest.join("/")), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function link(page, what = "", query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  return `#/${page}${what ? `/${encoded(what)}` : ""}${text ? `?${text}` : ""}`;
}

// For a path. Half of a surrogate pair, which an id may hold, has no form in an address.
export const encoded = (text) => encodeURIComponent(text.toWellFormed());

function safelyDecoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function useRoute() {
  const [route, set] = useState(() => parsed(location.hash));
  useEffect(() => {
    const changed = () => set(parsed(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

// Without an entry in the history, as for what is typed into a search.
export function replace(hash) {
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
