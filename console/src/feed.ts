/** All that the console knows of the wire: the client package, and what its fields mean. */

export * from "../../client/src/index.ts";
export { LEVEL_SIGNAL, type FieldDescription, ML_PREDICTIONS, RETRIEVAL } from "../../client/src/field-descriptions.ts";
