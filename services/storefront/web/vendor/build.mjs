// Makes the vendored files from npm packages: scripts/vendor-web runs it beside node_modules.
import {createHash} from "node:crypto";
import {copyFileSync, readFileSync, writeFileSync} from "node:fs";
import {buildSync} from "esbuild";

const [web, tests] = process.argv.slice(2);
const packages = JSON.parse(readFileSync("package.json", "utf8")).devDependencies;
const read = (path) => readFileSync(`node_modules/${path}`, "utf8");

// The icons that the pages use, as [tag, attributes] of their shapes: built as elements, never
// parsed as HTML.
const ICONS = [
  "activity", "arrow-left", "bird", "bone", "cat", "check", "chevron-left", "chevron-right", "circle-alert",
  "circle-check", "clipboard-list", "clock", "credit-card", "dog", "globe", "heart", "house",
  "info", "log-out", "map-pin", "minus", "package", "package-check", "paw-print", "plus", "rabbit",
  "refresh-cw", "rotate-ccw", "search", "shopping-basket", "sparkles", "star", "tag", "trash",
  "truck", "user", "wifi-off", "x",
];
const nodes = JSON.parse(read("lucide-static/icon-nodes.json"));
const unknown = ICONS.filter((name) => !nodes[name]);
if (unknown.length) throw new Error(`lucide has no icon ${unknown}`);
const icons = Object.fromEntries(ICONS.map((name) => [name, nodes[name]]));

const entry = `
export {LitElement, html, svg, nothing} from "lit";
export {repeat} from "lit/directives/repeat.js";
export {live} from "lit/directives/live.js";
export {keyed} from "lit/directives/keyed.js";
export const icons = ${JSON.stringify(icons)};`;
const {outputFiles} = buildSync({
  stdin: {contents: entry, resolveDir: process.cwd()},
  bundle: true, format: "esm", minify: true, write: false, legalComments: "none",
  conditions: ["production"],
});
const notice = `lit ${packages.lit}, lucide ${packages["lucide-static"]}; licences: LICENSES.txt`;
writeFileSync(`${web}/kit.js`, `// ${notice}\n${outputFiles[0].text}`);

const tokens = ["sizes", "easings", "borders"].map((name) => read(`open-props/${name}.min.css`));
const props = `/* open-props ${packages["open-props"]}; licence: LICENSES.txt */\n${tokens.join("\n")}\n`;
writeFileSync(`${web}/../styles/00-tokens.css`, props);

copyFileSync(
  "node_modules/@fontsource-variable/fraunces/files/fraunces-latin-wght-normal.woff2",
  `${web}/fraunces-latin.woff2`,
);
// The charts of /ops, which nobody else loads.
const chart = buildSync({
  stdin: {contents: 'export {default} from "uplot";', resolveDir: process.cwd()},
  bundle: true, format: "esm", minify: true, write: false, legalComments: "none",
});
writeFileSync(
  `${web}/uplot.js`, `// uplot ${packages.uplot}; licence: LICENSES.txt\n${chart.outputFiles[0].text}`,
);
copyFileSync("node_modules/uplot/dist/uPlot.min.css", `${web}/uplot.css`);
copyFileSync("node_modules/axe-core/axe.min.js", `${tests}/axe.min.js`);

const licensed = ["lit", "open-props", "lucide-static", "@fontsource-variable/fraunces", "axe-core", "uplot"];
const licence = (name) => `${name} ${packages[name]}\n${"=".repeat(60)}\n${read(`${name}/LICENSE`)}`;
writeFileSync(`${web}/LICENSES.txt`, licensed.map(licence).join("\n\n"));

const made = [`${web}/kit.js`, `${web}/fraunces-latin.woff2`, `${web}/../styles/00-tokens.css`,
  `${web}/uplot.js`, `${web}/uplot.css`, `${tests}/axe.min.js`];
const sum = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");
const line = (file) => `${sum(file)}  ${file.split("/").at(-1)}`;
writeFileSync(`${web}/SHA256SUMS`, `${made.map(line).join("\n")}\n`);
