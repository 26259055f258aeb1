/** `node asyncapi.js FILE`: whether AsyncAPI's own parser takes the document. Prints what it finds. */

import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

// The parser also suggests what would be nice to have; only these are faults.
const WORTH_TELLING = { 0: "error", 1: "warning" };

const [file] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(await readFile(file, "utf8"));
const faults = diagnostics.filter(({ severity }) => severity in WORTH_TELLING);
for (const { severity, path, message } of faults)
  console.error(`${file}: ${WORTH_TELLING[severity]} at ${path.join(".")}: ${message}`);
process.exitCode = document && faults.length === 0 ? 0 : 1;
