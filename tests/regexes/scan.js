// Scans regular expressions with recheck. stdin: {"patterns": [{"source", "flags"}], "files": [paths of JavaScript]}, and
// "limits" of the first look at each, in place of those below.
// stdout: {"patterns": [verdict, ...], "files": [{"path", "line", "source", "flags", ...verdict}]}.
const { readFileSync } = require("fs");
const { parse } = require("acorn");
const { checkSync } = require("recheck");

const { patterns, files, limits = { timeout: 60_000 } } = JSON.parse(readFileSync(0, "utf8"));
const AMPLE = { timeout: 300_000, attackTimeout: 60_000, incubationTimeout: 20_000 };

// The limits are wall time: with many processes on the machine, fuzzing takes a safe pattern for a vulnerable one. What it
// has found is looked at again with limits that no load reaches; what follows from the automaton does not depend on time.
const verdictOf = ({ source, flags }) => {
  let found = checkSync(source, flags, limits);
  if (found.status !== "safe" && found.checker !== "automaton") found = checkSync(source, flags, AMPLE);
  return {
    status: found.status,
    degree: found.complexity?.degree ?? null,
    summary: found.complexity?.summary ?? found.error?.kind,
    attack: found.attack?.string.slice(0, 100),
  };
};

const literalsOf = (path) => {
  const text = readFileSync(path, "utf8");
  const found = [];
  const visit = (node) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (!node || typeof node.type !== "string") return;
    if (node.type === "Literal" && node.regex) {
      found.push({ path, line: node.loc.start.line, source: node.regex.pattern, flags: node.regex.flags });
    }
    if (/^(New|Call)Expression$/.test(node.type) && node.callee.name === "RegExp") {
      const [source, flags] = node.arguments.map((each) => each.value);
      found.push({ path, line: node.loc.start.line, source: typeof source === "string" ? source : null, flags: flags ?? "" });
    }
    Object.values(node).forEach(visit);
  };
  const isModule = path.endsWith(".mjs") || /^(?:import|export)\b/m.test(text);
  visit(parse(text, { ecmaVersion: "latest", sourceType: isModule ? "module" : "script", locations: true, allowHashBang: true }));
  return found;
};

const literals = files.flatMap(literalsOf);
process.stdout.write(JSON.stringify({
  patterns: patterns.map(verdictOf),
  files: literals.map((each) => (each.source === null ? { ...each, status: "unknown" } : { ...each, ...verdictOf(each) })),
}));
