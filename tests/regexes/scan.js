// Scans regular expressions with recheck. stdin: {"patterns": [{"source", "flags"}], "files": [paths of JavaScript]}.
// stdout: {"patterns": [verdict, ...], "files": [{"path", "line", "source", "flags", ...verdict}]}.
const { readFileSync } = require("fs");
const { parse } = require("acorn");
const { checkSync } = require("recheck");

const verdictOf = ({ source, flags }) => {
  const found = checkSync(source, flags, { timeout: 60000 });
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

const { patterns, files } = JSON.parse(readFileSync(0, "utf8"));
const literals = files.flatMap(literalsOf);
process.stdout.write(JSON.stringify({
  patterns: patterns.map(verdictOf),
  files: literals.map((each) => (each.source === null ? { ...each, status: "unknown" } : { ...each, ...verdictOf(each) })),
}));
