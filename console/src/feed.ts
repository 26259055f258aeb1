/** All that the console knows of the wire: the client package, and what its fields mean. */

export * from "../../client/typescript/src/index.js";
export * from "../../client/typescript/src/past.js";
export { LEVEL_SIGNAL, type FieldDescription, ML_PREDICTIONS, RETRIEVAL } from "../../client/typescript/src/field-descriptions.js";
