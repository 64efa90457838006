// Bundles each widget, src/NAME.ts and src/NAME.css, into ../sftkit/widgets/static, which is committed: `npm run build`.
// With an argument, writes there instead (the test that the committed bundle is fresh does so).
import { build } from "esbuild";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const WIDGETS = ["curves", "dataset", "grid", "lens", "rate", "report", "runs"];
const PARTS = ["grid_code", "grid_math", "packed"]; // fetched by the grid when an answer needs them; the loader of packed widgets
const here = dirname(fileURLToPath(import.meta.url));

await build({
  absWorkingDir: here, // so that no path of the machine gets into the bundle
  entryPoints: [...WIDGETS.flatMap((name) => [`src/${name}.ts`, `src/${name}.css`]), ...PARTS.map((name) => `src/${name}.ts`)],
  outdir: resolve(process.argv[2] ?? resolve(here, "../sftkit/widgets/static")),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
});
