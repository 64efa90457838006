// The one thing of Node that a test needs; its whole types would be a package of 2 MB.
declare module "node:fs" {
  export function readFileSync(path: URL, encoding: "utf8"): string;
}
