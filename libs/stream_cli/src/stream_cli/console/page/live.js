// The one connection over which the server tells what comes in; pages listen to it. A page that nobody sees has none, and
// asks nothing: the first message when it is seen again is `opened`, and the page asks for what it has missed.
import { useEffect, useRef, useState } from "preact/hooks";
import { follow, get } from "./api.js";

const AGAIN_MS = 1000;
const RELOAD_MS = 1000;
const SHARE = 4; // a question that takes long is asked less often

class Live {
  state = "connecting";
  #listeners = new Set();

  // A message as the server sends it, with `opened` if it is the first of a connection.
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async run() {
    for (;;) {
      await visible();
      const left = new AbortController();
      const leave = () => document.hidden && left.abort();
      document.addEventListener("visibilitychange", leave);
      try {
        let opened = true;
        for await (const message of follow("arrivals", left.signal)) {
          this.#tell("live", { ...message, opened });
          opened = false;
        }
        this.#tell("lost");
      } catch {
        this.#tell(document.hidden ? "connecting" : "lost");
      } finally {
        document.removeEventListener("visibilitychange", leave);
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  #tell(state, message = { counts: {}, events: [], left_out: 0, missed: false, opened: false }) {
    this.state = state;
    for (const listener of this.#listeners) listener(message);
  }
}

export const live = new Live();

// Browsers give all tabs together six connections.
export function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", function shown() {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", shown);
      resolve();
    });
  });
}

export function useLive(listener) {
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(() => live.listen((message) => latest.current(message)), []);
}

export function useLiveState() {
  const [state, set] = useState(live.state);
  useLive(() => set(live.state));
  useEffect(() => set(live.state), []); // which may have changed before there was a listener
  return state;
}

// What a path answers, asked again when lines of these kinds come in, at most once a second, and every so often.
export function useLoaded(path, { query = {}, kinds = [], everyMs = 0 } = {}) {
  const [found, set] = useState({ content: null, error: null });
  const key = JSON.stringify([path, query]);
  const asking = useRef({ key: null, last: 0, took: 0, timer: null, again: () => {} });
  useEffect(() => {
    const left = new AbortController();
    const state = asking.current;
    Object.assign(state, { key, last: 0 });
    set({ content: null, error: null });
    state.again = () => {
      if (state.timer !== null) return;
      const wait = Math.max(0, state.last + Math.max(RELOAD_MS, SHARE * state.took) - performance.now());
      state.timer = setTimeout(async () => {
        if (document.hidden && state.last) {
          state.timer = null;
          return;
        }
        const began = performance.now();
        try {
          const content = await get(path, query, left.signal);
          if (!left.signal.aborted) set({ content, error: null });
        } catch (error) {
          if (!left.signal.aborted) set((before) => ({ content: before.content, error }));
        }
        state.last = performance.now();
        state.took = state.last - began;
        state.timer = null;
      }, state.last ? wait : 0);
    };
    state.again();
    const every = everyMs ? setInterval(() => document.hidden || state.again(), everyMs) : null;
    return () => {
      left.abort();
      clearTimeout(state.timer);
      clearInterval(every);
      state.timer = null;
    };
  }, [key]);
  useLive((message) => {
    const comes = message.opened || message.missed || kinds.some((kind) => message.counts[kind]);
    if (comes) asking.current.again();
  });
  return { ...found, again: () => asking.current.again() };
}
