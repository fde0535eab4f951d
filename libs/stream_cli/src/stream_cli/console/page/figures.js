// What figures of the map say, in words.
import { count, duration } from "./format.js";

const NUMBERS = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 2 });

const SHOWN_MS = 1_000;
const LATE_MS = 10_000;

export function rate(figure) {
  if (!figure?.minute) return "";
  if (figure.rate >= 100) return `${count(Math.round(figure.rate))}/s`;
  return figure.rate ? `${NUMBERS.format(figure.rate)}/s` : `${NUMBERS.format(figure.minute * 60)}/min`;
}

// How many records, or, where only that is known, how late the last one was.
export function behind(figure) {
  if (!(figure?.lag_ms >= SHOWN_MS) || figure.behind === 0) return "";
  return figure.behind === null ? `${duration(figure.lag_ms)} late` : `${count(figure.behind)} behind`;
}

export const isLate = (figure) => figure?.lag_ms >= LATE_MS && figure.behind !== 0;

export const troubles = (figure) => figure?.troubles ?? [];

// All of a figure, for those who do not see the picture.
export function told(figure) {
  if (!figure) return "";
  const parts = [
    [rate(figure), figure.short ?? behind(figure)].filter(Boolean).join(" "),
    figure.ms !== undefined && `${duration(figure.ms)} on average`,
    figure.behind > 0 && `${count(figure.behind)} behind, ${duration(figure.lag_ms)}`,
    ...troubles(figure), ...(figure.notes ?? []),
  ];
  return parts.filter(Boolean).join("; ");
}

export const KINDS = {
  api: "API", bucket: "bucket", bus: "bus", delivery: "Firehose", function: "function", log: "log group", machine: "state machine",
  pipe: "pipe", queue: "queue", rule: "rule", schedule: "schedule", stream: "stream", table: "table", topic: "topic", outside: "outside",
};

export const VERBS = {
  match: "matches", target: "delivers to", mapping: "is read by", invoke: "invokes", deliver: "delivers to", write: "writes to", failure: "gives up to",
};

// One line of 16 x 16 for each kind.
export const ICONS = {
  api: "M5 3 1 8l4 5M11 3l4 5-4 5M9 2 7 14",
  bucket: "M2 4h12l-1.6 10H3.6zM2 4c0-1.2 2.7-2 6-2s6 .8 6 2-2.7 2-6 2-6-.8-6-2",
  bus: "M1 8h14M4 8V3m0 0L2 5m2-2 2 2M12 8v5m0 0-2-2m2 2 2-2",
  delivery: "M2 4h5l3 4-3 4H2m8-4h5M6 8H2",
  function: "M3 2h3l6 12h2M7 7l-4 7",
  log: "M3 3h10M3 6.5h10M3 10h7M3 13.5h5",
  machine: "M8 1v4M4 5h8v4H4zM8 9v3m-4 0h8v3H4z",
  pipe: "M1 6h4v4H1zm10 0h4v4h-4zM5 8h6",
  queue: "M1 4h3v8H1zm5 0h3v8H6zm5 0h4v8h-4z",
  rule: "M2 2h12L9.5 8v6l-3-2V8z",
  schedule: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M8 4v4l3 2",
  stream: "M1 5c2.3-2 4.7-2 7 0s4.7 2 7 0M1 11c2.3-2 4.7-2 7 0s4.7 2 7 0",
  table: "M2 3h12v10H2zM2 6.5h12M2 9.8h12M6 3v10",
  topic: "M2 6v4h3l5 4V2L5 6zm11-1c1.3 1.7 1.3 4.3 0 6",
  outside: "M6 2H2v12h12v-4M9 2h5v5m0-5L7 9",
};
