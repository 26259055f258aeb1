/** The TypeScript client as the global `spymaster` of plain pages: what was too, which packages import apart. */

export * from "../../client/typescript/src/index.js";
export * from "../../client/typescript/src/past.js";
