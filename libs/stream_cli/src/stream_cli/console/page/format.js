// Times, numbers and names for people.
const DAY_MS = 86_400_000;
const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
const day = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const numbers = new Intl.NumberFormat("en-GB");

export function time(ms) {
  const date = new Date(ms);
  const text = clock.format(date);
  return Math.abs(Date.now() - ms) < DAY_MS / 2 ? text : `${day.format(date)} ${text}`;
}

export const exactly = (ms) => new Date(ms).toISOString();

export const count = (number) => numbers.format(number);

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function bytes(number) {
  if (number < 1024) return `${number} B`;
  const unit = Math.min(Math.floor(Math.log2(number) / 10), 4);
  return `${(number / 1024 ** unit).toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}

// One of eight colours, the same for the same text.
export function colour(text) {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + character.codePointAt(0)) % 65_521;
  return `colour-${sum % 8}`;
}
